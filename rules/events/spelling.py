"""Near misses: keys one edit away from a known one, and types of events that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_LONGEST_TYPE = 80


def near_miss(key: str, absent: Iterable[str]) -> str | None:
    """Return the first of the absent keys that was probably meant: it is one edit away."""
    return next((known for known in absent if one_edit_apart(key, known)), None)


def one_edit_apart(one: str, other: str) -> bool:
    """Return whether one insertion, deletion, substitution or swap of neighbours makes one word of the other."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    short, long = sorted((one, other), key=len)
    start = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    if short[start + 1 :] == long[start + 1 :]:
        return True
    swapped = short[start : start + 2][::-1]
    return swapped == long[start : start + 2] and short[start + 2 :] == long[start + 2 :]


def nearest_type(name: str, known: Iterable[str]) -> str | None:
    """Return the type that was probably meant: the nearest of the same noun, or of a noun that is spelt nearly so."""
    name = name[:_LONGEST_TYPE]
    nouns: dict[str, list[str]] = {}
    for each in known:
        nouns.setdefault(each.partition(".")[0], []).append(each)
    meant = get_close_matches(name.partition(".")[0], nouns, n=1, cutoff=0.7)
    if meant:
        return max(nouns[meant[0]], key=lambda each: SequenceMatcher(None, each, name).ratio())
    types = [each for of_noun in nouns.values() for each in of_noun]
    return next(iter(get_close_matches(name, types, n=1, cutoff=0.8)), None)
