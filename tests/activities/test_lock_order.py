"""Planning and sending lock in one order, so that none of them waits for the other (MAIL2)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from activities.planning import AgendaActivities, PlanOnboarding
from database import audit, ledger
from database.links import Links
from rules.acts import Act
from rules.onboarding import OnboardingFacts
from rules.program.catalogue import load_catalogue
from tests.support.delivery import (
    AT,
    DUE,
    NUDGE,
    WORKFLOW,
    DeliveryFixture,
    deliveries,
    environment,
    migrate,
    received,
    send,
)
from tests.support.servers.hostile_smtp import HostileSmtp, after, hostile_smtp
from tests.support.servers.postgres_server import PostgresServer
from worker.assembly import letter_service

__all__ = ["deliveries", "hostile_smtp"]


@pytest.fixture(scope="module")
def migrated_url(postgres: PostgresServer) -> str:
    """PostgreSQL only: SQLite has one writer at a time."""
    url = postgres.url(postgres.create_database())
    migrate(url)
    return url


def planning(deliveries: DeliveryFixture) -> AgendaActivities:
    letters = letter_service(load_catalogue(), Links("http://127.0.0.1:8080", "a test needs no secret"))
    return AgendaActivities(deliveries.database, deliveries.programs, letters)


def extension(number: int) -> PlanOnboarding:
    """An onboarding with four check-ins, and an act that adds one."""
    facts = OnboardingFacts("p-ana", "mentee", AT)
    act = Act(f"extend {number}", "extend", "lina", details={"check_ins": "1"}, at=AT)
    return PlanOnboarding(WORKFLOW, facts, AT + timedelta(minutes=number), [act])


async def first_check_in(deliveries: DeliveryFixture) -> str:
    """Plan the onboarding, and return the key of its first check-in."""
    await environment(AT).run(planning(deliveries).plan_onboarding, extension(0))
    return (await deliveries.rows())[0].key


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_plan_and_delivery_of_one_lifecycle_do_not_deadlock(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, postgres: PostgresServer
) -> None:
    """Both meet at the chain of records: who gets it first has what it needs, and the other has no row yet."""
    key = await first_check_in(deliveries)
    due = (await deliveries.row(key)).due_at
    assert due is not None
    answered = asyncio.Event()
    hostile_smtp.answers("END", after(answered, "250 2.0.0 kept"))
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, key, at=due))
        await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        async with deliveries.database.begin() as holder:
            await audit.lock(holder, WORKFLOW)
            plan = environment(AT).run(planning(deliveries).plan_onboarding, extension(1))
            planned = asyncio.create_task(plan)
            await asyncio.to_thread(postgres.until_waiting, 1, "Lock")
            answered.set()
            await asyncio.to_thread(postgres.until_waiting, 2, "Lock")
        await planned
        assert [outcome.decision for outcome in await sending] == ["sent"]
    assert [row.state for row in await deliveries.rows() if row.key == key] == ["sent"]


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_many_plans_and_deliveries_at_once_all_succeed(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await first_check_in(deliveries)
    rows = await deliveries.rows()
    async with deliveries.mailing(hostile_smtp) as mail:
        work = [send(mail, row.key, at=row.due_at or DUE) for row in rows]
        plans = [
            environment(AT).run(planning(deliveries).plan_onboarding, extension(number))
            for number in range(1, 9)
        ]
        await asyncio.gather(*plans, *work)
    assert len(received(hostile_smtp)) == len(rows)
    assert {row.state for row in await deliveries.rows() if row.key in {row.key for row in rows}} == {"sent"}


@pytest.mark.rule("MAIL2")
async def test_delivered_mail_that_loses_a_deadlock_is_recorded_as_sent(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, postgres: PostgresServer
) -> None:
    """The acceptance is known to this attempt only, so the attempt records it again instead of failing."""
    await deliveries.plan(NUDGE)
    answered = asyncio.Event()
    hostile_smtp.answers("END", after(answered, "250 2.0.0 kept"))
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, NUDGE.key))
        await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        async with deliveries.database.begin() as other:
            # A foreign transaction that locks the other way round, such as one that an administrator opened.
            await other.execute(text("SELECT 1 FROM messages FOR UPDATE"))
            answered.set()
            await asyncio.to_thread(postgres.until_waiting, 1, "Lock")
            await audit.lock(other, WORKFLOW)
        assert [outcome.decision for outcome in await sending] == ["sent"]
    assert await deliveries.tasks() == []
    assert [decision for _, decision in await deliveries.decisions()] == ["sent"]


async def test_lock_of_a_chain_comes_before_changes_that_wait_in_the_session(
    deliveries: DeliveryFixture, postgres: PostgresServer
) -> None:
    """A change that an append would write first must not lock its row while it waits for the chain."""
    await deliveries.plan(NUDGE)

    async def change() -> None:
        async with deliveries.database.begin() as session:
            row = await ledger.found(session, WORKFLOW, NUDGE.key)
            assert row is not None
            row.reason = "changed"
            await audit.append(session, WORKFLOW, "act", AT, {"id": "1"})

    async with deliveries.database.begin() as holder:
        await audit.lock(holder, WORKFLOW)
        changing = asyncio.create_task(change())
        await asyncio.to_thread(postgres.until_waiting, 1, "Lock")
        await holder.execute(text("SELECT 1 FROM messages FOR UPDATE NOWAIT"))
    await changing
