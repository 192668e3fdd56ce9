"""The queue of stored events: which shard applies an event, and which events may be applied now (T8).

Two events that concern the same person or engagement are applied in their order of arrival, one after the other. Each
event has a row per subject in `event_subjects` until it is applied or refused. It may be applied when no earlier event
with a subject of its own waits. Which shard applies it decides only what can go on at the same time.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, literal, or_, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Engagement, Event, EventSubject, Message, Profile, Request
from rules.events.parties import Parties, parties_of
from rules.kinds import kind_of

SHARDS = 8
"""How many shards apply events at the same time. A stored event keeps its shard: to change it, let all be applied."""

UNAPPLIED = ("stored", "applying", "held")

WINDOW = 200
"""How many events of a shard are looked at for those that may be applied now."""

_LOCK = text(
    "SELECT pg_advisory_xact_lock(:space, hashtext(subject)) FROM unnest(CAST(:subjects AS text[])) AS subject"
)
_LOCK_SPACE = 25
"""Tells the locks of subjects from all others: those of the audit chains have one number, these have two."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits to be applied, and its subjects."""

    id: int
    about: str
    subjects: frozenset[str]


def shard_of(subject: str) -> int:
    """Return the shard of the events about a subject."""
    return zlib.crc32(subject.encode()) % SHARDS


def is_due(held_until: datetime) -> ColumnElement[bool]:
    """Return the condition of events to apply: those that nobody holds, and those held until an instant."""
    return or_(
        Event.state.in_(("stored", "applying")), and_(Event.state == "held", Event.held_until <= held_until)
    )


async def route(session: AsyncSession, rows: Sequence[Event], *, new: bool = False) -> None:
    """Set the shard of events, and write their subjects. The rows have their numbers; `new` ones have no subjects."""
    named = {row.id: parties_of(row.data) for row in rows}
    known = await _Known.of(session, named.values())
    if not new:
        await session.execute(delete(EventSubject).where(EventSubject.event_id.in_(named)))
    subjects = []
    for row in rows:
        found = known.subjects(named[row.id]) or [row.subject]
        row.shard = shard_of(found[0])
        subjects += [{"subject": subject, "event_id": row.id} for subject in found]
    if subjects:
        await session.execute(insert(EventSubject), subjects)


async def route_unrouted(session: AsyncSession) -> None:
    """Route the events that a process of an earlier version stored, or that were stored before the upgrade."""
    rows = await session.scalars(
        select(Event)
        .where(Event.shard.is_(None), Event.state.in_(UNAPPLIED))
        .order_by(Event.id)
        .with_for_update()
    )
    if found := rows.all():
        await route(session, found)


async def next_events(
    session: AsyncSession,
    shard: int | None,
    held_until: datetime,
    busy: Mapping[int, Collection[str]],
    most: int,
) -> tuple[list[Waiting], bool]:
    """Return events of a shard that no event of another one precedes, in their order, and whether these are all.

    Their subjects are locked. What an earlier version stored must be routed before (`route_unrouted`). `busy` are the
    events that are being applied, with their subjects: they and what they precede are left out. None as shard stands
    for all. An event in the list may share a subject with one before it.
    """
    rows = await _window(session, shard, held_until)
    taken = {subject for subjects in busy.values() for subject in subjects}
    free = []
    for row in rows:
        if row.id in busy:
            continue
        if row.subjects.isdisjoint(taken):
            free.append(row)
        else:
            taken |= row.subjects
    waiting = sum(row.id not in busy for row in rows)
    free = free[:most]
    if shard is None or not free:
        return free, len(free) == waiting
    subjects = set[str]().union(*(row.subjects for row in free))
    await _lock(session, subjects)
    before = await _first_of_others(session, shard, held_until, subjects)
    taken = set()
    found = []
    for row in free:
        if any(before.get(subject, row.id) < row.id for subject in row.subjects) or row.subjects & taken:
            taken |= row.subjects
        else:
            found.append(row)
    return found, len(found) == waiting


