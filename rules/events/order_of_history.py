"""The history of a running program: in which order its events are applied (T10)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rules.events.check import references
from rules.events.envelope import Envelope

_MAKES_KNOWN = {"member.updated": "member", "profile.created": "profile"}
"""The field of each type that names whom it makes known."""


def makes_known(event: Envelope) -> str:
    """Return whom an event makes known, such as `member/ana`; empty for other events."""
    name = _MAKES_KNOWN.get(event.type)
    return f"{name}/{event.data[name]}" if name else ""


def in_order_of_history(events: Sequence[Envelope]) -> list[Envelope]:
    """Return events in the order of their times, those of one instant in the order given (T10).

    An event that makes a person known goes ahead of those that refer to this person: a directory often has members with
    the date of their last change, years after their requests. Its own time stays.
    """
    in_time = sorted(events, key=lambda event: event.time or datetime.max.replace(tzinfo=UTC))
    first: dict[str, int] = {}
    for place, event in enumerate(in_time):
        first.setdefault(makes_known(event), place)
    ordered: list[Envelope] = []
    placed: set[int] = set()

    def take(place: int) -> None:
        if place in placed:
            return
        placed.add(place)
        for reference in references(in_time[place].type, in_time[place].data):
            if reference in first:
                take(first[reference])
        ordered.append(in_time[place])

    for place in range(len(in_time)):
        take(place)
    return ordered


def unknown_people(events: Sequence[Envelope]) -> set[str]:
    """Return the members and profiles that events refer to and none of them makes known."""
    known = {makes_known(event) for event in events}
    named = {reference for event in events for reference in references(event.type, event.data)}
    return {reference for reference in named - known if reference.partition("/")[0] in _MAKES_KNOWN.values()}
