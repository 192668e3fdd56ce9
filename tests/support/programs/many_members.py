"""Many members of a program, written to the database at once: what a fan-out needs, without thousands of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from database.models import Member, Profile
from database.session import Database
from rules.text import folded_member

JOINED = datetime(2026, 1, 5, 15, tzinfo=UTC)
AT_ONCE = 500


def person(number: int, **details: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of a member in good standing, and of the profile of a mentee."""
    id, email = f"n-{number:05}", f"n-{number:05}@example.org"
    member = {
        "id": id,
        "name": f"Member {number}",
        "email": email,
        "standing": "good",
        "standing_since": JOINED,
        "time_zone": "America/Bogota",
        "country": "CO",
        "languages": ["es"],
        "certifications": [],
        "preferences": {},
        "updated_at": JOINED,
        "folded": folded_member(f"Member {number}", email, id),
    }
    profile = {
        "id": f"p-{number:05}",
        "member_id": id,
        "role": "mentee",
        "program": "asis-global",
        "areas": [],
        "interests": [],
        "languages": [],
        "created_at": JOINED,
        "updated_at": JOINED,
    }
    return {**member, **details}, profile


async def many_members(database: Database, count: int, first: int = 1) -> None:
    """Write so many members with a profile each."""
    for start in range(first, first + count, AT_ONCE):
        people = [person(number) for number in range(start, min(start + AT_ONCE, first + count))]
        async with database.begin() as session:
            await session.execute(insert(Member), [member for member, _ in people])
            await session.execute(insert(Profile), [profile for _, profile in people])


def scheduled(meetup: str, **data: Any) -> tuple[str, dict[str, Any]]:
    """The event that a meetup is scheduled, a year ahead."""
    given = {
        "meetup": meetup,
        "program": "asis-global",
        "title": "Autumn meetup",
        "starts_at": "2028-09-20T12:00:00",
        "time_zone": "America/New_York",
        "link": "https://meet.example.org/autumn",
    }
    return "meetup.scheduled", {**given, **data}
