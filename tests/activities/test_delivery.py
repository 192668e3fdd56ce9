"""A delivery under faults: nothing is lost, nothing is doubled, each intent has one decision (MAIL1–MAIL4, MAIL8, T8).

What counts is what the mail server took responsibility for, not what we believe.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.exceptions import ApplicationError

from activities.delivery import MailActivities, Outcome
from activities.delivery.mail_activity import SIDE_BY_SIDE
from database import ledger, mail_bodies, program_trials, suppressions
from database.links import Links
from database.models import DECISIONS, Message, ProgramTrial, Task, TrialGuest
from database.session import Database
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.agenda import PlannedMail
from tests.support.delivery import (
    AT,
    COMPLIANCE,
    DUE,
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    asked,
    check_ins,
    composers,
    deliveries,
    migrated_url,
    received,
    refused_for_now,
    send,
)
from tests.support.limits import PATIENCE
from tests.support.reports.fault_table import FaultRun, Judge
from tests.support.servers.hostile_smtp import (
    HostileSmtp,
    after,
    close,
    drop,
    hang,
    hostile_smtp,
    make_certificate,
    pieces,
    raw,
    say,
)
from worker.assembly import Components

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@contextmanager
def commits(database: Database) -> Iterator[list[object]]:
    """The commits of transactions that write, in the block."""
    found: list[object] = []

    def note(connection: Connection) -> None:
        if not connection.get_execution_options().get("reading"):
            found.append(connection)

    event.listen(database.engine.sync_engine, "commit", note)
    yield found
    event.remove(database.engine.sync_engine, "commit", note)


async def counted(fault_run: Judge, fault: str, deliveries: DeliveryFixture, server: HostileSmtp) -> FaultRun:
    """Count what came of a fault, for the table at the end of the run."""
    decided = [delivery for delivery, _ in await deliveries.decisions()]
    return fault_run(f"mail: {fault}", await deliveries.rows(), received(server), decided)


# --- what a delivery leaves behind


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_message_is_sent_once_and_recorded_as_sent(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        first = await send(mail, NUDGE.key)
        assert first == [Outcome(NUDGE.key, "sent", DUE)]
        assert await send(mail, NUDGE.key, at=DUE + HOUR, attempt=2) == first
    row = await deliveries.row(NUDGE.key)
    assert (row.state, row.decided_at, row.attempts, row.content) == ("sent", DUE, 1, None)
    assert row.response == "250 2.0.0 queued as 1"
    assert received(hostile_smtp) == [row.delivery]
    (message,) = hostile_smtp.accepted
    assert message.recipients == ["ana@example.org"]
    assert f"+{row.delivery}@" in message.sender
    assert row.message_id is not None
    assert row.message_id.encode() in message.content
    assert await deliveries.decisions() == [(row.delivery, "sent")]


@pytest.mark.rule("MAIL2")
async def test_claim_commits_before_the_smtp_transaction_starts(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    release = asyncio.Event()
    hostile_smtp.answers("banner", after(release, "220 at last"))
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, NUDGE.key))
        await hostile_smtp.until(lambda: bool(hostile_smtp.sessions))
        row = await deliveries.row(NUDGE.key)
        assert (row.state, row.attempts) == ("claimed", 1)
        assert row.content
        assert hostile_smtp.commands == []
        release.set()
        await sending
    assert hostile_smtp.accepted[0].content == row.content


@pytest.mark.rule("MAIL2")
async def test_hand_over_commits_before_the_last_byte(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    release = asyncio.Event()
    hostile_smtp.answers("END", after(release, "250 2.0.0 kept"))
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, NUDGE.key))
        await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        assert (await deliveries.row(NUDGE.key)).state == "handed_over"
        release.set()
        assert [outcome.decision for outcome in await sending] == ["sent"]


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_messages_of_one_order_share_each_step_s_transaction(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """The claim is one commit. So are hand-over and decision, unless a message keeps the others waiting."""
    await deliveries.plan(*check_ins(SIDE_BY_SIDE))
    keys = [mail.key for mail in check_ins(SIDE_BY_SIDE)]
    async with deliveries.mailing(hostile_smtp) as mail:
        with commits(deliveries.database) as counted_commits:
            assert [outcome.key for outcome in await send(mail, *keys)] == keys
    assert 3 <= len(counted_commits) < 1 + 2 * SIDE_BY_SIDE
    assert sorted(received(hostile_smtp)) == sorted(row.delivery for row in await deliveries.rows())


@pytest.mark.rule("MAIL1", "MAIL3")
@pytest.mark.parametrize(
    ("step", "usual"), [("banner", "220 at last"), ("DATA", "354 go"), ("END", "250 2.0.0 kept")]
)
async def test_message_waits_for_no_other_that_is_stuck(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, step: str, usual: str
) -> None:
    release = asyncio.Event()
    hostile_smtp.answers(step, after(release, usual))
    await deliveries.plan(*check_ins(3))
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, *(each.key for each in check_ins(3))))
        async with asyncio.timeout(PATIENCE):
            while [row.state for row in await deliveries.rows()].count("sent") < 2:
                await hostile_smtp.until(lambda: len(received(hostile_smtp)) >= 2)
                await asyncio.sleep(0)
        assert not sending.done()
        release.set()
        assert [outcome.decision for outcome in await sending] == ["sent"] * 3


# --- before the last byte: tried again, with the same bytes

NOT_YET = {
    "a crowded greeting": ("banner", close("421 4.7.0 too many connections")),
    "a refused greeting": ("banner", say("554 5.7.1 go away")),
    "a drop at the greeting": ("banner", drop()),
    "nonsense as greeting": ("banner", raw(b"\x00\xff\xfe nonsense\r\n")),
    "a drop after EHLO": ("EHLO", drop()),
    "a drop at MAIL": ("MAIL", drop()),
    "a busy server at MAIL": ("MAIL", say("452 4.3.1 insufficient storage")),
    "a wrong order at MAIL": ("MAIL", say("503 5.5.1 bad sequence")),
    "a greylisted recipient": ("RCPT", say("450 4.2.0 greylisted")),
    "a full mailbox": ("RCPT", say("552 5.2.2 mailbox full")),
    "a command not understood": ("RCPT", say("500 5.5.2 what?")),
    "nonsense at RCPT": ("RCPT", raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "a drop at RCPT": ("RCPT", drop()),
    "no to DATA": ("DATA", say("451 4.3.0 not now")),
    "a drop at DATA": ("DATA", drop()),
    "a drop in the body": ("BODY", drop()),
    "a temporary no to all of it": ("END", say("451 4.7.1 try later")),
}


class UnhurriedDatabase(Database):
    """A database whose transactions begin when what is on its way within this process has come to its end.

    A server that breaks the connection in the body shall have done so before the last byte goes out.
    """

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes."""
        for _ in range(30):
            await asyncio.sleep(0)
        async with super().begin() as session:
            yield session


