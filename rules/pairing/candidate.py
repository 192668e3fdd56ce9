"""Somebody who may be paired, as the central pairing takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from rules.pairing.topics import topics, words
from rules.text import folded


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A profile of a member, with what the fit and the bounds are computed from; the names of events (COH2).

    What is unknown stays at its default, and earns nothing in the fit.
    """

    profile: str
    """The profile's id; unique among the candidates."""
    member: str
    """The member's id; a member may take part in both roles, and never gets themselves."""
    role: str
    """`mentor` or `mentee`."""
    places: int = 1
    """Of a mentor: how many mentees they still take; what `mentees_at_a_time` leaves free. Of a mentee: unused."""
    good_standing: bool = True
    languages: tuple[str, ...] = ()
    """Like `es` or `es-CO`. Somebody without one has none in common with anybody: give the program's first instead."""
    areas: tuple[str, ...] = ()
    interests: tuple[str, ...] = ()
    goals: str = ""
    nationality: str | None = None
    country: str | None = None
    """The country of residence; stands in for an unknown nationality."""
    birth_year: int | None = None
    years_management: int | None = None
    employer: str | None = None
    utc_offset: int | None = None
    """Minutes that the local time is ahead of UTC, from -720 to 840; the caller has the zone data (T7)."""

    @cached_property
    def spoken(self) -> tuple[str, ...]:
        """The languages without their regions, each once, in order."""
        return tuple(
            dict.fromkeys(code.lower().replace("_", "-").partition("-")[0] for code in self.languages)
        )

    @cached_property
    def area_topics(self) -> Mapping[str, str]:
        """The areas by the keys that compare them."""
        return topics(self.areas)

    @cached_property
    def interest_topics(self) -> Mapping[str, str]:
        """The interests by the keys that compare them."""
        return topics(self.interests)

    @cached_property
    def goal_words(self) -> Mapping[str, str]:
        """The words of the goals by the keys that compare them."""
        return words(self.goals)

    @cached_property
    def all_words(self) -> Mapping[str, str]:
        """The words of goals, areas and interests by the keys that compare them."""
        found = dict(self.goal_words)
        for topic in (*self.areas, *self.interests):
            for key, shown in words(topic).items():
                found.setdefault(key, shown)
        return found

    @cached_property
    def origin(self) -> str | None:
        """The nationality; the country of residence where it is unknown."""
        return self.nationality or self.country

    @cached_property
    def employer_key(self) -> str:
        """The employer in a form that can be compared; empty where it is unknown."""
        return folded(self.employer[:200]) if self.employer else ""
