"""Requests: their agenda from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Profile, Request
from lifecycles.participants import Participant, Programs, participants_of, program_of
from lifecycles.situation import in_send_window, pinned_program
from rules import request
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar
from rules.program import Program
from rules.request import RequestFacts


@dataclass(frozen=True, slots=True)
class RequestSituation:
    """The mentor who is asked, the mentee who asks, and the program."""

    mentor: Participant
    mentee: Participant
    program: Program

    @property
    def people(self) -> Mapping[str, Participant]:
        """Both of them."""
        return {each.profile.id: each for each in (self.mentor, self.mentee)}

    @property
    def calendar(self) -> Calendar:
        """The mentor's, who has to answer (T2)."""
        return self.mentor.calendar(self.program)

    def agenda(self, facts: RequestFacts) -> Agenda:
        """Return the request's agenda (REQ1–REQ10)."""
        return in_send_window(
            request.agenda(facts, self.program.request, self.calendar, self.mentee.calendar(self.program)),
            self.program,
            self.people,
        )

    def apply(self, facts: RequestFacts, act: Act, now: datetime) -> RequestFacts:
        """Return the facts after an act. Raises Refused."""
        return request.apply(facts, act, now, self.program.request, self.calendar)

    def closed_because(self, facts: RequestFacts, state: str, on: date) -> str:
        """Return how the request is over."""
        return request.closed_because(facts, state, on)


async def load_request(
    session: AsyncSession, programs: Programs, facts: RequestFacts, at: datetime, row: Lifecycle | None
) -> RequestSituation:
    """Return the situation of a request; one without a row begins with the newest program. Raises NotOnRecord."""
    people = await participants_of(session, facts.mentee, facts.mentor)
    mentor, mentee = people[facts.mentor], people[facts.mentee]
    if row is None:
        return RequestSituation(mentor, mentee, program_of(programs, mentor.profile.program))
    return RequestSituation(mentor, mentee, await pinned_program(session, programs, row))


def requests_of(member: str) -> list[Select[str, str]]:
    """Return queries for the open requests by or to a member: workflow id and the member's profile."""
    return [
        select(Request.workflow, Profile.id)
        .join(Profile, Profile.id == part)
        .where(Profile.member_id == member, Request.closed_at.is_(None))
        for part in (Request.mentee_id, Request.mentor_id)
    ]
