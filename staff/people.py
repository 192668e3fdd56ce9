"""The names of people, and the time zones in which they read their clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from lifecycles.participants import Participant, participants
from rules.program import Program


class People:
    """The participants behind profile ids."""

    def __init__(self, found: Mapping[str, Participant], programs: Mapping[str, Program]) -> None:
        self._found = found
        self._programs = programs

    @classmethod
    async def of(
        cls, session: AsyncSession, profiles: Iterable[str], programs: Mapping[str, Program]
    ) -> People:
        """Read the participants behind these profiles. Unknown ids are left out."""
        return cls(await participants(session, profiles), programs)

    def label(self, profile: str) -> str:
        """Return the name with the profile, as in `Ana Pérez (p-ana)`; only the id of an unknown profile."""
        who = self._found.get(profile)
        return f"{who.member.name} ({profile})" if who else profile

    def name(self, profile: str) -> str:
        """Return the member's name; the id of an unknown profile."""
        who = self._found.get(profile)
        return who.member.name if who else profile

    def member_name(self, member: str) -> str:
        """Return the name of a member by id; the id of an unknown member."""
        return next((who.member.name for who in self._found.values() if who.member.id == member), member)

    def zone(self, profile: str, program: str) -> str:
        """Return the zone in which a message to this profile is scheduled; the program's for an unknown profile."""
        known, who = self._programs.get(program), self._found.get(profile)
        if known and who:
            return who.calendar(known).zone
        if known:
            return known.hours.zone
        return (who.member.time_zone if who else None) or "UTC"
