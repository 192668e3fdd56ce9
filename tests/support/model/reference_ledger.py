"""A reference ledger: the messages of one lifecycle while its agenda changes, from agendas alone.

It keeps the promises that the delivery ledger keeps: a message is planned, moves, and has one decision; one that
was decided never comes again. What it cannot keep, the rules must not ask of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rules.agenda import Agenda, PlannedMail

AFTER_THE_END = (".completed", "mentee.request_expired")
"""What the end itself makes due: it leaves at the next send time (T4)."""


@dataclass
class ReferenceLedger:
    """The messages of one lifecycle: `planned` by key, `sent` with their instants, and `cancelled` keys."""

    planned: dict[str, PlannedMail] = field(default_factory=dict)
    sent: list[tuple[datetime, PlannedMail]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    tasks: dict[tuple[str, str], datetime] = field(default_factory=dict)
    closed_at: datetime | None = None

    def sent_messages(self) -> list[str]:
        """The names of what went out, in order."""
        return [mail.message for _, mail in self.sent]

    def plan(self, agenda: Agenda, now: datetime) -> None:
        """Take over an agenda; it must not ask again for what is decided, nor for new mail in the past."""
        keys = [mail.key for mail in agenda.mails]
        assert len(keys) == len(set(keys)), keys
        decided = {mail.key for _, mail in self.sent}
        for mail in agenda.mails:
            assert mail.key not in self.cancelled, f"{mail.key} was cancelled and comes again"
            if mail.key in decided:
                continue
            assert mail.key in self.planned or mail.due is None or mail.due >= now, (
                f"{mail.key} comes too late"
            )
            self.planned[mail.key] = mail
        for key in set(self.planned) - set(keys):
            del self.planned[key]
            self.cancelled.add(key)

    def run(self, agenda: Agenda, until: datetime) -> None:
        """Let time pass: what is due goes out, tasks open, and the lifecycle closes when its agenda says so."""
        closing = next((turn for turn in agenda.state_changes if turn.closes and turn.due <= until), None)
        due = [
            (mail.due, mail) for mail in self.planned.values() if mail.due is not None and mail.due <= until
        ]
        for at, mail in sorted(due, key=lambda item: item[0]):
            if closing and at > closing.due:
                assert mail.message.endswith(AFTER_THE_END), f"{mail.key} goes out after the end"
            if mail.to != "staff" and not (closing and at >= closing.due):
                state = agenda.state_at(at)
                assert state not in ("paused", "suspended"), f"{mail.key} goes out while {state}"
            self.sent.append((at, mail))
            del self.planned[mail.key]
        for task in agenda.tasks:
            if task.due <= (closing.due if closing else until):
                self.tasks.setdefault((task.kind, task.cause), task.due)
        if closing:
            # What the end itself makes due leaves at the next send time (T4).
            late = {key for key, mail in self.planned.items() if not mail.message.endswith(AFTER_THE_END)}
            assert not late, f"left over at the end: {sorted(late)}"
            self.closed_at = closing.due
