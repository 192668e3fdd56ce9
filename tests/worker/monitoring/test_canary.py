"""The canary mail: sent once an interval through the real channel, and seen when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from database.models import AuditRecord, Event, MailCanary, Message
from database.session import Database
from embedded.faults import DatabaseFault
from mail.reports.bounces import store_reports
from mail.reports.canary import HEADER, canary_mail, forget_canary, token_of
from mail.reports.imap import ImapSettings
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from tests.support.delivery import bundled
from tests.support.servers.capturing_smtp import CapturingSmtp
from tests.support.servers.imap_server import imap_server
from tests.support.servers.oauth_mail import USER
from tests.worker.monitoring.test_metrics import values
from worker.bounce_mailbox import BounceMailbox
from worker.connections import build_components, canary_of
from worker.errors import Failure
from worker.monitoring.backlog import read_backlog
from worker.monitoring.canary_sender import Canary, canaries
from worker.monitoring.exposition import exposition
from worker.settings import Settings

SENDER, ADDRESS = "mentoring@example.org", "canary@example.org"
QUARTER = timedelta(minutes=15)
AGE = "throughline_canary_age_seconds"


@asynccontextmanager
async def canary(database: Database, smtp: CapturingSmtp) -> AsyncIterator[Canary]:
    """A canary through a channel of its own, as another worker has one."""
    channel = SmtpChannel(SmtpSettings(host=smtp.address[0], port=smtp.address[1]))
    try:
        yield Canary(database, channel, SENDER, ADDRESS, QUARTER)
    finally:
        await channel.aclose()


async def metrics(database: Database, at: datetime | None = None) -> dict[str, float]:
    async with database.reading() as session:
        found = values(exposition(await read_backlog(session, at or datetime.now(UTC))))
    return {name: value for name, value in found.items() if "canary" in name}


async def test_canary_comes_back_through_the_mailbox_for_bounces(
    database: Database, smtp_sink: CapturingSmtp
) -> None:
    assert await metrics(database) == {}

    async def notify() -> None:
        raise AssertionError("a canary is no report")

    async with canary(database, smtp_sink) as sender, imap_server(password="p" * 20) as server:
        assert await sender.send_if_due()
        later = datetime.now(UTC) + timedelta(hours=2)
        assert (await metrics(database, later))[AGE] > 7000
        [sent] = await smtp_sink.wait_for(1)
        server.put(b"Received: from relay.example.org\r\n" + sent.data)
        settings = ImapSettings("127.0.0.1", server.port, USER, "p" * 20, tls="none")
        assert await BounceMailbox(settings, database, notify).look() == 1
    assert (sent.recipients, sent.message["Auto-Submitted"]) == ((ADDRESS,), "auto-generated")
    found = await metrics(database)
    assert found[AGE] < 60
    assert found["throughline_canary_round_trip_seconds"] < 60
    assert found["throughline_canary_last_success_timestamp_seconds"] > 0
    async with database.reading() as session:
        for table in (Message, Event, AuditRecord):
            assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_one_worker_of_the_deployment_sends_it_each_interval(
    database: Database, smtp_sink: CapturingSmtp
) -> None:
    async with canary(database, smtp_sink) as one, canary(database, smtp_sink) as other:
        sent = await asyncio.gather(one.send_if_due(), other.send_if_due())
        assert sorted(sent) == [False, True]
        assert not await one.send_if_due()
        async with database.begin() as session:
            await session.execute(update(MailCanary).values(sent_at=datetime.now(UTC) - QUARTER))
        assert sorted([await one.send_if_due(), await other.send_if_due()]) == [False, True]
    first, second = (received.message[HEADER] for received in smtp_sink.messages)
    assert first != second


async def test_old_or_invented_canary_and_a_report_about_one_change_nothing(database: Database) -> None:
    now = datetime.now(UTC)
    old = canary_mail("0" * 32, SENDER, ADDRESS, now)
    report = b"From: mailer-daemon@example.org\r\nSubject: undelivered\r\n\r\n" + old
    assert token_of(old) == "0" * 32
    assert token_of(report) is None
    await store_reports(database, [(old, ()), (report, ())], now)
    assert await metrics(database) == {}


async def test_canary_goes_on_after_an_outage_and_ends_with_the_block(
    database: Database, smtp_sink: CapturingSmtp
) -> None:
    fault = DatabaseFault(database)
    fault.down = True
    async with canary(database, smtp_sink) as sender:
        sender._interval = timedelta(seconds=0.05)
        async with canaries(sender):
            await asyncio.sleep(0)
            fault.down = False
            await smtp_sink.wait_for(2)
    await forget_canary(database)
    assert await metrics(database) == {}


@pytest.mark.rule("MAIL8")
async def test_address_that_may_not_be_mailed_is_refused(database: Database) -> None:
    def made(**given: str | tuple[str, ...]) -> Canary | None:
        settings = Settings.model_validate({"secret": "a secret of a test", **given})
        program = bundled()
        return canary_of(settings, build_components(settings, database, {program.id: program}))

    assert made() is None
    with pytest.raises(Failure, match="THROUGHLINE_CANARY_ADDRESS: THROUGHLINE_ALLOW"):
        made(canary_address=ADDRESS)
    with pytest.raises(Failure, match="THROUGHLINE_CANARY_ADDRESS: must be one mail address"):
        made(canary_address="canary", allow=("*",))
    assert made(canary_address=ADDRESS, allow=("*@example.org",))
