"""Applying inbound events: stored first, then applied in order, held or refused with a reason; none is lost.

An event's data is written and its effects on workflows are listed in one transaction; the effects follow, and
are repeated after a crash until all are done. Each of them tolerates a repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from sqlalchemy import and_, or_, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, TemporalError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.delivery import SendMail
from activities.heartbeat import heartbeats
from database import audit, ledger, suppressions
from database.events import release_held
from database.models import (
    LIFECYCLES,
    Claim,
    Engagement,
    Event,
    Feedback,
    Lifecycle,
    Meeting,
    Member,
    Message,
    Onboarding,
    Profile,
    Report,
    Request,
    Survey,
)
from database.session import Database
from database.tasks import open_task
from lifecycles.capacity import places_left
from lifecycles.claims import upcoming_claims
from lifecycles.engagements import EngagementContext, load_engagement
from lifecycles.facts import facts_from_row, facts_to_row
from lifecycles.participants import Programs, participant, participants
from lifecycles.workflow_commands import WorkflowCommand, start
from rules import engagement, request
from rules.agenda import GRACE_PERIOD, MINUTE, PlannedMail, recorded_at
from rules.credit import same_name
from rules.engagement import STAFF, EngagementFacts
from rules.events import references
from rules.onboarding import OnboardingFacts
from rules.program import program_calendar
from rules.program.catalogue import Catalogue
from rules.request import RequestFacts

QUEUE = "throughline"
"""The task queue of workflows and database work."""

INBOX = "inbox"
"""The id of the one inbox workflow."""

BATCH = 50

CLOCKS_APART = timedelta(hours=1)
"""How far ahead of ours the clock of whoever tells of an event may be: what is to happen later cannot be told (T8)."""

OUTAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout, OSError, TemporalError)
"""What says that the database or Temporal is away: the whole round is tried again, no event is to blame."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Applied:
    """What is left after a round: whether more events wait now, and when the first held one runs out."""

    more: bool
    next_deadline: datetime | None


class RefusedEvent(Exception):
    """An event that cannot be applied; its text is the reason, for staff and for the sender."""


class NotOpenYet(Exception):
    """An event about a claim or a survey that is still to be opened. One for a claim is kept until then, however long
    that takes (CPE7)."""

    def __init__(self, workflow: str, opens: datetime | None) -> None:
        super().__init__(workflow)
        self.workflow = workflow
        self.opens = opens


class WorkflowNotRunning(Exception):
    """An act came for a lifecycle that the database has open, and Temporal does not have: it is about to start."""

    def __init__(self, workflow: str) -> None:
        super().__init__(workflow)
        self.workflow = workflow


