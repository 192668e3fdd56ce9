"""What signals and updates carry, and what updates answer.

Workflows import this module passed through their sandbox: it holds no state, and creating its classes again for each
workflow was measured at a third of the cost of loading one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from temporalio import workflow

from rules.acts import NOBODY, PROGRAM, Act
from rules.agenda import MessageChange
from rules.text import for_database


def refuse_local(at: datetime | None) -> None:
    """Raise ValueError for a time that is no instant because it has no offset (T8)."""
    if at is not None and at.utcoffset() is None:
        raise ValueError("a time needs its offset")


@dataclass(frozen=True, slots=True)
class ActInput:
    """What signals and updates carry; each uses what it needs (CONTRACTS: "Workflow ids and Temporal names").

    Any client may send them: words that no database takes are made readable, and a time without an offset raises
    ValueError, so that the signal is dropped. `reason` and `actor` say why and by whom, `by` is the profile of the
    one of the two who acts. `at` is when it happened, if that was before its arrival; `event` is the stored event
    behind it, empty for a plain client.
    """

    reason: str = ""
    actor: str = ""
    at: datetime | None = None
    event: str = ""
    by: str = ""
    answer: str = ""
    end: str = ""
    months: int = 0
    business_days: int = 0
    check_ins: int = 0
    good: bool | None = None
    domains: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        refuse_local(self.at)
        for name in ("reason", "actor", "event", "by", "answer", "end"):
            object.__setattr__(self, name, for_database(getattr(self, name)))
        object.__setattr__(self, "domains", [for_database(domain) for domain in self.domains])

    def to_act(self, name: str) -> Act:
        """Return the act of a signal or update. One that came as an event has an id of it: a repeat counts once."""
        details = {
            "answer": self.answer,
            "end": self.end,
            "months": str(self.months or ""),
            "business_days": str(self.business_days or ""),
            "check_ins": str(self.check_ins or ""),
            "domains": "\n".join(self.domains),
            "good": "" if self.good is None else "yes" if self.good else "no",
        }
        return Act(
            id=f"{name} by event {self.event}" if self.event else str(workflow.uuid4()),
            name=name,
            actor=self.actor or self.by or NOBODY,
            reason=self.reason,
            details={key: value for key, value in details.items() if value},
            at=self.at or workflow.now(),
            by=self.by,
            event=self.event,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an act changed, as an update answers it (STA1): the state after it, messages moved, dropped and added."""

    state: str
    moved: list[MessageChange]
    dropped: list[MessageChange]
    added: list[MessageChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Matched:
    """The mentee has a match: an accepted request (ONB3)."""

    request: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        refuse_local(self.at)
        object.__setattr__(self, "request", for_database(self.request))

    def to_act(self) -> Act:
        """Return the act that it is: the program's."""
        return Act(
            id=str(workflow.uuid4()),
            name="matched",
            actor=PROGRAM,
            details={"request": self.request},
            at=self.at or workflow.now(),
        )
