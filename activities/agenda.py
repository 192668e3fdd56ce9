"""Plans: from facts to an agenda, and what of it is due into the database (T7, MAIL1, STA1–STA3).

One activity per kind of lifecycle; each reads members, calendars and policy, asks the rules, and records the
answer in one transaction. Running it twice records nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.effects import Effect
from activities.evidence import MADE_AGAIN, Match, Paper, claims_due, closing_turn, effects_of
from activities.people import Participant, Programs, participant, participants, program_of
from database import audit, ledger
from database.events import numbered
from database.models import Engagement, Lifecycle, Onboarding, Profile, Request
from database.session import Database
from database.tasks import open_task, settle_tasks
from rules import engagement, onboarding, request
from rules.agenda import Agenda, Refused, moment
from rules.calendar import Calendar, calendar_for
from rules.engagement import EngagementFacts
from rules.onboarding import OnboardingFacts
from rules.program import Program
from rules.request import RequestFacts

EVENT_REASON = "event:"
"""A reason of this form names the stored event that holds the words, so that they stay out of histories (MEM6)."""


NOBODY = "unknown"
"""The actor of an act for which nobody was named."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did to a lifecycle, for the rules and the audit record (STA3).

    `id` makes it count once; `at` is when it happened. `by` is a profile where one of the two people acted,
    `event` the stored event behind it, if there is one. `details` are the act's own words, such as an end.
    """

    id: str
    name: str
    actor: str
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
    at: datetime | None = None
    by: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class DueMail:
    """An undecided message and the instant at which it goes out."""

    key: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Shift:
    """A message that an act moved (`was` → `due`), dropped (`due` is None) or added (`was` is None); in UTC."""

    key: str
    message: str
    number: int | None
    to: str
    was: datetime | None
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Planned:
    """What a workflow needs to know of its agenda: its state, the mails to send, when else to look again."""

    state: str
    closed: bool
    mails: list[DueMail]
    wake_at: datetime | None
    moved: list[Shift] = field(default_factory=list)
    dropped: list[Shift] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Why an act was refused by the rules, by its id."""
    added: list[Shift] = field(default_factory=list)
    """The messages that came in with acts. Those of a plan without acts are told to nobody."""


@dataclass(frozen=True, slots=True)
class PlanOnboarding:
    """The facts of an onboarding at an instant of the workflow's clock, with the acts that led to them."""

    workflow: str
    facts: OnboardingFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The facts of a request, and the acts that the rules are to apply to them."""

    workflow: str
    facts: RequestFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request's new facts and agenda. On acceptance: the engagement to start, the onboardings that it ends,
    and other requests whose mentor has no place left (REQ5, ONB3, MEM4)."""

    planned: Planned
    facts: RequestFacts
    engagement: EngagementFacts | None = None
    matched: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanEngagement:
    """The facts of an engagement, and the acts that the rules are to apply to them."""

    workflow: str
    facts: EngagementFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedEngagement:
    """An engagement's new facts and agenda, and what it has to start or to tell by now: claims, surveys."""

    planned: Planned
    facts: EngagementFacts
    effects: list[Effect] = field(default_factory=list)


Facts = TypeVar("Facts")


def facts_to_row(facts: object) -> dict[str, Any]:
    """Facts as the JSON that a lifecycle's row keeps."""
    dumped: dict[str, Any] = _adapter(facts.__class__).dump_python(facts, mode="json")
    return dumped


def facts_from_row(kind: type[Facts], row: dict[str, Any]) -> Facts:
    """Facts back from a lifecycle's row."""
    facts: Facts = _adapter(kind).validate_python(row)
    return facts


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Made once: making one costs more than a whole plan.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


