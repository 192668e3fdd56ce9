"""Who reads a personal page, in which program and language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Member, Profile
from rules.calendar import local_in
from rules.program import Program


@dataclass(frozen=True, slots=True)
class Reader:
    """A profile, the member whose it is, the program it takes part in, and the language to speak (MAIL5)."""

    profile: Profile
    member: Member
    program: Program
    language: str

    @property
    def always(self) -> dict[str, object]:
        """What every sentence of a page for this reader may name."""
        return about_program(self.program)

    def today(self, at: datetime) -> date:
        """The date of an instant in the program's zone, by which engagements live (ENG1)."""
        return local_in(self.program.hours.zone, at).date()


async def reader_of(
    session: AsyncSession, programs: Mapping[str, Program], languages: Collection[str], profile_id: str
) -> Reader | None:
    """The reader behind a profile id; None if there is none, or its program is not loaded here."""
    row = (
        await session.execute(
            select(Profile, Member)
            .join(Member, Member.id == Profile.member_id)
            .where(Profile.id == profile_id)
        )
    ).first()
    if row is None or row[0].program not in programs:
        return None
    profile, member = row
    program = programs[profile.program]
    wished = [member.preferences.get("language"), *profile.languages, *member.languages]
    return Reader(profile, member, program, program.language(wished, languages))


def about_program(program: Program) -> dict[str, object]:
    """What every sentence of a program's page may name."""
    return {
        "program": program.name,
        "manager": program.manager.name,
        "mailbox": mail_link(program.mailbox),
        "directory": program.resources["directory"],
    }


def mail_link(address: str) -> Markup:
    """An address as a link."""
    return Markup('<a href="mailto:{0}">{0}</a>').format(address)


def shown(name: str) -> Markup:
    """Somebody's name for use in a sentence, whatever direction it is written in."""
    return Markup("<bdi>{}</bdi>").format(name)