async def locked(session: AsyncSession, waiting: Sequence[Waiting]) -> dict[int, Event]:
    """Return events by number, locked in one order: the chains of what they are about, then the rows."""
    for subject in sorted({audit.chain_of(each.about) for each in waiting if kind_of(each.about)}):
        await audit.lock(session, subject)
    rows = await session.scalars(
        select(Event).where(Event.id.in_([each.id for each in waiting])).order_by(Event.id).with_for_update()
    )
    return {row.id: row for row in rows}


async def forget(session: AsyncSession, applied: Collection[int]) -> None:
    """Remove the subjects of events that are applied or refused: they precede none any more."""
    await session.execute(delete(EventSubject).where(EventSubject.event_id.in_(applied)))


async def shards_behind(session: AsyncSession, subjects: Collection[str]) -> set[int]:
    """Return the shards in which events with one of these subjects wait."""
    found = await session.scalars(
        select(Event.shard)
        .join(EventSubject, EventSubject.event_id == Event.id)
        .where(EventSubject.subject.in_(subjects), Event.state == "stored")
        .distinct()
    )
    return {shard for shard in found if shard is not None}


async def waiting_shards(session: AsyncSession, held_until: datetime | None = None) -> list[int]:
    """Return the shards in which events wait that nobody holds; with `held_until`, also those held until then."""
    condition = Event.state.in_(("stored", "applying")) if held_until is None else is_due(held_until)
    of_shard = [(0, Event.shard.is_(None)), *((shard, Event.shard == shard) for shard in range(SHARDS))]
    each = [
        select(literal(shard)).where(select(Event.id).where(belongs, condition).exists())
        for shard, belongs in of_shard
    ]
    return sorted(set(await session.scalars(union_all(*each))))


async def next_deadline(session: AsyncSession, shard: int | None) -> datetime | None:
    """Return when the wait of the first held event of a shard ends."""
    held = select(Event.held_until).where(Event.state == "held").order_by(Event.held_until).limit(1)
    return await session.scalar(held if shard is None else held.where(Event.shard == shard))


async def _window(session: AsyncSession, shard: int | None, held_until: datetime) -> list[Waiting]:
    query = select(Event.id, Event.subject).where(is_due(held_until)).order_by(Event.id).limit(WINDOW)
    first = (query if shard is None else query.where(Event.shard == shard)).subquery()
    rows = await session.execute(
        select(first.c.id, first.c.subject, EventSubject.subject)
        .outerjoin(EventSubject, EventSubject.event_id == first.c.id)
        .order_by(first.c.id)
    )
    about: dict[int, str] = {}
    subjects: dict[int, set[str]] = {}
    for number, subject, other in rows:
        about[number] = subject
        subjects.setdefault(number, set()).update({other} if other else ())
    return [Waiting(number, subject, frozenset(subjects[number])) for number, subject in about.items()]


async def _first_of_others(
    session: AsyncSession, shard: int, held_until: datetime, subjects: Collection[str]
) -> dict[str, int]:
    """Return for each subject the number of the first event of other shards; 0 where one is being applied.

    One that is being applied comes first whatever its number: a held event is released with the number that it had.
    """
    number = func.min(case((Event.state == "applying", 0), else_=Event.id))
    found = await session.execute(
        select(EventSubject.subject, number)
        .join(Event, Event.id == EventSubject.event_id)
        .where(EventSubject.subject.in_(subjects), Event.shard != shard, is_due(held_until))
        .group_by(EventSubject.subject)
    )
    return {row[0]: row[1] for row in found}


async def _lock(session: AsyncSession, subjects: Iterable[str]) -> None:
    """Lock subjects until the transaction ends: what precedes an event is read and marked by one shard at a time."""
    if session.get_bind().dialect.name != "postgresql":
        return
    with session.no_autoflush:
        await session.execute(_LOCK, {"space": _LOCK_SPACE, "subjects": sorted(subjects)})


