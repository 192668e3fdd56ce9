"""What the links about a request or an engagement share: finding it, its state, what a visit may do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Engagement, Event, Member, Profile, Request
from database.session import Database
from gateway.event_store import Inbox
from gateway.links.page import NOT_THEIRS, LinkVisit, Page, form_text, message
from gateway.links.reader import shown
from gateway.pages import Text
from rules.calendar import add_months, calendar_for
from rules.engagement import MOST_MONTHS_AHEAD, EngagementFacts, planned_end
from rules.events import Envelope, check_event
from rules.request import RequestFacts
from rules.text import LONGEST_TEXT

SOURCE = "/links"
"""The source of the events that personal links tell."""

OPEN = {"request": ("open", "past_due"), "engagement": ("active", "paused")}
CLOSED = {
    "request": ("accepted", "declined", "canceled", "expired", "unavailable"),
    "engagement": ("completed", "ended", "no_fit", "canceled"),
}
MOST_MONTHS = 120
"""The longest plan that an event tells in months."""

Errors = dict[str, Text]
Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class LinkSubject:
    """A request or engagement as its page needs it: the reader's role, the other one, and the events about it.

    `state` is what it is, or will be as soon as an event that waits is applied.
    """

    row: Request | Engagement
    role: str
    other: Member
    told: list[Event]
    state: str

    @property
    def kind(self) -> str:
        """`request` or `engagement`."""
        return self.row.workflow.partition("/")[0]

    @property
    def is_open(self) -> bool:
        """Whether something can still be answered."""
        return self.state in OPEN[self.kind]


class LifecycleLinkHandler(ABC):
    """A purpose about a request or an engagement. Its page is the template of the same name."""

    name: ClassVar[str]
    table: ClassVar[type[Request] | type[Engagement]] = Engagement
    roles: ClassVar[tuple[str, ...]] = ("mentor", "mentee")
    fields: ClassVar[tuple[str, ...]]

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox

    async def show(self, visit: LinkVisit) -> Page:
        """What can be answered, or where things stand."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        return self._form(visit, matter, self.proposed(visit, matter), {})

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Store the answer as an event; on a mistake, the form again."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        given = {name: form_text(form, name) for name in self.fields}
        kind, data, errors = self.read(visit, matter, given)
        if not errors:
            data, problems = check_event(kind, {self._subject: matter.row.id, **data})
            errors = {problem.pointer.rpartition("/")[2]: Text("site.unreadable") for problem in problems}
        if errors:
            return self._form(visit, matter, given, errors, 400)
        await self._inbox.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, data))
        names: dict[str, object] = {"other": shown(matter.other.name)}
        if "end" in data:
            names["end"] = date.fromisoformat(data["end"])
        key = self.next(visit, matter, {**given, **data})
        return message(key, names, action=_onward(visit, matter, key))

    @abstractmethod
    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The type and data of the event in what was typed, or what is wrong with it, by field."""

    @abstractmethod
    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """Which page says what happens next."""

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """What the form holds before anybody typed."""
        return dict.fromkeys(self.fields, "")

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """What else the page needs."""
        return {}

    @property
    def _subject(self) -> str:
        return "request" if self.table is Request else "engagement"

    async def _matter(self, visit: LinkVisit) -> LinkSubject | Page:
        async with self._database.reading() as session:
            matter = await find_subject(session, visit, self.table)
        if matter is None or matter.role not in self.roles:
            return NOT_THEIRS
        return matter if matter.is_open else self._over(visit, matter)

    def _over(self, visit: LinkVisit, matter: LinkSubject) -> Page:
        if matter.state not in CLOSED[matter.kind]:
            return message("refused.quiet")
        key = f"over.{matter.kind}.{matter.state}"
        if matter.kind == "request":
            key = f"{key}.{matter.role}"
        return message(key, {"other": shown(matter.other.name)}, action=_onward(visit, matter, key))

    def _form(
        self,
        visit: LinkVisit,
        matter: LinkSubject,
        given: Mapping[str, str],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        values = {
            "typed": {**dict.fromkeys(self.fields, ""), **given},
            "errors": errors,
            "other": shown(matter.other.name),
            "row": matter.row,
            "before": self._before(visit, matter),
            **self.more(visit, matter),
        }
        return Page(f"{self.name}.html", values, status)

    def _before(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, Any] | None:
        """What the reader last answered to the same question."""
        mine = [event for event in matter.told if event.event_id.startswith(f"{visit.question}-")]
        return mine[-1].data if mine else None


async def find_subject(
    session: AsyncSession, visit: LinkVisit, table: type[Request] | type[Engagement]
) -> LinkSubject | None:
    """The matter that a link is about; None unless the link's profile has a part in it."""
    kind, _, name = visit.link.subject.partition("/")
    if kind not in OPEN:
        return None
    row: Request | Engagement | None
    if table is Request:
        row = await session.scalar(select(Request).where(Request.id == name))
    else:
        row = await session.scalar(select(Engagement).where(Engagement.id == name))
    if row is None or visit.link.profile not in (row.mentor_id, row.mentee_id):
        return None
    mentors = visit.link.profile == row.mentor_id
    other = await session.scalar(
        select(Member)
        .join(Profile, Profile.member_id == Member.id)
        .where(Profile.id == (row.mentee_id if mentors else row.mentor_id))
    )
    if other is None:
        return None
    told = await session.scalars(
        select(Event).where(Event.subject == row.workflow, Event.state != "refused").order_by(Event.id)
    )
    events = list(told)
    return LinkSubject(row, "mentor" if mentors else "mentee", other, events, state_of(row, events))


