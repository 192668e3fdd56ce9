"""A worker that is really killed between a signature and its letter, and between the letter and its mail."""

from __future__ import annotations

import signal
from datetime import timedelta
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path

import pytest
from sqlalchemy import select

from database.models import AuditRecord, Claim, Event, Letter
from embedded.temporal_servers import dev_server
from evidence.dossier import export
from evidence.verifier import verify
from tests.support.credit_fixture import CreditFixture
from tests.support.processes import HoldingSmtp, migrated, worker_process
from tests.support.servers.hostile_smtp import HostileSmtp
from tests.support.servers.postgres_server import PostgresServer

READY = "mentor.credit_ready"


@pytest.mark.rule("CPE5", "CPE8", "CPE10", "CPE11", "MAIL1", "MAIL2")
async def test_worker_killed_around_a_letter_makes_it_exactly_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """The worker dies before the letter and before its mail; no credit is lost."""
    log = tmp_path / "worker.log"
    async with (
        migrated(postgres.url(postgres.create_database())) as database,
        HostileSmtp() as server,
        dev_server(None) as temporal,
    ):
        smtp, credit = HoldingSmtp(server), CreditFixture(temporal.client, database)
        claim = f"claim/{credit.engagement}/mentor/CPP"
        async with worker_process(temporal.port, database.url, server, log) as first:
            await credit.begin(timedelta(days=200))
            await credit.until(Claim, claim, lambda row: row.state == "awaiting_evidence")
            async with database.begin() as session:
                # Nobody can plan the claim, so its letter cannot be made.
                await session.get_one(Claim, claim, with_for_update=True)
                await credit.sign()
                await credit.until_event("letter.signed", "applying")
                first.send_signal(signal.SIGKILL)
                await first.wait()
        async with database.reading() as session:
            assert await session.scalar(select(Letter.id)) is None
        smtp.hold("RCPT", credit.who("mentor"))
        async with worker_process(temporal.port, database.url, server, log) as second:
            await smtp.until_held(credit.who("mentor"))
            second.send_signal(signal.SIGKILL)
            await second.wait()
        smtp.give_up()
        async with worker_process(temporal.port, database.url, server, log):
            await credit.until_sent(claim, READY)
            await credit.until_event("letter.signed", "applied")
        async with database.reading() as session:
            (letter,) = await session.scalars(select(Letter))
            row = await session.get_one(Claim, claim)
            records = await session.scalars(
                select(AuditRecord).where(AuditRecord.subject == claim).order_by(AuditRecord.sequence)
            )
            kinds = [(record.kind, record.data.get("status")) for record in records]
            (event,) = await session.scalars(select(Event).where(Event.type == "letter.signed"))
            (tmp_path / "dossier.zip").write_bytes(await export(session, credit.engagement))
    assert (row.state, row.earned, row.countable) == ("ready", 9, 9)
    assert (letter.claim, letter.data["event"]) == (claim, str(event.id))
    assert [status for kind, status in kinds if kind == "credit"] == [
        "precheck",
        "awaiting_evidence",
        "ready",
    ]
    assert [kind for kind, _ in kinds if kind == "letter"] == ["letter"]
    mails = [message_from_bytes(each.content) for each in server.accepted]
    (mail,) = [mail for mail in mails if attached(mail)]
    assert attached(mail) == [letter.document]
    assert verify(tmp_path / "dossier.zip") == []


def attached(mail: Mail) -> list[object]:
    """The PDFs of a mail."""
    return [
        part.get_payload(decode=True) for part in mail.walk() if part.get_content_type() == "application/pdf"
    ]
