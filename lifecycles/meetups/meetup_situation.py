"""The situation of a meetup (MEE1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Meetup, Profile
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs, program_of
from lifecycles.situation import pinned_program
from rules import meetup
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar, instant_in
from rules.durations import parse_duration
from rules.meetup import MeetupFacts, MeetupPlace
from rules.program import Program, program_calendar

USUAL_LENGTH = "PT1H"
"""The duration of a meetup that names none."""


@dataclass(frozen=True, slots=True)
class MeetupSituation:
    """The program of a meetup. Its people are planned apart, a batch at a time."""

    program: Program
    people: Mapping[str, Participant] = field(default_factory=dict)

    @property
    def calendar(self) -> Calendar:
        """The program's."""
        return program_calendar(self.program)

    def agenda(self, facts: MeetupFacts) -> Agenda:
        """Return the meetup's states (MEE1)."""
        return meetup.agenda(facts)

    def apply(self, facts: MeetupFacts, act: Act, now: datetime) -> MeetupFacts:
        """Return the facts after an act of staff. Raises Refused."""
        return meetup.apply(facts, act, now)

    def closed_because(self, facts: MeetupFacts, state: str, on: date) -> str:
        """Return how the meetup is over."""
        return meetup.closed_because(facts, state)


async def load_meetup(
    session: AsyncSession, programs: Programs, facts: MeetupFacts, at: datetime, row: Lifecycle | None
) -> MeetupSituation:
    """Return the situation of a meetup, by the program version that it began with (CPE12). Raises NotOnRecord."""
    if row is None:
        return MeetupSituation(program_of(programs, facts.program))
    return MeetupSituation(await pinned_program(session, programs, row))


def period(starts: str, zone: str, duration: str) -> tuple[datetime, datetime]:
    """Return when a meetup starts and ends, in UTC (T5).

    `starts` is local time in `zone`, or an instant with its offset. A local time that a clock change skips becomes
    the first valid one after the gap; of one that occurs twice it is the first.
    """
    given = datetime.fromisoformat(starts)
    starts_at = given if given.tzinfo else instant_in(zone, given.date(), given.time())
    return starts_at, starts_at + _length(duration)


def _length(duration: str) -> timedelta:
    return parse_duration(duration).timedelta()


def meetup_row(facts: MeetupFacts, data: Mapping[str, Any], program: Program) -> Meetup:
    """Return the row of a meetup that is scheduled; `data` are those of its event."""
    return Meetup(
        workflow=f"meetup/{facts.meetup}",
        id=facts.meetup,
        cohort=facts.cohort or None,
        title=data["title"],
        starts_local=data["starts_at"],
        time_zone=data["time_zone"],
        duration=data.get("duration") or USUAL_LENGTH,
        link=data.get("link"),
        resources=list(data.get("resources") or []),
        starts_at=facts.starts_at,
        ends_at=facts.ends_at,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="scheduled",
        state_since=facts.scheduled_at,
        facts=facts_to_row(facts),
    )


def place_after(row: Meetup, data: Mapping[str, Any]) -> MeetupPlace:
    """Return what a change brings: fields that are absent stay as they are."""
    starts_at, ends_at = period(
        data.get("starts_at") or row.starts_local,
        data.get("time_zone") or row.time_zone,
        data.get("duration") or row.duration,
    )
    return MeetupPlace(
        starts_at,
        ends_at,
        is_elsewhere=bool(data.get("link")) and data["link"] != row.link,
        is_reworded=bool(data.get("title")) and data["title"] != row.title,
        has_resources=bool(data.get("resources")),
    )


def write_place(row: Meetup, data: Mapping[str, Any], facts: MeetupFacts) -> None:
    """Write the words of a change that the rules took."""
    for name, column in (("title", "title"), ("link", "link"), ("starts_at", "starts_local")):
        if data.get(name):
            setattr(row, column, data[name])
    for name in ("time_zone", "duration", "resources"):
        if data.get(name):
            setattr(row, name, data[name])
    row.starts_at, row.ends_at = facts.starts_at, facts.ends_at


def meetups_of(member: str) -> list[Select[str, str]]:
    """Return queries for the open meetups of a member's programs: workflow id, and one profile of the member."""
    return [
        select(Meetup.workflow, func.min(Profile.id))
        .join(Profile, Profile.program == Meetup.program)
        .where(Profile.member_id == member, Profile.withdrawn_at.is_(None), Meetup.closed_at.is_(None))
        .group_by(Meetup.workflow)
    ]


def coming_meetups(program: str, at: datetime) -> Select[str]:
    """Return the query for the meetups of a program that still take place: who joins it now is invited (MEE1)."""
    return select(Meetup.workflow).where(
        Meetup.program == program, Meetup.state == "scheduled", Meetup.ends_at > at
    )
