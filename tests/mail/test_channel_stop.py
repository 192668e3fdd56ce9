"""Reports that our own account is refused: the running channel stops, and a probe finds the way back (MAIL10)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from temporalio.client import Client

from activities.delivery import MailActivities
from activities.inbox import InboxActivities
from database import events
from database.models import Event, Member, Message
from mail.reports.bounces import SOURCE
from rules.events import Envelope
from rules.program.catalogue import load_catalogue
from tests.support.delivery import (
    AT,
    DUE,
    DeliveryFixture,
    check_ins,
    deliveries,
    environment,
    migrated_url,
    refused_for_now,
    send,
)
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

ACCOUNT = "our account or quota (554 5.7.60)"
KEYS = [one.key for one in check_ins(8)]
MINUTE = timedelta(minutes=1)
SES = f"{SOURCE}/ses"


class Reports:
    """What comes back for mail, applied by the inbox."""

    def __init__(self, deliveries: DeliveryFixture, inbox: InboxActivities) -> None:
        self._deliveries = deliveries
        self._inbox = inbox
        self._number = 0

    async def come(self, at: datetime, source: str, *keys: str, reason: str = ACCOUNT) -> None:
        """Store a refusal of each message, and apply it."""
        envelopes = []
        for key in keys:
            self._number += 1
            row = await self._deliveries.row(key)
            data = {"delivery": row.delivery, "kind": "refused", "reason": reason}
            envelopes.append(Envelope(str(self._number), source, "mail.bounced", at, data))
        async with self._deliveries.database.begin() as session:
            await events.store(session, envelopes, at)
        await environment(at).run(self._inbox.apply_events)


@asynccontextmanager
async def mailing(
    deliveries: DeliveryFixture, server: HostileSmtp
) -> AsyncIterator[tuple[MailActivities, Reports]]:
    """Eight messages, three of which are sent, each to another member."""
    client = await Client.connect("127.0.0.1:1", lazy=True)
    inbox = InboxActivities(deliveries.database, deliveries.programs, client, load_catalogue())
    await deliveries.plan(*check_ins(8))
    async with deliveries.mailing(server) as mail:
        await send(mail, *KEYS[:3])
        async with deliveries.database.begin() as session:
            for number, row in enumerate(await deliveries.rows()):
                member = Member(
                    id=f"m{number}",
                    name="Ben",
                    email=f"m{number}@example.org",
                    standing="good",
                    standing_since=AT,
                    time_zone="UTC",
                    updated_at=AT,
                    languages=[],
                )
                session.add(member)
                (await session.get_one(Message, row.id)).member_id = member.id
        yield mail, Reports(deliveries, inbox)


@pytest.mark.rule("MAIL10")
@pytest.mark.parametrize("source", [SES, "/association"])
async def test_signed_report_of_our_account_stops_the_channel(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, source: str
) -> None:
    async with mailing(deliveries, hostile_smtp) as (mail, reports):
        with capture_logs() as logs:
            await reports.come(DUE + MINUTE, source, KEYS[0])
        assert [one["event"] for one in logs if one["log_level"] == "error"] == ["mail_channel_stopped"]
        wait = await refused_for_now(mail, *KEYS[3:6], at=DUE + 2 * MINUTE)
        assert wait >= 14 * MINUTE
        assert [(await deliveries.row(key)).state for key in KEYS[3:6]] == ["planned"] * 3
        assert "our own account" in ((await deliveries.row(KEYS[3])).trouble or "")
        async with deliveries.mailing(hostile_smtp) as other:
            await refused_for_now(other, KEYS[6], at=DUE + 2 * MINUTE)
    assert len(hostile_smtp.accepted) == 3
    assert ("mail_channel", "channel/smtp") in await deliveries.tasks()


@pytest.mark.rule("MAIL10")
async def test_probe_that_does_not_come_back_opens_the_channel(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailing(deliveries, hostile_smtp) as (mail, reports):
        await reports.come(DUE, SES, KEYS[0])
        assert [one.decision for one in await send(mail, KEYS[3], at=DUE + 15 * MINUTE)] == ["sent"]
        await refused_for_now(mail, KEYS[4], at=DUE + 16 * MINUTE)
        await reports.come(DUE + 17 * MINUTE, SES, KEYS[3])
        await refused_for_now(mail, KEYS[4], at=DUE + 29 * MINUTE)
        assert [one.decision for one in await send(mail, KEYS[4], at=DUE + 30 * MINUTE)] == ["sent"]
        await refused_for_now(mail, KEYS[5], at=DUE + 44 * MINUTE)
        opened = await send(mail, *KEYS[5:], at=DUE + 45 * MINUTE)
        assert [one.decision for one in opened] == ["sent"] * 3
        await reports.come(DUE + 50 * MINUTE, SES, KEYS[1])
        assert (await deliveries.row(KEYS[1])).came_back == "refused"
        await deliveries.plan(*check_ins(9))
        late = await send(mail, check_ins(9)[-1].key, at=DUE + 51 * MINUTE)
        assert [one.decision for one in late] == ["sent"], "a late report about mail from before the proof"


@pytest.mark.rule("MAIL7", "MAIL10")
async def test_reader_of_one_mail_cannot_stop_the_channel(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """Who has seen a mail knows its delivery, and can mail any report about it."""
    async with mailing(deliveries, hostile_smtp) as (mail, reports):
        await reports.come(DUE + MINUTE, SOURCE, KEYS[0])
        await reports.come(DUE + MINUTE, SOURCE, KEYS[1])
        assert [one.decision for one in await send(mail, KEYS[3], at=DUE + 2 * MINUTE)] == ["sent"]
        await reports.come(DUE + 3 * MINUTE, SOURCE, KEYS[2])
        await refused_for_now(mail, KEYS[4], at=DUE + 4 * MINUTE)


@pytest.mark.rule("MAIL10")
async def test_report_of_another_cause_leaves_the_channel_open(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailing(deliveries, hostile_smtp) as (mail, reports):
        await reports.come(DUE, SES, *KEYS[:3], reason="policy (550 5.7.1)")
        assert [one.decision for one in await send(mail, KEYS[3], at=DUE + MINUTE)] == ["sent"]


@pytest.mark.rule("MAIL7")
async def test_event_that_names_no_mail_is_refused_and_counted(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """A system that may send events is signed, yet a delivery that it only guesses counts like a guessed report."""
    async with mailing(deliveries, hostile_smtp) as (_, reports):
        guess = {"delivery": "0" * 32, "kind": "hard"}
        async with deliveries.database.begin() as session:
            await events.store(session, [Envelope("guess", "/association", "mail.bounced", DUE, guess)])
        with capture_logs() as logs:
            await environment(DUE).run(reports._inbox.apply_events)
        counted = [one for one in logs if one["event"] == "reports_refused"]
        assert [(one["count"], one["source"]) for one in counted] == [(1, "/association")]
        async with deliveries.database.reading() as session:
            assert await session.scalar(select(Event.state).where(Event.event_id == "guess")) == "refused"
