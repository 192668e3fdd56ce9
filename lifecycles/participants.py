"""Profiles with the members behind them, and the calendars that they live by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Member, Profile
from database.session import held
from rules.calendar import Calendar, calendar_for
from rules.program import Program
from rules.text import ERASED

Programs = Mapping[str, Program]
"""The programs of this deployment, by id."""


class NotOnRecord(LookupError):
    """Something that a lifecycle refers to and this deployment does not have; the text holds ids only (MEM6)."""


class UnknownProfile(NotOnRecord):
    """A profile that is not in the database."""


class UnknownProgram(NotOnRecord):
    """A program that is not loaded here."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A profile and the member whose it is."""

    profile: Profile
    member: Member

    @property
    def good_standing(self) -> bool:
        """Whether the member is in good standing now (MEM1)."""
        return self.member.standing == "good"

    @property
    def is_erased(self) -> bool:
        """Whether the member was erased: nothing is known of them, and nothing is mailed to them (STA5)."""
        return self.member.name == ERASED and not self.member.email

    def calendar(self, program: Program) -> Calendar:
        """The calendar that decides this member's dates in a program (T1, T4)."""
        member = self.member
        return calendar_for(program.hours, member.time_zone, member.country, member.subdivision)

    def locale(self, program: Program, written: Collection[str] | None = None) -> str:
        """Return the first of the member's languages that the program has, else the program's first (MAIL5).

        `written` names the languages that there are texts in, where that is not all of the program's.
        """
        chosen = self.member.preferences.get("language")
        return program.language([chosen, *self.profile.languages, *self.member.languages], written)


# Built once: building the statement costs more than running it.
_PARTICIPANTS = (
    select(Profile, Member)
    .join(Member, Member.id == Profile.member_id)
    .where(Profile.id.in_(bindparam("profiles", expanding=True)))
)


async def participants(session: AsyncSession, profiles: Iterable[str]) -> dict[str, Participant]:
    """Return the participants behind profile ids; unknown ids are left out."""
    wanted = set(profiles)
    found = {profile: known for profile in wanted if (known := _in_session(session, profile))}
    if missing := sorted(wanted - found.keys()):
        rows = await session.execute(_PARTICIPANTS, {"profiles": missing})
        found |= {profile.id: Participant(profile, member) for profile, member in rows}
    return found


def _in_session(session: AsyncSession, profile: str) -> Participant | None:
    """Return a participant whom the session has read already."""
    known = held(session, Profile, profile)
    member = held(session, Member, known.member_id) if known else None
    return Participant(known, member) if known and member else None


async def participant(session: AsyncSession, profile: str) -> Participant:
    """Return the participant behind a profile id. Raises UnknownProfile."""
    return (await participants_of(session, profile))[profile]


async def participants_of(session: AsyncSession, *profiles: str) -> dict[str, Participant]:
    """Return the participants behind profile ids. Raises UnknownProfile if one is not in the database."""
    found = await participants(session, profiles)
    for profile in profiles:
        if profile not in found:
            raise UnknownProfile(f"profile {profile} is not in the database")
    return found


def program_of(programs: Programs, name: str) -> Program:
    """Return a program by id. Raises UnknownProgram."""
    if name not in programs:
        raise UnknownProgram(f"program {name} is not loaded here")
    return programs[name]
