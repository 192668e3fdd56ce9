"""Mail as it was sent is kept for a time, under the recipient's own key, and read on record (MAIL1, STA3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from activities.upkeep.watchdog import WatchdogActivities
from database import mail_bodies, person_keys
from database.key_ring import KeyRing
from database.models import AuditRecord, MailBody, PersonKey
from database.session import Database
from staff.sent_mail import SentMail, read_sent_mail
from staff.views import NotFound
from tests.support.delivery import (
    DUE,
    KEYS,
    NUDGE,
    OWED,
    DeliveryFixture,
    bundled,
    deliveries,
    environment,
    migrated_url,
    send,
)
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

pytestmark = pytest.mark.rule("MAIL1", "STA3")

DAY = timedelta(days=1)


async def read(fixture: DeliveryFixture, delivery: str, database: Database | None = None) -> SentMail:
    """Lina reads a mail."""
    async with (database or fixture.database).begin() as session:
        return await read_sent_mail(session, delivery, "lina", DUE + DAY, fixture.programs)


async def test_sent_mail_is_read_as_it_went_out_and_on_record(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE, replace(OWED, due=DUE + 30 * DAY))
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, NUDGE.key)
    row = await deliveries.row(NUDGE.key)
    found = await read(deliveries, row.delivery)
    assert (found.body, found.content) == ("kept", hostile_smtp.accepted[0].content)
    assert (found.subject, found.sent_to) == (row.subject, "Ana Pérez <ana@example.org>")
    assert "Ana" in found.text
    assert "<h1" in found.html
    assert found.attachments == ()
    async with deliveries.database.reading() as session:
        acts = await session.scalars(select(AuditRecord).where(AuditRecord.kind == "act"))
        assert [(act.subject, act.actor, act.data["act"]) for act in acts] == [
            ("member/ana", "lina", "mail read")
        ]
        stored = await session.scalar(select(MailBody.content))
    assert stored is not None
    assert b"Ana" not in stored
    assert len(stored) < len(hostile_smtp.accepted[0].content)
    planned = await deliveries.row(OWED.key)
    assert (await read(deliveries, planned.delivery)).body == "none"
    with pytest.raises(NotFound, match="no delivery x"):
        await read(deliveries, "x")


async def test_destroyed_key_makes_all_mail_of_a_person_unreadable(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """And no further mail to them is kept."""
    await deliveries.plan(NUDGE, OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, NUDGE.key)
        async with deliveries.database.begin() as session:
            await person_keys.destroy(session, "ana", DUE)
        await send(mail, OWED.key)
    bodies = [
        (await read(deliveries, (await deliveries.row(key)).delivery)).body for key in (NUDGE.key, OWED.key)
    ]
    assert bodies == ["erased", "none"]


async def test_rotated_ring_reads_mail_until_the_wrapping_key_is_gone(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, migrated_url: str
) -> None:
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, NUDGE.key)
    delivery = (await deliveries.row(NUDGE.key)).delivery
    new = "another secret for tests"
    both, only_new = (Database(migrated_url, keys=KeyRing(keys)) for keys in ((new, *KEYS.keys), (new,)))
    assert (await read(deliveries, delivery, only_new)).body == "unreadable"
    assert (await read(deliveries, delivery, both)).body == "kept"
    async with both.begin() as session:
        assert [await person_keys.rewrap(session, 10) for _ in range(2)] == [1, 0]
    assert (await read(deliveries, delivery, only_new)).body == "kept"
    async with deliveries.database.reading() as session:
        assert (await session.scalars(select(PersonKey.member_id))).all() == ["ana"]
    await both.close()
    await only_new.close()


async def test_bodies_are_removed_after_the_days_of_their_program(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, NUDGE.key)
    row = await deliveries.row(NUDGE.key)
    short = replace(bundled(), mail=replace(bundled().mail, mail_content_days=30))
    for programs, after, body in (
        (deliveries.programs, 89 * DAY, "kept"),
        ({"asis-global": short}, 29 * DAY, "kept"),
        ({}, 89 * DAY, "kept"),
        ({"asis-global": short}, 30 * DAY, "removed"),
    ):
        watchdog = WatchdogActivities(deliveries.database, programs, temporal_dev.client)
        await environment(DUE + after).run(watchdog.look_for_overdue)
        found = await read(deliveries, row.delivery)
        assert (found.body, found.content is None) == (body, body == "removed")
    assert found.removed_at == DUE + 30 * DAY
    async with deliveries.database.reading() as session:
        assert await mail_bodies.removals(session, [row.delivery, "x"]) == {row.delivery: found.removed_at}
