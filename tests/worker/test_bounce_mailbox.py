"""Bounces by IMAP: each mail read once, stored before it is marked, by password or by token (MAIL7)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from database.models import Event
from mail.reports.imap import ImapSettings, SignInRefused
from mail.smtp.oauth2 import OAuth2Settings
from tests.mail.test_bounces import DELIVERY, complaint, status_report
from tests.support.delivery import AT, NUDGE, DeliveryFixture, deliveries, migrated_url
from tests.support.servers.imap_server import ImapServer, imap_server
from tests.support.servers.oauth_mail import USER, sign_in
from worker.bounce_mailbox import BounceMailbox, polling

__all__ = ["deliveries", "migrated_url"]

PASSWORD = "the mailbox's password"


def mailbox(
    server: ImapServer, deliveries: DeliveryFixture, notified: list[str], **more: object
) -> BounceMailbox:
    async def notify() -> None:
        notified.append("arrived")

    settings = ImapSettings("127.0.0.1", server.port, USER, PASSWORD, tls="none")
    return BounceMailbox(
        replace(settings, **more),  # type: ignore[arg-type]
        deliveries.database,
        notify,
        lambda: AT,
    )


async def kinds(deliveries: DeliveryFixture) -> list[str]:
    async with deliveries.database.reading() as session:
        return sorted(event.data["kind"] for event in await session.scalars(select(Event)))


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize(("done", "can_move"), [("", False), ("Done", True), ("Done", False)])
async def test_each_mail_of_the_mailbox_is_read_once(
    deliveries: DeliveryFixture, done: str, can_move: bool
) -> None:
    await deliveries.plan(NUDGE)
    notified: list[str] = []
    async with imap_server(password=PASSWORD, can_move=can_move) as server:
        box = mailbox(server, deliveries, notified, done_folder=done)
        assert await box.look() == 0
        server.put(status_report(), b"Subject: holidays\n\nI am away.\n", complaint())
        assert await box.look() == 3
        assert await box.look() == 0
        assert (server.unread(), len(server.folders["INBOX"])) == (0, 0 if done else 3)
        assert len(server.folders["Done"]) == (3 if done else 0)
    assert await kinds(deliveries) == ["complaint", "hard"]
    assert notified == ["arrived"]


@pytest.mark.rule("MAIL7")
async def test_mail_stays_unread_until_its_report_is_stored(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(NUDGE)
    async with imap_server(password=PASSWORD) as server:
        server.put(status_report())
        box = mailbox(server, deliveries, [])

        async def fail(mails: list[bytes]) -> None:
            raise OSError("the database is away")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(box, "_store", fail)
            with pytest.raises(OSError, match="away"):
                await box.look()
        assert server.unread() == 1
        assert await box.look() == 1
    assert await kinds(deliveries) == ["hard"]


@pytest.mark.rule("MAIL7")
async def test_large_mail_is_read_at_its_beginning(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(NUDGE)
    async with imap_server(password=PASSWORD) as server:
        server.put(status_report(to=f"mentoring+{DELIVERY}@example.org") + b"x" * 5_000_000)
        assert await mailbox(server, deliveries, []).look() == 1
    assert await kinds(deliveries) == ["hard"]


@pytest.mark.rule("MAIL7", "MEM6")
async def test_mailbox_opens_by_token_renewed_once(deliveries: DeliveryFixture) -> None:
    async with sign_in() as at, imap_server(valid=at.valid) as server:
        box = mailbox(
            server, deliveries, [], password="", oauth2=OAuth2Settings(at.url, "client-1", "s" * 20)
        )
        assert await box.look() == 0
        at.valid.clear()
        assert await box.look() == 0
        assert len(at.asked) == 2
        server.valid = set()
        with pytest.raises(SignInRefused) as refused:
            await box.look()
    assert "token" not in str(refused.value)


@pytest.mark.rule("MAIL7", "MEM6")
async def test_mailbox_that_refuses_is_tried_less_often(deliveries: DeliveryFixture) -> None:
    async with imap_server(password="another") as server:
        with capture_logs() as logs:
            async with polling(mailbox(server, deliveries, []), 0.01):
                while len(logs) < 3:  # noqa: ASYNC110 - what is waited for lies in a log
                    await asyncio.sleep(0.01)
    assert {one["event"] for one in logs} == {"bounce_mailbox_not_read"}
    assert {one["error"] for one in logs} == {"SignInRefused"}
