"""Why two people are a pair, as values that are worded in English or Spanish when somebody reads them (COH2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from rules.pairing.candidate import Candidate
from rules.pairing.vocabulary import CAUSES, LANGUAGE_NAMES, PHRASES
from rules.program import PairingPolicy

MOST_NAMED = 4
"""Topics that one reason names."""

CLOSE_AGES = 5
CLOSE_YEARS_OF_MANAGEMENT = 5
"""Years apart at most to be called similar; more are called different."""

SHARED = ("areas", "interests", "topics", "goals", "languages")
"""The kinds of reasons that name what both have."""


class Reason(NamedTuple):
    """One thing that is true of a pair; `values` are topics or languages, for the kinds in SHARED."""

    kind: str
    values: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return the reason as JSON takes it."""
        return {"kind": self.kind, "values": list(self.values)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the reason that `plain` made."""
        return cls(str(plain["kind"]), tuple(map(str, plain.get("values", ()))))


def reasons_for(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> tuple[Reason, ...]:
    """Return what speaks for a pair: of each criterion with a weight what holds, and the languages in common."""
    found = [
        reason
        for name, weight in policy.weights.items()
        if weight and (reason := _OF_CRITERION[name](mentee, mentor, policy))
    ]
    shared = [Reason("languages", tuple(code for code in mentee.spoken if code in mentor.spoken))]
    in_common = [each for each in found if each.kind in SHARED] + [each for each in shared if each.values]
    return (*in_common, *(each for each in found if each.kind not in SHARED))


def worded(reasons: Iterable[Reason], language: str) -> str:
    """Return reasons on one line, like "both: physical security, Spanish; different countries".

    `language` is `en` or `es`; any other reads English.
    """
    listed = tuple(reasons)
    phrases = PHRASES.get(language, PHRASES["en"])
    both = in_common(listed, language)
    parts = [f"{phrases['both']}: {', '.join(both)}"] if both else []
    parts += [phrases[each.kind] for each in listed if each.kind not in SHARED]
    return "; ".join(parts)


def in_common(reasons: Iterable[Reason], language: str) -> tuple[str, ...]:
    """Return only what both have, as a mail to the two may name it: topics, and languages by their names.

    A word of both goals that a topic says already is left out.
    """
    names = LANGUAGE_NAMES.get(language, LANGUAGE_NAMES["en"])
    found: dict[str, None] = {}
    for each in reasons:
        if each.kind in SHARED:
            values = (
                [names.get(code, code) for code in each.values] if each.kind == "languages" else each.values
            )
            said = {word for topic in found for word in topic.casefold().split()}
            is_new = (value for value in values if each.kind != "goals" or value.casefold() not in said)
            found.update(dict.fromkeys(is_new))
    return tuple(found)


def cause_worded(cause: str, language: str) -> str:
    """Return why somebody has no pair, or why a lock does not hold, in `en` or `es`; any other reads English."""
    return CAUSES.get(language, CAUSES["en"])[cause]


def _shared(kind: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Reason | None:
    both = sorted(ours.keys() & theirs.keys())[:MOST_NAMED]
    return Reason(kind, tuple(ours[key] for key in both)) if both else None


def _areas(mentee: Candidate, mentor: Candidate, _: PairingPolicy) -> Reason | None:
    return _shared("areas", mentee.area_topics, mentor.area_topics)


def _interests(mentee: Candidate, mentor: Candidate, _: PairingPolicy) -> Reason | None:
    return _shared("interests", mentee.interest_topics, mentor.interest_topics)


def _common(mentee: Candidate, mentor: Candidate, _: PairingPolicy) -> Reason | None:
    crossing = {
        key: shown
        for ours, theirs in (
            (mentee.area_topics, mentor.interest_topics),
            (mentee.interest_topics, mentor.area_topics),
        )
        for key, shown in ours.items()
        if key in theirs
    }
    return _shared("topics", crossing, crossing)


def _goals(mentee: Candidate, mentor: Candidate, _: PairingPolicy) -> Reason | None:
    return _shared("goals", mentee.goal_words, mentor.all_words)


def _time_zone(mentee: Candidate, mentor: Candidate, _: PairingPolicy) -> Reason | None:
    if mentee.utc_offset is None or mentor.utc_offset is None:
        return None
    apart = abs(mentee.utc_offset - mentor.utc_offset) % 1440
    apart = min(apart, 1440 - apart)
    if apart == 0:
        return Reason("same_time")
    return Reason("time_close") if apart <= 120 else None


def _nationality(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> Reason | None:
    if not mentee.origin or not mentor.origin:
        return None
    return _of_style("country", mentee.origin == mentor.origin, policy)


def _background(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> Reason | None:
    alike: list[bool] = []
    if mentee.area_topics and mentor.area_topics:
        both = mentee.area_topics.keys() & mentor.area_topics.keys()
        alike.append(2 * len(both) >= len(mentee.area_topics.keys() | mentor.area_topics.keys()))
    if mentee.years_management is not None and mentor.years_management is not None:
        apart = abs(mentee.years_management - mentor.years_management)
        alike.append(apart <= CLOSE_YEARS_OF_MANAGEMENT)
    if not alike or alike[0] != alike[-1]:
        return None
    return _of_style("background", alike[0], policy)


def _age(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> Reason | None:
    if mentee.birth_year is None or mentor.birth_year is None:
        return None
    return _of_style("age", abs(mentee.birth_year - mentor.birth_year) <= CLOSE_AGES, policy)


def _of_style(kind: str, alike: bool, policy: PairingPolicy) -> Reason | None:
    """Return a reason where the two are what the program wants."""
    return Reason(f"{policy.style}_{kind}") if alike == (policy.style == "similar") else None


_OF_CRITERION: Mapping[str, Callable[[Candidate, Candidate, PairingPolicy], Reason | None]] = {
    "areas": _areas,
    "interests": _interests,
    "common": _common,
    "goals": _goals,
    "time_zone": _time_zone,
    "nationality": _nationality,
    "background": _background,
    "age": _age,
}
"""What each criterion of a policy says of a pair."""
