"""What comes back: reports read, stored once, and judged in one place (MAIL3, MAIL7)."""

from __future__ import annotations

import asyncio
import mailbox
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs
from temporalio.client import Client

from activities.inbox import InboxActivities
from database import events, ledger, suppressions
from database.models import AuditRecord, Event, Message, Suppression, Task
from mail.decisions import decide_ambiguous
from mail.reports.bounce_report import BounceReport, bounce_in
from mail.reports.bounces import SOURCE, collect_bounces, store_bounces, store_reports
from mail.reports.provider_lists import listed_at
from mail.reports.reading_process import ReadingProcess
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.events import Envelope
from rules.program.catalogue import load_catalogue
from staff.mail_fate import came_back_cause, fate
from tests.support.delivery import (
    AT,
    DUE,
    KEYS,
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    check_ins,
    deliveries,
    environment,
    migrated_url,
    send,
)
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp, say
from worker.bounce_listener import BounceHandler, bounce_listener

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

DELIVERY = ledger.delivery_id(KEYS, WORKFLOW, NUDGE.step, 1)
DAY = timedelta(days=1)


def status_report(
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <ana@example.org>: user unknown",
    *,
    action: str = "failed",
    to: str = "mailer@example.org",
    returned: str = f"Message-ID: <{DELIVERY}@example.org>\nX-Throughline-Delivery: {DELIVERY}\nSubject: hello\n",
    whole: bool = False,
    number: int = 1,
) -> bytes:
    """A delivery-status notification as mail servers write it (RFC 3464)."""
    kind = "message/rfc822" if whole else "text/rfc822-headers"
    return f"""From: Mail Delivery System <MAILER-DAEMON@mx.example.org>
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <report-{number}@mx.example.org>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="cut"

--cut
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--cut
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Arrival-Date: Mon, 13 Mar 2028 09:00:03 -0400

Final-Recipient: rfc822; ana@example.org
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}

--cut
Content-Type: {kind}

{returned}
--cut--
""".encode()


def complaint(kind: str = "abuse") -> bytes:
    """A complaint in the Abuse Reporting Format (RFC 5965)."""
    return f"""From: feedback@mailbox.example.org
To: mailer@example.org
Subject: complaint
Message-ID: <complaint-1@mailbox.example.org>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="cut"

--cut
Content-Type: text/plain

This is an email abuse report.

--cut
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1

--cut
Content-Type: message/rfc822

Message-ID: <{DELIVERY}@example.org>
X-Throughline-Delivery: {DELIVERY}
Subject: hello

The text of it.
--cut--
""".encode()


# --- reading


@pytest.mark.rule("MAIL7")
def test_delivery_is_found_by_envelope_or_returned_headers() -> None:
    nothing = "Subject: hello\n"
    address = f"mentoring+{DELIVERY}@example.org"
    bounces = [
        bounce_in(status_report(to=address, returned=nothing)),
        bounce_in(status_report(returned=nothing), [address]),
        bounce_in(status_report(whole=True)),
        bounce_in(status_report()),
    ]
    hard = {"kind": "hard", "reason": "no such mailbox (550 5.1.1)"}
    assert [bounce and bounce.data for bounce in bounces] == [{**hard, "delivery": DELIVERY}] * 4
    by_id = bounce_in(status_report(returned="Message-ID: <m-1@example.org>\n"))
    assert by_id is not None
    assert by_id.data == {**hard, "message_id": "<m-1@example.org>"}


@pytest.mark.rule("MAIL7")
def test_feedback_report_is_a_complaint_unless_it_says_otherwise() -> None:
    bounce = bounce_in(complaint())
    assert bounce is not None
    assert bounce.data == {"kind": "complaint", "reason": "abuse", "delivery": DELIVERY}
    assert bounce_in(complaint("not-spam")) is None


