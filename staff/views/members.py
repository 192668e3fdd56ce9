"""Members and profiles as staff see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import suppressions
from database.models import Engagement, Lifecycle, Member, Message, Profile, Request
from lifecycles.participants import Programs
from rules.text import ERASED
from staff.people import People
from staff.views.history import Reader, history
from staff.views.lifecycles import (
    messages_where,
    open_events,
    open_tasks,
    program_zone,
    rows_of,
    summaries_of,
    undecided,
    upcoming,
)
from staff.views.messages import message_views
from staff.views.read_model import LifecycleSummary, MemberView, MessageView, NotFound, ProfileView, Schedule

SeenRows = Callable[[list[Lifecycle]], Awaitable[list[Lifecycle]]]
"""Returns those of some lifecycles that a reader sees."""


async def member_view(
    session: AsyncSession,
    name: str,
    programs: Programs,
    now: datetime,
    seen: SeenRows | None = None,
    *,
    is_confidant: bool = True,
) -> MemberView:
    """Return everything about a member. Raises NotFound.

    `seen` leaves those of the member's lifecycles that the reader sees. Without `is_confidant`, the history has neither
    misconduct nor the words that people gave (ENG8).
    """
    member = await _member(session, name)
    profiles = await _profiles_of(session, name)
    rows = await rows_of(session, profiles)
    zone = member.time_zone or program_zone(profiles[0].program if profiles else "", programs)
    mails = await messages_where(session, Message.member_id == name)
    if seen:
        rows = await seen(rows)
        visible = {row.workflow for row in rows}
        mails = [mail for mail in mails if mail.workflow in visible]
    ahead = await upcoming(session, rows, programs, now)
    own = [f"member/{name}", *(f"profile/{profile.id}" for profile in profiles)]
    return MemberView(
        id=name,
        name=member.name,
        email=member.email or ERASED,
        not_mailed=await suppressions.reason_for(session, member.email),
        standing=member.standing,
        standing_since=member.standing_since,
        zone=zone,
        country="-".join(filter(None, (member.country, member.subdivision))) or None,
        languages=tuple(member.languages),
        certifications=tuple(
            " ".join(filter(None, (held.get("code"), held.get("cycle_start"), held.get("cycle_end"))))
            for held in member.certifications
        ),
        stopped=tuple(member.preferences.get("stopped", [])),
        profiles=tuple(f"{profile.id} ({profile.role}, {profile.program})" for profile in profiles),
        lifecycles=await summaries_of(session, rows, programs),
        schedule=Schedule(
            zones=(("member", zone),),
            ahead=await message_views(session, undecided(mails), programs),
            coming=ahead.changes,
            happened=await history(session, _with(own, rows), mails, Reader(zone, is_confidant=is_confidant)),
            tasks=await open_tasks(session, _with(own, rows), zone),
            events=await open_events(session, _with(own, rows), zone),
            unreadable=ahead.unreadable,
        ),
    )


async def profile_view(session: AsyncSession, name: str, programs: Programs, now: datetime) -> ProfileView:
    """Return everything about a profile. Raises NotFound."""
    profile = await session.get(Profile, name)
    if profile is None:
        raise NotFound(f"there is no profile {name}")
    people = await People.of(session, [name], programs)
    zone = people.zone(name, profile.program)
    rows = await rows_of(session, [profile])
    subjects = _with([f"profile/{name}"], rows)
    mails = await messages_where(session, Message.to_profile == name)
    ahead = await upcoming(session, rows, programs, now)
    return ProfileView(
        id=name,
        member=f"{people.name(name)} ({profile.member_id})",
        role=profile.role,
        program=profile.program,
        zone=zone,
        created=profile.created_at,
        withdrawn=profile.withdrawn_at,
        mentees_at_a_time=profile.mentees_at_a_time,
        areas=tuple(profile.areas),
        languages=tuple(profile.languages),
        lifecycles=await summaries_of(session, rows, programs),
        schedule=Schedule(
            zones=((profile.role, zone),),
            ahead=await message_views(session, undecided(mails), programs),
            coming=ahead.changes,
            happened=await history(session, subjects, mails, Reader(zone, profile.program, people)),
            tasks=await open_tasks(session, subjects, zone),
            events=await open_events(session, subjects, zone),
            unreadable=ahead.unreadable,
        ),
    )


async def member_messages(
    session: AsyncSession, name: str, messages: Collection[str], programs: Programs
) -> tuple[tuple[MessageView, ...], tuple[LifecycleSummary, ...]]:
    """Return the messages of these names to a member, and the member's lifecycles. Raises NotFound."""
    await _member(session, name)
    mails = await session.scalars(
        select(Message)
        .where(Message.member_id == name, Message.message.in_(messages))
        .order_by(Message.planned_at, Message.due_at, Message.id)
    )
    views = await message_views(session, list(mails), programs)
    rows = await rows_of(session, await _profiles_of(session, name))
    return views, await summaries_of(session, rows, programs)


async def targets_named(session: AsyncSession, name: str) -> tuple[str, ...]:
    """Return what a bare name may mean: members and profiles, requests and engagements by id, else members by name."""
    found = [
        f"{kind}/{name}"
        for kind, table in (
            ("member", Member),
            ("profile", Profile),
            ("request", Request),
            ("engagement", Engagement),
        )
        if await session.scalar(select(table.id).where(table.id == name)) is not None
    ]
    if found:
        return tuple(found)
    members = await session.scalars(
        select(Member.id).where(func.lower(Member.name) == name.lower()).order_by(Member.id)
    )
    return tuple(f"member/{member}" for member in members)


async def member_named(session: AsyncSession, name: str) -> str:
    """Return the member that a name means: by id, by a profile's id, or by name. Raises NotFound."""
    kind, _, bare = name.rpartition("/")
    member = await session.get(Member, bare) if kind in ("", "member") else None
    if member is not None:
        return member.id
    profile = await session.get(Profile, bare) if kind in ("", "profile") else None
    if profile is not None:
        return profile.member_id
    found = await targets_named(session, name) if not kind else ()
    members = [target.removeprefix("member/") for target in found if target.startswith("member/")]
    if len(members) > 1:
        raise NotFound(f"{name} is {' or '.join(members)}: name one of them")
    if not members:
        raise NotFound(f"there is no member {bare}")
    return members[0]


async def _member(session: AsyncSession, name: str) -> Member:
    member = await session.get(Member, name)
    if member is None:
        raise NotFound(f"there is no member {name}")
    return member


async def _profiles_of(session: AsyncSession, member: str) -> list[Profile]:
    found = await session.scalars(
        select(Profile).where(Profile.member_id == member).order_by(Profile.created_at, Profile.id)
    )
    return list(found)


def _with(subjects: list[str], rows: list[Lifecycle]) -> list[str]:
    return [*subjects, *(row.workflow for row in rows)]
