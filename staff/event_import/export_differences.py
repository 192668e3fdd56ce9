"""Last night's export of a member database: which of its rows differ from what is stored, as events.

An export names everybody. What has not changed is no event, so that a night without changes stores nothing. The id of
an event names the row that it was compared with: the same night sent again is known, and a value that comes back
another night is a change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Member, Profile
from rules.events import Envelope

EXPORTED: Final = ("member.updated", "profile.created", "profile.updated", "profile.withdrawn")
"""The types of events that are rows of an export."""

MEMBER_FIELDS: Final = (
    *("name", "email", "standing", "time_zone", "country", "subdivision", "languages"),
    *("nationality", "birth_year", "years_management", "employer", "certifications"),
)
PROFILE_FIELDS: Final = ("mentees_at_a_time", "areas", "interests", "goals", "languages", "partner")
FIXED_FIELDS: Final = ("member", "role", "program")
"""What a profile keeps for ever."""

_REQUIRED: Final = ("member", "name", "email", "standing")
_AT_ONCE: Final = 400
_ID_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of an export that differs, as the event that says so."""

    event: Envelope
    subject: str
    """`member/ana` or `profile/p-ana`."""
    fields: tuple[str, ...]
    """What differs; empty for somebody new, and for a withdrawal."""


@dataclass(frozen=True, slots=True)
class Differences:
    """An export held against what is stored."""

    changes: tuple[Difference, ...]
    unchanged: int
    older: int
    """Rows whose time lies before the last change that is stored: they are not news."""
    mistakes: tuple[str, ...]
    """A line for each row that contradicts what cannot change."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Somebody as stored, or as an earlier row of the export has it."""

    values: Mapping[str, Any]
    basis: str
    """What names this version."""
    updated_at: datetime | None = None
    withdrawn: bool = False


async def differences(session: AsyncSession, rows: Sequence[tuple[str, Envelope]]) -> Differences:
    """Return what of an export differs from what is stored. Each row comes with its place in the file."""
    known = await _stored(session, (event for _, event in rows))
    changes: list[Difference] = []
    mistakes: list[str] = []
    older = 0
    for where, event in rows:
        subject = _subject(event)
        before = known.get(subject)
        if before and (wrong := _contradiction(event, before)):
            mistakes.append(f"{where}{subject}: {wrong}")
        elif before and event.type == "member.updated" and _is_older(event, before):
            older += 1
        elif change := _change(event, subject, before):
            changes.append(change)
            known[subject] = _after(change, before)
    return Differences(
        tuple(changes), len(rows) - len(changes) - older - len(mistakes), older, tuple(mistakes)
    )


def _subject(event: Envelope) -> str:
    kind = event.type.partition(".")[0]
    return f"{kind}/{event.data[kind]}"


def _is_older(event: Envelope, before: _Known) -> bool:
    return bool(event.time and before.updated_at and event.time < before.updated_at)


def _contradiction(event: Envelope, before: _Known) -> str:
    """Return which field of a known profile an export changes although it cannot change; empty if none."""
    for name in FIXED_FIELDS if event.type == "profile.created" else ():
        given, stored = event.data.get(name), before.values.get(name)
        if given is not None and stored is not None and given != stored:
            return f"its {name} is {stored} and cannot become {given}"
    return ""


def _change(event: Envelope, subject: str, before: _Known | None) -> Difference | None:
    """Return the event that a row amounts to; None where nothing differs."""
    if before is None:
        return Difference(_named(event, "new"), subject, ())
    if event.type == "profile.withdrawn":
        return None if before.withdrawn else Difference(_named(event, before.basis), subject, ())
    fields = MEMBER_FIELDS if event.type == "member.updated" else PROFILE_FIELDS
    differing = tuple(
        name for name in fields if name in event.data and _plain(event.data[name]) != before.values.get(name)
    )
    if not differing:
        return None
    if event.type == "member.updated":
        kept = {name: event.data[name] for name in event.data if name in (*_REQUIRED, *differing)}
        return Difference(_named(replace(event, data=kept), before.basis), subject, differing)
    # The time of a creation is no time of a change.
    time = event.time if event.type == "profile.updated" else None
    changed = {"profile": event.data["profile"], **{name: event.data[name] for name in differing}}
    update = replace(event, type="profile.updated", time=time, data=changed)
    return Difference(_named(update, before.basis), subject, differing)


def _after(change: Difference, before: _Known | None) -> _Known:
    """Return somebody as a change leaves them, for a later row of the same export."""
    event = change.event
    values = {
        **(before.values if before else {}),
        **{name: _plain(each) for name, each in event.data.items()},
    }
    return _Known(values, event.id, event.time, event.type == "profile.withdrawn")


def _named(event: Envelope, basis: str) -> Envelope:
    """Return an event under the id of its content and of the version that it changes."""
    content = json.dumps([event.type, event.data, basis], sort_keys=True, default=list)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return replace(event, id=f"export-{digest[:_ID_LENGTH]}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


async def _stored(session: AsyncSession, events: Iterable[Envelope]) -> dict[str, _Known]:
    """Return those whom the rows are about, as far as they are stored."""
    names: dict[str, set[str]] = {"member": set(), "profile": set()}
    for event in events:
        kind, _, name = _subject(event).partition("/")
        names[kind].add(name)
    known: dict[str, _Known] = {}
    for some in _some_at_a_time(names["member"]):
        for member in await session.scalars(select(Member).where(Member.id.in_(some))):
            known[f"member/{member.id}"] = _of_member(member)
    for some in _some_at_a_time(names["profile"]):
        for profile in await session.scalars(select(Profile).where(Profile.id.in_(some))):
            known[f"profile/{profile.id}"] = _of_profile(profile)
    return known


def _some_at_a_time(names: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(names)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _of_member(member: Member) -> _Known:
    values = {name: getattr(member, name) for name in MEMBER_FIELDS}
    values["email"] = member.email_given or member.email
    return _Known(values, member.updated_at.isoformat(), member.updated_at)


def _of_profile(profile: Profile) -> _Known:
    values = {name: getattr(profile, name) for name in (*PROFILE_FIELDS, "role", "program")}
    values["member"] = profile.member_id
    return _Known(
        values, profile.updated_at.isoformat(), profile.updated_at, profile.withdrawn_at is not None
    )