def _reply(**headers: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = "ana@example.org", f"mentoring+{DELIVERY}@example.org"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("I am away until 550 5.1.1 o'clock.")
    return message.as_bytes()


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize(
    "mail",
    [
        _reply(Subject="Re: Your first weeks", In_Reply_To=f"<{DELIVERY}@example.org>"),
        _reply(Subject="Out of office", Auto_Submitted="auto-replied", Return_Path="<>"),
        _reply(Subject="Undelivered Mail Returned to Sender"),
        status_report("4.4.1", action="delayed"),
        status_report("2.0.0", action="expanded"),
        status_report(action="relayed"),
        status_report(returned="Subject: not ours\n"),
        b"",
    ],
    ids=["reply", "out of office", "text only", "delayed", "expanded", "relayed", "not ours", "empty"],
)
def test_replies_delays_and_unknown_mail_are_no_bounces(mail: bytes) -> None:
    assert bounce_in(mail) is None


@pytest.mark.rule("MAIL7")
@given(
    st.binary(max_size=400),
    st.integers(0, 1100),
    st.sampled_from([status_report(), complaint(), status_report(whole=True)]),
)
@example(b"Content-Type: message/delivery-status", 500, status_report())
def test_malformed_report_is_parsed_without_an_error(noise: bytes, cut: int, report: bytes) -> None:
    for content in (noise, report[:cut], report[:cut] + noise + report[cut:], noise + report):
        bounce_in(content)


# --- storing


@pytest.fixture
async def reader() -> AsyncIterator[ReadingProcess]:
    """A process that reads reports."""
    process = ReadingProcess()
    yield process
    await process.aclose()


@pytest.mark.rule("MAIL7")
async def test_report_that_takes_too_long_is_dropped_and_the_next_is_read(reader: ReadingProcess) -> None:
    reader._deadline = 0.0
    assert await reader.read(status_report()) is None
    assert reader.given_up == 1
    reader._deadline = PATIENCE
    assert await reader.read(status_report()) == bounce_in(status_report())
    assert reader.given_up == 1


@pytest.mark.rule("MAIL7")
async def test_mail_bomb_does_not_hold_the_event_loop(reader: ReadingProcess) -> None:
    bomb = b"Content-Type: multipart/report" + b";\r\n a=b" * 360_000 + b"\r\n\r\nhello"
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 5_000
    loop = asyncio.get_running_loop()
    slowest, finished = 0.0, False

    async def watch() -> None:
        nonlocal slowest
        while not finished:
            before = loop.time()
            await asyncio.sleep(0)
            slowest = max(slowest, loop.time() - before)

    watching = asyncio.create_task(watch())
    assert [await reader.read(bomb), await reader.read(nested)] == [None, None]
    assert (await reader.read(status_report())) is not None
    finished = True
    await watching
    assert reader.given_up == 0
    assert slowest < 1


# --- reports and their events


async def stored(deliveries: DeliveryFixture) -> list[Event]:
    async with deliveries.database.reading() as session:
        return list(await session.scalars(select(Event).order_by(Event.id)))


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize("form", ["mbox", "maildir", "file"])
async def test_mailbox_read_twice_counts_each_report_once(
    deliveries: DeliveryFixture, tmp_path: Path, form: str
) -> None:
    await deliveries.plan(NUDGE)
    file = tmp_path / "box"
    mails = [
        status_report(),
        _reply(Subject="Out of office"),
        status_report("4.4.7", "", number=2),
        complaint(),
    ]
    if form == "file":
        file.write_bytes(status_report())
    else:
        box: mailbox.mbox | mailbox.Maildir = mailbox.mbox(file) if form == "mbox" else mailbox.Maildir(file)
        for mail in mails:
            box.add(mail)
        box.close()
    wanted = ["hard"] if form == "file" else ["complaint", "hard", "soft"]
    assert await collect_bounces(deliveries.database, file, AT) == (len(wanted), 0)
    assert await collect_bounces(deliveries.database, file, AT + DAY) == (0, 0)
    found = await stored(deliveries)
    assert {event.source for event in found} == {SOURCE}
    assert sorted(event.data["kind"] for event in found) == wanted
    assert {event.occurred_at for event in found} == {AT}


@pytest.mark.rule("MAIL7")
async def test_missing_mailbox_is_an_error(deliveries: DeliveryFixture, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        await collect_bounces(deliveries.database, tmp_path / "nowhere", AT)


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize("content", [b"\x00\xff\x8a binary", b"no header\n", b": nothing\n"])
async def test_file_that_is_no_mailbox_is_an_error_and_empty_is_not(
    deliveries: DeliveryFixture, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "box"
    file.write_bytes(content)
    with pytest.raises(OSError, match="neither an mbox file nor a mail"):
        await collect_bounces(deliveries.database, file, AT)
    file.write_bytes(b"")
    assert await collect_bounces(deliveries.database, file, AT) == (0, 0)
    with pytest.raises(OSError, match="no Maildir"):
        await collect_bounces(deliveries.database, tmp_path, AT)


@pytest.mark.rule("MAIL7")
async def test_bounce_listener_accepts_a_report_once_it_is_stored(deliveries: DeliveryFixture) -> None:
    notified: list[str] = []
    await deliveries.plan(NUDGE)

    async def arrived() -> None:
        notified.append("arrived")

    handler = BounceHandler(deliveries.database, arrived, lambda: AT)

    async def recorded() -> None:
        return None

    async with bounce_listener(handler, "127.0.0.1", 0) as port:
        relay = SmtpChannel(SmtpSettings(host="127.0.0.1", port=port, helo_name="mx.example.org"))
        for content in (status_report(returned="Subject: x\n"), _reply(Subject="Out of office")) * 2:
            accepted = await relay.deliver(
                "", f"mentoring+{DELIVERY}@example.org", content, before_last_byte=recorded
            )
            assert accepted.response == "2.0.0 accepted"
        await relay.aclose()
    (event,) = await stored(deliveries)
    assert event.data == {"kind": "hard", "reason": "no such mailbox (550 5.1.1)", "delivery": DELIVERY}
    assert notified == ["arrived"]


@pytest.mark.rule("MAIL7")
async def test_report_that_only_guesses_is_refused_and_counted(deliveries: DeliveryFixture) -> None:
    """Anybody who knows a workflow's id can compute what the id of its delivery was before ids were signed."""
    await deliveries.plan(NUDGE)
    plain = ledger.plain_delivery_id(WORKFLOW, NUDGE.step, 1)
    guesses = [
        (status_report(returned="Subject: x\n", number=1), [f"mentoring+{plain}@example.org"]),
        (status_report(returned=f"X-Throughline-Delivery: {plain}\n", number=2), []),
        (status_report(returned=f"Message-ID: <{plain}@example.org>\n", number=3), []),
    ]
    with capture_logs() as logs:
        assert await store_reports(deliveries.database, guesses, AT) == (0, 3)
    assert [(one["event"], one["count"]) for one in logs] == [("reports_refused", 3)]
    assert await stored(deliveries) == []


@pytest.mark.rule("MAIL7")
async def test_report_about_a_mail_with_a_plain_id_still_counts(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp, 1) as inbox:
        plain = ledger.plain_delivery_id(WORKFLOW, NUDGE.step, 1)
        async with deliveries.database.begin() as session:
            (row,) = await ledger.rows_of(session, WORKFLOW)
            row.delivery = plain
        report = status_report(returned=f"X-Throughline-Delivery: {plain}\n")
        assert await store_reports(deliveries.database, [(report, ())], DUE + DAY) == (1, 0)
        await environment(DUE + DAY).run(inbox.apply_events)
    assert await suppressed(deliveries) is not None


# --- judging


@asynccontextmanager
async def mailed(
    deliveries: DeliveryFixture, server: HostileSmtp, count: int = 3
) -> AsyncIterator[InboxActivities]:
    """So many check-ins are sent, and an inbox is there for what comes back."""
    await deliveries.plan(*check_ins(count))
    async with deliveries.mailing(server) as mail:
        await send(mail, *(one.key for one in check_ins(count)))
    client = await Client.connect("127.0.0.1:1", lazy=True)
    yield InboxActivities(deliveries.database, deliveries.programs, client, load_catalogue())


async def apply(
    inbox: InboxActivities, deliveries: DeliveryFixture, *data: dict[str, str], days: int = 1
) -> list[Event]:
    """Store bounces and apply them; all events."""
    known = len(await stored(deliveries))
    async with deliveries.database.begin() as session:
        await events.store(
            session,
            [
                Envelope(str(known + number), "/relay", "mail.bounced", DUE + days * DAY, one)
                for number, one in enumerate(data)
            ],
        )
    await environment(DUE + days * DAY).run(inbox.apply_events)
    return await stored(deliveries)


async def suppressed(deliveries: DeliveryFixture) -> Suppression | None:
    async with deliveries.database.reading() as session:
        found = await suppressions.listed(session)
    return found[0] if found else None


@pytest.mark.rule("MAIL3", "MAIL7", "STA2")
@pytest.mark.parametrize("kind", ["hard", "complaint"])
async def test_hard_bounce_or_complaint_suppresses_with_one_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, kind: str
) -> None:
    async with mailed(deliveries, hostile_smtp) as inbox:
        first, second, _ = await deliveries.rows()
        await deliveries.member(email="new@example.org")
        found = await apply(
            inbox,
            deliveries,
            {"delivery": first.delivery, "kind": kind},
            {"message_id": (second.message_id or "").strip("<>"), "kind": kind},
        )
    assert [event.state for event in found] == ["applied", "applied"]
    address = await suppressed(deliveries)
    assert address is not None
    assert (address.address, address.kind, address.since) == ("ana@example.org", kind, DUE + DAY)
    assert await deliveries.tasks() == [("address_suppressed", "member/ana")]
    await deliveries.plan(*check_ins(3), OWED)
    async with deliveries.mailing(hostile_smtp) as mail:
        (outcome,) = await send(mail, OWED.key)
    assert outcome.decision == "sent", "the member's new address is not the one that bounced"


@pytest.mark.rule("MAIL7", "MAIL10")
@pytest.mark.parametrize("kind", ["soft", "refused"])
async def test_what_is_not_of_the_mailbox_never_suppresses(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, kind: str
) -> None:
    async with mailed(deliveries, hostile_smtp, 6) as inbox:
        found = [{"delivery": row.delivery, "kind": kind} for row in await deliveries.rows()]
        events = await apply(inbox, deliveries, *found, *found)
    assert {event.state for event in events} == {"applied"}
    assert await suppressed(deliveries) is None
    assert "address_suppressed" not in [kind for kind, _ in await deliveries.tasks()]


@pytest.mark.rule("MAIL10", "STA2")
async def test_refusal_by_report_is_came_back_with_its_class_and_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp, 1) as inbox:
        (row,) = await deliveries.rows()
        refused = {"delivery": row.delivery, "kind": "refused", "reason": "policy (550 5.7.1)"}
        await apply(inbox, deliveries, refused, refused)
        (row,) = await deliveries.rows()
        assert (row.state, row.came_back, row.came_back_at) == ("sent", "refused", DUE + DAY)
        assert row.came_back_reason == "policy (550 5.7.1)"
        assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]
        assert await suppressed(deliveries) is None
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "soft"}, days=2)
        assert (await deliveries.rows())[0].came_back == "refused", "a weightier class stays"
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "hard"}, days=3)
    assert (await deliveries.rows())[0].came_back == "hard"
    async with deliveries.database.reading() as session:
        records = (
            await session.scalars(select(AuditRecord.data).where(AuditRecord.kind == "came_back"))
        ).all()
    assert [record["class"] for record in records] == ["refused", "soft", "hard"]
    async with deliveries.database.begin() as session:
        copy = await ledger.copy(session, row.delivery, "lina", "the provider lifted it", DUE + 4 * DAY)
    assert copy.state == "planned"


