"""Who takes part in a cohort: sign-ups by the minute, schedules by event, and the yearly window (COH1, COH3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from activities.event_handlers import HANDLERS
from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from database.models import Cohort, CohortMember, Member
from database.session import Database
from lifecycles.cohorts.membership import current_or_next
from lifecycles.workflow_commands import WorkflowCommand
from rules.events import check_event, subject
from rules.program import load_program
from rules.program.catalogue import load_catalogue
from tests.support.programs.cohorts import at, laac

MENTORS4U = load_program(Path("programs/mentors4u-colombia.toml"))
PROGRAMS = {program.id: program for program in (laac(), MENTORS4U)}
Send = Callable[..., Any]


class SignUps:
    """Events, applied to a database by their handlers."""

    def __init__(self, database: Database) -> None:
        self.database, self.sent = database, 0

    async def send(
        self, when: datetime, kind: str, heard: datetime | None = None, history: bool = False, **data: Any
    ) -> list[WorkflowCommand]:
        """Apply an event that happened at an instant, heard of then or later."""
        checked, wrong = check_event(kind, data)
        assert not wrong, wrong
        self.sent += 1
        about = subject(kind, checked)
        event = StoredEvent(
            self.sent, "/tests", str(self.sent), kind, about, checked, when, heard or when, history
        )
        async with self.database.begin() as session:
            return await HANDLERS[kind](HandlerContext(session, PROGRAMS, load_catalogue()), event)

    async def profile(
        self, name: str, when: datetime, program: str = "asis-laac", **more: Any
    ) -> list[WorkflowCommand]:
        """A member with a profile of their own."""
        async with self.database.begin() as session:
            if await session.get(Member, name) is None:
                email, since = f"{name}@example.org", at("2028-01-01T00:00")
                person = {"id": name, "name": name, "email": email, "standing": "good"}
                session.add(Member(**person, standing_since=since, updated_at=since))
        return await self.send(
            when, "profile.created", profile=f"p-{name}", member=name, role="mentee", program=program, **more
        )

    async def schedule(self, cohort: str, when: datetime, **data: Any) -> list[WorkflowCommand]:
        """A cohort of Mentors4u that an event schedules."""
        days = {"opens": "2028-02-01", "closes": "2028-02-18", "kick_off": "2028-03-06"}
        given: dict[str, Any] = {"cohort": cohort, "program": "mentors4u-colombia", **days, **data}
        return await self.send(when, "cohort.scheduled", **given)

    async def members(self) -> dict[str, list[str]]:
        """The members of each cohort."""
        found: dict[str, list[str]] = {}
        async with self.database.reading() as session:
            rows = await session.scalars(select(CohortMember).order_by(CohortMember.profile_id))
            for row in rows:
                found.setdefault(row.cohort_id, []).append(row.profile_id[2:])
        return found


@pytest.fixture
def sign_ups(database: Database) -> SignUps:
    return SignUps(database)


@pytest.mark.rule("COH1")
async def test_whole_days_of_the_program_count_to_the_minute(sign_ups: SignUps) -> None:
    """6 May, 23:59 in Mexico City is 7 May in São Paulo and in Madrid: the window is that of the program."""
    for name, when in (
        ("early", "2028-04-20T23:59"),
        ("first", "2028-04-21T00:00"),
        ("last", "2028-05-06T23:59:59"),
        ("late", "2028-05-07T00:00"),
    ):
        await sign_ups.profile(name, at(when))
    assert await sign_ups.members() == {"asis-laac-2028": ["first", "last"]}


@pytest.mark.rule("T10", "COH1")
@pytest.mark.parametrize(
    ("taken_over", "members"), [("2028-05-22", {"asis-laac-2028": ["ana"]}), ("2028-05-24", {})]
)
async def test_history_joins_until_the_kick_off(
    sign_ups: SignUps, taken_over: str, members: dict[str, list[str]]
) -> None:
    """The kick-off is on 23 May; who signed up before the take-over gets no mail about it."""
    heard = at(f"{taken_over}T10:00")
    commands = await sign_ups.profile("ana", at("2028-04-22T10:00"), heard=heard, history=True)
    assert await sign_ups.members() == members
    assert [command.name for command in commands if command.name == "Onboarding"] == []


@pytest.mark.rule("COH1")
async def test_first_sign_up_makes_the_cohort_of_its_window(sign_ups: SignUps) -> None:
    """As on a new database in the middle of a window; the next sign-up finds it."""
    commands = await sign_ups.profile("ana", at("2028-04-22T10:00"))
    assert [command.workflow for command in commands if command.name == "Cohort"] == ["cohort/asis-laac-2028"]
    commands = await sign_ups.profile("bea", at("2028-04-23T10:00"))
    assert [command.workflow for command in commands if command.name == "Cohort"] == []


@pytest.mark.rule("COH3")
async def test_profile_from_outside_takes_part_by_an_update_inside(sign_ups: SignUps) -> None:
    await sign_ups.profile("ana", at("2028-01-10T10:00"))
    assert await sign_ups.members() == {}
    await sign_ups.send(at("2028-05-01T10:00"), "profile.updated", profile="p-ana", interests=["Ajedrez"])
    await sign_ups.send(at("2028-05-02T10:00"), "profile.updated", profile="p-ana", interests=["Fútbol"])
    assert await sign_ups.members() == {"asis-laac-2028": ["ana"]}


@pytest.mark.rule("COH1", "T9")
async def test_sign_up_that_is_reported_late_counts_by_its_own_time(sign_ups: SignUps) -> None:
    await sign_ups.profile("first", at("2028-04-21T10:00"))
    await sign_ups.profile("ana", at("2028-01-10T10:00"))
    inside, heard = at("2028-05-06T20:00"), at("2028-05-09T08:00")
    await sign_ups.send(inside, "profile.updated", heard, profile="p-ana", interests=["Ajedrez"])
    assert await sign_ups.members() == {"asis-laac-2028": ["ana", "first"]}


@pytest.mark.rule("COH1", "COH4")
async def test_event_schedules_a_cohort_and_moves_it_before_it_opens(sign_ups: SignUps) -> None:
    when = at("2028-01-10T10:00")
    (command,) = await sign_ups.schedule("bogota", when)
    assert (command.kind, command.workflow) == ("start", "cohort/bogota")
    (command,) = await sign_ups.schedule("bogota", when, kick_off="2028-03-13")
    assert (command.kind, command.name) == ("update", "reschedule")
    with pytest.raises(RefusedEvent, match=r"overlaps with that of cohort/bogota"):
        await sign_ups.schedule("cali", when, opens="2028-02-18", closes="2028-02-25")
    with pytest.raises(RefusedEvent, match="its window was over"):
        await sign_ups.schedule("late", at("2028-02-01T10:00"), opens="2028-01-01", closes="2028-01-09")
    with pytest.raises(RefusedEvent, match=r"cohort/bogota is a cohort of mentors4u-colombia"):
        await sign_ups.schedule("bogota", when, program="asis-laac")


@pytest.mark.rule("COH4")
async def test_member_of_two_programs_takes_part_in_both(sign_ups: SignUps) -> None:
    await sign_ups.schedule(
        "bogota", at("2028-04-01T10:00"), opens="2028-04-10", closes="2028-05-20", kick_off="2028-06-01"
    )
    when = at("2028-04-25T10:00")
    await sign_ups.profile("ana", when)
    await sign_ups.send(
        when, "profile.created", profile="q-ana", member="ana", role="mentor", program="mentors4u-colombia"
    )
    assert await sign_ups.members() == {"asis-laac-2028": ["ana"], "bogota": ["ana"]}


@pytest.mark.rule("COH3")
async def test_withdrawn_profile_leaves_its_cohort(sign_ups: SignUps) -> None:
    await sign_ups.profile("ana", at("2028-04-25T10:00"))
    await sign_ups.send(at("2028-05-02T10:00"), "profile.withdrawn", profile="p-ana")
    async with sign_ups.database.reading() as session:
        (row,) = await session.scalars(select(CohortMember))
        assert row.left_at == at("2028-05-02T10:00")


@pytest.mark.rule("COH1")
@pytest.mark.parametrize(
    ("now", "cohort"),
    [("2028-04-20", "asis-laac-2028"), ("2028-05-06", "asis-laac-2028"), ("2028-05-07", "asis-laac-2029")],
)
def test_window_that_is_open_or_opens_next_is_announced(now: str, cohort: str) -> None:
    facts = current_or_next(laac(), at(f"{now}T12:00"))
    assert facts is not None
    assert facts.cohort == cohort
    assert current_or_next(MENTORS4U, at(f"{now}T12:00")) is None


@pytest.mark.parametrize(
    ("days", "pointer"),
    [
        ({"closes": "2028-01-31"}, "/data/closes"),
        ({"kick_off": "2028-02-18"}, "/data/kick_off"),
        ({"opens": "2028-02-30"}, "/data/opens"),
        ({"kick_off": "2030-03-06"}, "/data/kick_off"),
    ],
)
def test_days_in_the_wrong_order_are_refused_with_the_field(days: dict[str, str], pointer: str) -> None:
    right = {"opens": "2028-02-01", "closes": "2028-02-18", "kick_off": "2028-03-06"}
    data = {"cohort": "bogota", "program": "mentors4u-colombia", **right, **days}
    _, wrong = check_event("cohort.scheduled", data)
    assert [each.pointer for each in wrong] == [pointer]


async def test_row_of_a_cohort_has_its_days(sign_ups: SignUps) -> None:
    await sign_ups.schedule("bogota", at("2028-01-10T10:00"), partners=["javeriana"], months=4)
    async with sign_ups.database.reading() as session:
        row = await session.get_one(Cohort, "cohort/bogota")
    assert (row.opens_on, row.closes_on, row.kick_off_on) == ("2028-02-01", "2028-02-18", "2028-03-06")
    assert (row.months, row.partners, row.state) == (4, ["javeriana"], "announced")


@pytest.mark.rule("COH1")
async def test_closed_window_names_the_next_scheduled_cohort(sign_ups: SignUps) -> None:
    """Nobody knows the next one at first, and the one that is over is not named. 22:59 is 23:59 in Bogotá."""
    program = MENTORS4U.id
    (before,) = await sign_ups.profile("ana", at("2028-01-09T10:00"), program)
    await sign_ups.schedule("bogota", at("2028-01-10T10:00"))
    (ahead,) = await sign_ups.profile("bea", at("2028-01-11T10:00"), program)
    inside = await sign_ups.profile("cleo", at("2028-02-18T22:59"), program)
    (after,) = await sign_ups.profile("dora", at("2028-02-20T10:00"), program)
    assert inside == []
    found = [
        ((each.argument or {})["window_opens"], (each.argument or {})["window_closes"])
        for each in (before, ahead, after)
    ]
    opening = ("2028-02-01T05:00:00+00:00", "2028-02-19T04:59:00+00:00")
    assert found == [(None, None), opening, (None, None)]
    assert {each.name for each in (before, ahead, after)} == {"Onboarding"}