class InboxActivities:
    """Applies stored events. `client` reaches the workflows that they concern, `catalogue` knows certifications."""

    def __init__(self, database: Database, programs: Programs, client: Client, catalogue: Catalogue) -> None:
        self._database = database
        self._programs = programs
        self._client = client
        self._catalogue = catalogue

    @activity.defn
    async def apply_events(self) -> Applied:
        """Apply what waits, in the order in which it came; held events as soon as what they wait for is there."""
        at = activity.info().started_time
        done = 0
        async with heartbeats():
            while done < BATCH:
                event_id = await self._next(at)
                if event_id is None:
                    break
                try:
                    await self._apply(event_id, at)
                except Exception as error:
                    if _is_outage(error):
                        raise
                    # A fault of the program must not stop what comes behind this event.
                    log.exception("an event could not be applied", event_id=event_id)
                    await self._set_aside(event_id, type(error).__name__, at)
                done += 1
        async with self._database.reading() as session:
            deadline = await session.scalar(
                select(Event.held_until).where(Event.state == "held").order_by(Event.held_until).limit(1)
            )
        return Applied(done == BATCH, deadline + GRACE_PERIOD if deadline else None)

    @activity.defn
    async def tell(self, effects: list[WorkflowCommand]) -> None:
        """Start or signal other lifecycles: what a match begins and ends (REQ5, ONB3, MEM4). Repeats are harmless.

        Events that were held for an engagement or a survey are looked at again as soon as it runs.
        """
        for effect in effects:
            await self._perform(effect, "tell")
        begun = [effect.workflow for effect in effects if effect.name in ("Engagement", "Survey")]
        if not begun:
            return
        async with self._database.begin() as session:
            released = await release_held(session, *begun)
        if released or activity.info().attempt > 1:
            await self._perform(WorkflowCommand("signal", INBOX, "arrived"), "tell")

    async def _next(self, at: datetime) -> int | None:
        async with self._database.reading() as session:
            return await session.scalar(
                select(Event.id)
                .where(
                    or_(
                        Event.state.in_(("stored", "applying")),
                        and_(Event.state == "held", Event.held_until <= at - GRACE_PERIOD),
                    )
                )
                .order_by(Event.id)
                .limit(1)
            )

    async def _apply(self, event_id: int, at: datetime) -> None:
        async with self._database.begin() as session:
            event = await session.get(Event, event_id, with_for_update=True)
            assert event is not None
            if event.occurred_at is None:
                event.occurred_at = at
            written = event.state == "applying" or bool(event.effects)
            if not written and not await self._write(session, event, at):
                return
            effects = [WorkflowCommand(**effect) for effect in event.effects]
        reason = None
        early: WorkflowNotRunning | None = None
        try:
            for effect in effects:
                reason = await self._perform(effect, f"event-{event_id}") or reason
        except WorkflowNotRunning as not_running:
            early = not_running
        async with self._database.begin() as session:
            event = await session.get(Event, event_id, with_for_update=True)
            assert event is not None
            assert event.occurred_at is not None
            if early:
                waited = event.waits_for == early.workflow
                if not waited or at < event.occurred_at + timedelta(hours=self._hold_hours):
                    event.state, event.waits_for, event.held_until = "held", early.workflow, at + MINUTE
                    event.effects = []
                    return
                reason = f"{early.workflow} does not run"
                action = f"See why {reason}; then have the event sent again."
                await open_task(session, "event_unapplied", event.subject, f"event {event.id}", action, at)
            if reason:
                await _refuse(session, event, reason, at)
                await _report_kept(session, event, at)
            else:
                event.state, event.applied_at = "applied", at
                await self._keep_words(session, event)
                await release_held(session, event.subject, *_brought(event.data))

    async def _write(self, session: AsyncSession, event: Event, at: datetime) -> bool:
        """Write an event's data and list its effects; False if it is held or refused."""
        handler = self._handlers.get(event.type)
        if handler is None:
            await _refuse(session, event, f"nothing here keeps a {event.type.partition('.')[0]}", at)
            return False
        if event.occurred_at and event.occurred_at > at + CLOCKS_APART:
            await _refuse(session, event, "its time lies in the future", at)
            await open_task(
                session,
                "event_unapplied",
                event.subject,
                f"event {event.id}",
                "The clock or the time zone of whoever sent it is wrong; have that mended and the event sent again.",
                at,
            )
            return False
        missing = await _first_missing(session, references(event.type, event.data))
        if missing:
            if event.state == "held":
                at = recorded_at(event.held_until, at)
                await _refuse(session, event, f"{missing} did not arrive in time", at)
                await open_task(
                    session,
                    "event_unapplied",
                    event.subject,
                    f"event {event.id}",
                    f"See why {missing} is not known here; then have the event sent again.",
                    at,
                )
            else:
                event.state, event.waits_for = "held", missing
                event.held_until = recorded_at(event.occurred_at, at) + timedelta(hours=self._hold_hours)
            return False
        try:
            async with session.begin_nested():
                effects = await handler(self, session, event)
        except NotOpenYet as early:
            event.state, event.waits_for = "held", early.workflow
            event.held_until = self._look_again(early.opens, at)
            return False
        except RefusedEvent as refused:
            await _refuse(session, event, str(refused), at)
            await _report_kept(session, event, at)
            return False
        event.effects = [asdict(effect) for effect in effects]
        event.state = "applying"
        return True

    async def _set_aside(self, event_id: int, error: str, at: datetime) -> None:
        """Hold an event that the program fails on, and tell staff at once; it is tried once more (T8, STA2)."""
        async with self._database.begin() as session:
            event = await session.get_one(Event, event_id, with_for_update=True)
            await open_task(
                session,
                "event_unapplied",
                event.subject,
                f"event {event.id}",
                f"The program failed on it ({error}); have that mended, then have the event sent again.",
                at,
            )
            if event.state == "held":
                await _refuse(session, event, f"the program failed on it: {error}", at)
            else:
                event.state, event.waits_for = "held", None
                event.held_until = at + timedelta(hours=self._hold_hours)

    @property
    def _hold_hours(self) -> int:
        return max(program.events.hold_hours for program in self._programs.values())

    def _look_again(self, opens: datetime | None, at: datetime) -> datetime:
        """When to look at an event again that came early: once what it is about is open, or a day later if nobody
        knows when that will be."""
        if opens is None:
            return at + timedelta(hours=self._hold_hours)
        return opens + MINUTE if opens > at else at + 5 * MINUTE

    async def _perform(self, effect: WorkflowCommand, cause: str) -> str | None:
        """Do one effect; the reason if its workflow refused it or is over."""
        handle = self._client.get_workflow_handle(effect.workflow)
        try:
            if effect.kind == "start":
                await self._client.start_workflow(
                    effect.name,
                    effect.argument,
                    id=effect.workflow,
                    task_queue=QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=effect.workflow,
                )
            elif effect.kind == "signal":
                await handle.signal(effect.name, effect.argument)
            else:
                await handle.execute_update(effect.name, effect.argument, id=cause)
        except WorkflowAlreadyStartedError:
            return None
        except WorkflowUpdateFailedError as failed:
            refusal = failed.cause
            return refusal.message if isinstance(refusal, ApplicationError) else "the workflow refused it"
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            # A lifecycle that ended in the meantime: nothing to tell it, and for an act, nothing to change.
            return None if effect.kind == "signal" else await self._how_over(effect.workflow)
        return None

    async def _how_over(self, workflow: str) -> str:
        """In which words a lifecycle refuses what comes after its end (REQ10). Raises NotRunning if it has none."""
        async with self._database.reading() as session:
            row: Lifecycle | None = await session.get(LIFECYCLES[workflow.partition("/")[0]], workflow)
            if row is None:
                return f"{workflow} is over"
            if row.closed_at is None:
                raise WorkflowNotRunning(workflow)
            program = self._programs[row.program]
            if isinstance(row, Request):
                mentor = await participant(session, row.mentor_id)
                on = mentor.calendar(program).date_of(row.closed_at)
                return request.closed_because(facts_from_row(RequestFacts, row.facts), row.state, on)
            on = program_calendar(program).date_of(row.closed_at)
            if isinstance(row, Engagement):
                return engagement.closed_because(facts_from_row(EngagementFacts, row.facts), row.state, on)
            return f"{workflow} is over: {row.state} on {on.isoformat()}"

    async def _member_updated(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        data = event.data
        at = event.occurred_at
        assert at is not None
        member = await session.get(Member, data["member"])
        known = member is not None
        if member is None:
            member = Member(id=data["member"], standing=data["standing"], standing_since=at, updated_at=at)
            session.add(member)
        elif member.updated_at > at:
            # Told out of order: what came later is newer.
            return []
        regained = member.standing != data["standing"]
        before = _as_planned(member)
        member.updated_at = at
        for name in (
            "name",
            "email",
            "time_zone",
            "country",
            "subdivision",
            "languages",
            "nationality",
            "birth_year",
            "years_management",
            "certifications",
        ):
            if name in data or not known:
                default: Any = [] if name in ("languages", "certifications") else None
                setattr(member, name, data.get(name, default))
        if regained:
            member.standing, member.standing_since = data["standing"], at
        await session.flush()
        if not known or not (regained or before != _as_planned(member)):
            return []
        told = _act(event)
        if regained:
            told["good"] = member.standing == "good"
        return [
            WorkflowCommand("signal", workflow, "standing", {**told, "by": profile})
            if regained and not workflow.startswith("survey/")
            else WorkflowCommand("signal", workflow, "replan")
            for workflow, profile in await _open_lifecycles(session, member.id)
        ]

    async def _profile_created(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        data = event.data
        at = event.occurred_at
        assert at is not None
        program = data.get("program") or next(iter(self._programs))
        if program not in self._programs:
            raise RefusedEvent(f"program {program} is not one of {', '.join(self._programs)}")
        if await session.get(Profile, data["profile"]):
            raise RefusedEvent(f"profile {data['profile']} exists already")
        member = await session.get(Member, data["member"])
        assert member is not None
        session.add(
            Profile(
                id=data["profile"],
                member_id=member.id,
                role=data["role"],
                program=program,
                mentees_at_a_time=data.get("mentees_at_a_time"),
                areas=data.get("areas", []),
                interests=data.get("interests", []),
                goals=data.get("goals"),
                languages=data.get("languages", []),
                created_at=at,
                updated_at=at,
            )
        )
        await session.flush()
        facts = OnboardingFacts(data["profile"], data["role"], at, blocked=member.standing != "good")
        workflow = f"onboarding/{data['profile']}"
        session.add(
            Onboarding(
                workflow=workflow,
                profile_id=data["profile"],
                program=program,
                policy_version=self._programs[program].policy_version,
                state="blocked" if facts.blocked else "waiting",
                state_since=at,
                facts=facts_to_row(facts),
            )
        )
        return [start("Onboarding", workflow, facts)]

    async def _profile_updated(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        profile = await session.get(Profile, event.data["profile"])
        assert profile is not None
        for name in ("mentees_at_a_time", "areas", "interests", "goals", "languages"):
            if name in event.data:
                setattr(profile, name, event.data[name])
        assert event.occurred_at is not None
        profile.updated_at = event.occurred_at
        if profile.role != "mentor" or "mentees_at_a_time" not in event.data:
            return []
        await session.flush()
        if await places_left(session, profile) != 0:
            return []
        why = "the mentor's profile is on hold"
        if profile.mentees_at_a_time:
            why = "the mentor has no place left"
        return await _without_mentor(session, profile, why, event)

    async def _profile_withdrawn(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        profile = await session.get(Profile, event.data["profile"])
        assert profile is not None
        if profile.withdrawn_at:
            return []
        assert event.occurred_at is not None
        profile.withdrawn_at = event.occurred_at
        at = {"at": event.occurred_at.isoformat()}
        effects = [WorkflowCommand("signal", f"onboarding/{profile.id}", "withdrawn", at)]
        if profile.role == "mentor":
            return effects + await _without_mentor(
                session, profile, "the mentor's profile was withdrawn", event
            )
        asked = await session.scalars(
            select(Request.workflow).where(Request.mentee_id == profile.id, Request.closed_at.is_(None))
        )
        return effects + [WorkflowCommand("signal", workflow, "withdraw", at) for workflow in asked]

    async def _request_created(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        data, at = event.data, event.occurred_at
        assert at is not None
        workflow = f"request/{data['request']}"
        if await session.get(Request, workflow):
            raise RefusedEvent(f"{workflow} exists already")
        people = await participants(session, [data["mentee"], data["mentor"]])
        mentee, mentor = people[data["mentee"]], people[data["mentor"]]
        if mentee.profile.role != "mentee" or mentor.profile.role != "mentor":
            raise RefusedEvent("a request is from a mentee's profile to a mentor's")
        if mentee.member.id == mentor.member.id:
            raise RefusedEvent("nobody can request themselves")
        if mentee.profile.program != mentor.profile.program:
            raise RefusedEvent("the two profiles are in different programs")
        if not mentee.good_standing:
            raise RefusedEvent("the mentee is not in good standing")
        if mentee.profile.withdrawn_at:
            raise RefusedEvent("the mentee's profile was withdrawn")
        unavailable = ""
        if mentor.profile.withdrawn_at:
            unavailable = "the mentor's profile was withdrawn"
        elif not mentor.good_standing:
            unavailable = "the mentor is not in good standing"
        elif mentor.profile.mentees_at_a_time == 0:
            unavailable = "the mentor's profile is on hold"
        elif await places_left(session, mentor.profile) == 0:
            unavailable = "the mentor has no place left"
        facts = RequestFacts(data["request"], data["mentee"], data["mentor"], at, unavailable)
        program = self._programs[mentor.profile.program]
        session.add(
            Request(
                workflow=workflow,
                id=data["request"],
                mentee_id=data["mentee"],
                mentor_id=data["mentor"],
                message=data.get("message"),
                areas=data.get("areas", []),
                months=data.get("months"),
                created_at=at,
                program=program.id,
                policy_version=program.policy_version,
                state="unavailable" if unavailable else "open",
                state_since=at,
                facts=facts_to_row(facts),
            )
        )
        return [start("Request", workflow, facts)]

    async def _request_answered(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        name = {"accepted": "accept", "declined": "decline", "canceled": "withdraw"}[
            event.type.partition(".")[2]
        ]
        row = await session.get_one(Request, f"request/{event.data['request']}")
        by = row.mentee_id if name == "withdraw" else row.mentor_id
        reason = f"event:{event.id}" if event.data.get("reason") else ""
        return [WorkflowCommand("update", row.workflow, name, _act(event, by=by, reason=reason))]

    async def _engagement_told(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        """What one of the two, or the directory, told of an engagement; its words stay in the database (MEM6)."""
        data, at = event.data, event.occurred_at
        assert at is not None
        row = await session.get_one(Engagement, f"engagement/{data['engagement']}")
        by = str(data.get("by", ""))
        if by and by not in (row.mentee_id, row.mentor_id):
            raise RefusedEvent("only the mentor and the mentee of an engagement can act on it")
        match event.type:
            case "engagement.discovery":
                name, told = "discovery", _act(event, by=by, answer=data["answer"])
            case "engagement.plan_agreed":
                name = "plan_agreed"
                both = "mentor and mentee"
                told = _act(event, actor=both, months=data.get("months", 0), end=data.get("end", ""))
            case "engagement.met":
                name, told = "met", _act(event, by=by, answer=data["answer"])
            case "engagement.extension_agreed":
                name, told = "agree_extension", _act(event, by=by, end=data["end"])
            case "engagement.ended":
                name, told = "end", _act(event, by=by, reason=data["reason"])
            case _:
                session.add(
                    Report(
                        engagement_id=row.id,
                        by_profile=by,
                        event_id=_known(event),
                        text=data["text"],
                        reported_at=at,
                    )
                )
                name, told = "misconduct", _act(event, by=by)
                if row.closed_at:
                    return [await _reported_late(session, row, event, at)]
        return [WorkflowCommand("update", row.workflow, name, told)]

    async def _keep_words(self, session: AsyncSession, event: Event) -> None:
        """Keep what an event says beyond its act, once that is done: what is refused leaves nothing behind (REQ10)."""
        data, at = event.data, event.occurred_at
        assert at is not None
        match event.type:
            case "request.accepted" | "request.declined" | "request.canceled" if data.get("reason"):
                asked = await session.get_one(Request, event.subject)
                asked.answer_reason = data["reason"]
            case "engagement.plan_agreed" if data.get("goals"):
                (await session.get_one(Engagement, event.subject)).goals = data["goals"]
            case "engagement.met" if not await _is_kept(session, event):
                session.add(
                    Meeting(
                        engagement_id=data["engagement"],
                        by_profile=data["by"],
                        event_id=_known(event),
                        answer=data["answer"],
                        met_on=data.get("date"),
                        answered_at=at,
                    )
                )

    async def _mail_bounced(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        """A bounce or complaint counts against the address that was mailed (MAIL7)."""
        data, at = event.data, event.occurred_at
        assert at is not None
        row = await _bounced(session, data)
        if row is None:
            raise RefusedEvent("there is no such delivery")
        try:
            await suppressions.take_in(session, row, data["kind"], _CAME_BACK[data["kind"]], at)
        except ValueError as error:
            raise RefusedEvent(str(error)) from None
        return []

    async def _claim_told(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        """The claimant chose domains, or has reported the credit (CPE7, CPE10)."""
        data = event.data
        row = await session.get_one(Engagement, f"engagement/{data['engagement']}")
        role = _role(row, data["by"])
        workflow = f"claim/{row.id}/{role}/{data['certification']}"
        if await session.get(Claim, workflow) is None:
            if event.type == "claim.domains_chosen":
                await self._keep_if_early(session, event, role, data["certification"])
            raise RefusedEvent(f"there is no {workflow}; claims open some weeks before the credit date")
        name = "submit" if event.type == "claim.submitted" else "choose_domains"
        return [
            WorkflowCommand("update", workflow, name, _act(event, by=data["by"], domains=data.get("domains")))
        ]

    async def _letter_signed(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        """A letter for one claim; a mentee's confirmation without a certification is for all of the mentor's (CPE5)."""
        data = event.data
        row = await session.get_one(Engagement, f"engagement/{data['engagement']}")
        _role(row, data["by"])
        claims = [
            claim
            for claim in await session.scalars(
                select(Claim)
                .where(Claim.engagement_id == row.id, Claim.role == data["for"])
                .order_by(Claim.workflow)
            )
            if data.get("certification") in (None, claim.certification)
        ]
        if not claims:
            await self._keep_if_early(session, event, data["for"], data.get("certification"))
            raise RefusedEvent(
                f"there is no claim for the {data['for']}'s credit that this letter could prove"
            )
        if len(claims) > 1:
            waiting = [claim for claim in claims if claim.state in ("precheck", "awaiting_evidence")]
            claims = waiting or claims
        if len(claims) > 1 and data["for"] == "mentee":
            assert event.occurred_at is not None
            match = await load_engagement(session, self._programs, row.id, event.occurred_at)
            code = self._named_by_domains(event, match, [claim.certification for claim in claims])
            claims = [claim for claim in claims if claim.certification == code]
        return [
            WorkflowCommand("update", claim.workflow, "sign", _act(event, by=data["by"])) for claim in claims
        ]

    def _named_by_domains(self, event: Event, match: EngagementContext, codes: Sequence[str]) -> str:
        """The one certification that has all the domains which a mentor's letter names (CPE6).

        Raises RefusedEvent if they do not tell which it is.
        """
        words = event.data.get("domains") or []
        held = {code: self._catalogue.certification(code, match.gate.earliest) for code in codes}
        fits = [code for code, found in held.items() if found and words and all(map(found.domain, words))]
        if len(fits) != 1:
            raise RefusedEvent(f"the letter has to name its certification: one of {', '.join(codes)}")
        return fits[0]

    async def _keep_if_early(
        self, session: AsyncSession, event: Event, role: str, certification: str | None
    ) -> None:
        """Raise ComesEarly if a claim of a role is still to be opened as things stand, and the event will do for it:
        a signature before the gate is kept and counts once it is met (CPE5, CPE6).

        Raises RefusedEvent for what will never do, so that its sender learns that now.
        """
        assert event.occurred_at is not None
        at = max(event.occurred_at, event.held_until or event.occurred_at)
        match = await load_engagement(session, self._programs, event.data["engagement"], at)
        codes, opens = upcoming_claims(match, self._catalogue, role, at)
        wanted = [code for code in codes if certification in (None, code)]
        if not wanted:
            return
        if event.type == "letter.signed":
            _refuse_unfit(event, match, role)
            if len(wanted) > 1 and role == "mentee":
                wanted = [self._named_by_domains(event, match, wanted)]
        words = event.data.get("domains") or []
        held = self._catalogue.certification(wanted[0], match.gate.earliest)
        strange = [word for word in words if not (held and held.domain(word))]
        if strange and (role == "mentee" or event.type != "letter.signed"):
            raise RefusedEvent(f"{wanted[0]} has no domain {', '.join(strange)}")
        raise NotOpenYet(f"claim/{match.facts.engagement}/{role}/{wanted[0]}", opens)

    async def _survey_answered(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        """One side answers its survey (SUR3). An answer that comes before its survey waits for it like all that comes
        early; if there is none by then it is feedback (SUR4)."""
        row = await session.get_one(Engagement, f"engagement/{event.data['engagement']}")
        workflow = f"survey/{row.id}/{_role(row, event.data['by'])}"
        if await session.get(Survey, workflow) is None:
            if not event.data["answers"]:
                raise RefusedEvent(f"there is no {workflow} yet, and there is no answer in it")
            if event.state != "held":
                raise NotOpenYet(workflow, None)
            await _keep_feedback(session, event)
            return []
        return [WorkflowCommand("update", workflow, "answered", _act(event, by=event.data["by"]))]

    async def _staff(self, session: AsyncSession, event: Event) -> list[WorkflowCommand]:
        data = dict(event.data)
        target, name = str(data.pop("target")), event.type.partition(".")[2]
        table = LIFECYCLES[target.partition("/")[0]]
        if await session.get(table, target) is None:
            raise RefusedEvent(f"there is no {target}")
        if table in (Claim, Survey) and name != "cancel":
            raise RefusedEvent(f"a {target.partition('/')[0]} can be cancelled this way, and nothing else")
        data["reason"] = f"event:{event.id}"
        return [WorkflowCommand("update", target, name, _act(event, **data))]

    _handlers: ClassVar[
        dict[str, Callable[[InboxActivities, AsyncSession, Event], Awaitable[list[WorkflowCommand]]]]
    ] = {
        "member.updated": _member_updated,
        "profile.created": _profile_created,
        "profile.updated": _profile_updated,
        "profile.withdrawn": _profile_withdrawn,
        "request.created": _request_created,
        "request.accepted": _request_answered,
        "request.declined": _request_answered,
        "request.canceled": _request_answered,
        "engagement.discovery": _engagement_told,
        "engagement.plan_agreed": _engagement_told,
        "engagement.met": _engagement_told,
        "engagement.extension_agreed": _engagement_told,
        "engagement.ended": _engagement_told,
        "engagement.misconduct_reported": _engagement_told,
        "mail.bounced": _mail_bounced,
        "claim.domains_chosen": _claim_told,
        "claim.submitted": _claim_told,
        "letter.signed": _letter_signed,
        "survey.answered": _survey_answered,
        "staff.cancel": _staff,
        "staff.extend": _staff,
        "staff.pause": _staff,
        "staff.resume": _staff,
    }


def _known(event: Event) -> str:
    """A stored event's name wherever something came of it."""
    return f"{event.source}#{event.event_id}"[:200]


def _is_outage(error: Exception) -> bool:
    """Whether it is the database or Temporal that is away; a lost connection says so in an error of any kind."""
    return isinstance(error, OUTAGE_ERRORS) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


async def _is_kept(session: AsyncSession, event: Event) -> bool:
    """Whether the meeting that an event tells of is on record."""
    query = select(Meeting.id).where(Meeting.event_id == _known(event))
    return await session.scalar(query) is not None


def _act(event: Event, **told: Any) -> dict[str, Any]:
    """What a workflow is told of an event: ids, instants and the event's own id, never its words (MEM6)."""
    at = event.occurred_at.isoformat() if event.occurred_at else None
    return {"event": str(event.id), "at": at, **{key: value for key, value in told.items() if value}}


_CAME_BACK = {
    "hard": "mail to it came back as undeliverable",
    "soft": "mail to it came back",
    "complaint": "its reader reported our mail as unwanted",
}


async def _bounced(session: AsyncSession, data: dict[str, Any]) -> Message | None:
    """The delivery that a bounce is about, by its id or by its Message-ID, with or without angle brackets."""
    if delivery := data.get("delivery"):
        return await session.scalar(select(Message).where(Message.delivery == delivery).with_for_update())
    message_id = "<" + str(data["message_id"]).strip().removeprefix("<").removesuffix(">") + ">"
    return await session.scalar(
        select(Message)
        .where(Message.message_id == message_id)
        .order_by(Message.id)
        .limit(1)
        .with_for_update()
    )


def _role(row: Engagement, by: str) -> str:
    """The role of a profile in an engagement. Raises RefusedEvent for anybody else's."""
    if by not in (row.mentor_id, row.mentee_id):
        raise RefusedEvent("only the mentor and the mentee of an engagement can act on it")
    return "mentor" if by == row.mentor_id else "mentee"


def _as_planned(member: Member) -> tuple[Any, ...]:
    """What agendas are computed from, of a member."""
    return member.time_zone, member.country, member.subdivision, list(member.certifications or [])


def _refuse_unfit(event: Event, match: EngagementContext, role: str) -> None:
    """Refuse a letter that will never count: by the wrong person, or under another name."""
    signer = "mentee" if role == "mentor" else "mentor"
    if event.data["by"] != match.profile(signer):
        raise RefusedEvent(f"only the {signer} of this engagement can sign this letter")
    if not same_name(str(event.data["name"]), match.who(signer).member.name):
        raise RefusedEvent("the name typed is not the name on record; please type your own full name")


async def _reported_late(
    session: AsyncSession, row: Engagement, event: Event, at: datetime
) -> WorkflowCommand:
    """Tell staff of misconduct that is reported after the end: at once, by mail and as a task (ENG8)."""
    await open_task(
        session,
        "misconduct",
        row.workflow,
        f"reported by event {event.id}",
        "A report came after the engagement had ended: read it and write to the person yourself. Its surveys and "
        "claims go on: cancel or revoke what should not.",
        at,
    )
    mail = PlannedMail("staff.misconduct", at, "staff.misconduct", STAFF, context={"opened": at.isoformat()})
    planned = await ledger.add(session, row.workflow, row.program, mail, at)
    order = SendMail(row.workflow, [f"{planned.step}/{planned.occurrence}"])
    return start("Resend", f"resend/{planned.delivery}", order)


async def _keep_feedback(session: AsyncSession, event: Event) -> None:
    """Keep an answer for which there is no survey (SUR4)."""
    assert event.occurred_at is not None
    if await session.scalar(select(Feedback.id).where(Feedback.event_id == _known(event))) is None:
        told = [f"{question}: {answer}" for question, answer in event.data["answers"].items()]
        session.add(
            Feedback(
                profile_id=event.data["by"],
                event_id=_known(event),
                text="\n".join(told),
                given_at=event.occurred_at,
            )
        )


async def _report_kept(session: AsyncSession, event: Event, at: datetime) -> None:
    """Staff are told of a letter or choice that was kept for a claim, and then was no good (STA2)."""
    if event.waits_for and event.waits_for.startswith("claim/"):
        await open_task(
            session,
            "event_unapplied",
            event.subject,
            f"event {event.id}",
            "It was kept for a claim, and then could not be used (throughline show has the reason): "
            "ask the person to sign or choose again.",
            at,
        )


async def _without_mentor(
    session: AsyncSession, mentor: Profile, why: str, event: Event
) -> list[WorkflowCommand]:
    """The open requests to a mentor who can take nobody now become unavailable (MEM4)."""
    asked = await session.scalars(
        select(Request.workflow).where(Request.mentor_id == mentor.id, Request.closed_at.is_(None))
    )
    return [
        WorkflowCommand("signal", workflow, "unavailable", _act(event, reason=why, actor="program"))
        for workflow in asked
    ]


async def _first_missing(session: AsyncSession, wanted: tuple[str, ...]) -> str | None:
    for reference in wanted:
        kind, _, name = reference.partition("/")
        found: object | None
        if kind == "member":
            found = await session.get(Member, name)
        elif kind == "profile":
            found = await session.get(Profile, name)
        else:
            found = await session.get(LIFECYCLES[kind], reference)
        if found is None:
            return reference
    return None


async def _open_lifecycles(session: AsyncSession, member: str) -> list[tuple[str, str]]:
    """The open lifecycles in which a member has a part, each with the profile whose part it is."""
    queries = [
        select(Onboarding.workflow, Profile.id)
        .join(Profile, Profile.id == Onboarding.profile_id)
        .where(Profile.member_id == member, Onboarding.closed_at.is_(None))
    ]
    for table in (Request, Engagement):
        queries += [
            select(table.workflow, Profile.id)
            .join(Profile, Profile.id == part)
            .where(Profile.member_id == member, table.closed_at.is_(None))
            for part in (table.mentee_id, table.mentor_id)
        ]
    # A claim hangs on both: on the record of the one, and on the days and clock of the other, who signs (T4, CPE5).
    queries += [
        select(Claim.workflow, Profile.id)
        .join(Engagement, Engagement.id == Claim.engagement_id)
        .join(Profile, Profile.id == part)
        .where(Profile.member_id == member, Claim.closed_at.is_(None))
        for part in (Engagement.mentee_id, Engagement.mentor_id)
    ]
    queries.append(
        select(Survey.workflow, Survey.profile_id)
        .join(Profile, Profile.id == Survey.profile_id)
        .where(Profile.member_id == member, Survey.closed_at.is_(None))
    )
    return [(workflow, profile) for query in queries for workflow, profile in await session.execute(query)]


async def _refuse(session: AsyncSession, event: Event, reason: str, at: datetime) -> None:
    event.state, event.reason, event.applied_at = "refused", reason, at
    await audit.append(
        session,
        event.subject,
        "refused",
        recorded_at(event.occurred_at, at),
        {"event": event.type, "id": event.event_id, "reason": reason},
    )


def _brought(data: dict[str, Any]) -> list[str]:
    """What an event made known, so that events held for it can be looked at again."""
    known = [f"{kind}/{data[kind]}" for kind in ("member", "profile") if kind in data]
    return [*known, f"engagement/{data['request']}"] if "request" in data else known
