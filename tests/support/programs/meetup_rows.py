"""A meetup in the database: Ana has answered with yes, Marcus not yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from database.models import Meetup, MeetupInvitation
from lifecycles.meetups.meetup_situation import meetup_row
from rules.meetup import MeetupFacts
from rules.program import load_program
from tests.support.programs.program_files import BUNDLED


def meetup(at: datetime, id: str = "m-1", **data: Any) -> Meetup:
    """A meetup ten days after an instant."""
    program, starts = load_program(BUNDLED), at + timedelta(days=10)
    facts = MeetupFacts(id, program.id, at - timedelta(days=1), starts, starts + timedelta(hours=1))
    local = f"{starts.astimezone().replace(tzinfo=None).isoformat()}"
    given = {"title": "Spring <meetup>", "starts_at": local, "time_zone": "America/New_York"}
    return meetup_row(facts, {**given, **data}, program)


def invitation(at: datetime, number: int, member: str, profile: str, **values: Any) -> MeetupInvitation:
    """An invitation of the day before an instant."""
    return MeetupInvitation(
        workflow="meetup/m-1",
        member_id=member,
        number=number,
        profile_id=profile,
        uid=f"{number:032}",
        invited_at=at - timedelta(days=1),
        planned_for=1,
        **values,
    )


def with_answers(at: datetime) -> list[Any]:
    """The meetup, with both invited."""
    yes = {"answer": "yes", "answered_at": at, "answered_by": "link"}
    return [meetup(at), invitation(at, 1, "ana", "p-ana", **yes), invitation(at, 2, "marcus", "p-marcus")]
