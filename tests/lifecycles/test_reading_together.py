"""A lifecycle read with its people in one statement: nothing that a plan asks for is read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Member, Message, Onboarding, Profile, Request, Survey
from database.session import Database
from lifecycles.participants import participants
from lifecycles.registry import find_lifecycle
from lifecycles.together import locked_messages, read_together

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
OF_ALL: dict[str, Any] = {
    "program": "asis-global",
    "policy_version": "1",
    "state": "open",
    "state_since": AT,
    "facts": {},
}


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements of the block that read rows."""
    found: list[str] = []

    def note(*call: Any) -> None:
        if str(call[2]).startswith("SELECT") and "FROM" in str(call[2]):
            found.append(str(call[2]))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def a_pair(session: AsyncSession) -> None:
    """Two people with what they have: onboardings, a request, an engagement and a survey."""
    for role in ("mentor", "mentee"):
        session.add(
            Member(
                id=role,
                name=role,
                email=f"{role}@example.org",
                standing="good",
                standing_since=AT,
                updated_at=AT,
            )
        )
        await session.flush()
        profile = Profile(
            id=f"p-{role}", member_id=role, role=role, program="asis-global", created_at=AT, updated_at=AT
        )
        session.add(profile)
        await session.flush()
        session.add(Onboarding(workflow=f"onboarding/p-{role}", profile_id=f"p-{role}", **OF_ALL))
    pair = {"id": "r-1", "mentee_id": "p-mentee", "mentor_id": "p-mentor"}
    session.add(Request(workflow="request/r-1", created_at=AT, **pair, **OF_ALL))
    session.add(Engagement(workflow="engagement/r-1", started_at=AT, **pair, **OF_ALL))
    session.add(
        Survey(
            workflow="survey/r-1/mentee", engagement_id="r-1", role="mentee", profile_id="p-mentee", **OF_ALL
        )
    )


BESIDE = {
    "onboarding/p-mentee": {"onboarding/p-mentee"},
    "request/r-1": {"request/r-1"},
    "engagement/r-1": {"engagement/r-1", "request/r-1"},
    "survey/r-1/mentee": {"survey/r-1/mentee", "engagement/r-1", "request/r-1"},
}
"""The lifecycles that are read with each."""


@pytest.mark.parametrize("workflow", BESIDE)
@pytest.mark.parametrize("lock", [False, True])
async def test_lifecycle_and_its_people_are_one_statement(
    database: Database, workflow: str, lock: bool
) -> None:
    async with database.begin() as session:
        await a_pair(session)
    people = {"p-mentee"} if workflow.startswith("onboarding") else {"p-mentee", "p-mentor"}
    async with database.begin() as session:
        with statements(database) as read:
            row = await read_together(session, workflow, lock=lock)
            assert (await participants(session, people)).keys() == people
            found = [await find_lifecycle(session, each) for each in BESIDE[workflow]]
        assert len(read) == 1
        assert row is not None
        assert row.workflow == workflow
        assert {each.workflow for each in found if each} == BESIDE[workflow]


async def test_messages_are_read_with_their_lifecycle(database: Database) -> None:
    async with database.begin() as session:
        await a_pair(session)
        for occurrence in (1, 2, 3):
            session.add(
                Message(
                    delivery=f"d-{occurrence}",
                    workflow="engagement/r-1",
                    step="check-in",
                    occurrence=occurrence,
                    message="mentee.checkin",
                    message_class="nudge",
                    program="asis-global",
                    to_profile="p-mentee",
                    planned_at=AT,
                    state="planned",
                )
            )
    async with database.begin() as session:
        with statements(database) as read:
            rows = await locked_messages(
                session, "engagement/r-1", ["check-in/3", "check-in/1", "check-in/9"]
            )
            assert await find_lifecycle(session, "engagement/r-1") is not None
        assert rows.keys() == {"check-in/1", "check-in/3"}
        assert len(read) == 1


async def test_lifecycle_that_is_not_there_is_none(database: Database) -> None:
    async with database.begin() as session:
        await a_pair(session)
    async with database.begin() as session:
        assert await read_together(session, "engagement/unknown") is None
        assert await read_together(session, "meetup/m-1") is None
        assert await locked_messages(session, "onboarding/unknown", ["welcome/1"]) == {}


async def test_people_whom_a_savepoint_took_back_are_read_again(database: Database) -> None:
    async with database.begin() as session:
        await a_pair(session)
    async with database.begin() as session:
        nested = await session.begin_nested()
        (await session.get_one(Member, "mentee")).name = "Somebody else"
        await session.get_one(Profile, "p-mentee")
        await session.flush()
        await nested.rollback()
        assert (await participants(session, ["p-mentee"]))["p-mentee"].member.name == "mentee"
