"""Bounces through a real Postfix, and a real Dovecot's mailbox with them: nothing of ours plays the mail server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import func, select
from temporalio.client import Client

from activities.inbox import InboxActivities
from database.models import Event, Message
from mail.reports.imap import ImapSettings
from mail.smtp.oauth2 import OAuth2Settings
from rules.program.catalogue import load_catalogue
from tests.mail.test_bounces import complaint, status_report
from tests.support.delivery import (
    AT,
    DUE,
    NUDGE,
    DeliveryFixture,
    check_ins,
    deliveries,
    environment,
    migrated_url,
    send,
)
from tests.support.limits import PATIENCE
from tests.support.servers.dovecot_server import dovecot, token_check
from tests.support.servers.oauth_mail import USER, sign_in
from tests.support.servers.postfix_server import postfix
from worker.bounce_listener import BounceHandler, bounce_listener
from worker.bounce_mailbox import BounceMailbox

__all__ = ["deliveries", "migrated_url"]

ANSWERS = {
    "gone": "550 5.1.1 <gone@example.org>: Recipient address rejected: User unknown",
    "spam": "550 5.7.1 Message rejected due to local policy",
    "full": "552 5.2.2 The mailbox is full",
    "listed": "554 5.7.1 Recipient address was suppressed due to customer policy",
}
PASSWORD = "the mailbox's password"


class FarServer:
    """The server of the members' addresses: it refuses by the local part."""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse a recipient, or take it (called by aiosmtpd)."""
        if answer := ANSWERS.get(address.partition("@")[0]):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail (called by aiosmtpd)."""
        return "250 2.0.0 kept"


@asynccontextmanager
async def far_server() -> AsyncIterator[int]:
    """Run the far server within the block; yield its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(FarServer(), loop=loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def stored(deliveries: DeliveryFixture) -> int:
    async with deliveries.database.reading() as session:
        return await session.scalar(select(func.count(Event.id))) or 0


@pytest.mark.rule("MAIL7", "MAIL10")
@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
async def test_bounces_of_a_real_postfix_come_back_with_their_class(deliveries: DeliveryFixture) -> None:
    """Postfix takes each mail, is refused by the far server, and mails its report to the bounce address."""

    async def nobody() -> None:
        return None

    keys = [one.key for one in check_ins(len(ANSWERS) + 1)]
    await deliveries.plan(*check_ins(len(keys)))
    handler = BounceHandler(deliveries.database, nobody, lambda: AT)
    async with bounce_listener(handler, "127.0.0.1", 0) as bounces, far_server() as far:
        with postfix(far, bounces) as relay:
            async with deliveries.mailing(relay) as mail:
                for key, name in zip(keys, [*ANSWERS, "ana"], strict=True):
                    await deliveries.member(email=f"{name}@example.org")
                    assert [outcome.decision for outcome in await send(mail, key)] == ["sent"]
            async with asyncio.timeout(PATIENCE):
                while await stored(deliveries) < len(ANSWERS):  # noqa: ASYNC110 - what is waited for is in a database
                    await asyncio.sleep(0.1)
    client = await Client.connect("127.0.0.1:1", lazy=True)
    inbox = InboxActivities(deliveries.database, deliveries.programs, client, load_catalogue())
    await environment(DUE).run(inbox.apply_events)
    rows = {(row.recipient or "").partition("@")[0]: row for row in await deliveries.rows()}
    assert {name: (row.state, row.came_back) for name, row in rows.items()} == {
        "gone": ("sent", "hard"),
        "spam": ("sent", "refused"),
        "full": ("sent", "soft"),
        "listed": ("sent", "refused"),
        "ana": ("sent", None),
    }
    assert rows["gone"].came_back_reason == "no such mailbox (550 5.1.1)"
    assert (rows["listed"].came_back_reason or "").startswith("on the provider's suppression list")
    async with deliveries.database.reading() as session:
        assert await session.scalar(select(func.count(Message.id))) == len(keys)


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("done", ["", "Done"])
async def test_bounces_in_a_real_dovecot_are_read_once(deliveries: DeliveryFixture, done: str) -> None:
    """Signed in by password or by token, before and after a restart of Dovecot's client: none is read twice."""
    await deliveries.plan(NUDGE)
    notified: list[str] = []

    async def notify() -> None:
        notified.append("arrived")

    async with sign_in() as at, token_check(at.valid) as tokens:
        with dovecot(PASSWORD, tokens) as box:
            by_password = ImapSettings(
                box.host, box.port, USER, PASSWORD, ca_file=box.ca_file, done_folder=done
            )
            by_token = ImapSettings(
                box.host,
                box.port,
                USER,
                oauth2=OAuth2Settings(at.url, "client-1", "a secret"),
                ca_file=box.ca_file,
                done_folder=done,
            )
            for number, settings in ((0, by_password), (10, by_token)):
                mailbox = BounceMailbox(settings, deliveries.database, notify, lambda: AT)
                box.put(number + 1, status_report(number=number))
                box.put(number + 2, b"Subject: holidays\r\n\r\nI am away.\r\n")
                box.put(number + 3, complaint())
                assert await mailbox.look() == 3
                assert await mailbox.look() == 0
                restarted = BounceMailbox(settings, deliveries.database, notify, lambda: AT)
                assert await restarted.look() == 0
            assert len(box.read(done)) == 6
            assert len(box.read()) == (0 if done else 6)
            at.valid.clear()
            assert await mailbox.look() == 0, "a token that Dovecot refuses is renewed once"
            assert len(at.asked) == 3
    assert await stored(deliveries) == 3, "two failures, and one complaint that came twice"
    assert len(notified) == 2