@pytest.mark.rule("MAIL10", "STA2")
async def test_many_refusals_for_one_cause_raise_one_channel_alarm(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp, 6) as inbox:
        rows = await deliveries.rows()
        async with deliveries.database.begin() as session:
            for number, row in enumerate(rows):
                (await session.get_one(Message, row.id)).recipient = f"a{number}@example.org"
        codes = ("550 5.7.1", "554 5.7.1", "550", "554", "550 5.7.0", "521")
        for row, code in zip(rows, codes, strict=True):
            data = {
                "delivery": row.delivery,
                "kind": "refused",
                "reason": f"block list or reputation ({code})",
            }
            await apply(inbox, deliveries, data)
    found = await deliveries.tasks()
    assert found.count(("mail_channel", "channel/smtp")) == 1
    assert len(found) == 3, "the first two are tasks about a message"
    assert await suppressed(deliveries) is None


@pytest.mark.rule("MAIL10")
async def test_report_about_our_account_is_the_channels_at_once(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp, 1) as inbox:
        (row,) = await deliveries.rows()
        reason = "our account or quota (550 5.7.708)"
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "refused", "reason": reason})
    assert await deliveries.tasks() == [("mail_channel", "channel/smtp")]


@pytest.mark.rule("MAIL3", "MAIL7")
async def test_repeated_report_does_not_undo_a_lifted_suppression(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp) as inbox:
        row, *_ = await deliveries.rows()
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "hard"})
        async with deliveries.database.begin() as session:
            await suppressions.lift(session, "ana@example.org")
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "hard"}, days=2)
        assert await suppressed(deliveries) is None
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "complaint"}, days=3)
    assert await suppressed(deliveries) is not None, "a complaint is something else"


