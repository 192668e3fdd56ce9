"""Nudges per person and day: the most urgent go, the others wait for the next business morning (MAIL11)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from activities.delivery import MailActivities, Outcome, SendMail
from database import ledger
from database.models import Message, NudgePlace
from rules.agenda import PlannedMail
from rules.messages import CATALOGUE, MessageClass, urgency
from staff.views.messages import message_views
from tests.support.delivery import (
    AT,
    NUDGE,
    OWED,
    DeliveryFixture,
    bundled,
    deliveries,
    environment,
    migrated_url,
    received,
)
from tests.support.servers.hostile_smtp import HostileSmtp

pytestmark = pytest.mark.rule("MAIL11", "T4")

__all__ = ["deliveries", "migrated_url"]

MONDAY = datetime(2028, 3, 13, 14, tzinfo=UTC)
"""Monday, 09:00 in Bogotá."""
FRIDAY = datetime(2028, 3, 17, 14, tzinfo=UTC)
"""Before a Monday that is a holiday in Colombia: Saint Joseph."""
DAY = timedelta(days=1)

CHECK_IN = replace(NUDGE, due=MONDAY)
PULSE = PlannedMail("pulse", MONDAY, "mentee.checkin", "p-ana", occurrence=2, number=2)


def capped(deliveries: DeliveryFixture, cap: int | None = 1) -> DeliveryFixture:
    """The same database under a program with a cap."""
    program = replace(bundled(), mail=replace(bundled().mail, nudges_per_day=cap))
    return replace(deliveries, programs={"asis-global": program})


async def plan(
    fixture: DeliveryFixture,
    workflow: str,
    *mails: PlannedMail,
    at: datetime = AT,
    because: str = "no longer due",
) -> None:
    async with fixture.database.begin() as session:
        await ledger.plan(session, workflow, "asis-global", mails, at, because, {"p-ana": "ana"})


async def send(
    mail: MailActivities, workflow: str, *keys: str, at: datetime, attempt: int = 1
) -> list[Outcome]:
    return await environment(at, attempt, workflow).run(mail.send_mail, SendMail(workflow, list(keys)))


async def rows(fixture: DeliveryFixture) -> dict[str, Message]:
    async with fixture.database.reading() as session:
        return {row.workflow: row for row in await session.scalars(select(Message))}


async def places(fixture: DeliveryFixture) -> list[tuple[str, int]]:
    async with fixture.database.reading() as session:
        found = await session.execute(select(NudgePlace.day, NudgePlace.place).order_by(NudgePlace.day))
        return [(row.day, row.place) for row in found]


def spread(count: int, due: datetime) -> list[tuple[str, PlannedMail]]:
    """The same nudge of so many lifecycles of one person, due at one instant."""
    return [(f"onboarding/p-{n}", replace(CHECK_IN, due=due)) for n in range(count)]


async def play(
    fixture: DeliveryFixture, mail: MailActivities, planned: Sequence[tuple[str, PlannedMail]], days: int
) -> dict[str, datetime]:
    """Send what is due at each 14:00 UTC for so many days, as the lifecycles would; return when each was sent."""
    first = min(each.due for _, each in planned if each.due)
    for day in range(days):
        for workflow, each in planned:
            row = (await rows(fixture))[workflow]
            if row.state == "planned" and row.due_at and row.due_at <= first + day * DAY:
                await send(mail, workflow, each.key, at=first + day * DAY)
    return {workflow: row.decided_at for workflow, row in (await rows(fixture)).items() if row.decided_at}


async def test_second_nudge_of_a_morning_waits_for_the_next(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    planned = spread(2, MONDAY)
    for workflow, each in planned:
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        (first,) = await send(mail, "onboarding/p-0", "check-in/1", at=MONDAY)
        (second,) = await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY)
        assert (first.decision, second) == ("sent", Outcome("check-in/1", "held", MONDAY + DAY))
        (again,) = await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY + timedelta(hours=3))
        assert again.decision == "held"
        (later,) = await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY + DAY)
        assert (later.decision, later.at) == ("sent", MONDAY + DAY)
    assert len(set(received(server))) == len(server.accepted) == 2
    assert await places(fixture) == [("2028-03-13", 1), ("2028-03-14", 1)]


async def test_three_nudges_on_a_friday_skip_weekend_and_holiday(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    planned = spread(3, FRIDAY)
    for workflow, each in planned:
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        sent = await play(fixture, mail, planned, 8)
    tuesday = FRIDAY + 4 * DAY
    assert sorted(sent.values()) == [FRIDAY, tuesday, tuesday + DAY]
    assert {row.state for row in (await rows(fixture)).values()} == {"sent"}


async def test_most_urgent_nudge_goes_first_whoever_asks_first(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    await plan(fixture, "onboarding/p-ana", replace(CHECK_IN, number=1))
    wrap_up = replace(CHECK_IN, message="mentee.survey", step="survey")
    await plan(fixture, "survey/r-1/mentee", wrap_up)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        (outcome,) = await send(mail, "onboarding/p-ana", "check-in/1", at=MONDAY)
    assert outcome == Outcome("check-in/1", "held", MONDAY + DAY)


async def test_every_nudge_has_its_place_in_the_order_of_urgency() -> None:
    nudges = [each.name for each in CATALOGUE.values() if each.message_class is MessageClass.NUDGE]
    ranked = sorted(nudges, key=urgency)
    assert ranked[0] == "mentor.request_reminder"
    assert {each.partition(".")[2] for each in ranked[-3:]} == {"pulse", "meetup_resources"}


async def test_owed_mail_neither_waits_nor_counts(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    await plan(fixture, "onboarding/p-0", CHECK_IN)
    await plan(fixture, "onboarding/p-1", replace(OWED, due=MONDAY))
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        (owed,) = await send(mail, "onboarding/p-1", "welcome/1", at=MONDAY)
        (nudge,) = await send(mail, "onboarding/p-0", "check-in/1", at=MONDAY)
    assert (owed.decision, nudge.decision) == ("sent", "sent")
    assert await places(fixture) == [("2028-03-13", 1)]


async def test_program_without_a_cap_sends_all_at_once(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries, None)
    assert bundled().mail.nudges_per_day is None
    for workflow, each in spread(3, MONDAY):
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        for workflow, each in spread(3, MONDAY):
            (outcome,) = await send(mail, workflow, each.key, at=MONDAY)
            assert outcome.decision == "sent"
    assert await places(fixture) == []


async def test_nudge_cancelled_while_it_waits_never_goes(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    for workflow, each in spread(2, MONDAY):
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        await send(mail, "onboarding/p-0", "check-in/1", at=MONDAY)
        await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY)
        await plan(fixture, "onboarding/p-1", at=MONDAY + timedelta(hours=2), because="matched")
        (outcome,) = await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY + DAY)
    assert outcome.decision == "cancelled"
    assert (await rows(fixture))["onboarding/p-1"].reason == "matched"
    assert len(server.accepted) == 1


async def test_new_plan_leaves_a_waiting_nudge_where_it_is(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    for workflow, each in spread(2, MONDAY):
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        await send(mail, "onboarding/p-0", "check-in/1", at=MONDAY)
        await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY)
    await plan(fixture, "onboarding/p-1", CHECK_IN, at=MONDAY + timedelta(hours=1))
    row = (await rows(fixture))["onboarding/p-1"]
    assert (row.due_at, row.postponed_from) == (MONDAY + DAY, MONDAY)
    await plan(
        fixture, "onboarding/p-1", replace(CHECK_IN, due=MONDAY + 7 * DAY), at=MONDAY + timedelta(hours=1)
    )
    row = (await rows(fixture))["onboarding/p-1"]
    assert (row.due_at, row.postponed_from) == (MONDAY + 7 * DAY, None)


async def test_reminder_of_a_day_that_passes_does_not_wait(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    answer_by = {"due": (MONDAY + timedelta(hours=8)).isoformat()}
    for workflow, each in spread(2, MONDAY):
        await plan(fixture, workflow, replace(each, context=answer_by))
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        outcomes = [
            (await send(mail, workflow, each.key, at=MONDAY))[0].decision
            for workflow, each in spread(2, MONDAY)
        ]
    assert outcomes == ["sent", "sent"]


async def test_crash_at_each_step_counts_a_nudge_once(deliveries: DeliveryFixture) -> None:
    """The attempt is dropped at each of its commits; the next one neither sends twice nor takes a second place."""
    fixture = capped(deliveries)
    planned = spread(2, MONDAY)
    for workflow, each in planned:
        await plan(fixture, workflow, each)
    for stop in range(1, 12):
        async with HostileSmtp() as server, fixture.mailing(server) as mail:
            for workflow, each in planned:
                attempt = asyncio.create_task(send(mail, workflow, each.key, at=MONDAY, attempt=stop))
                await asyncio.sleep(0.002 * stop)
                attempt.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await attempt
        assert len(await places(fixture)) <= 1
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        for workflow, each in planned:
            with suppress(Exception):
                await send(mail, workflow, each.key, at=MONDAY + timedelta(minutes=5), attempt=20)
    found = await rows(fixture)
    assert await places(fixture) == [("2028-03-13", 1)]
    assert found["onboarding/p-0"].state in ("sent", "ambiguous")
    assert (found["onboarding/p-1"].state, found["onboarding/p-1"].due_at) == ("planned", MONDAY + DAY)


async def test_two_workers_share_the_places_of_a_day(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries, 2)
    planned = spread(6, MONDAY)
    for workflow, each in planned:
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as one, fixture.mailing(server) as other:
        await asyncio.gather(
            *(
                send(mail, workflow, each.key, at=MONDAY)
                for (workflow, each), mail in zip(planned, [one, other] * 3, strict=True)
            ),
            return_exceptions=True,
        )
    states = sorted(row.state for row in (await rows(fixture)).values())
    assert states == ["planned"] * 4 + ["sent"] * 2
    assert await places(fixture) == [("2028-03-13", 1), ("2028-03-13", 2)]
    assert len(server.accepted) == 2


async def test_why_names_the_limit_and_the_day(deliveries: DeliveryFixture) -> None:
    fixture = capped(deliveries)
    for workflow, each in spread(2, MONDAY):
        await plan(fixture, workflow, each)
    async with HostileSmtp() as server, fixture.mailing(server) as mail:
        await send(mail, "onboarding/p-0", "check-in/1", at=MONDAY)
        await send(mail, "onboarding/p-1", "check-in/1", at=MONDAY)
    async with fixture.database.reading() as session:
        found = list(await session.scalars(select(Message).order_by(Message.id)))
        first, second = await message_views(session, found, fixture.programs)
    assert "MAIL11" not in first.why
    assert second.due == MONDAY + DAY
    assert second.why.endswith("MAIL11: at most 1 nudge a day for Ana Pérez (CO), so Tue 14 March")
