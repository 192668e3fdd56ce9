"""What the people of a demo do by themselves: they read their mail and answer it some hours or days later.

Everything they do is sent as an event, as the association's own systems would send it. The player comes
first: what somebody else has done in their place, by a link or as staff, they leave as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Event, Meetup, Member, Message, Profile, Request, Survey
from embedded.demo.cast import Cast, Persona, Sample
from embedded.stack import SOURCE, EmbeddedStack
from lifecycles.facts import facts_from_row
from lifecycles.participants import Participant, participants
from rules.calendar import add_months, calendar_for, instant_in
from rules.engagement import EngagementFacts, planned_end
from rules.events import check_event
from rules.program import Program
from rules.program.catalogue import Catalogue
from rules.request import OPEN

EventInput = tuple[str, dict[str, Any]]

_TIME_TO_READ: Final = timedelta(hours=1)
_DAYS_LATER: Final = {
    "request_received": 1,
    "request_declined": 1,
    "request_expired": 1,
    "mentor_unavailable": 1,
    "discovery": 1,
    "pulse": 0,
    "wrap_up": 2,
    "curriculum": 5,
    "meetup_invitation": 1,
    "credit_precheck": 3,
    "sign_confirmation": 2,
    "write_letter": 1,
    "credit_ready": 3,
    "survey": 1,
}
"""After how many days somebody acts on a message, by its name without the role; all others are only read."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """That somebody means to act: on a message, or of their own accord."""

    at: datetime
    key: str
    part: Persona
    message: Message | None = None


class Simulation:
    """The cast of a demo. `name_request` gives a new request its id."""

    def __init__(
        self, stack: EmbeddedStack, program: Program, cast: Cast, name_request: Callable[[], str]
    ) -> None:
        self._stack = stack
        self._cast = cast
        self._program = program
        self._start: datetime | None = None
        self._name_request = name_request
        self._done: set[str] = set()

    @property
    def _catalogue(self) -> Catalogue:
        return self._stack.parts.catalogue

    def begin(self, start: datetime) -> None:
        """From now on the cast lives: days count from `start`."""
        self._start = start

    async def next_at(self) -> datetime | None:
        """Return when somebody will act next, by the mail they have today."""
        async with self._stack.database.reading() as session:
            return min((plan.at for plan in await self._plans(session)), default=None)

    async def act(self, now: datetime) -> bool:
        """Let those act whose time has come, and notify the inbox; return whether anybody acted."""
        async with self._stack.database.reading() as session:
            due = sorted(
                (plan for plan in await self._plans(session) if plan.at <= now),
                key=lambda plan: (plan.at, plan.key),
            )
            sent = [(plan, await self._events(session, plan)) for plan in due]
        for plan, events in sent:
            self._done.add(plan.key)
            if events:
                await self._stack.send_events(plan.at, events)
        return any(events for _, events in sent)

    async def _plans(self, session: AsyncSession) -> list[_Plan]:
        if self._start is None:
            return []
        plans = [
            _Plan(self._on_day(self._start, part, days), f"{act} {part.profile}", part)
            for part in self._cast.personas.values()
            for act, days in part.own_acts()
        ]
        mails = await session.scalars(
            select(Message).where(
                Message.to_profile.in_(self._cast.personas),
                Message.state.in_(("planned", "claimed", "handed_over", "sent")),
            )
        )
        for mail in mails:
            part, what = self._cast.personas[mail.to_profile], mail.message.partition(".")[2]
            if mail.due_at and what in _DAYS_LATER and part.reacts_to(what, mail.number):
                plans.append(_Plan(self._answers_at(part, mail.due_at, what), mail.delivery, part, mail))
        return [plan for plan in plans if plan.key not in self._done]

    def _on_day(self, start: datetime, part: Persona, days: int) -> datetime:
        day = start.astimezone(part.tz).date() + timedelta(days=days)
        return instant_in(part.zone, day, part.hour)

    def _answers_at(self, part: Persona, sent: datetime, what: str) -> datetime:
        """The first of the person's own hours at which a message has been read, some days after it came."""
        day = sent.astimezone(part.tz).date() + timedelta(days=_DAYS_LATER[what])
        at = instant_in(part.zone, day, part.hour)
        return at if at >= sent + _TIME_TO_READ else instant_in(part.zone, day + timedelta(days=1), part.hour)

    async def _events(self, session: AsyncSession, plan: _Plan) -> list[EventInput]:
        """Return the events that somebody sends now; none if the question is closed."""
        part, mail = plan.part, plan.message
        if mail is None:
            if plan.key.startswith("signs up"):
                return await self._signs_up(session, part)
            if plan.key.startswith("saves"):
                return await self._saves(session, plan)
            if plan.key.startswith("standing"):
                return await self._standing_returns(session, part)
            return await self._asks(session, part)
        if mail.state != "sent":
            return []
        if mail.message.startswith("mentee.") and mail.workflow.startswith("request/"):
            return await self._asks(session, part)
        kind = mail.workflow.partition("/")[0]
        answers = {
            "request": self._about_request,
            "engagement": self._about_engagement,
            "claim": self._about_claim,
            "survey": self._about_survey,
            "meetup": self._about_meetup,
        }
        return [checked(*given) for given in await answers[kind](session, part, mail)]

    async def _signs_up(self, session: AsyncSession, part: Persona) -> list[EventInput]:
        if self._start is None or await session.get(Member, part.member) is not None:
            return []
        return sign_up_events(self._cast.sample(part.member), self._start.year, self._program.id)

    async def _saves(self, session: AsyncSession, plan: _Plan) -> list[EventInput]:
        if await session.get(Profile, plan.part.profile) is None:
            return []
        days = int(plan.key.split()[1])
        return [checked("profile.updated", {"profile": plan.part.profile, **plan.part.saves[days]})]

    async def _standing_returns(self, session: AsyncSession, part: Persona) -> list[EventInput]:
        member = await session.get(Member, part.member)
        if member is None or member.standing == "good":
            return []
        data = {"member": member.id, "name": member.name, "email": member.email, "standing": "good"}
        return [checked("member.updated", data)]

    async def _asks(self, session: AsyncSession, part: Persona) -> list[EventInput]:
        """A mentee asks the next of those in mind, unless somebody is asked, or has accepted, already."""
        for table in (Request, Engagement):
            if await session.scalar(
                select(table.id).where(table.mentee_id == part.profile, table.closed_at.is_(None))
            ):
                return []
        asked = set(await session.scalars(select(Request.mentor_id).where(Request.mentee_id == part.profile)))
        mentor = next((mentor for mentor in part.wants if mentor not in asked), None)
        if mentor is None:
            return []
        data = {
            "request": self._name_request(),
            "mentee": part.profile,
            "mentor": mentor,
            "message": part.asks,
            "months": part.months,
        }
        return [checked("request.created", data)]

    async def _about_request(self, session: AsyncSession, part: Persona, mail: Message) -> list[EventInput]:
        row = await session.get_one(Request, mail.workflow)
        if row.state not in OPEN:
            return []
        if row.mentee_id in part.leaves_waiting:
            return []
        if part.declines:
            return [("request.declined", {"request": row.id, "reason": part.declines})]
        return [("request.accepted", {"request": row.id})]

    async def _about_engagement(
        self, session: AsyncSession, part: Persona, mail: Message
    ) -> list[EventInput]:
        row = await session.get_one(Engagement, mail.workflow)
        if row.state != "active" or await self._has_answered(session, part, mail):
            return []
        facts = facts_from_row(EngagementFacts, row.facts)
        own = {"engagement": row.id, "by": part.profile}
        what, number = mail.message.partition(".")[2], mail.number or 1
        if what == "discovery":
            if number == 1 and part.slow_to_meet:
                return [("engagement.discovery", {**own, "answer": "not_met"})]
            if part.no_fit_at_first and not await self._had_another(session, part, row):
                return [("engagement.discovery", {**own, "answer": "not_a_fit"})]
            events: list[EventInput] = [("engagement.discovery", {**own, "answer": "good_fit"})]
            if part.goals and not row.goals:
                events.append(("engagement.plan_agreed", {"engagement": row.id, "goals": part.goals}))
            return events
        if what == "pulse":
            if number == part.ends_at_pulse:
                return [("engagement.ended", {**own, "reason": "no_time"})]
            met = mail.due_at.astimezone(part.tz).date() - timedelta(days=3) if mail.due_at else None
            return [("engagement.met", {**own, "answer": "yes", "date": met and met.isoformat()})]
        if what == "curriculum":
            step = str(mail.context.get("step", ""))
            return [] if part.forgets_steps else [("curriculum.done", {**own, "step": step})]
        if part.extends_by and not any(new.by != "plan" for new in facts.new_ends):
            calendar = calendar_for(self._program.hours, None, None, None)
            end = add_months(planned_end(facts, self._program.engagement, calendar), part.extends_by)
            return [("engagement.extension_agreed", {**own, "end": end.isoformat()})]
        return []

    async def _had_another(self, session: AsyncSession, part: Persona, row: Engagement) -> bool:
        """Whether the person has had another mentorship before."""
        theirs = or_(Engagement.mentee_id == part.profile, Engagement.mentor_id == part.profile)
        other = select(Engagement.id).where(theirs, Engagement.id != row.id)
        return await session.scalar(other.limit(1)) is not None

    async def _has_answered(self, session: AsyncSession, part: Persona, mail: Message) -> bool:
        """Whether somebody has answered in this person's place since the message came, or while it was on its way."""
        answers = await session.scalars(
            select(Event).where(
                Event.subject == mail.workflow,
                Event.type.in_(_ANSWERS[mail.message.partition(".")[2]]),
                Event.source != SOURCE,
                Event.state != "refused",
                or_(Event.occurred_at.is_(None), Event.occurred_at >= mail.due_at),
            )
        )
        return any(event.data.get("by") == part.profile for event in answers)

    async def _about_claim(self, session: AsyncSession, part: Persona, mail: Message) -> list[EventInput]:
        row = await session.get_one(Claim, mail.workflow)
        what, waits = mail.message.partition(".")[2], row.state in ("precheck", "awaiting_evidence")
        own = {"engagement": row.engagement_id, "by": part.profile, "certification": row.certification}
        if what == "credit_ready":
            return [("claim.submitted", own)] if row.state == "ready" else []
        if not waits:
            return []
        if what == "credit_precheck":
            return [] if row.domains else [("claim.domains_chosen", {**own, "domains": [self._domain(row)]})]
        me = await self._person(session, part)
        letter: dict[str, Any] = {**own, "for": row.role, "name": me.member.name}
        if row.role == "mentee":
            letter |= {"purpose": part.writes, "domains": row.domains or [self._domain(row)]}
        return [("letter.signed", letter)]

    def _domain(self, row: Claim) -> str:
        """The domain that comes first on a certification's list."""
        on = date.fromisoformat(row.credit_date or row.facts["started_on"])
        certification = self._catalogue.certification(row.certification, on)
        assert certification is not None
        return certification.domains[0].id

    async def _about_survey(self, session: AsyncSession, part: Persona, mail: Message) -> list[EventInput]:
        row = await session.get_one(Survey, mail.workflow)
        if row.closed_at or row.answers:
            return []
        answers: dict[str, Any] = {}
        for question in self._program.survey.questions(row.role):
            if question.kind == "choice":
                answers[question.id] = question.choices[0].id
            elif question.kind == "rating":
                answers[question.id] = self._program.survey.rating_most
            elif question.kind == "yes_no" and question.required:
                answers[question.id] = "yes"
        data = {"engagement": row.engagement_id, "by": part.profile, "answers": answers}
        return [("survey.answered", data)]

    async def _about_meetup(self, session: AsyncSession, part: Persona, mail: Message) -> list[EventInput]:
        row = await session.get_one(Meetup, mail.workflow)
        if row.state != "scheduled":
            return []
        return [("meetup.answered", {"meetup": row.id, "by": part.profile, "answer": "yes"})]

    async def _person(self, session: AsyncSession, part: Persona) -> Participant:
        return (await participants(session, [part.profile]))[part.profile]


_ANSWERS: Final = {
    "discovery": ("engagement.discovery",),
    "pulse": ("engagement.met",),
    "wrap_up": ("engagement.extension_agreed",),
    "curriculum": ("curriculum.done",),
}
"""The events that answer a message."""


def sign_up_events(sample: Sample, year: int, program: str) -> list[EventInput]:
    """Return the events by which a sample member signs up, in each role; certification cycles begin with a year."""
    given = [checked("member.updated", sample.data(year))]
    for role in sample.roles:
        data = {"profile": sample.profile(role), "member": sample.member, "role": role, "program": program}
        given.append(checked("profile.created", {**data, **sample.wishes}))
    return given


def checked(kind: str, data: Mapping[str, Any]) -> EventInput:
    """An event as it is stored, of data in which None stands for nothing."""
    checked, problems = check_event(kind, {name: value for name, value in data.items() if value is not None})
    assert not problems, problems
    return kind, checked
