"""All that is held about a member, as plain values that other systems can read (STA5).

Which columns go out follows from their declared kinds (`database.retention`); which rows are a member's own is here.
What others wrote about them, in confidence, stays: surveys, reports and reasons of the other side of a pair.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import mail_bodies, person_keys
from database.models import Base, Engagement, Member, Profile
from database.retention import TABLES, DataKind
from staff.views.read_model import NotFound

NOT_EXPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "audit_records": "words about others may stand beside those of the member; the states are in their own tables",
        "cohort_pairs": "what the engine found that two people have in common is about both",
        "suppressions": "an address that is not mailed, with the words of a mail server",
        "trial_guests": "addresses that staff added",
        "tasks": "what staff noted for themselves",
        "act_batches": "what staff ordered",
    }
)
"""Tables with personal data of which nothing is exported, each with the reason."""

_MEMBER: Final = ("member_id",)
_PROFILE: Final = ("profile_id", "by_profile", "to_profile", "signer_profile", "mentee_id", "mentor_id")
_NOT_THEIRS: Final = {
    "requests": {"mentee": {"answer_reason"}, "mentor": {"message"}},
    "engagements": {"mentee": {"end_reason"}, "mentor": {"end_reason"}},
}
"""By table and the member's role in a row: the columns with words of the other side."""

_HIDDEN: Final = frozenset({DataKind.SECRET, DataKind.STAFF})
_INTERNAL: Final = frozenset({"folded", "facts", "effects", "claimed_by", "content", "shard"})
"""Columns that repeat others, or say how the engine works."""


@dataclass(frozen=True, slots=True)
class _Person:
    member: str
    profiles: frozenset[str]


async def export_member(session: AsyncSession, member: str) -> dict[str, Any]:
    """Return all that is held about a member; of one who was erased, that they were. Raises NotFound."""
    if await session.get(Member, member) is None:
        raise NotFound(f"there is no member {member}")
    if await person_keys.is_destroyed(session, member):
        return {"member": member, "erased": True}
    profiles = await session.scalars(select(Profile.id).where(Profile.member_id == member))
    person = _Person(member, frozenset(profiles))
    held: dict[str, Any] = {"member": member, "erased": False}
    for name in exported_tables():
        table = Base.metadata.tables[name]
        rows = (await session.execute(table.select().where(_own(table, person)))).mappings().all()
        if rows:
            held[name] = [_row(name, row, person.profiles) for row in rows]
    for mail in held.get("mail_bodies", []):
        kept = await mail_bodies.read(session, mail["delivery"])
        mail["content"] = kept.content.decode("utf-8", "replace") if kept.content else kept.state
    return held


def exported_tables() -> list[str]:
    """Return the tables with rows of members, in the order of their names."""
    return [
        name
        for name, declared in TABLES.items()
        if name not in NOT_EXPORTED
        and declared.of_kinds(DataKind.PERSONAL, DataKind.FREE_TEXT, DataKind.EVIDENCE)
        and _columns(Base.metadata.tables[name])
    ]


def _columns(table: Table) -> list[Column[Any]]:
    """Return the columns that say whose a row is."""
    if table.name == "members":
        return [table.c.id]
    if table.name == "events":
        return [table.c.subject]
    return [table.c[name] for name in (*_MEMBER, *_PROFILE) if name in table.c]


def _own(table: Table, person: _Person) -> ColumnElement[bool]:
    if table.name == "members":
        return table.c.id == person.member
    if table.name == "events":
        about = [f"member/{person.member}", *(f"onboarding/{profile}" for profile in person.profiles)]
        by = table.c.data["by"].as_string().in_(person.profiles)
        return or_(table.c.subject.in_(about), by)
    if table.name == "letters":
        return or_(table.c.signer_profile.in_(person.profiles), _of_holder(table, person))
    return or_(
        *(
            column == person.member if column.name in _MEMBER else column.in_(person.profiles)
            for column in _columns(table)
        )
    )


def _of_holder(table: Table, person: _Person) -> ColumnElement[bool]:
    """Return the condition of the letters and certificates that a member holds, by their role in the engagement."""
    held = [
        and_(
            table.c.role == role,
            table.c.engagement_id.in_(select(Engagement.id).where(side.in_(person.profiles))),
        )
        for role, side in (("mentor", Engagement.mentor_id), ("mentee", Engagement.mentee_id))
    ]
    return or_(*held)


def _row(table: str, row: Mapping[Any, Any], profiles: Collection[str]) -> dict[str, Any]:
    declared = TABLES[table].columns
    role = "mentor" if row.get("mentor_id") in profiles else "mentee"
    others = _NOT_THEIRS.get(table, {}).get(role, set())
    return {
        name: _plain(value)
        for name, value in row.items()
        if declared[name] not in _HIDDEN
        and name not in _INTERNAL
        and name not in others
        and value is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