@dataclass(frozen=True, slots=True)
class _Known:
    """Who is behind the ids that events name: by what is applied, and by what is stored before them."""

    members: Mapping[str, str]
    """The member of a profile."""
    pairs: Mapping[str, tuple[str, str]]
    """Mentee and mentor of a request, by profile."""
    readers: Mapping[str, str]
    """The member of a mail, by delivery or Message-ID."""

    @classmethod
    async def of(cls, session: AsyncSession, named: Iterable[Parties]) -> _Known:
        """Look up what events name."""
        parties = list(named)
        pairs = await _pairs(session, {each.engagement for each in parties if each.engagement})
        profiles = {profile for each in parties for profile in each.profiles}
        profiles |= {profile for pair in pairs.values() for profile in pair}
        readers = await _readers(session, {mail for each in parties for mail in each.mails})
        return cls(await _members(session, profiles), pairs, readers)

    def subjects(self, parties: Parties) -> list[str]:
        """Return the subjects of an event, its mentee first: a pair's events go to one shard where they can."""
        profiles = [*self.pairs.get(parties.engagement or "", ()), *parties.profiles]
        members = [*parties.members, *(self.members[each] for each in profiles if each in self.members)]
        members += [self.readers[mail] for mail in parties.mails if mail in self.readers]
        found = [f"cohort/{parties.cohort}"] if parties.cohort else []
        found += [f"member/{member}" for member in members]
        # A profile that is not known yet stands for itself, and so does one that an event makes known.
        unknown = {*parties.profiles} if parties.members else {*profiles} - self.members.keys()
        found += [f"profile/{profile}" for profile in profiles if profile in unknown]
        if parties.engagement:
            found.append(f"engagement/{parties.engagement}")
        return list(dict.fromkeys(found))


async def _pairs(session: AsyncSession, requests: set[str]) -> dict[str, tuple[str, str]]:
    if not requests:
        return {}
    known = await session.execute(
        select(Request.id, Request.mentee_id, Request.mentor_id).where(Request.id.in_(requests))
    )
    pairs = {request: (mentee, mentor) for request, mentee, mentor in known}
    if not requests - pairs.keys():
        return pairs
    # An engagement of a cohort has no request.
    of_cohorts = await session.execute(
        select(Engagement.id, Engagement.mentee_id, Engagement.mentor_id).where(
            Engagement.id.in_(requests - pairs.keys())
        )
    )
    pairs |= {engagement: (mentee, mentor) for engagement, mentee, mentor in of_cohorts}
    about = [f"request/{request}" for request in requests - pairs.keys()]
    for data in await _stored(session, "request.created", about):
        pairs.setdefault(data.get("request", ""), (data.get("mentee", ""), data.get("mentor", "")))
    return pairs


async def _members(session: AsyncSession, profiles: set[str]) -> dict[str, str]:
    if not profiles:
        return {}
    known = await session.execute(select(Profile.id, Profile.member_id).where(Profile.id.in_(profiles)))
    members = {row[0]: row[1] for row in known}
    about = [f"onboarding/{profile}" for profile in profiles - members.keys()]
    for data in await _stored(session, "profile.created", about):
        members.setdefault(data.get("profile", ""), data.get("member", ""))
    return members


async def _readers(session: AsyncSession, mails: set[str]) -> dict[str, str]:
    if not mails:
        return {}
    found = await session.execute(
        select(Message.delivery, Message.message_id, Message.member_id).where(
            or_(Message.delivery.in_(mails), Message.message_id.in_(mails))
        )
    )
    return {mail: member for *ids, member in found if member for mail in ids if mail in mails}


async def _stored(session: AsyncSession, type: str, about: Collection[str]) -> list[dict[str, str]]:
    """Return the data of unapplied events of a type about some lifecycles."""
    if not about:
        return []
    found = await session.scalars(
        select(Event.data)
        .where(Event.subject.in_(about), Event.type == type, Event.state.in_(UNAPPLIED))
        .order_by(Event.id)
    )
    return list(found)
