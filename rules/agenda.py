"""What is due, to whom, when: the value that every lifecycle's rules produce.

An agenda is computed from facts alone and covers a lifecycle's whole life, past and future; what of it is
already done stands in the database. All instants are timezone-aware UTC datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PlannedMail:
    """One message that is owed to one profile (MAIL1).

    `step` and `occurrence` identify it within its workflow, whatever happens to its date. `due` is the instant
    at which it goes out, or None while it is held (a pause whose end nobody knows); `after_pause` is that instant
    if it was still waiting when a later pause began, which the ledger knows and facts do not. `context` holds ids
    and ISO instants for the template, never personal data.
    """

    step: str
    due: datetime | None
    message: str
    to: str
    occurrence: int = 1
    number: int | None = None
    context: dict[str, str] = field(default_factory=dict)
    after_pause: datetime | None = None

    @property
    def due_if_waiting(self) -> datetime | None:
        """When it goes out if it has no decision yet; None while it is held."""
        return self.after_pause or self.due

    @property
    def key(self) -> str:
        """The message's name within its workflow: `step/occurrence`."""
        return f"{self.step}/{self.occurrence}"


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of state at an instant. `cause` says why, in words for staff; `closes` ends the lifecycle."""

    due: datetime
    state: str
    cause: str = ""
    closes: bool = False


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A staff task that opens at an instant, once per `cause` within its subject (STA2)."""

    due: datetime
    kind: str
    cause: str
    action: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Agenda:
    """All that a lifecycle does, from its start to its end, as far as its facts tell today.

    `dropped_because` is the reason recorded with messages that stood in an earlier agenda and not in this one.
    `closes_at` is the instant at which the lifecycle ends in the state that it has by then, where no change ends it.
    `recheck_at` are further instants at which something outside the agenda comes due.
    """

    mails: tuple[PlannedMail, ...]
    state_changes: tuple[StateChange, ...]
    tasks: tuple[PlannedTask, ...] = ()
    dropped_because: str = "no longer due"
    closes_at: datetime | None = None
    recheck_at: tuple[datetime, ...] = ()

    def state_at(self, at: datetime) -> str:
        """The state in force at `at`; the first change's state before any is due."""
        state = self.state_changes[0].state
        for change in sorted(self.state_changes, key=lambda change: change.due):
            if change.due <= at:
                state = change.state
        return state

    def wakes_after(self, at: datetime) -> list[datetime]:
        """The instants after `at` at which a state changes, a task opens or the lifecycle ends, and `recheck_at`."""
        instants = (
            [change.due for change in self.state_changes]
            + [task.due for task in self.tasks]
            + list(self.recheck_at)
        )
        if self.closes_at:
            instants.append(self.closes_at)
        return sorted({due for due in instants if due > at})


@dataclass(frozen=True, slots=True)
class Ended:
    """How and when a lifecycle was ended by somebody: its last state, the instant, why, by whom."""

    state: str
    at: datetime
    cause: str = ""
    actor: str = ""


class Refused(ValueError):
    """An act that the rules do not allow now; its text says why, in words for the person who acted."""


MINUTE = timedelta(minutes=1)

GRACE_PERIOD = timedelta(seconds=2)
"""How long after an instant that was waited for the wait ends: who acts in its very second acts in time (T2)."""


def recorded_at(due: datetime | None, at: datetime) -> datetime:
    """The instant to record for something due at `due` and done at `at`.

    It is the due instant itself if it was met within a minute, else the moment at which it was done, to the
    second: records then tell apart what was on time from what was late, and not one machine from another.
    """
    if due is not None and due <= at < due + MINUTE:
        return due
    return at.replace(microsecond=0)


def closing_change(agenda: Agenda, at: datetime) -> StateChange | None:
    """The change that has ended a lifecycle by an instant, if one has."""
    return next((change for change in agenda.state_changes if change.closes and change.due <= at), None)


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A message that an act moved (`was` → `due`), dropped (`due` is None) or added (`was` is None); in UTC."""

    key: str
    message: str
    number: int | None
    to: str
    was: datetime | None
    due: datetime | None
