"""Who is who in what the commands print: names, and the zones in which people read their clocks."""

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
        """Read them; ids that are not known are left out."""
        return cls(await participants(session, profiles), programs)

    def name(self, profile: str) -> str:
        """`Ana Pérez (p-ana)`, or only the id."""
        who = self._found.get(profile)
        return f"{who.member.name} ({profile})" if who else profile

    def zone(self, profile: str, program: str) -> str:
        """The zone in which a message to this profile is scheduled; the program's for staff."""
        known, who = self._programs.get(program), self._found.get(profile)
        if known and who:
            return who.calendar(known).zone
        if known:
            return known.hours.zone
        return (who.member.time_zone if who else None) or "UTC"
