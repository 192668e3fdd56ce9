"""What the links about a request or an engagement share: the subject, its state, and reading a form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Engagement, Event, Request
from database.session import Database
from gateway.event_store import EventStore
from gateway.links.page import (
    NOT_THEIRS,
    SOURCE,
    STORED,
    FieldErrors,
    LinkPage,
    LinkVisit,
    form_page,
    form_text,
    message_page,
    too_long,
)
from gateway.links.reader import isolated
from gateway.pages import Text
from lifecycles.facts import UnreadableFacts, facts_from_row
from lifecycles.participants import Participant, participants
from rules.calendar import add_months
from rules.engagement import MOST_MONTHS_AHEAD, EngagementFacts, planned_end
from rules.engagement.confidentiality import NEUTRAL, SUSPENDED
from rules.events import Envelope, check_event
from rules.kinds import KINDS, Kind
from rules.program import program_calendar

Row = TypeVar("Row", Request, Engagement)
Facts = TypeVar("Facts")
ReadForm = tuple[str, dict[str, Any], FieldErrors]
"""The type and data of the event that a form describes, and what is wrong in the form."""


@dataclass(frozen=True, slots=True)
class LinkSubject(Generic[Row]):
    """The request or engagement that a link is about, as its page needs it."""

    row: Row
    kind: Kind
    role: str
    """The reader's role."""
    other: Participant
    """The other party."""
    events: list[Event]
    """All events about it that count for the reader, oldest first."""
    state: str
    """Its state, as it will be once its stored events are applied."""

    @property
    def is_open(self) -> bool:
        """Whether its questions can still be answered."""
        return self.state in self.kind.open_states

    @property
    def names(self) -> dict[str, object]:
        """What its sentences may name."""
        return {"other": isolated(self.other.member.name)}


class LifecycleLinkHandler(ABC, Generic[Row]):
    """A purpose about a request or an engagement: a form, whose answer becomes an event."""

    table: type[Row]
    template: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ("mentor", "mentee")
    """Who may use the link."""
    fields: ClassVar[tuple[str, ...]]
    """The fields of the form."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self._database = database
        self._store = store

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the form, or what has happened meanwhile."""
        subject = await self.find(visit)
        if subject is None:
            return NOT_THEIRS
        if visit.after_post and (confirmed := self._confirmed(visit, subject)):
            return confirmed
        if not self.takes_answers(subject):
            return _closed_page(visit, subject)
        return self._form(visit, subject, self.initial_values(visit, subject), {})

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the answer as an event; on a mistake, return the form."""
        subject = await self.find(visit)
        if subject is None:
            return NOT_THEIRS
        if not self.takes_answers(subject):
            return _closed_page(visit, subject)
        given = {name: form_text(form, name) for name in self.fields}
        kind, data, errors = self.read(visit, subject, given)
        if not errors:
            data, problems = check_event(kind, {subject.kind.name: subject.row.id, **data})
            errors = {problem.pointer.rpartition("/")[2]: Text("site.unreadable") for problem in problems}
        if errors:
            return self._form(visit, subject, given, errors)
        await self._store.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, data))
        return STORED

    @abstractmethod
    def read(self, visit: LinkVisit, subject: LinkSubject[Row], given: Mapping[str, str]) -> ReadForm:
        """Return the event that a form describes, or what is wrong in it."""

    @abstractmethod
    def confirmation(self, visit: LinkVisit, subject: LinkSubject[Row], event: Event) -> str:
        """Return the key of the page that confirms an answer."""

    def initial_values(self, visit: LinkVisit, subject: LinkSubject[Row]) -> dict[str, str]:
        """Return what the form holds at first."""
        return dict.fromkeys(self.fields, "")

    def context(self, visit: LinkVisit, subject: LinkSubject[Row]) -> dict[str, object]:
        """Return what else the template needs."""
        return {}

    def takes_answers(self, subject: LinkSubject[Row]) -> bool:
        """Return whether the question can still be answered."""
        return subject.is_open

    def previous_answer(self, visit: LinkVisit, subject: LinkSubject[Row]) -> dict[str, Any] | None:
        """Return the data of the reader's last answer to the same question."""
        event = _last_answer(visit, subject)
        return event.data if event else None

    async def find(self, visit: LinkVisit) -> LinkSubject[Row] | None:
        """Return the subject of a link; None if it is unknown, or its reader may not use the link."""
        async with self._database.reading() as session:
            subject = await _find_subject(session, visit, self.table)
        return subject if subject and subject.role in self.roles else None

    def _confirmed(self, visit: LinkVisit, subject: LinkSubject[Row]) -> LinkPage | None:
        """Return the page that confirms the reader's last answer; None if there is none."""
        event = _last_answer(visit, subject)
        if event is None:
            return None
        names = subject.names
        if "end" in event.data:
            names["end"] = date.fromisoformat(event.data["end"])
        key = self.confirmation(visit, subject, event)
        return message_page(key, names, action=_next_step(visit, subject, key))

    def _form(
        self, visit: LinkVisit, subject: LinkSubject[Row], given: Mapping[str, str], errors: FieldErrors
    ) -> LinkPage:
        values = {
            "typed": {**dict.fromkeys(self.fields, ""), **given},
            "row": subject.row,
            "previous_answer": self.previous_answer(visit, subject),
            **subject.names,
            **self.context(visit, subject),
        }
        return form_page(self.template, values, errors)


