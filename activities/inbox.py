"""Applying inbound events: stored first, then applied in order, held or refused with a reason; none is lost.

An event's data is written and its effects on workflows are listed in one transaction; the effects follow, and
are repeated after a crash until all are done. Each of them tolerates a repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from rules.events import references
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.agenda import facts_to_row
from activities.people import Programs
from database import audit
from database.events import release
from database.models import LIFECYCLES, Engagement, Event, Member, Onboarding, Profile, Request
from database.session import Database
from database.tasks import open_task
from rules.onboarding import OnboardingFacts

QUEUE = "throughline"
"""The task queue of workflows and database work."""

BATCH = 50


@dataclass(frozen=True, slots=True)
class Applied:
    """What is left after a round: whether more events wait now, and when the first held one runs out."""

    more: bool
    next_deadline: datetime | None


class RefusedEvent(Exception):
    """An event that cannot be applied; its text is the reason, for staff and for the sender."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do to a workflow: `start` it (of type `name`), or `signal` or `update` it by `name`."""

    kind: str
    workflow: str
    name: str
    argument: dict[str, Any] | None = None


def start(workflow_type: str, workflow: str, facts: object) -> Effect:
    """The effect that starts a lifecycle with its facts."""
    return Effect("start", workflow, workflow_type, _plain(asdict(facts)))  # type: ignore[call-overload]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class InboxActivities:
    """Applies stored events. `client` reaches the workflows that they concern."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client

    @activity.defn
    async def apply_events(self) -> Applied:
        """Apply what waits, in the order in which it came; held events as soon as what they wait for is there."""
        at = activity.info().started_time
        done = 0
        while done < BATCH:
            event_id = await self._next(at)
            if event_id is None:
                break
            await self._apply(event_id, at)
            done += 1
            activity.heartbeat(done)
        async with self._database.reading() as session:
            deadline = await session.scalar(
                select(Event.held_until).where(Event.state == "held").order_by(Event.held_until).limit(1)
            )
        return Applied(done == BATCH, deadline)

    async def _next(self, at: datetime) -> int | None:
        async with self._database.reading() as session:
            return await session.scalar(
                select(Event.id)
                .where(
                    or_(
                        Event.state.in_(("stored", "applying")),
                        and_(Event.state == "held", Event.held_until <= at),
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
            if event.state != "applying" and not await self._write(session, event, at):
                return
            effects = [Effect(**effect) for effect in event.effects]
        reason = None
        for effect in effects:
            reason = await self._perform(effect, event_id) or reason
        async with self._database.begin() as session:
            event = await session.get(Event, event_id, with_for_update=True)
            assert event is not None
            if reason:
                await _refuse(session, event, reason, at)
            else:
                event.state, event.applied_at = "applied", at
                await release(session, event.subject, *_brought(event.data))

    async def _write(self, session: AsyncSession, event: Event, at: datetime) -> bool:
        """Write an event's data and list its effects; False if it is held or refused."""
        missing = await _first_missing(session, references(event.type, event.data))
        if missing:
            if event.state == "held":
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
                event.held_until = at + timedelta(hours=self._hold_hours)
            return False
        try:
            async with session.begin_nested():
                effects = await self._handlers[event.type](self, session, event)
        except RefusedEvent as refused:
            await _refuse(session, event, str(refused), at)
            return False
        event.effects = [asdict(effect) for effect in effects]
        event.state = "applying"
        return True

    @property
    def _hold_hours(self) -> int:
        return max(program.events.hold_hours for program in self._programs.values())

    async def _perform(self, effect: Effect, event_id: int) -> str | None:
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
                await handle.execute_update(effect.name, effect.argument, id=f"event-{event_id}")
        except WorkflowAlreadyStartedError:
            return None
        except WorkflowUpdateFailedError as failed:
            cause = failed.cause
            return cause.message if isinstance(cause, ApplicationError) else "the workflow refused it"
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            # A lifecycle that ended in the meantime: nothing to tell it, and for an act, nothing to change.
            return None if effect.kind == "signal" else f"{effect.workflow} is over"
        return None

    async def _member_updated(self, session: AsyncSession, event: Event) -> list[Effect]:
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
        before = (member.time_zone, member.country, member.subdivision)
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
        if not known or not (regained or before != (member.time_zone, member.country, member.subdivision)):
            return []
        effects = []
        for workflow in await _open_lifecycles(session, member.id):
            if regained:
                effects.append(
                    Effect(
                        "signal",
                        workflow,
                        "standing",
                        {"good": member.standing == "good", "at": at.isoformat()},
                    )
                )
            else:
                effects.append(Effect("signal", workflow, "replan"))
        return effects

    async def _profile_created(self, session: AsyncSession, event: Event) -> list[Effect]:
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

    async def _profile_updated(self, session: AsyncSession, event: Event) -> list[Effect]:
        profile = await session.get(Profile, event.data["profile"])
        assert profile is not None
        for name in ("mentees_at_a_time", "areas", "interests", "goals", "languages"):
            if name in event.data:
                setattr(profile, name, event.data[name])
        profile.updated_at = event.occurred_at or profile.updated_at
        return []

    async def _profile_withdrawn(self, session: AsyncSession, event: Event) -> list[Effect]:
        profile = await session.get(Profile, event.data["profile"])
        assert profile is not None
        if profile.withdrawn_at:
            return []
        assert event.occurred_at is not None
        profile.withdrawn_at = event.occurred_at
        return [
            Effect("signal", f"onboarding/{profile.id}", "withdrawn", {"at": event.occurred_at.isoformat()})
        ]

    async def _staff(self, session: AsyncSession, event: Event) -> list[Effect]:
        data = dict(event.data)
        target, name = data.pop("target"), event.type.partition(".")[2]
        table = LIFECYCLES[target.partition("/")[0]]
        if await session.get(table, target) is None:
            raise RefusedEvent(f"there is no {target}")
        data["reason"] = f"event:{event.id}"
        data["event"] = str(event.id)
        data["at"] = event.occurred_at.isoformat() if event.occurred_at else None
        return [Effect("update", target, name, data)]

    _handlers: ClassVar[
        dict[str, Callable[[InboxActivities, AsyncSession, Event], Awaitable[list[Effect]]]]
    ] = {
        "member.updated": _member_updated,
        "profile.created": _profile_created,
        "profile.updated": _profile_updated,
        "profile.withdrawn": _profile_withdrawn,
        "staff.cancel": _staff,
        "staff.extend": _staff,
        "staff.pause": _staff,
        "staff.resume": _staff,
    }


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


async def _open_lifecycles(session: AsyncSession, member: str) -> list[str]:
    """The open lifecycles in which a member has a part."""
    profiles = select(Profile.id).where(Profile.member_id == member)
    found: list[str] = []
    found += await session.scalars(
        select(Onboarding.workflow).where(Onboarding.profile_id.in_(profiles), Onboarding.closed_at.is_(None))
    )
    for table in (Request, Engagement):
        found += await session.scalars(
            select(table.workflow).where(
                or_(table.mentee_id.in_(profiles), table.mentor_id.in_(profiles)), table.closed_at.is_(None)
            )
        )
    return found


async def _refuse(session: AsyncSession, event: Event, reason: str, at: datetime) -> None:
    event.state, event.reason, event.applied_at = "refused", reason, at
    await audit.append(
        session,
        event.subject,
        "refused",
        (event.occurred_at or at).replace(microsecond=0),
        {"event": event.type, "id": event.event_id, "reason": reason},
    )


def _brought(data: dict[str, Any]) -> list[str]:
    """What an event made known, so that events held for it can be looked at again."""
    return [f"{kind}/{data[kind]}" for kind in ("member", "profile") if kind in data]