@pytest.mark.rule("MAIL7")
async def test_bounce_of_an_unknown_delivery_is_refused_with_a_reason(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp) as inbox:
        await deliveries.plan(*check_ins(3), OWED)
        unsent = await deliveries.row(OWED.key)
        found = await apply(
            inbox,
            deliveries,
            {"delivery": "0" * 32, "kind": "hard"},
            {"message_id": "<other@example.org>", "kind": "hard"},
            {"delivery": unsent.delivery, "kind": "hard"},
        )
    assert [(event.state, event.reason) for event in found] == [
        ("refused", "there is no such delivery"),
        ("refused", "there is no such delivery"),
        ("refused", f"nothing was mailed for delivery {unsent.delivery}"),
    ]
    assert await suppressed(deliveries) is None


@pytest.mark.rule("MAIL3", "MAIL7", "STA2")
async def test_new_bounce_after_a_lifted_suppression_opens_a_task(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp) as inbox:
        first, second, _ = await deliveries.rows()
        await apply(inbox, deliveries, {"delivery": first.delivery, "kind": "hard"})
        async with deliveries.database.begin() as session:
            await suppressions.lift(session, "ana@example.org")
        await apply(inbox, deliveries, {"delivery": second.delivery, "kind": "hard"}, days=30)
    assert await deliveries.tasks() == [("address_suppressed", "member/ana")] * 2