@pytest.mark.rule("MAIL2", "MAIL3")
@pytest.mark.parametrize("fault", NOT_YET)
async def test_message_not_accepted_is_retried_with_the_same_bytes(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, fault: str
) -> None:
    hostile_smtp.answers(*NOT_YET[fault])
    await deliveries.plan(OWED)
    unhurried = UnhurriedDatabase(deliveries.database.url)
    async with replace(deliveries, database=unhurried).mailing(hostile_smtp) as mail:
        await refused_for_now(mail, OWED.key)
        waiting = await deliveries.row(OWED.key)
        assert (waiting.state, waiting.claimed_by) == ("planned", None)
        assert (waiting.trouble or "").startswith("TryLater")
        assert received(hostile_smtp) == []
        assert [outcome.decision for outcome in await send(mail, OWED.key, at=DUE + HOUR, attempt=2)] == [
            "sent"
        ]
    await unhurried.close()
    row = await deliveries.row(OWED.key)
    assert (row.attempts, row.decided_at) == (2, DUE + HOUR)
    assert received(hostile_smtp) == [row.delivery]
    assert hostile_smtp.accepted[0].content == waiting.content
    assert await deliveries.tasks() == []
    await counted(fault_run, fault, deliveries, hostile_smtp)


@pytest.mark.rule("MAIL3")
@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_server_silent_before_the_last_byte_is_retried(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, step: str
) -> None:
    hostile_smtp.answers(step, hang())
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp, patience=1.0) as mail:
        await refused_for_now(mail, OWED.key)
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, OWED.key, at=DUE + HOUR, attempt=2)
    assert received(hostile_smtp) == [(await deliveries.row(OWED.key)).delivery]
    await counted(fault_run, f"silence at {step}", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL2", "MAIL3")
async def test_server_that_replies_byte_by_byte_gets_each_message_once(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge
) -> None:
    answers = {"banner": b"220 slow\r\n", "DATA": b"354 go\r\n", "END": b"250-kept\r\n250 at last\r\n"}
    for step in ("banner", "MAIL", "RCPT", "DATA", "END"):
        answer = answers.get(step, b"250 ok\r\n")
        hostile_smtp.always(step, pieces(*(answer[at : at + 1] for at in range(len(answer)))))
    await deliveries.plan(*check_ins(3))
    async with deliveries.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, *(one.key for one in check_ins(3)))
    assert [outcome.decision for outcome in outcomes] == ["sent"] * 3
    await counted(fault_run, "slow answers", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL2", "MAIL3")
async def test_mail_waits_until_the_server_offers_trusted_tls(
    deliveries: DeliveryFixture, tmp_path: Path, fault_run: Judge
) -> None:
    made = make_certificate(tmp_path)
    await deliveries.plan(OWED)
    async with HostileSmtp(tls="starttls", certificate=made) as server:
        async with deliveries.mailing(server, tls="starttls") as mail:
            await refused_for_now(mail, OWED.key)
        async with deliveries.mailing(server, tls="starttls", ca_file=made.certificate) as mail:
            for attempt, answer in enumerate([say("454 4.7.0 no TLS now"), drop(), raw(b"220 go\r\n!")], 2):
                server.answers("STARTTLS", replace(answer, stores=False))
                await refused_for_now(mail, OWED.key, attempt=attempt)
            assert "MAIL" not in server.commands
            await send(mail, OWED.key, at=DUE + HOUR, attempt=5)
        await counted(fault_run, "TLS fails", deliveries, server)


@pytest.mark.rule("MAIL1", "MAIL3")
async def test_concurrent_messages_each_get_their_own_reply(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge
) -> None:
    keys = [one.key for one in check_ins(3)]
    hostile_smtp.answers("RCPT", say("250 ok"), say("450 4.2.0 greylisted"), say("250 ok"))
    hostile_smtp.answers("END", say("250 2.0.0 kept"), say("554 5.6.0 not this"))
    await deliveries.plan(*check_ins(3))
    async with deliveries.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, *keys)
        outcomes = await send(mail, *keys, at=DUE + HOUR, attempt=2)
    assert sorted(outcome.decision for outcome in outcomes) == ["failed", "sent", "sent"]
    sent = [row.delivery for row in await deliveries.rows() if row.state == "sent"]
    assert sorted(received(hostile_smtp)) == sorted(sent), "each has the answer to itself"
    run = await counted(fault_run, "partial refusal", deliveries, hostile_smtp)
    assert run.received == 2


