"""What happened in a demo, one line each, from the audit record and the events that people sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Event, Lifecycle
from database.session import Database
from embedded.demo.words import message_words, spaced
from lifecycles.timeline import timeline
from rules.program import Program
from staff.people import People
from staff.views.lifecycles import owners_of, parties_of
from staff.wording import credit_counted, happening

Row = Mapping[str, Any]
"""A row of the timeline."""

_ORDER: Final = ("member", "refused", "state", "pair", "credit", "task", "mail")
"""The order of lines with the same instant."""

_ANSWERS: Final = {
    "request.created": "asks",
    "engagement.discovery": "says how the discovery call went",
    "engagement.met": "answers whether they met",
    "engagement.plan_agreed": "agree on their goals",
    "engagement.extension_agreed": "agrees to continue until",
    "claim.domains_chosen": "chooses domains of",
    "letter.signed": "signs the letter for",
    "claim.submitted": "reports the credit of",
    "survey.answered": "answers the survey",
    "curriculum.done": "has done a step of the curriculum",
    "meetup.answered": "answers the invitation to the meetup",
}
"""The events of people that get a line of their own. The others show in states and tasks."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of what happened."""

    at: datetime
    kind: str
    """`member` for what a person did, else the kind of the row in the timeline."""
    who: str
    what: str
    zone: str

    @property
    def is_sent(self) -> bool:
        """Whether it is a mail that was sent."""
        return self.kind == "mail" and self.what.startswith("sent: ")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The people behind the subjects of a program: lifecycles, members and profiles."""

    rows: Sequence[Lifecycle]
    people: People
    program: Program

    def row(self, subject: str) -> Lifecycle | None:
        """Return a lifecycle; None for another subject."""
        return next((row for row in self.rows if row.workflow == subject), None)

    def names(self, subject: str) -> str:
        """Return the names of the people of a subject; the subject's own id for an unknown one."""
        if (row := self.row(subject)) and owners_of(row):
            return " and ".join(self.people.name(profile) for profile in owners_of(row))
        kind, _, name = subject.partition("/")
        return self.people.member_name(name) if kind == "member" else self.people.name(name)

    def zone(self, subject: str) -> str:
        """Return the zone of a subject that concerns one person; else the program's."""
        row = self.row(subject)
        owners = owners_of(row) if row else []
        return self.person_zone(owners[0]) if len(owners) == 1 else self.program.hours.zone

    def person_zone(self, profile: str) -> str:
        """Return the zone of a person; the program's for an unknown one."""
        return self.people.zone(profile, self.program.id)


async def read_history(
    session: AsyncSession, database: Database, subjects: Subjects, now: datetime
) -> list[HistoryEntry]:
    """Return what happened until an instant of program time, in order."""
    rows = [row async for row in timeline(database, subjects.program.hours.zone, now)]
    lines = [*await _answers(session, subjects, now), *_lines(rows, subjects)]
    return sorted(lines, key=lambda line: (line.at, _ORDER.index(line.kind), line.who, line.what))


def _lines(rows: Iterable[Row], subjects: Subjects) -> list[HistoryEntry]:
    """Return the lines of a timeline. Messages that one cause makes needless share a line."""
    lines: list[HistoryEntry] = []
    dropped: list[Row] = []
    for row in rows:
        cancelled = row["kind"] == "mail" and row["decision"] == "cancelled"
        if dropped and not (cancelled and _cause(row) == _cause(dropped[0])):
            lines.append(_dropped_line(dropped, subjects))
            dropped = []
        if cancelled:
            dropped.append(row)
        elif words := _words(row):
            lines.append(_line(row, words, subjects))
    return lines


def _cause(row: Row) -> tuple[str, str, str | None]:
    return row["at"], row["workflow"], row.get("reason")


def _dropped_line(rows: Sequence[Row], subjects: Subjects) -> HistoryEntry:
    at, workflow, reason = _cause(rows[0])
    messages = dict.fromkeys(message_words(row["message"], row["number"]) for row in rows)
    what = f"no longer sent: {', '.join(messages)}"
    return HistoryEntry(
        at=datetime.fromisoformat(at),
        kind="mail",
        who=subjects.names(workflow),
        what=f"{what} ({reason})" if reason else what,
        zone=subjects.zone(workflow),
    )


def _line(row: Row, words: str, subjects: Subjects) -> HistoryEntry:
    at = datetime.fromisoformat(row["at"])
    if row["kind"] in ("mail", "came_back"):
        recipient = row["to"]
        return HistoryEntry(
            at, "mail", subjects.people.name(recipient), words, subjects.person_zone(recipient)
        )
    if row["kind"] == "pair":
        names = f"{subjects.people.name(row['mentee'])} and {subjects.people.name(row['mentor'])}"
        return HistoryEntry(at, "pair", names, words, subjects.program.hours.zone)
    subject = row.get("subject") or row.get("claim") or ""
    return HistoryEntry(at, row["kind"], subjects.names(subject), words, subjects.zone(subject))


def _words(row: Row) -> str:
    """Return what a row says. The states of a claim and the end say nothing: a claim has its lines of credit."""
    reason = row.get("reason")
    match row["kind"]:
        case "mail":
            what = f"{row['decision']}: {row['subject'] or message_words(row['message'], row['number'])}"
            return f"{what} ({reason})" if row["decision"] != "sent" and reason else what
        case "state" if row["subject"].startswith("claim/"):
            return ""
        case "pair":
            return f"paired, with a fit of {row['fit']}: {row['why']}"
        case "credit":
            reason = credit_counted(row)
    what = happening(row["kind"], row.get("subject") or row.get("claim") or "", row)
    return f"{what}: {reason}" if what and reason else what


async def _answers(session: AsyncSession, subjects: Subjects, now: datetime) -> list[HistoryEntry]:
    """Return what people did, by a link or through another system."""
    events = await session.scalars(
        select(Event)
        .where(Event.type.in_(_ANSWERS), Event.state == "applied", Event.occurred_at <= now)
        .order_by(Event.occurred_at, Event.id)
    )
    lines = []
    for event in events:
        if event.occurred_at is None:
            continue
        by = str(event.data.get("by") or event.data.get("mentee") or "")
        name = subjects.people.name(by) if by else subjects.names(event.subject)
        what = _answer_words(event, subjects)
        lines.append(HistoryEntry(event.occurred_at, "member", name, what, subjects.person_zone(by)))
    return lines


def _answer_words(event: Event, subjects: Subjects) -> str:
    data, what, people = event.data, _ANSWERS[event.type], subjects.people
    if event.type == "request.created":
        return f"{what} {people.name(data['mentor'])}"
    if event.type == "letter.signed":
        row = subjects.row(event.subject)
        earner = parties_of(row).get(data["for"], "") if row else ""
        return f"{what} {people.name(earner)}'s {data.get('certification', 'credit')}"
    detail = data.get("answer") or data.get("end") or data.get("certification")
    return f"{what}: {spaced(str(detail))}" if detail else what