@pytest.mark.rule("MAIL7")
async def test_mailed_report_and_webhook_have_the_same_effect(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    async with mailed(deliveries, hostile_smtp) as inbox:
        assert await store_reports(deliveries.database, [(status_report(), ())], DUE + DAY) == (1, 0)
        await environment(DUE + DAY).run(inbox.apply_events)
    address = await suppressed(deliveries)
    assert address is not None
    assert (address.address, address.kind) == ("ana@example.org", "hard")


# --- delivered, and a provider's list


@pytest.mark.rule("MAIL1", "MAIL7")
@pytest.mark.parametrize("action", ["delivered", "relayed"])
async def test_report_of_a_delivery_is_written_beside_the_decision(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, action: str
) -> None:
    async with mailed(deliveries, hostile_smtp, 1) as inbox:
        report = status_report("2.0.0", "smtp; 250 2.0.0 ok", action=action)
        assert await store_reports(deliveries.database, [(report, ())], DUE + DAY) == (0, 0)
        (row,) = await deliveries.rows()
        assert (row.state, row.delivered_at, row.came_back) == ("sent", DUE + DAY, None)
        assert fate(row, "America/Bogota") == "delivered Tue 2028-03-14 08:00 -05"
        await apply(inbox, deliveries, {"delivery": row.delivery, "kind": "hard"}, days=2)
    (row,) = await deliveries.rows()
    assert (row.delivered_at, row.came_back) == (DUE + DAY, "hard")
    assert fate(row, "America/Bogota").startswith("came back: hard"), "a bounce after a delivery wins"


@pytest.mark.rule("MAIL2", "STA2")
async def test_delivery_closes_the_task_of_an_ambiguous_mail(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(OWED)
    async with deliveries.database.begin() as session:
        (row,) = await ledger.rows_of(session, WORKFLOW)
        await decide_ambiguous(session, row, "the worker ended", DUE)
        delivery = row.delivery
    found = BounceReport("d-1", "delivered", "delivered", delivery)
    assert await store_bounces(deliveries.database, [found], DUE + DAY) == (0, 0)
    (row,) = await deliveries.rows()
    assert (row.state, row.delivered_at) == ("ambiguous", DUE + DAY)
    async with deliveries.database.reading() as session:
        assert [task.state for task in await session.scalars(select(Task))] == ["done"]


@pytest.mark.rule("MAIL10", "STA2")
async def test_provider_list_keeps_the_address_and_says_where_to_lift_it(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    """Four mails to members on a provider's list are no matter of the channel: one task a member."""
    async with mailed(deliveries, hostile_smtp, 4) as inbox:
        rows = await deliveries.rows()
        async with deliveries.database.begin() as session:
            for number, row in enumerate(rows):
                (await session.get_one(Message, row.id)).recipient = f"a{number}@example.org"
        for row in rows:
            data = {"delivery": row.delivery, "kind": "refused", "reason": listed_at("ses")}
            await apply(inbox, deliveries, data)
        assert await suppressed(deliveries) is None
        assert await deliveries.tasks() == [("mail_failed", "member/ana")]
        (row, *_) = await deliveries.rows()
        assert (row.state, row.came_back, came_back_cause(row)) == ("sent", "refused", "provider_list")
        assert "DeleteSuppressedDestination" in fate(row, "UTC")
        async with deliveries.database.reading() as session:
            (task,) = await session.scalars(select(Task))
            assert "the suppression list of Amazon SES" in task.action
        found = BounceReport("d-1", "delivered", "delivered", rows[-1].delivery)
        await store_bounces(deliveries.database, [found], DUE + 2 * DAY)
    async with deliveries.database.reading() as session:
        assert [task.state for task in await session.scalars(select(Task))] == ["done"], "the list is lifted"


@pytest.mark.rule("MAIL10")
async def test_provider_list_in_the_dialogue_never_stops_the_channel(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    hostile_smtp.always("RCPT", say("554 5.7.1 Recipient address was suppressed due to customer policy"))
    await deliveries.plan(*check_ins(4))
    async with deliveries.mailing(hostile_smtp) as mail:
        for number, one in enumerate(check_ins(4)):
            await deliveries.member(email=f"a{number}@example.org")
            assert [outcome.decision for outcome in await send(mail, one.key)] == ["failed"]
    assert await suppressed(deliveries) is None
    assert {kind for kind, _ in await deliveries.tasks()} == {"mail_failed"}


@pytest.mark.rule("MAIL10")
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (
            "smtp; 550 5.1.1 Amazon SES has suppressed sending to this address because it has a recent history of "
            "bouncing as an invalid address.",
            "on the provider's suppression list (ses 550 5.1.1)",
        ),
        (
            "smtp; 605 Not delivering to previously bounced address",
            "on the provider's suppression list",
        ),
        ("smtp; 550 5.2.1 the mailbox is disabled", "mailbox disabled (550 5.2.1)"),
    ],
)
def test_words_of_a_provider_list_are_no_verdict_on_the_mailbox(answer: str, cause: str) -> None:
    found = bounce_in(status_report("5.1.1" if "mailbox" not in answer else "5.2.1", answer))
    assert found is not None
    assert (found.kind == "hard") == ("mailbox is" in answer)
    assert found.reason.startswith(cause)
