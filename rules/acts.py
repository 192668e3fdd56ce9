"""What people do to a lifecycle, as a value that plans, previews and the audit record share (STA3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rules.agenda import PlannedTask

EVENT_REASON = "event:"
"""Prefix of a reason that names a stored event. The words stay in the event and out of workflow histories (MEM6)."""


NOBODY = "unknown"
"""Actor recorded when the caller gave none."""


PROGRAM = "program"
"""Actor of what the engine itself does, such as ending an onboarding at a match."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did to a lifecycle (STA3)."""

    id: str
    """An act counts once per id."""
    name: str
    actor: str
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
    """The act's own fields, such as a new end."""
    at: datetime | None = None
    """When it happened; None for now."""
    by: str = ""
    """The profile of the mentor or the mentee, if one of them acted."""
    event: str = ""
    """The stored event that reported it, if there is one."""
    signal: bool = False
    """Whether it came by signal: its sender learns nothing of a refusal, so that the record has to show it."""
    unreadable: str = ""
    """Why its input could not be read; empty where it could. Such an act changes nothing and is recorded as refused."""
    heard_at: datetime | None = None
    """When the engine heard of it, if that was later than it happened (T9)."""
    history: bool = False
    """Whether it is of before a take-over: it mails nobody (T10)."""

    @property
    def taken_over_at(self) -> datetime | None:
        """The instant of the take-over that an act of history belongs to (T10)."""
        return (self.heard_at or self.at) if self.history else None


@dataclass(frozen=True, slots=True)
class Received:
    """What a lifecycle has received by signal and update: its workflow carries it from run to run.

    While a run goes on, facts hold none of it.
    """

    signals: int = 0
    """How many signals came: they number the acts of signals."""
    updates: list[str] = field(default_factory=list)
    """The ids of the last applied acts of updates: one that is sent again is applied once."""
    pending: list[Act] = field(default_factory=list)
    """Acts that no plan has applied yet."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """The loss of good standing by one of two people. Their lifecycle continues, and staff get a task (MEM2)."""

    profile: str
    at: datetime


def record_standing(lapses: Sequence[Lapse], profile: str, good: bool, at: datetime) -> list[Lapse]:
    """Return the lapses, one per profile without good standing, after a profile lost or regained it."""
    if not good and any(lapse.profile == profile for lapse in lapses):
        return list(lapses)
    others = [lapse for lapse in lapses if lapse.profile != profile]
    return others if good else [*others, Lapse(profile, at)]


def lapse_tasks(lapses: Sequence[Lapse], mentor: str, note: str) -> list[PlannedTask]:
    """Return the staff task of each lapse. `mentor` is the mentor's profile, `note` a sentence for staff."""
    return [
        PlannedTask(
            lapse.at,
            "member_lapsed",
            f"the {role} lost good standing on {lapse.at.astimezone(UTC).date().isoformat()}",
            f"Help the {role} to renew. {note}",
        )
        for lapse in lapses
        for role in ["mentor" if lapse.profile == mentor else "mentee"]
    ]