class AgendaActivities:
    """The planning activities; `programs` are those of this deployment, `paper` makes certificates."""

    def __init__(self, database: Database, programs: Programs, paper: Paper) -> None:
        self._database = database
        self._programs = programs
        self._paper = paper

    @activity.defn
    async def plan_onboarding(self, order: PlanOnboarding) -> Planned:
        """Compute and record the agenda of an onboarding (ONB1–ONB6, MEM1–MEM3)."""
        async with self._database.begin() as session:
            who = await participant(session, order.facts.profile)
            program = program_of(self._programs, who.profile.program)
            row = await session.get(Onboarding, order.workflow, with_for_update=True)
            if row is None:
                row = Onboarding(
                    workflow=order.workflow,
                    profile_id=who.profile.id,
                    program=program.id,
                    policy_version=program.policy_version,
                    state="blocked" if order.facts.blocked else "waiting",
                    state_since=order.facts.created_at,
                    facts=facts_to_row(order.facts),
                )
                session.add(row)
            agenda = onboarding_agenda(order.facts, who, program)
            people = {who.profile.id: who}
            planned = await record(
                session, row, agenda, program, order.workflow, order.facts, order.at, order.acts, people
            )
            if order.facts.unblocked_at:
                await settle_lapses(session, order.workflow, agenda, order.at)
            return planned

    @activity.defn
    async def plan_request(self, order: PlanRequest) -> PlannedRequest:
        """Apply what was done to a request, and record its agenda (REQ1–REQ10, MEM2, MEM4)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            people = await participants(session, [facts.mentee, facts.mentor])
            mentor, mentee = people[facts.mentor], people[facts.mentee]
            program = program_of(self._programs, mentor.profile.program)
            row = await session.get_one(Request, order.workflow, with_for_update=True)
            calendar = mentor.calendar(program)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in order.acts:
                try:
                    state = request_state(facts, act, program, calendar, at)
                    if act.name == "accept":
                        await _refuse_without_place(session, mentor, mentee, facts.request)
                    facts = apply_to_request(facts, act, state, at)
                    done.append(_by_its_party(act))
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = request.agenda(facts, program.request, calendar)
            planned = await record(session, row, agenda, program, order.workflow, facts, at, done, people)
            planned = replace(planned, refused=refused)
            if any(act.name == "standing" for act in done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.ended is None or facts.ended.state != "accepted":
                return PlannedRequest(planned, facts)
            started = EngagementFacts(
                facts.request, facts.mentee, facts.mentor, facts.ended.at, months=row.months
            )
            if await session.get(Engagement, f"engagement/{facts.request}") is None:
                session.add(_engagement_row(started, program))
                await session.flush()
            return PlannedRequest(
                planned,
                facts,
                started,
                await _open_onboardings(session, mentee, program),
                await _without_place(session, mentor),
            )

    @activity.defn
    async def plan_engagement(self, order: PlanEngagement) -> PlannedEngagement:
        """Apply what was done to an engagement, and record its agenda (ENG1–ENG11, MEM2)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            people = await participants(session, [facts.mentee, facts.mentor])
            program = program_of(self._programs, people[facts.mentor].profile.program)
            row = await session.get(Engagement, order.workflow, with_for_update=True)
            if row is None:
                row = _engagement_row(facts, program)
                session.add(row)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in order.acts:
                try:
                    state = engagement_agenda(facts, people, program).state_at(act.at or at)
                    facts = apply_to_engagement(facts, act, state, at, program)
                    done.append(act)
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = engagement_agenda(facts, people, program)
            match = Match(facts, people, program, closing_turn(agenda, at))
            certificates, waiting = await self._paper.certificates(session, match, at)
            agenda = replace(
                agenda,
                mails=(*agenda.mails, *certificates),
                looks=claims_due(match, self._paper.catalogue, at)[1],
            )
            planned = await record(session, row, agenda, program, order.workflow, facts, at, done, people)
            if any(act.name == "standing" for act in done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.end_reason:
                row.end_reason = facts.end_reason
            if waiting:
                # The workflow stays until the last certificate is made and mailed.
                planned = replace(planned, closed=False, wake_at=at + MADE_AGAIN)
            effects = await effects_of(session, match, self._paper.catalogue, at)
            return PlannedEngagement(replace(planned, refused=refused), facts, effects)


def engagement_agenda(facts: EngagementFacts, people: Mapping[str, Participant], program: Program) -> Agenda:
    """The agenda of an engagement for these two in this program, as the database has them now."""
    return engagement.agenda(
        facts,
        program.engagement,
        program_calendar(program),
        people[facts.mentor].calendar(program),
        people[facts.mentee].calendar(program),
    )


def program_calendar(program: Program) -> Calendar:
    """The program's own calendar, for the dates of an engagement (ENG1)."""
    return calendar_for(program.hours, None, None, None)


def _by_its_party(act: Act) -> Act:
    """An answer to a request as the doing of whose it is to give, where a plain client named nobody (STA3)."""
    actor = {"accept": "mentor", "decline": "mentor", "withdraw": "mentee"}.get(act.name)
    return replace(act, actor=actor) if actor and act.actor == NOBODY else act


def request_state(facts: RequestFacts, act: Act, program: Program, calendar: Calendar, now: datetime) -> str:
    """The state of a request when an act came; `calendar` is the mentor's.

    Raises Refused, saying how it is over, if it had come to its end by then (REQ10).
    """
    at = act.at or now
    course = request.agenda(facts, program.request, calendar)
    closing = closing_turn(course, at)
    if closing and act.name != "standing":
        raise Refused(request.over(facts, closing.state, calendar.date_of(closing.due)))
    return course.state_at(at)


def apply_to_request(facts: RequestFacts, act: Act, state: str, now: datetime) -> RequestFacts:
    """A request's facts after an act in a state. Raises Refused (REQ10)."""
    at = act.at or now
    match act.name:
        case "accept":
            return request.accept(facts, at, state)
        case "decline":
            return request.decline(facts, at, state, act.reason)
        case "withdraw":
            return request.withdraw(facts, at, state, act.reason)
        case "cancel":
            return request.cancel(facts, at, state, act.reason, act.actor)
        case "extend":
            days = int(act.details.get("business_days", "0"))
            return request.extend(facts, days, at, state, act.event)
        case "unavailable":
            return request.make_unavailable(facts, at, state, act.reason)
        case "standing":
            return request.standing_changed(facts, act.by, act.details["good"] == "yes", at)
    raise Refused(f"a request cannot be told to {act.name}")


def apply_to_engagement(
    facts: EngagementFacts, act: Act, state: str, now: datetime, program: Program
) -> EngagementFacts:
    """An engagement's facts after an act in a state. Raises Refused (ENG5–ENG8)."""
    at, policy, calendar, told = act.at or now, program.engagement, program_calendar(program), act.details
    months, end = int(told.get("months", "0")), told.get("end", "")
    match act.name:
        case "plan_agreed":
            return engagement.agree_plan(
                facts, at, state, policy, calendar, months=months, end=end, event=act.event
            )
        case "agree_extension":
            return engagement.agree_extension(
                facts, act.by, end, at, state, policy, calendar, event=act.event
            )
        case "extend":
            return engagement.extend(
                facts, at, state, policy, calendar, months=months, end=end, event=act.event
            )
        case "discovery":
            return engagement.answer_discovery(facts, act.by, told.get("answer", ""), at, state)
        case "met":
            if told.get("answer") not in ("yes", "no"):
                raise Refused("the answer is yes or no")
            met = told["answer"] == "yes"
            return engagement.answer_pulse(facts, act.by, met, at, state, policy, calendar)
        case "end":
            return engagement.end(facts, act.by or engagement.STAFF, act.reason, at, state, act.actor)
        case "cancel":
            return engagement.cancel(facts, at, state, act.reason, act.actor)
        case "pause":
            return engagement.pause(facts, at, state)
        case "resume":
            return engagement.resume(facts, at, state)
        case "misconduct":
            return engagement.report_misconduct(facts, act.by or engagement.STAFF, at, state, act.event)
        case "standing":
            return engagement.standing_changed(facts, act.by, told["good"] == "yes", at)
    raise Refused(f"an engagement cannot be told to {act.name}")


async def places_left(session: AsyncSession, mentor: Profile, besides: str = "") -> int | None:
    """How many more mentees a mentor takes now, None for any number (MEM4). Locks the mentor's row."""
    await session.execute(select(Profile.id).where(Profile.id == mentor.id).with_for_update())
    if mentor.withdrawn_at is not None:
        return 0
    if mentor.mentees_at_a_time is None:
        return None
    active = await session.scalar(
        select(func.count())
        .select_from(Engagement)
        .where(Engagement.mentor_id == mentor.id, Engagement.closed_at.is_(None), Engagement.id != besides)
    )
    return max(mentor.mentees_at_a_time - (active or 0), 0)


async def _refuse_without_place(
    session: AsyncSession, mentor: Participant, mentee: Participant, request_id: str
) -> None:
    """Capacity and standing are looked at when a request is accepted (MEM1, MEM4). Raises Refused."""
    for who, word in ((mentor, "mentor"), (mentee, "mentee")):
        if not who.good_standing:
            raise Refused(f"the {word} is not in good standing now")
    if await places_left(session, mentor.profile, besides=request_id) == 0:
        raise Refused("the mentor has no place left: the number of mentees at a time is reached")


async def _without_place(session: AsyncSession, mentor: Participant) -> list[str]:
    """The open requests to a mentor who now has no place left (MEM4)."""
    if await places_left(session, mentor.profile) != 0:
        return []
    return list(
        await session.scalars(
            select(Request.workflow).where(
                Request.mentor_id == mentor.profile.id, Request.closed_at.is_(None)
            )
        )
    )


async def _open_onboardings(session: AsyncSession, mentee: Participant, program: Program) -> list[str]:
    """All open onboardings of a mentee in a program: a match ends each of them (ONB3)."""
    return list(
        await session.scalars(
            select(Onboarding.workflow)
            .join(Profile, Profile.id == Onboarding.profile_id)
            .where(
                Profile.member_id == mentee.member.id,
                Profile.role == "mentee",
                Onboarding.program == program.id,
                Onboarding.closed_at.is_(None),
            )
        )
    )


def _engagement_row(facts: EngagementFacts, program: Program) -> Engagement:
    return Engagement(
        workflow=f"engagement/{facts.engagement}",
        id=facts.engagement,
        mentee_id=facts.mentee,
        mentor_id=facts.mentor,
        program=program.id,
        policy_version=program.policy_version,
        state="active",
        state_since=facts.started_at,
        started_at=facts.started_at,
        facts=facts_to_row(facts),
    )


def onboarding_agenda(facts: OnboardingFacts, who: Participant, program: Program) -> Agenda:
    """The agenda of an onboarding for this participant in this program, as the database has them now."""
    codes = [str(item["code"]) for item in who.member.certifications]
    qualified = who.profile.role != "mentor" or onboarding.mentor_is_qualified(
        who.member.years_management, codes, program.onboarding
    )
    return onboarding.agenda(facts, program.onboarding, who.calendar(program), qualified=qualified)


async def record(
    session: AsyncSession,
    row: Lifecycle,
    agenda: Agenda,
    program: Program,
    workflow: str,
    facts: object,
    at: datetime,
    acts: Sequence[Act],
    people: Mapping[str, Participant],
) -> Planned:
    """Write an agenda down: the lifecycle's row, turns and tasks that are due, the ledger, the acts.

    `people` are the participants whom the agenda's mails go to, by profile.
    """
    await _record_acts(session, workflow, acts, at)
    row.program = program.id
    row.policy_version = program.policy_version
    row.facts = facts_to_row(facts)
    closed_at = await _record_turns(session, row, agenda, workflow, at)
    for task in agenda.tasks:
        if task.due <= at:
            await open_task(
                session,
                task.kind,
                task.subject or workflow,
                task.cause,
                task.action,
                moment(task.due, at),
            )
    because = await resolve_reason(session, agenda.dropped_because)
    members = {profile: who.member.id for profile, who in people.items()}
    changes = await ledger.plan(
        session, workflow, program.id, agenda.mails, _when(agenda, acts, at), because, members
    )
    mails = [DueMail(f"{m.step}/{m.occurrence}", m.due_at) for m in changes.waiting if m.due_at]
    wakes = [] if closed_at else agenda.wakes_after(at)
    row.closed_at = closed_at
    row.next_at = wakes[0] if wakes else None
    await session.flush()
    return Planned(
        state=row.state,
        closed=closed_at is not None,
        mails=mails,
        wake_at=wakes[0] if wakes else None,
        moved=[_shift(change) for change in changes.moved],
        dropped=[_shift(change) for change in changes.dropped],
        added=[_shift(change) for change in changes.added] if acts else [],
    )


def _when(agenda: Agenda, acts: Sequence[Act], at: datetime) -> datetime:
    """The instant to record for what a plan made at `at` changes: that of the last act or turn that led to it."""
    causes = [turn.due for turn in agenda.turns] + [act.at for act in acts if act.at]
    return moment(max((cause for cause in causes if cause <= at), default=None), at)


async def settle_lapses(session: AsyncSession, workflow: str, agenda: Agenda, at: datetime) -> None:
    """Close the tasks about lost standing that an agenda has no more: it is back (MEM1, MEM2, STA2)."""
    causes = [task.cause for task in agenda.tasks]
    await settle_tasks(session, workflow, "member_lapsed", causes, "good standing has returned", at)


async def resolve_reason(session: AsyncSession, reason: str) -> str:
    """The words of a reason: itself, or those of the stored event that it names."""
    before, mark, event_id = reason.partition(EVENT_REASON)
    if not mark or not event_id.isdigit():
        return reason
    event = await numbered(session, event_id)
    return before + str(event.data.get("reason") or "").strip() if event else reason


def _shift(change: ledger.Change) -> Shift:
    return Shift(change.key, change.message, change.number, change.to, change.was, change.due)


async def _record_acts(session: AsyncSession, workflow: str, acts: Sequence[Act], at: datetime) -> None:
    for act in acts:
        known = await audit.told(session, workflow, "act")
        if any(data.get("id") == act.id for data in known):
            continue
        reason = await resolve_reason(session, act.reason)
        await audit.append(
            session,
            workflow,
            "act",
            moment(act.at, at),
            {"id": act.id, "act": act.name, **act.details},
            actor=act.actor,
            veiled={"reason": reason} if reason else None,
        )


async def record_refusal(session: AsyncSession, workflow: str, act: Act, reason: str, at: datetime) -> None:
    """An act that came as an event is refused where the event is; one of a plain client is told here."""
    if not act.event:
        data = {"event": act.name, "id": act.id, "reason": reason}
        await audit.append(session, workflow, "refused", (act.at or at).replace(microsecond=0), data)


async def _record_turns(
    session: AsyncSession, row: Lifecycle, agenda: Agenda, workflow: str, at: datetime
) -> datetime | None:
    """Record the turns that came due since the last plan; the instant at which the lifecycle closed, if it did.

    Once that is on record nothing follows it, such as what a mail on its way at that instant would have begun.
    """
    if row.closed_at is not None:
        return row.closed_at
    recorded = {(data["state"], data["due"]) for data in await audit.told(session, workflow, "state")}
    closed_at, current = None, None
    for turn in sorted(agenda.turns, key=lambda turn: turn.due):
        if turn.due > at:
            break
        happened = moment(turn.due, at)
        if turn.closes:
            closed_at = happened
        if (turn.state, turn.due.isoformat()) not in recorded:
            cause = await resolve_reason(session, turn.cause)
            await audit.append(
                session,
                workflow,
                "state",
                happened,
                {"state": turn.state, "due": turn.due.isoformat()},
                veiled={"cause": cause} if cause else None,
            )
            row.state, row.state_since = turn.state, happened
        current = turn
        if closed_at:
            break
    if current and row.state != current.state:
        # An act that was told late, or at the very instant of another, lies before turns that are on record already:
        # the record tells that the lifecycle is back in an earlier state.
        row.state, row.state_since = current.state, moment(current.due, at)
        data = {"state": current.state, "due": current.due.isoformat()}
        await audit.append(session, workflow, "state", row.state_since, data)
    if closed_at is None and agenda.closes_at and agenda.closes_at <= at:
        closed_at = moment(agenda.closes_at, at)
    return closed_at