@pytest.mark.rule("MAIL3")
async def test_retry_delay_grows_to_an_hour_and_follows_the_server(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """The delays grow to an hour; a reply about a full mailbox makes them longer."""
    hostile_smtp.always("RCPT", say("450 4.2.0 greylisted"))
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        delays = [await refused_for_now(mail, OWED.key, attempt=attempt) for attempt in (1, 2, 3, 8, 500)]
        assert delays == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60)]
        hostile_smtp.always("RCPT", say("552 5.2.2 mailbox full"))
        assert await refused_for_now(mail, OWED.key) == 6 * HOUR


@pytest.mark.rule("MAIL3")
async def test_messages_survive_a_two_day_outage_of_the_mail_server(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge
) -> None:
    await deliveries.plan(NUDGE, OWED, COMPLIANCE)
    keys = (NUDGE.key, OWED.key, COMPLIANCE.key)
    port = hostile_smtp.port
    await hostile_smtp.stop()
    at, attempt = DUE, 1
    async with deliveries.mailing(hostile_smtp) as mail:
        while at < DUE + 2 * DAY:
            at += await refused_for_now(mail, *keys, at=at, attempt=attempt)
            attempt += 1
        await hostile_smtp.start(port)
        await send(mail, *keys, at=at, attempt=attempt)
    assert sorted(received(hostile_smtp)) == sorted(row.delivery for row in await deliveries.rows())
    await counted(fault_run, "server gone for two days", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL1", "MAIL3", "STA2")
async def test_message_refused_for_days_fails_with_a_staff_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    hostile_smtp.always("RCPT", say("450 4.2.0 greylisted"))
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, OWED.key, at=DUE + 4 * DAY)
        (outcome,) = await send(mail, OWED.key, at=DUE + 5 * DAY + HOUR, attempt=90)
    assert outcome.decision == "failed"
    row = await deliveries.row(OWED.key)
    assert row.reason == "not accepted within 5 days; last: TryLater 450 4.2.0"
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]
    assert received(hostile_smtp) == []


# --- after the last byte: the server may have it

DOUBTFUL = {
    "a drop": drop(),
    "nonsense": raw(b"\x16\x03\x01 nonsense\r\n"),
    "a reply of no class": say("354 go on?", stores=True),
}


