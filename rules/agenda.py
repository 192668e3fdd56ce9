"""What is due, to whom, when: the value that every lifecycle's rules produce.

An agenda is computed from facts alone and covers a lifecycle's whole life, past and future; what of it is
already done stands in the database. All instants are timezone-aware UTC datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that is owed to one profile (MAIL1).

    `step` and `occurrence` identify it within its workflow, whatever happens to its date. `due` is the instant
    at which it goes out, or None while it is held (a pause whose end nobody knows). `context` holds ids and
    ISO instants for the template, never personal data.
    """

    step: str
    due: datetime | None
    message: str
    to: str
    occurrence: int = 1
    number: int | None = None
    context: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The message's name within its workflow: `step/occurrence`."""
        return f"{self.step}/{self.occurrence}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of state at an instant. `cause` says why, in words for staff; `closes` ends the lifecycle."""

    due: datetime
    state: str
    cause: str = ""
    closes: bool = False


@dataclass(frozen=True, slots=True)
class TaskDue:
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
    """

    mails: tuple[Mail, ...]
    turns: tuple[Turn, ...]
    tasks: tuple[TaskDue, ...] = ()
    dropped_because: str = "no longer due"

    def state_at(self, at: datetime) -> str:
        """The state in force at `at`; the first turn's state before any is due."""
        state = self.turns[0].state
        for turn in sorted(self.turns, key=lambda turn: turn.due):
            if turn.due <= at:
                state = turn.state
        return state

    def wakes_after(self, at: datetime) -> list[datetime]:
        """The instants after `at` at which a state changes or a task opens."""
        return sorted({item.due for item in (*self.turns, *self.tasks) if item.due > at})


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which nothing is mailed: from an instant until another, or open (`until` is None)."""

    since: datetime
    until: datetime | None = None
    cause: str = "staff"
