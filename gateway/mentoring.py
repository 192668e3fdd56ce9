"""Links about a request or an engagement: what its mentor and mentee answer, agree and tell (REQ5–REQ7, ENG2–ENG8).

Each answer becomes an event, as if the association's own system had told it; the rules decide what follows. Nothing
here shows contact data: these pages are read before a match, too (REQ5).
"""

from __future__ import annotations

import re
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
from gateway.links.reader import shown
from gateway.pages import Text
from gateway.personal import NOT_THEIRS, LinkHandler, LinkVisit, Page, message, typed
from rules.calendar import add_months, calendar_for
from rules.engagement import END_REASONS, MOST_MONTHS_AHEAD, EngagementFacts, planned_end
from rules.events import Envelope, check_event
from rules.request import RequestFacts, answer_due, expires_at
from rules.validation import LONGEST_TEXT

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
        given = {name: typed(form, name) for name in self.fields}
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
            matter = await _find(session, visit, self.table)
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


async def _find(
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
    return LinkSubject(row, "mentor" if mentors else "mentee", other, events, _state(row, events))


def _state(row: Request | Engagement, told: list[Event]) -> str:
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
    if matter.role == "mentee" and key in _WITHOUT_MENTOR:
        return "site.directory", visit.reader.program.resources["directory"]
    return None


_WITHOUT_MENTOR = {
    "withdraw.done",
    "discovery.not_a_fit",
    "end.ended",
    *(f"over.request.{state}.mentee" for state in CLOSED["request"] if state != "accepted"),
    *(f"over.engagement.{state}" for state in CLOSED["engagement"] if state != "completed"),
}
"""The pages on which a mentee is without a mentor."""


class AnswerRequest(LifecycleLinkHandler):
    """The mentor accepts or declines; a reason is for staff alone (REQ5, REQ6)."""

    name = "answer"
    table = Request
    roles = ("mentor",)
    fields = ("answer", "reason")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """Which of the two the mail's link named."""
        return {"answer": _one_of(visit.link.detail, "accept", "decline"), "reason": ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The day on which the answer is due, while it lies ahead (REQ2)."""
        due = None
        if facts := _facts(RequestFacts, matter):
            member, policy = visit.reader.member, visit.reader.program.request
            calendar = calendar_for(
                visit.reader.program.hours, member.time_zone, member.country, member.subdivision
            )
            instant = answer_due(facts, policy, calendar)
            due = calendar.date_of(instant) if instant > visit.at else None
        return {"due": due}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The button that was pressed, and for a no the reason."""
        if given["answer"] == "accept":
            return "request.accepted", {}, {}
        if given["answer"] != "decline":
            return "", {}, {"answer": Text("site.choose")}
        return "request.declined", *_with_text("reason", given["reason"])

    def next(self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"answer.{given['answer']}"


class WithdrawRequest(LifecycleLinkHandler):
    """The mentee takes a request back (REQ7), or keeps waiting, which needs no button (REQ4)."""

    name = "withdraw"
    table = Request
    roles = ("mentee",)
    fields = ("reason",)

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The day until which the request stays open if nothing is done (REQ8)."""
        until = None
        if facts := _facts(RequestFacts, matter):
            program = visit.reader.program
            mentor, mentee = (
                calendar_for(program.hours, who.time_zone, who.country, who.subdivision)
                for who in (matter.other, visit.reader.member)
            )
            until = mentee.date_of(expires_at(facts, program.request, mentor))
        return {"until": until}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The reason, if there is one."""
        return "request.canceled", *_with_text("reason", given["reason"])

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "withdraw.done"


class AnswerDiscovery(LifecycleLinkHandler):
    """How the discovery call went (ENG2)."""

    name = "discovery"
    fields = ("answer",)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """What the mail's link named, else the last answer."""
        before = (self._before(visit, matter) or {}).get("answer", "")
        return {"answer": _one_of(visit.link.detail, *self._answers(visit, matter)) or before}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The answer."""
        if given["answer"] not in self._answers(visit, matter):
            return "", {}, {"answer": Text("site.choose")}
        return "engagement.discovery", {"by": visit.link.profile, "answer": given["answer"]}, {}

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"discovery.{data['answer']}"

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The answers to choose from."""
        return {"answers": self._answers(visit, matter)}

    def _answers(self, visit: LinkVisit, matter: LinkSubject) -> tuple[str, ...]:
        """Who has found a good fit has met, and cannot say otherwise any more."""
        facts = _facts(EngagementFacts, matter)
        told = [each.answer for each in facts.discovery if each.by == matter.role] if facts else []
        told += [
            event.data["answer"]
            for event in matter.told
            if event.type == "engagement.discovery" and event.data["by"] == visit.link.profile
        ]
        return ("good_fit", "not_a_fit") if "good_fit" in told else ("good_fit", "not_met", "not_a_fit")


class AgreePlan(LifecycleLinkHandler):
    """How long the two want to work together, and what for (ENG3)."""

    name = "plan"
    fields = ("months", "end", "goals")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The goals as they stand."""
        assert isinstance(matter.row, Engagement)
        goals = matter.row.goals
        for event in matter.told:
            if event.type == "engagement.plan_agreed" and event.state != "applied":
                goals = event.data.get("goals") or goals
        return {"months": "", "end": "", "goals": goals or ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The planned end as it stands, and whether an extension has settled it."""
        facts = _facts(EngagementFacts, matter)
        return {
            "planned": _planned_end(visit, matter),
            "extended": facts is not None and any(new.by != "plan" for new in facts.new_ends),
        }

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """Months or an end, and goals; at least one of these."""
        data, errors = _with_text("goals", given["goals"])
        if given["months"]:
            months = int(given["months"]) if re.fullmatch("[0-9]{1,4}", given["months"]) else 0
            data["months"] = months
            if not 1 <= months <= MOST_MONTHS:
                errors["months"] = Text("plan.wrong_months", {"most": MOST_MONTHS})
        if given["end"]:
            data["end"] = _later_day("end", given["end"], visit, errors)
            if given["months"]:
                errors["end"] = Text("plan.both")
        if not data and not errors:
            errors["goals"] = Text("plan.nothing")
        if self.more(visit, matter)["extended"] and ("months" in data or "end" in data):
            errors["goals"] = Text("plan.extended")
        return "engagement.plan_agreed", data, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "plan.done"


class AnswerMet(LifecycleLinkHandler):
    """Whether the two met (ENG4)."""

    name = "met"
    fields = ("answer", "date")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """What the mail's link named, else the last answer."""
        before = self._before(visit, matter) or {}
        return {
            "answer": _one_of(visit.link.detail, "yes", "no") or before.get("answer", ""),
            "date": before.get("date", ""),
        }

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """Yes or no; with a yes, perhaps the date."""
        if given["answer"] not in ("yes", "no"):
            return "", {}, {"answer": Text("site.choose")}
        data: dict[str, Any] = {"by": visit.link.profile, "answer": given["answer"]}
        errors: Errors = {}
        if given["date"] and given["answer"] == "yes":
            day = _day("date", given["date"], errors)
            if day and day > visit.reader.today(visit.at):
                errors["date"] = Text("met.ahead")
            elif (
                day and isinstance(matter.row, Engagement) and day < visit.reader.today(matter.row.started_at)
            ):
                errors["date"] = Text("met.before")
            elif day:
                data["date"] = day.isoformat()
        return "engagement.met", data, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"met.{data['answer']}"


class AgreeExtension(LifecycleLinkHandler):
    """Until when the two want to go on: it counts when both say the same day (ENG5)."""

    name = "extend"
    fields = ("end",)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The day that the other named, else the reader's own."""
        mine, theirs = self._votes(visit, matter)
        day = theirs or mine
        return {"end": day.isoformat() if day else ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The planned end as it stands, and what each has said so far."""
        mine, theirs = self._votes(visit, matter)
        return {"planned": _planned_end(visit, matter), "mine": mine, "theirs": theirs}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """A day after the planned end."""
        errors: Errors = {}
        end = _later_day("end", given["end"], visit, errors)
        planned = _planned_end(visit, matter)
        if not errors and planned and end <= planned.isoformat():
            errors["end"] = Text("extend.not_later", {"end": planned})
        return "engagement.extension_agreed", {"by": visit.link.profile, "end": end}, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """Whether both have named the same day now."""
        _, theirs = self._votes(visit, matter)
        return "extend.agreed" if theirs and theirs.isoformat() == data["end"] else "extend.done"

    def _votes(self, visit: LinkVisit, matter: LinkSubject) -> tuple[date | None, date | None]:
        """The days that the reader and the other have named and not yet agreed on."""
        facts = _facts(EngagementFacts, matter)
        votes = {vote.by == matter.role: vote.end for vote in facts.votes} if facts else {}
        for event in matter.told:
            if event.type == "engagement.extension_agreed" and event.state != "applied":
                votes[event.data["by"] == visit.link.profile] = event.data["end"]
        mine, theirs = votes.get(True), votes.get(False)
        return date.fromisoformat(mine) if mine else None, date.fromisoformat(theirs) if theirs else None


class EndEngagement(LifecycleLinkHandler):
    """Either of the two ends it, with a reason (ENG7)."""

    name = "end"
    fields = ("reason",)
    reasons = tuple(END_REASONS)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The reason that the mail's link named."""
        return {"reason": _one_of(visit.link.detail, *self.reasons)}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The reason."""
        if given["reason"] not in self.reasons:
            return "", {}, {"reason": Text("site.choose")}
        return "engagement.ended", {"by": visit.link.profile, "reason": given["reason"]}, {}

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """Whether it was completed."""
        return "end.completed" if data["reason"] == "goals_met" else "end.ended"

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The reasons to choose from."""
        return {"reasons": self.reasons}


class ReportMisconduct(LifecycleLinkHandler):
    """A confidential report to staff, whatever state the engagement is in; it is never shown again (ENG8)."""

    name = "report"
    fields = ("text",)

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """What happened."""
        data, errors = _with_text("text", given["text"])
        if not given["text"]:
            errors["text"] = Text("site.empty")
        return "engagement.misconduct_reported", {"by": visit.link.profile, **data}, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "report.done"

    async def _matter(self, visit: LinkVisit) -> LinkSubject | Page:
        async with self._database.reading() as session:
            return await _find(session, visit, self.table) or NOT_THEIRS


def purposes(database: Database, inbox: Inbox) -> dict[str, LinkHandler]:
    """All purposes of this module by name."""
    kinds: tuple[type[LifecycleLinkHandler], ...] = (
        AnswerRequest,
        WithdrawRequest,
        AnswerDiscovery,
        AgreePlan,
        AnswerMet,
        AgreeExtension,
        EndEngagement,
        ReportMisconduct,
    )
    return {kind.name: kind(database, inbox) for kind in kinds}


def _one_of(value: str, *known: str) -> str:
    return value if value in known else ""


def _with_text(name: str, text: str) -> tuple[dict[str, Any], Errors]:
    if len(text) > LONGEST_TEXT:
        return {}, {name: Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"})}
    return ({name: text} if text else {}), {}


def _day(name: str, text: str, errors: Errors) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        errors[name] = Text("site.date")
        return None


def _later_day(name: str, text: str, visit: LinkVisit, errors: Errors) -> str:
    """A day after today, and within the years that a plan may have."""
    day = _day(name, text, errors)
    if day is None:
        return ""
    today = visit.reader.today(visit.at)
    if day <= today:
        errors[name] = Text("site.past")
    elif day > add_months(today, MOST_MONTHS_AHEAD):
        errors[name] = Text("site.far", {"years": MOST_MONTHS_AHEAD // 12})
    return day.isoformat()


def _facts(kind: type[Facts], matter: LinkSubject) -> Facts | None:
    """The facts of a matter as the rules take them; None if its row has none that can be read."""
    try:
        facts: Facts = _ADAPTERS[kind].validate_python(matter.row.facts)
    except ValidationError:
        return None
    return facts


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (RequestFacts, EngagementFacts)
}


def _planned_end(visit: LinkVisit, matter: LinkSubject) -> date | None:
    """The day on which an engagement is planned to end (ENG3)."""
    facts, program = _facts(EngagementFacts, matter), visit.reader.program
    if facts is None:
        return None
    return planned_end(facts, program.engagement, calendar_for(program.hours, None, None, None), visit.at)