@pytest.mark.rule("MAIL1", "MAIL2", "STA2")
@pytest.mark.parametrize("wanted", [NUDGE, OWED, COMPLIANCE], ids=lambda mail: mail.message)
@pytest.mark.parametrize("answer", DOUBTFUL)
async def test_ambiguous_message_is_never_resent_and_owed_ones_open_a_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, answer: str, wanted: PlannedMail
) -> None:
    hostile_smtp.answers("END", DOUBTFUL[answer])
    await deliveries.plan(wanted)
    async with deliveries.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, wanted.key)
        assert [outcome.decision for outcome in outcomes] == ["ambiguous"]
        assert await send(mail, wanted.key, at=DUE + HOUR, attempt=2) == outcomes
    assert [message.ended for message in hostile_smtp.messages] == [True]
    assert await deliveries.tasks() == ([] if wanted is NUDGE else [("mail_ambiguous", WORKFLOW)])
    row = await deliveries.row(wanted.key)
    async with deliveries.database.begin() as session:
        body = await mail_bodies.read(session, row.delivery)
    assert body.content == hostile_smtp.messages[0].content, "staff can see what may have arrived"
    assert await deliveries.decisions() == [(row.delivery, "ambiguous")]
    await counted(fault_run, f"{answer} after the message", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL2")
async def test_late_acceptance_causes_no_resend(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge
) -> None:
    late = asyncio.Event()
    hostile_smtp.answers("END", after(late, "250 2.0.0 queued, sorry for the wait"))
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp, patience=2.0) as mail:
        (outcome,) = await send(mail, OWED.key)
        late.set()
        await send(mail, OWED.key, at=DUE + HOUR, attempt=2)
    assert outcome.decision == "ambiguous"
    assert received(hostile_smtp) == [(await deliveries.row(OWED.key)).delivery]
    await counted(fault_run, "a yes that comes too late", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize("state", ["claimed", "handed_over"])
async def test_retry_after_a_dead_worker_follows_the_recorded_state(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, state: str
) -> None:
    """The row that a dead worker left behind decides what the next attempt may do."""
    await deliveries.plan(OWED)
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, OWED.key)
        assert row is not None
        row.state, row.claimed_by, row.claimed_at, row.attempts = state, "a dead worker", DUE, 1
        row.content, row.recipient = b"Subject: rendered\r\n\r\nbefore the end\r\n", "ana@example.org"
    async with deliveries.mailing(hostile_smtp) as mail:
        (outcome,) = await send(mail, OWED.key, attempt=2)
    if state == "claimed":
        assert outcome.decision == "sent"
        assert [message.content for message in hostile_smtp.accepted] == [
            b"Subject: rendered\r\n\r\nbefore the end\r\n"
        ]
    else:
        assert outcome.decision == "ambiguous"
        assert hostile_smtp.sessions == []


# --- the database fails on the way

TRANSACTIONS = ("claim", "last byte", "outcome")


