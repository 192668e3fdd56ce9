"""Every message that is still to go out: of the next days, or of one person, with the rule that makes it due (MAIL1).

One query reads a page, whatever the number of lifecycles; `ix_messages_open` and `ix_messages_waiting` serve it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Member, Message
from lifecycles.participants import Programs
from staff.accounts.scope import Scope
from staff.lists.lifecycle_lists import members_found
from staff.message_orders import offered
from staff.people import People
from staff.views.messages import message_views
from staff.views.read_model import MessageView

PAGE = 200
"""Messages on a page, unless a caller wants another number."""

_OPEN = ("planned", "claimed", "handed_over")


@dataclass(frozen=True, slots=True)
class AheadFilter:
    """Which messages are listed. Without a member those with a due instant, overdue ones first."""

    until: datetime | None = None
    """Only what is due before this instant."""
    member: str = ""
    """Only messages to this member; those without an instant come last."""
    program: str = ""
    since: datetime | None = None
    """Only what is due at this instant or later."""
    kind: str = ""
    """Only messages of this kind of lifecycle."""
    search: str = ""
    """Only messages to people whose name, address or id has these words."""
    scope: Scope | None = None
    """Only what somebody of the staff sees; everything without one."""
    after: PageEnd | None = None
    """Only what follows this place: where the page before it ended."""
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class PageEnd:
    """Where a page ended: the last message by its due instant, None where it has none, and its number."""

    due: datetime | None
    number: int


@dataclass(frozen=True, slots=True)
class AheadMessage:
    """A message to come."""

    view: MessageView
    """The message, with its rule, its arithmetic, and the order of staff if there is one."""
    recipient: str
    """The name with the profile."""
    member: str | None
    day: date | None
    """The day in the recipient's zone, which is `view.zone`; None while a pause holds it."""
    manager_day: date | None
    """The day in the program's zone."""
    manager_zone: str
    orders: tuple[str, ...]
    """What staff may order for it: `skip`, `hold`, `send`, `release`."""


@dataclass(frozen=True, slots=True)
class AheadPage:
    """A page of messages to come, in the order of their instants."""

    messages: tuple[AheadMessage, ...]
    next: PageEnd | None
    """Where the next page begins; None on the last."""


async def ahead(session: AsyncSession, wanted: AheadFilter, programs: Programs) -> AheadPage:
    """Return a page of the messages to come."""
    rows = list(await session.scalars(_page(wanted)))
    more = len(rows) > wanted.limit
    rows = rows[: wanted.limit]
    views = await message_views(session, rows, programs)
    people = await People.of(session, {row.to_profile for row in rows}, programs)
    messages = tuple(_message(row, view, people, programs) for row, view in zip(rows, views, strict=True))
    return AheadPage(messages, PageEnd(rows[-1].due_at, rows[-1].id) if more else None)


async def count_by_day(session: AsyncSession, wanted: AheadFilter, zone: str) -> dict[date, int]:
    """Return how many messages are due on each day of a zone, in order, over all pages."""
    # Most messages leave at 09:00 of some zone: there are few instants, whatever the number of messages.
    per_instant = await session.execute(
        select(Message.due_at, func.count())
        .where(*_conditions(wanted), Message.due_at.is_not(None))
        .group_by(Message.due_at)
        .order_by(Message.due_at)
    )
    found: Counter[date] = Counter()
    for due, count in per_instant:
        if due is not None:
            found[due.astimezone(ZoneInfo(zone)).date()] += count
    return dict(found)


def _page(wanted: AheadFilter) -> Select[Message]:
    query = select(Message).where(*_conditions(wanted))
    if wanted.after is not None:
        query = query.where(_after(wanted.after))
    # What a pause holds comes last, and only in the list of a person: the others are read in the order of the index.
    held_last = (Message.due_at.is_(None),) if wanted.member else ()
    return query.order_by(*held_last, Message.due_at, Message.id).limit(wanted.limit + 1)


def _conditions(wanted: AheadFilter) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Message.state.in_(_OPEN)]
    if wanted.member:
        found.append(Message.member_id == wanted.member)
    else:
        found.append(Message.due_at.is_not(None))
    if wanted.until is not None:
        found.append(Message.due_at < wanted.until)
    if wanted.since is not None:
        found.append(Message.due_at >= wanted.since)
    if wanted.program:
        found.append(Message.program == wanted.program)
    if wanted.kind:
        found.append(Message.workflow.startswith(f"{wanted.kind}/", autoescape=True))
    if wanted.search:
        members = select(Member.id).where(members_found(wanted.search))
        found.append(or_(Message.member_id.in_(members), Message.to_profile == wanted.search.strip()))
    if wanted.scope is not None:
        found.append(wanted.scope.messages())
    return found


def _after(place: PageEnd) -> ColumnElement[bool]:
    if place.due is None:
        return and_(Message.due_at.is_(None), Message.id > place.number)
    return or_(
        Message.due_at > place.due,
        and_(Message.due_at == place.due, Message.id > place.number),
        Message.due_at.is_(None),
    )


def _message(row: Message, view: MessageView, people: People, programs: Programs) -> AheadMessage:
    zone = programs[row.program].hours.zone if row.program in programs else "UTC"
    return AheadMessage(
        view,
        people.label(row.to_profile),
        row.member_id,
        _day(row.due_at, view.zone),
        _day(row.due_at, zone),
        zone,
        offered(view),
    )


def _day(at: datetime | None, zone: str) -> date | None:
    return at.astimezone(ZoneInfo(zone)).date() if at else None
