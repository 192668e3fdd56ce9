"""What changes a meetup: staff acts, changes of time, place and title, resources, and its end (MEE1, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rules.acts import Act
from rules.agenda import Ended, Refused
from rules.meetup.facts import MeetupFacts, MeetupPlace


def cancel(facts: MeetupFacts, at: datetime, reason: str = "", actor: str = "") -> MeetupFacts:
    """Cancel a meetup that has not ended; a second cancel changes nothing (MEE1). Raises Refused after its end."""
    if facts.ended:
        return facts
    _refuse_after_end(facts, at)
    cause = f"cancelled: {reason}" if reason else "cancelled"
    at = max(at, facts.scheduled_at)
    return replace(
        facts,
        ended=Ended("canceled", at, cause, actor),
        sequence=facts.sequence + 1,
        edition=facts.edition + 1,
        revision=facts.revision + 1,
    )


def change(facts: MeetupFacts, place: MeetupPlace, at: datetime) -> MeetupFacts:
    """Change time, place or title, or add resources; what is as before changes nothing (MEE1).

    Raises Refused for a cancelled meetup, for another time or title after its end, and for a time that is past.
    """
    if facts.ended:
        raise Refused("the meetup is cancelled; schedule another one, with an id of its own")
    is_moved = (place.starts_at, place.ends_at) != (facts.starts_at, facts.ends_at)
    has_moved_start = place.starts_at != facts.starts_at
    if is_moved or place.is_elsewhere or place.is_reworded:
        _refuse_after_end(facts, at)
        if has_moved_start and place.starts_at <= at:
            raise Refused("the new time is past")
        facts = replace(
            facts,
            starts_at=place.starts_at,
            ends_at=place.ends_at,
            sequence=facts.sequence + (is_moved or place.is_elsewhere),
            edition=facts.edition + 1,
            changed_at=at,
            moves=facts.moves + has_moved_start,
            moved_at=at if has_moved_start else facts.moved_at,
            revision=facts.revision + 1,
        )
    if place.has_resources and facts.resources_at is None:
        facts = replace(facts, resources_at=at, revision=facts.revision + 1)
    return facts


def pause(facts: MeetupFacts, at: datetime) -> MeetupFacts:
    """Hold all mail of a meetup. A second pause changes nothing."""
    return facts if facts.is_paused else replace(facts, paused_at=at, revision=facts.revision + 1)


def resume(facts: MeetupFacts, at: datetime) -> MeetupFacts:
    """Let its mail go on: what was due in the pause is due now. Raises Refused if it is not paused."""
    if facts.paused_at is None:
        raise Refused("it is not paused by staff")
    at = max(at, facts.paused_at)
    return replace(facts, paused_at=None, resumed_at=at, revision=facts.revision + 1)


def settle(facts: MeetupFacts, at: datetime) -> MeetupFacts:
    """Return the facts at an instant: after its end nobody is invited or reminded any more."""
    if facts.held or facts.ended or at < facts.ends_at:
        return facts
    return replace(facts, held=True, revision=facts.revision + 1)


def heard_at(act: Act, now: datetime) -> datetime:
    """Return the instant from which an act counts for mail: that of hearing, but for history (T9, T10)."""
    return (act.at or now) if act.history else (act.heard_at or act.at or now)


def apply(facts: MeetupFacts, act: Act, now: datetime) -> MeetupFacts:
    """Return a meetup's facts after an act of staff (STA1). Raises Refused."""
    at = heard_at(act, now)
    match act.name:
        case "cancel":
            return cancel(facts, at, act.reason, act.actor)
        case "pause":
            return pause(facts, at)
        case "resume":
            return resume(facts, at)
    raise Refused(f"a meetup has no act {act.name}")


def _refuse_after_end(facts: MeetupFacts, at: datetime) -> None:
    if facts.held or at >= facts.ends_at:
        raise Refused("the meetup has taken place")


def closed_because(facts: MeetupFacts, state: str) -> str:
    """Return how a meetup is over, for an act that comes too late."""
    return "the meetup is cancelled" if facts.ended or state == "canceled" else "the meetup has taken place"