def _last_answer(visit: LinkVisit, subject: LinkSubject[Any]) -> Event | None:
    mine = [event for event in subject.events if event.event_id.startswith(f"{visit.question}-")]
    return mine[-1] if mine else None


async def _find_subject(session: AsyncSession, visit: LinkVisit, table: type[Row]) -> LinkSubject[Row] | None:
    id = visit.link.subject.partition("/")[2]
    row = (await session.scalars(select(table).where(table.id == id))).one_or_none()
    if row is None or visit.link.profile not in (row.mentor_id, row.mentee_id):
        return None
    is_mentor = visit.link.profile == row.mentor_id
    profile = row.mentee_id if is_mentor else row.mentor_id
    other = (await participants(session, [profile])).get(profile)
    if other is None:
        return None
    of_row = select(Event).where(Event.subject == row.workflow).order_by(Event.id)
    counted = Event.state != "refused"
    if row.state == SUSPENDED:
        # What the parties answer in a suspension is refused. They see what a pause shows, where it counts (ENG8).
        counted = or_(counted, Event.reason == NEUTRAL)
    kind, events = KINDS[row.workflow.partition("/")[0]], list(await session.scalars(of_row.where(counted)))
    role = "mentor" if is_mentor else "mentee"
    return LinkSubject(row, kind, role, other, events, _state_of(kind, row.state, events))


def _state_of(kind: Kind, state: str, events: list[Event]) -> str:
    if state in kind.open_states:
        for event in events:
            if event.state != "applied" and (after := _state_after(event)):
                return after
    return state


def _state_after(event: Event) -> str | None:
    """Return the state that an event leads to; None if it changes no state."""
    match event.type, event.data.get("answer") or event.data.get("reason"):
        case "engagement.discovery", "not_a_fit":
            return "no_fit"
        case "engagement.ended", "goals_met":
            return "completed"
        case "engagement.ended", _:
            return "ended"
        case (("request.accepted" | "request.declined" | "request.canceled"), _):
            return event.type.partition(".")[2]
    return None


def _closed_page(visit: LinkVisit, subject: LinkSubject[Row]) -> LinkPage:
    kind = subject.kind
    if subject.state not in kind.closed_states:
        return message_page("refused.quiet")
    key = f"over.{kind.name}.{subject.state}"
    if isinstance(subject.row, Request):
        key = f"{key}.{subject.role}"
    return message_page(key, subject.names, action=_next_step(visit, subject, key))


def _next_step(visit: LinkVisit, subject: LinkSubject[Row], key: str) -> tuple[str, str] | None:
    """Return the link to the directory for a mentee who has no mentor now."""
    if subject.role == "mentee" and key in PAGES_WITHOUT_MENTOR:
        return "site.directory", visit.reader.program.resources["directory"]
    return None


PAGES_WITHOUT_MENTOR = {
    "withdraw.done",
    "discovery.not_a_fit",
    "end.ended",
    *(f"over.request.{state}.mentee" for state in KINDS["request"].closed_states if state != "accepted"),
    *(f"over.engagement.{state}" for state in KINDS["engagement"].closed_states if state != "completed"),
}
"""The pages on which a mentee has no mentor."""


def optional_text(name: str, text: str) -> tuple[dict[str, Any], FieldErrors]:
    """Return the event data of an optional text, or what is wrong with it."""
    if wrong := too_long(text):
        return {}, {name: wrong}
    return ({name: text} if text else {}), {}


def day_in(name: str, text: str, errors: FieldErrors) -> date | None:
    """Return the date in a field; add to the errors if it holds none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        errors[name] = Text("site.date")
        return None


def future_day_in(name: str, text: str, visit: LinkVisit, errors: FieldErrors) -> str:
    """Return the date in a field as ISO text; it must lie after today, and within the years that a plan may have."""
    day = day_in(name, text, errors)
    if day is None:
        return ""
    today = visit.reader.today(visit.at)
    if day <= today:
        errors[name] = Text("site.past")
    elif day > add_months(today, MOST_MONTHS_AHEAD):
        errors[name] = Text("site.far", {"years": MOST_MONTHS_AHEAD // 12})
    return day.isoformat()


def facts_of(facts: type[Facts], row: Request | Engagement) -> Facts | None:
    """Return the facts of a row; None if they cannot be read."""
    try:
        return facts_from_row(facts, row.facts)
    except UnreadableFacts:
        return None


def planned_end_of(visit: LinkVisit, subject: LinkSubject[Engagement]) -> date | None:
    """Return the day on which an engagement is planned to end (ENG3)."""
    facts, program = facts_of(EngagementFacts, subject.row), visit.reader.program
    if facts is None:
        return None
    return planned_end(facts, program.engagement, program_calendar(program), visit.at)