def state_of(row: Request | Engagement, told: list[Event]) -> str:
    if row.state in (*OPEN["request"], *OPEN["engagement"]):
        for event in told:
            if event.state != "applied" and (state := _state_after(event)):
                return state
    return row.state


def _state_after(event: Event) -> str | None:
    """The state in which an event leaves its request or engagement; None if that goes on as it is."""
    match event.type, event.data.get("answer") or event.data.get("reason"):
        case "engagement.misconduct_reported", _:
            return "suspended"
        case "engagement.discovery", "not_a_fit":
            return "no_fit"
        case "engagement.ended", "goals_met":
            return "completed"
        case "engagement.ended", _:
            return "ended"
        case (("request.accepted" | "request.declined" | "request.canceled"), _):
            return event.type.partition(".")[2]
    return None


def _onward(visit: LinkVisit, matter: LinkSubject, key: str) -> tuple[str, str] | None:
    """Where a mentee who is without a mentor now may go from here."""
    if matter.role == "mentee" and key in WITHOUT_MENTOR:
        return "site.directory", visit.reader.program.resources["directory"]
    return None


WITHOUT_MENTOR = {
    "withdraw.done",
    "discovery.not_a_fit",
    "end.ended",
    *(f"over.request.{state}.mentee" for state in CLOSED["request"] if state != "accepted"),
    *(f"over.engagement.{state}" for state in CLOSED["engagement"] if state != "completed"),
}
"""The pages on which a mentee is without a mentor."""


def one_of(value: str, *known: str) -> str:
    return value if value in known else ""


def with_text(name: str, text: str) -> tuple[dict[str, Any], Errors]:
    if len(text) > LONGEST_TEXT:
        return {}, {name: Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"})}
    return ({name: text} if text else {}), {}


def shown_day(name: str, text: str, errors: Errors) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        errors[name] = Text("site.date")
        return None


def later_day(name: str, text: str, visit: LinkVisit, errors: Errors) -> str:
    """A day after today, and within the years that a plan may have."""
    day = shown_day(name, text, errors)
    if day is None:
        return ""
    today = visit.reader.today(visit.at)
    if day <= today:
        errors[name] = Text("site.past")
    elif day > add_months(today, MOST_MONTHS_AHEAD):
        errors[name] = Text("site.far", {"years": MOST_MONTHS_AHEAD // 12})
    return day.isoformat()


def facts_of(kind: type[Facts], matter: LinkSubject) -> Facts | None:
    """The facts of a matter as the rules take them; None if its row has none that can be read."""
    try:
        facts: Facts = _ADAPTERS[kind].validate_python(matter.row.facts)
    except ValidationError:
        return None
    return facts


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (RequestFacts, EngagementFacts)
}


def planned_end_of(visit: LinkVisit, matter: LinkSubject) -> date | None:
    """The day on which an engagement is planned to end (ENG3)."""
    facts, program = facts_of(EngagementFacts, matter), visit.reader.program
    if facts is None:
        return None
    return planned_end(facts, program.engagement, calendar_for(program.hours, None, None, None), visit.at)
