"""The topics and words of a candidate in a form that can be compared: without case, accents and doubled spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rules.text import folded, for_header

LONGEST_TOPIC = 200
LONGEST_GOALS = 2_000
"""Characters of the goals that are compared; what follows them is not read."""

LONGEST_SHOWN = 60
"""Characters of a topic in an explanation."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_WITHOUT_SUBJECT = """
    about after also another because been before being better both could does each from gain good have
    having help improve into just know learn like make more most much need only other over same should
    some such than that their them then there these they this those through want well what when where
    which while will wish with within without work would year your
    ahora algo algun alguna ante antes aprender aquel aunque bien cada como conocer cual cuando deseo
    desde donde durante ella ellos entre esta estar este esto estos gustaria hacer hacia hasta lograr
    mejor mejorar mientras mucho muchos otra otro para pero poder podria porque puede quiero segun sera
    sido siempre sobre solo tambien tener tengo tiene toda todo todos trabajo unas unos
"""
"""Words of four letters and more that are no subject of a goal, in English and Spanish, folded."""

_IGNORED = frozenset(_WITHOUT_SUBJECT.split())


def topics(texts: Iterable[str]) -> Mapping[str, str]:
    """Return topics by the key that compares them; the value is the topic as its author writes it, made safe."""
    found: dict[str, str] = {}
    for text in texts:
        cut = text[:LONGEST_TOPIC]
        if key := folded(cut):
            found.setdefault(key, for_header(cut, LONGEST_SHOWN))
    return found


def words(text: str) -> Mapping[str, str]:
    """Return the words that a text is about by the key that compares them; singular and plural have one key."""
    found: dict[str, str] = {}
    for word in text[:LONGEST_GOALS].split():
        # Folded one by one, so that the explanation can show a word as it was written.
        for match in _WORD.finditer(folded(word)):
            if match[0] not in _IGNORED:
                shown = word.strip(".,;:!?¡¿()[]\"'«»“”…").lower()
                found.setdefault(_singular(match[0]), for_header(shown, LONGEST_SHOWN))
    return found


def _singular(word: str) -> str:
    """Return a word without the ending of an English or Spanish plural: `certificaciones`, `certifications`."""
    if word.endswith("iones"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
