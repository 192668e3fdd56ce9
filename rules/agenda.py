"""The agenda of a lifecycle: every message, state change and staff task, each with its due instant.

An agenda is computed from facts alone and covers the whole life of a lifecycle, past and future. The database records
which parts of it are done. All instants are timezone-aware UTC datetimes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rules.calendar import Calendar


@dataclass(frozen=True, slots=True)
class PlannedMail:
    """One message to one profile (MAIL1).

    `step` and `occurrence` identify it within its workflow, whatever happens to its date.
    """

    step: str
    due: datetime | None
    """When it goes out; None while an open pause holds it."""
    message: str
    """The message's name in the catalogue (`rules.messages`)."""
    to: str
    """The recipient's profile."""
    occurrence: int = 1
    number: int | None = None
    """The number that the recipient sees, as in the third check-in."""
    context: dict[str, str] = field(default_factory=dict)
    """Ids and ISO instants for the template, never personal data (MEM6)."""
    after_pause: datetime | None = None
    """When it goes out if it was due before a pause but not sent yet; only the ledger knows whether it was."""

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
    """A change of state at an instant."""

    due: datetime
    state: str
    cause: str = ""
    """The reason, in words for staff."""
    closes: bool = False
    """Whether it ends the lifecycle."""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A staff task that opens at an instant (STA2)."""

    due: datetime
    kind: str
    cause: str
    """The reason, in words for staff. A subject has one task per cause."""
    action: str
    """What staff should do, in words for them."""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Agenda:
    """Everything that a lifecycle does from its start to its end, by its present facts."""

    mails: tuple[PlannedMail, ...]
    state_changes: tuple[StateChange, ...]
    tasks: tuple[PlannedTask, ...] = ()
    dropped_because: str = "no longer due"
    """The reason to record with messages of an earlier agenda that are not in this one."""
    closes_at: datetime | None = None
    """When the lifecycle ends in the state that it has by then, where no state change ends it."""
    recheck_at: tuple[datetime, ...] = ()
    """Further instants at which something outside the agenda comes due."""
    has_batches: bool = False
    """Whether its mail is planned apart, in batches of people: a meetup's. `mails` is empty then."""

    def state_at(self, at: datetime) -> str:
        """Return the state in force at an instant; before any change is due, the state of the first one."""
        state = self.state_changes[0].state
        for change in sorted(self.state_changes, key=lambda change: change.due):
            if change.due <= at:
                state = change.state
        return state

    def wakes_after(self, at: datetime) -> list[datetime]:
        """Return the instants after `at` at which anything but a mail comes due, in order, each once."""
        instants = (
            [change.due for change in self.state_changes]
            + [task.due for task in self.tasks]
            + list(self.recheck_at)
        )
        if self.closes_at:
            instants.append(self.closes_at)
        return sorted({due for due in instants if due > at})


def without_past(agenda: Agenda, taken_over_at: datetime | None) -> Agenda:
    """Return an agenda without the mails and tasks of before a take-over: they count as done (T10).

    States keep their dates. Without a take-over the agenda is unchanged.
    """
    if taken_over_at is None:
        return agenda
    return replace(
        agenda,
        mails=tuple(mail for mail in agenda.mails if mail.due is None or mail.due >= taken_over_at),
        tasks=tuple(task for task in agenda.tasks if task.due >= taken_over_at),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """The end that somebody gave a lifecycle."""

    state: str
    """The state that it ended in."""
    at: datetime
    cause: str = ""
    """The reason, in words for staff."""
    actor: str = ""
    heard_at: datetime | None = None
    """When the engine heard of it, if that was later (T9)."""
    history: bool = False
    """Whether it is of before a take-over (T10)."""


class Refused(ValueError):
    """An act that the rules do not allow now. The text says why, in words for the person who acted."""


MINUTE = timedelta(minutes=1)

GRACE_PERIOD = timedelta(seconds=2)
"""Grace period after a due instant, so that an answer in the same second still counts (T2)."""


def recorded_at(due: datetime | None, at: datetime) -> datetime:
    """Return the instant to record for something that was due at `due` and done at `at`.

    That is the due instant if it was met within a minute, else `at` to the second. Records then differ where something
    was late, and not between a fast and a slow machine.
    """
    if due is not None and due <= at < due + MINUTE:
        return due
    return at.replace(microsecond=0)


def closing_change(agenda: Agenda, at: datetime) -> StateChange | None:
    """Return the state change that ended a lifecycle by an instant; None while it is open."""
    return next((change for change in agenda.state_changes if change.closes and change.due <= at), None)


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A planned message that an act moved, dropped or added."""

    key: str
    message: str
    number: int | None
    to: str
    was: datetime | None
    """The due instant before the act; None for an added message, or a held one."""
    due: datetime | None
    """The due instant after the act; None for a dropped message, or a held one."""


@dataclass(frozen=True, slots=True)
class WindowRecipient:
    """A person as the window counts: the member's id, and the calendar that has the send time."""

    member: str
    calendar: Calendar


def send_offset(member: str, minutes: int) -> timedelta:
    """Return how long after the send time a person's mail leaves: whole seconds, less than `minutes`.

    It follows from the member's id alone. So a plan that is made again moves nothing, and what one person gets on a
    morning stays together, in its order.
    """
    if not minutes:
        return timedelta(0)
    number = int.from_bytes(hashlib.sha256(member.encode()).digest()[:8], "big")
    return timedelta(seconds=number % (60 * minutes))


def spread_mails(agenda: Agenda, recipients: Mapping[str, WindowRecipient]) -> Agenda:
    """Return an agenda whose mails of the send time leave within the window; `recipients` are by profile.

    Everything else keeps its instant: mail that answers an event or a deadline, states, tasks.
    """
    mails = tuple(
        _spread_mail(mail, recipients[mail.to]) if mail.to in recipients else mail for mail in agenda.mails
    )
    return replace(agenda, mails=mails)


def _spread_mail(mail: PlannedMail, to: WindowRecipient) -> PlannedMail:
    return replace(mail, due=_moved(mail.due, to), after_pause=_moved(mail.after_pause, to))


def _moved(due: datetime | None, to: WindowRecipient) -> datetime | None:
    """Return an instant, moved within the window if it is the person's send time on a business day."""
    hours = to.calendar.hours
    if due is None or not hours.send_window or due != to.calendar.send_at(to.calendar.date_of(due)):
        return due
    return due + send_offset(to.member, hours.send_window)