class TornDatabase(Database):
    """A database whose transaction number `at` fails: `undone`, or done and `unsaid`."""

    def __init__(self, url: str, at: int, how: str) -> None:
        super().__init__(url)
        self._left, self._how = at, how

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes, or fails."""
        self._left -= 1
        fails = self._left == 0
        gone = OperationalError("", {}, ConnectionError("the database is gone"))
        if fails and self._how == "undone":
            raise gone
        async with super().begin() as session:
            yield session
        if fails:
            raise gone


@pytest.mark.rule("MAIL1", "MAIL2")
@pytest.mark.parametrize("how", ["undone", "unsaid"])
@pytest.mark.parametrize("failing", TRANSACTIONS)
@pytest.mark.parametrize(
    ("answer", "decision"),
    [("250 2.0.0 kept", "sent"), ("451 4.3.0 not now", "sent"), ("550 5.1.1 no such user", "failed")],
    ids=["yes", "later", "no"],
)
async def test_worker_remembers_the_reply_while_the_database_is_down(
    deliveries: DeliveryFixture,
    hostile_smtp: HostileSmtp,
    fault_run: Judge,
    answer: str,
    decision: str,
    failing: str,
    how: str,
) -> None:
    hostile_smtp.answers("END", say(answer))
    await deliveries.plan(OWED)
    torn = TornDatabase(deliveries.database.url, TRANSACTIONS.index(failing) + 1, how)
    outcomes: list[Outcome] = []
    async with replace(deliveries, database=torn).mailing(hostile_smtp) as mail:
        with pytest.raises(OperationalError):
            await send(mail, OWED.key)
        for attempt in (2, 3):
            with suppress(ApplicationError):
                outcomes = outcomes or await send(mail, OWED.key, at=DUE + HOUR, attempt=attempt)
    await torn.close()
    assert [outcome.decision for outcome in outcomes] == [decision]
    await counted(fault_run, f"database fails at the {failing}", deliveries, hostile_smtp)


# --- a clear no


@pytest.mark.rule("MAIL3", "STA2")
@pytest.mark.parametrize(
    "answer", ["550 5.1.1 no such user", "551 not local", "553 5.1.3 bad address", "556 5.1.10 null MX"]
)
async def test_refused_recipient_is_suppressed_with_one_staff_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, answer: str
) -> None:
    hostile_smtp.answers("RCPT", say(answer))
    await deliveries.plan(OWED, NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        assert [outcome.decision for outcome in await send(mail, OWED.key)] == ["failed"]
        asked = len(hostile_smtp.commands)
        assert [outcome.decision for outcome in await send(mail, NUDGE.key)] == ["suppressed"]
        assert len(hostile_smtp.commands) == asked
    assert await deliveries.tasks() == [("address_suppressed", "member/ana")]
    assert (await deliveries.row(NUDGE.key)).reason == (
        f"the address is suppressed since 2028-03-13: the address was refused ({answer[:3]})"
    )
    await counted(fault_run, "a refused recipient", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL3", "STA2")
@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("MAIL", "552 5.3.4 too big"),
        ("RCPT", "550 5.7.1 blocked as spam"),
        ("DATA", "554 5.6.0 not this"),
        ("END", "554 5.7.1 spam"),
        ("END", "552 5.3.4 too big"),
        ("END", "550 5.6.0 bad content"),
    ],
)
async def test_refused_content_fails_without_suppressing_the_address(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, step: str, answer: str
) -> None:
    hostile_smtp.answers(step, say(answer))
    await deliveries.plan(OWED, NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        assert [outcome.decision for outcome in await send(mail, OWED.key)] == ["failed"]
        assert [outcome.decision for outcome in await send(mail, NUDGE.key)] == ["sent"]
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]
    assert received(hostile_smtp) == [(await deliveries.row(NUDGE.key)).delivery]
    await counted(fault_run, f"a refused text at {step}", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL3", "STA2")
async def test_refused_login_opens_the_circuit_with_one_alarm(
    deliveries: DeliveryFixture, fault_run: Judge
) -> None:
    """A refused login stops the channel, raises one alarm, and loses no message."""
    keys = [mail.key for mail in check_ins(6)]
    await deliveries.plan(*check_ins(6))
    async with HostileSmtp(users={"worker": "right"}) as server:
        async with deliveries.mailing(server, password="wrong") as mail:
            for attempt in (1, 2):
                assert await refused_for_now(mail, *keys, attempt=attempt) == timedelta(minutes=15)
            waiting = await asyncio.gather(
                *(send(mail, key, attempt=3) for key in keys), return_exceptions=True
            )
            assert all(isinstance(error, ApplicationError) for error in waiting)
            assert server.logins == [("worker", False)]
        assert await deliveries.tasks() == [("mail_channel", "channel/smtp")]
        assert {row.state for row in await deliveries.rows()} == {"planned"}
        async with deliveries.mailing(server, password="right") as mail:
            await send(mail, *keys, at=DUE + HOUR, attempt=4)
        assert sorted(received(server)) == sorted(row.delivery for row in await deliveries.rows())
        await counted(fault_run, "a refused login", deliveries, server)
    assert {decision for _, decision in await deliveries.decisions()} == {"sent"}


@pytest.mark.rule("MAIL10", "STA2")
async def test_refused_account_stops_the_channel_until_a_probe_is_accepted(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    keys = [mail.key for mail in check_ins(6)]
    await deliveries.plan(*check_ins(6))
    hostile_smtp.always("RCPT", say("554 Sending paused for this account"))
    async with deliveries.mailing(hostile_smtp) as mail:
        for attempt in (1, 2):
            assert await refused_for_now(mail, *keys, attempt=attempt) == timedelta(minutes=15)
        assert hostile_smtp.commands.count("RCPT") <= SIDE_BY_SIDE, (
            "only those that were on their way at once"
        )
    async with deliveries.mailing(hostile_smtp, probe_interval=0) as mail:
        await refused_for_now(mail, *keys, at=DUE + HOUR)
        assert {row.state for row in await deliveries.rows()} == {"planned"}
        assert await deliveries.tasks() == [("mail_channel", "channel/smtp")]
        hostile_smtp.always("RCPT", None)
        assert [outcome.decision for outcome in await send(mail, *keys, at=DUE + HOUR)] == ["sent"] * 6
    async with deliveries.database.reading() as session:
        (task,) = await session.scalars(select(Task))
    assert (task.state, task.closed_by) == ("done", "program")


@pytest.mark.rule("MAIL10", "STA2")
async def test_one_answer_to_several_recipients_stops_the_channel(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """No wording is needed, and ids and addresses in the answer do not count."""
    mails = check_ins(6)
    await deliveries.plan(*mails)
    async with deliveries.mailing(hostile_smtp) as mail:
        for number, each in enumerate(mails):
            hostile_smtp.answers("RCPT", say(f"554 nope <a{number}@example.org> id {number}f{number}"))
            await deliveries.member(email=f"ana{number}@example.org")
            await refused_for_now(mail, each.key)
        assert hostile_smtp.commands.count("RCPT") == 3
    assert {row.state for row in await deliveries.rows()} == {"planned"}
    assert await deliveries.tasks() == [("mail_channel", "channel/smtp")]


@pytest.mark.rule("MAIL3", "MAIL10")
async def test_unclear_refusal_of_one_message_fails_once_confirmed(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        hostile_smtp.answers("RCPT", say("554 nope"))
        assert await refused_for_now(mail, OWED.key) == timedelta(minutes=5)
        hostile_smtp.answers("RCPT", say("554 nope"))
        (outcome,) = await send(mail, OWED.key, attempt=2)
    assert outcome.decision == "failed"
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]


# --- what must not go out


@pytest.mark.rule("T8")
@pytest.mark.parametrize(
    ("mail_due", "days", "decision", "tasks"),
    [
        (NUDGE, 3, "sent", []),
        (NUDGE, 4, "skipped", []),
        (OWED, 7, "sent", []),
        (OWED, 8, "skipped", [("mail_failed", WORKFLOW)]),
        (COMPLIANCE, 30, "sent", []),
    ],
    ids=lambda value: value.message if isinstance(value, PlannedMail) else str(value),
)
async def test_late_mail_follows_the_policy_of_its_class(
    deliveries: DeliveryFixture,
    hostile_smtp: HostileSmtp,
    mail_due: PlannedMail,
    days: int,
    decision: str,
    tasks: list[tuple[str, str]],
) -> None:
    await deliveries.plan(mail_due)
    async with deliveries.mailing(hostile_smtp) as mail:
        (outcome,) = await send(mail, mail_due.key, at=DUE + days * DAY)
    assert outcome.decision == decision
    assert await deliveries.tasks() == tasks
    assert len(hostile_smtp.accepted) == (decision == "sent")


@pytest.mark.rule("MAIL8")
@pytest.mark.parametrize(
    ("allowlist", "decision"),
    [
        (RecipientAllowlist(production=True), "sent"),
        (RecipientAllowlist(production=False, allowed=("*@example.org",)), "sent"),
        (RecipientAllowlist(production=False, allowed=("ANA@example.org",)), "sent"),
        (RecipientAllowlist(production=False, allowed=("*@example.com", "bob@example.org")), "suppressed"),
        (RecipientAllowlist(production=False), "suppressed"),
    ],
    ids=repr,
)
async def test_outside_production_only_listed_recipients_are_mailed(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, allowlist: RecipientAllowlist, decision: str
) -> None:
    await deliveries.plan(COMPLIANCE)
    async with deliveries.mailing(hostile_smtp, allowlist=allowlist) as mail:
        (outcome,) = await send(mail, COMPLIANCE.key)
    assert outcome.decision == decision
    assert bool(hostile_smtp.sessions) == (decision == "sent")


@pytest.mark.rule("MAIL1", "MAIL8")
async def test_trial_suppresses_mail_to_all_but_guests_for_good(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with deliveries.database.begin() as session:
        session.add(ProgramTrial(program="asis-global", since=DUE))
    await deliveries.plan(COMPLIANCE, NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        (outcome,) = await send(mail, COMPLIANCE.key)
        assert outcome.decision == "suppressed"
        assert (await deliveries.row(COMPLIANCE.key)).reason == program_trials.WITHHELD
        assert await deliveries.tasks() == []
        async with deliveries.database.begin() as session:
            session.add(
                TrialGuest(program="asis-global", address="ana@example.org", added_by="x", added_at=DUE)
            )
        (outcome,) = await send(mail, NUDGE.key)
        assert outcome.decision == "sent"
        async with deliveries.database.begin() as session:
            (await session.get_one(ProgramTrial, "asis-global")).live_at = DUE
        (outcome,) = await send(mail, COMPLIANCE.key)
        assert outcome.decision == "suppressed"
    assert len(hostile_smtp.accepted) == 1


@pytest.mark.rule("MAIL8")
async def test_copied_database_sends_no_mail(deliveries: DeliveryFixture, hostile_smtp: HostileSmtp) -> None:
    def parts(environment: str) -> Components:
        return Components(
            deliveries.database,
            deliveries.programs,
            composers(),
            SmtpChannel(SmtpSettings(host=hostile_smtp.host, port=hostile_smtp.port)),
            Links("https://mentoring.example.org", "a secret for tests only"),
            RecipientAllowlist(production=True),
            environment,
        )

    await parts("production").claim_environment()
    await parts("production").claim_environment()
    with pytest.raises(RuntimeError, match="belongs to environment 'production', this process is 'staging'"):
        await parts("staging").claim_environment()


@pytest.mark.rule("MAIL2", "MAIL7")
async def test_message_of_an_earlier_version_gets_a_signed_id_once(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """A plain id can be computed by anybody. What was rendered with one keeps it, so that its bytes stay the same."""
    plain = [ledger.plain_delivery_id(WORKFLOW, one.step, one.occurrence) for one in check_ins(2)]
    await deliveries.plan(*check_ins(2))
    async with deliveries.database.begin() as session:
        for row, id in zip(await ledger.rows_of(session, WORKFLOW), plain, strict=True):
            row.delivery = id
    hostile_smtp.answers("RCPT", say("451 4.3.0 later"))
    async with deliveries.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, NUDGE.key)
        first = (await deliveries.row(NUDGE.key)).delivery
        assert first != plain[0]
        await send(mail, NUDGE.key, attempt=2)
    assert received(hostile_smtp) == [first]
    assert f"mentoring+{first}@" in hostile_smtp.accepted[0].sender

    second = (await deliveries.rows())[1]
    async with deliveries.database.begin() as session:
        row = await session.get_one(Message, second.id)
        row.content, row.recipient, row.message_id = (
            b"From: x@example.org\r\n\r\nhello\r\n",
            "ana@example.org",
            "<m@x>",
        )
    async with deliveries.mailing(hostile_smtp) as mail:
        await send(mail, check_ins(2)[1].key)
    assert (await deliveries.rows())[1].delivery == plain[1]


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize("stopped", ["*", "mentee.checkin", "checkin"])
async def test_unsubscribe_stops_nudges_but_not_owed_mail(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, stopped: str
) -> None:
    await deliveries.member(preferences={"stopped": [stopped]})
    await deliveries.plan(NUDGE, OWED, COMPLIANCE)
    async with deliveries.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, NUDGE.key, OWED.key, COMPLIANCE.key)
    assert [outcome.decision for outcome in outcomes] == ["suppressed", "sent", "sent"]
    assert (await deliveries.row(NUDGE.key)).reason == (
        "the recipient has unsubscribed from messages of this kind"
    )


@pytest.mark.rule("MAIL3", "MAIL7")
async def test_suppressed_address_gets_no_mail_until_staff_lift_it(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with deliveries.database.begin() as session:
        await suppressions.suppress(session, "Ana@example.org", "complaint", "reported as unwanted", AT)
    await deliveries.plan(OWED, COMPLIANCE)
    async with deliveries.mailing(hostile_smtp) as mail:
        assert [outcome.decision for outcome in await send(mail, OWED.key)] == ["suppressed"]
        async with deliveries.database.begin() as session:
            assert await suppressions.lift(session, "ana@example.org")
        assert [outcome.decision for outcome in await send(mail, COMPLIANCE.key)] == ["sent"]


@pytest.mark.rule("MAIL3", "STA2")
@pytest.mark.parametrize("address", ["no address", "ana@", "añá@example.org", f"{'a' * 65}@example.org"])
async def test_invalid_address_fails_without_a_connection(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, address: str
) -> None:
    await deliveries.member(email=address)
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        (outcome,) = await send(mail, OWED.key)
    assert outcome.decision == "failed"
    assert hostile_smtp.sessions == []
    assert await deliveries.tasks() == [("address_suppressed", "member/ana")]


@pytest.mark.rule("MAIL1")
async def test_unplanned_message_is_not_sent(deliveries: DeliveryFixture, hostile_smtp: HostileSmtp) -> None:
    async with deliveries.mailing(hostile_smtp) as mail:
        assert await send(mail, NUDGE.key) == [Outcome(NUDGE.key, "cancelled", DUE)]
    assert hostile_smtp.sessions == []


@pytest.mark.rule("MAIL1")
async def test_message_that_fails_to_render_delays_no_other(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(replace(COMPLIANCE, context={}), OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        with pytest.raises(Exception, match="a date is missing"):
            await send(mail, COMPLIANCE.key, OWED.key)
    assert (await deliveries.row(OWED.key)).state == "sent"
    assert (await deliveries.row(COMPLIANCE.key)).state == "planned"


# --- a change of plan on the way


@pytest.mark.rule("MAIL4")
async def test_cancel_before_the_claim_stops_the_message(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE)
    await deliveries.plan(because="cancelled by staff")
    async with deliveries.mailing(hostile_smtp) as mail:
        assert [outcome.decision for outcome in await send(mail, NUDGE.key)] == ["cancelled"]
    assert (await deliveries.row(NUDGE.key)).reason == "cancelled by staff"
    assert hostile_smtp.sessions == []


CHANGES = {
    "cancelled": ((), "cancelled", "cancelled"),
    "held": ((replace(NUDGE, due=None),), "held", "planned"),
    "moved": ((replace(NUDGE, due=DUE + 7 * DAY),), "held", "planned"),
}


@pytest.mark.rule("MAIL4")
@pytest.mark.parametrize("step", ["banner", "RCPT", "DATA"])
@pytest.mark.parametrize(("agenda", "outcome", "state"), CHANGES.values(), ids=list(CHANGES))
async def test_change_before_the_last_byte_stops_the_message(
    deliveries: DeliveryFixture,
    hostile_smtp: HostileSmtp,
    step: str,
    agenda: tuple[PlannedMail, ...],
    outcome: str,
    state: str,
) -> None:
    release = asyncio.Event()
    usual = {"banner": "220 hello", "RCPT": "250 2.1.5 ok", "DATA": "354 go ahead"}[step]
    answer = after(release, usual)
    hostile_smtp.answers(step, replace(answer, stores=True))
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, NUDGE.key))
        reached = {"banner": 1}.get(step, 0)
        await hostile_smtp.until(
            lambda: len(hostile_smtp.sessions) == reached if reached else step in hostile_smtp.commands
        )
        await deliveries.plan(*agenda)
        release.set()
        assert [found.decision for found in await sending] == [outcome]
        await hostile_smtp.until(lambda: not hostile_smtp.open_sessions)
    assert received(hostile_smtp) == []
    assert not any(message.ended for message in hostile_smtp.messages)
    assert (await deliveries.row(NUDGE.key)).state == state


@pytest.mark.rule("MAIL2", "MAIL4")
async def test_cancel_after_the_last_byte_changes_nothing(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    release = asyncio.Event()
    hostile_smtp.answers("END", after(release, "250 2.0.0 kept"))
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, NUDGE.key))
        await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        await deliveries.plan(because="cancelled by staff")
        release.set()
        assert [outcome.decision for outcome in await sending] == ["sent"]
    assert await deliveries.decisions() == [((await deliveries.row(NUDGE.key)).delivery, "sent")]


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize("step", ["banner", "MAIL", "DATA", "END"])
async def test_attempt_cancelled_at_any_step_is_resumed_by_the_next(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, step: str
) -> None:
    release = asyncio.Event()
    usual = {"banner": "220 hello", "MAIL": "250 ok", "DATA": "354 go ahead", "END": "250 2.0.0 kept"}[step]
    hostile_smtp.answers(step, replace(after(release, usual), stores=True))
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, OWED.key))
        if step == "END":
            await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        else:
            await hostile_smtp.until(lambda: bool(hostile_smtp.sessions))
        sending.cancel()
        await asyncio.wait([sending])
        again = asyncio.create_task(send(mail, OWED.key, attempt=2))
        release.set()
        assert [outcome.decision for outcome in await again] == ["sent"]
    assert received(hostile_smtp) == [(await deliveries.row(OWED.key)).delivery]
    await counted(fault_run, f"the attempt cancelled at {step}", deliveries, hostile_smtp)


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize(
    ("answer", "state"), [("250 2.0.0 kept", "sent"), ("451 4.3.0 not now", "planned")], ids=["yes", "no"]
)
async def test_reply_during_worker_shutdown_is_recorded(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, answer: str, state: str
) -> None:
    release = asyncio.Event()
    hostile_smtp.answers("END", after(release, answer))
    await deliveries.plan(OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        sending = asyncio.create_task(send(mail, OWED.key))
        await hostile_smtp.until(lambda: any(message.ended for message in hostile_smtp.messages))
        sending.cancel()
        await asyncio.wait([sending])
        release.set()
        await mail.aclose()
    assert (await deliveries.row(OWED.key)).state == state


# --- many at once


@pytest.mark.rule("MAIL1", "MAIL2")
@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_concurrent_attempts_lose_and_duplicate_nothing(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, workers: int
) -> None:
    """One worker with four attempts, or several with two each, all with the same keys: more than Temporal ever does."""
    keys = [mail.key for mail in check_ins(12)]
    await deliveries.plan(*check_ins(12))

    async def insist(mail: MailActivities, name: str) -> None:
        for attempt in count(1):
            mixed = random.Random(name + str(attempt)).sample(keys, len(keys))
            if await asked(mail, *mixed, attempt=attempt, by=name):
                return

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_worker(deliveries, hostile_smtp, insist, number, 4 if workers == 1 else 2))
    rows = await deliveries.rows()
    found = Counter(received(hostile_smtp))
    assert {row.state for row in rows} <= {"sent", "ambiguous"}
    assert found == Counter(row.delivery for row in rows)
    assert Counter(delivery for delivery, _ in await deliveries.decisions()) == found
    if workers == 1:
        assert {row.state for row in rows} == {"sent"}
    await counted(fault_run, f"several attempts at the same, {workers} worker(s)", deliveries, hostile_smtp)


async def _worker(
    deliveries: DeliveryFixture, server: HostileSmtp, insist: object, number: int, attempts: int
) -> None:
    assert callable(insist)
    async with deliveries.mailing(server) as mail:
        await asyncio.gather(*(insist(mail, f"run-{number}-{one}") for one in range(attempts)))


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3")
@pytest.mark.parametrize("seed", range(4))
async def test_every_message_gets_one_true_decision_on_a_hostile_server(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, fault_run: Judge, seed: int
) -> None:
    chance = random.Random(seed)
    faults = [
        *NOT_YET.values(),
        *(("END", answer) for answer in DOUBTFUL.values()),
        ("END", say("554 5.6.0 bad content")),
        ("RCPT", say("550 5.7.1 blocked as spam")),
        ("MAIL", say("250 ok")),
    ]
    wanted = check_ins(16)
    await deliveries.plan(*wanted)
    async with deliveries.mailing(hostile_smtp) as mail:
        left = {one.key for one in wanted}
        for attempt in range(1, 60):
            for _ in range(3 if attempt < 30 else 0):
                hostile_smtp.answers(*chance.choice(faults))
            keys = chance.sample(sorted(left), min(len(left), 4))
            await asked(mail, *keys, at=DUE + timedelta(minutes=attempt), attempt=attempt)
            left = {
                f"{row.step}/{row.occurrence}"
                for row in await deliveries.rows()
                if row.state not in DECISIONS
            }
            if not left:
                break
    assert not left, "stuck"
    arrived = Counter(received(hostile_smtp))
    assert not [delivery for delivery, times in arrived.items() if times > 1], "doubled"
    for row in await deliveries.rows():
        if row.state == "sent":
            assert arrived[row.delivery] == 1
        elif row.state == "failed":
            assert arrived[row.delivery] == 0
        else:
            assert row.state == "ambiguous"
    assert len(await deliveries.decisions()) == len(wanted)
    await counted(fault_run, "one fault after the other, at random", deliveries, hostile_smtp)
