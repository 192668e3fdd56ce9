"""The SMTP channel against a server that misbehaves in every way; what counts is what the server has."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dkim
import pytest
from aiosmtpd.smtp import SMTP as IndependentServer
from aiosmtpd.smtp import Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from mail.smtp.channel import SmtpChannel
from mail.smtp.dkim_signing import sign
from mail.smtp.settings import DkimSettings, SmtpSettings
from mail.smtp.verdicts import (
    MAILBOX_FULL_BACK_OFF,
    RATE_LIMIT_BACK_OFF,
    Acceptance,
    AccountRefused,
    Ambiguous,
    AuthenticationRefused,
    ContentRefused,
    DeliveryError,
    RecipientRefused,
    Stage,
    TryLater,
    classify,
)
from tests.support.servers.hostile_smtp import (
    Answer,
    Certificate,
    HostileSmtp,
    after,
    close,
    deaf,
    drop,
    forget_the_rest,
    hang,
    hostile_smtp,
    make_certificate,
    openssl,
    pieces,
    raw,
    say,
)

pytestmark = pytest.mark.rule("MAIL3")

SENDER = "program@example.org"
RECIPIENT = "ana@example.org"
CONTENT = b"From: program@example.org\r\nTo: ana@example.org\r\nSubject: Hello\r\n\r\nGood morning.\r\n"


def settings_for(server: HostileSmtp, **changes: Any) -> SmtpSettings:
    quick = SmtpSettings(
        host=server.host,
        port=server.port,
        connect_timeout=15,
        command_timeout=15,
        data_timeout=15,
        total_timeout=60,
        helo_name="throughline.example.org",
    )
    return dataclasses.replace(quick, **changes)


@asynccontextmanager
async def channel_to(server: HostileSmtp, **changes: Any) -> AsyncIterator[SmtpChannel]:
    channel = SmtpChannel(settings_for(server, **changes))
    try:
        yield channel
    finally:
        await channel.aclose()


server = hostile_smtp


@pytest.fixture(params=["in a group", "one by one"])
async def either_server(request: pytest.FixtureRequest) -> AsyncIterator[HostileSmtp]:
    """A server that offers PIPELINING, and one that does not: the verdicts are the same."""
    async with HostileSmtp() as server:
        if request.param == "one by one":
            server.extensions.remove("PIPELINING")
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class Handover:
    """A caller's record of having handed a message over."""

    def __init__(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.times = 0
        self._then = then

    async def __call__(self) -> None:
        self.times += 1
        if self._then is not None:
            await self._then()


async def deliver(
    channel: SmtpChannel,
    handover: Handover | None = None,
    content: bytes = CONTENT,
    recipient: str = RECIPIENT,
) -> Acceptance:
    return await channel.deliver(SENDER, recipient, content, before_last_byte=handover or Handover())


async def refused(channel: SmtpChannel, handover: Handover | None = None, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await deliver(channel, handover, **changes)
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert "@" not in str(error) + repr(error)
    return error


async def test_message_arrives_unchanged_and_the_reply_is_returned(either_server: HostileSmtp) -> None:
    server = either_server
    handover = Handover()
    async with channel_to(server) as channel:
        accepted = await deliver(channel, handover)

    assert accepted == Acceptance(250, "2.0.0 queued as 1")
    assert handover.times == 1
    [message] = server.accepted
    assert (message.sender, message.recipients, message.content) == (SENDER, [RECIPIENT], CONTENT)
    assert server.commands == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.rule("MAIL2")
@given(body=st.text("ab.\r\n", max_size=30))
async def test_lines_and_dots_arrive_as_written_with_crlf(body: str) -> None:
    content = b"Subject: Dots\n\n" + body.encode()
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    async with HostileSmtp() as server, channel_to(server) as channel:
        await deliver(channel, content=content)
        assert [message.content for message in server.accepted] == [b"\r\n".join(lines) + b"\r\n"]


@pytest.mark.rule("MAIL2")
async def test_hand_over_is_recorded_after_the_body_before_the_final_dot(
    either_server: HostileSmtp,
) -> None:
    server = either_server

    async def the_server_has_all_but_the_end() -> None:
        await server.until(lambda: bool(server.messages) and server.messages[0].content == CONTENT)
        assert not server.messages[0].ended

    async with channel_to(server) as channel:
        await deliver(channel, Handover(the_server_has_all_but_the_end))

    assert [message.content for message in server.accepted] == [CONTENT]


class Killed(BaseException):
    """A worker that dies."""


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize("death", [RuntimeError("database down"), TimeoutError("database slow"), Killed()])
async def test_failed_recording_leaves_the_message_unsent(
    either_server: HostileSmtp, death: BaseException
) -> None:
    server = either_server

    async def fail() -> None:
        raise death

    async with channel_to(server) as channel:
        with pytest.raises(type(death)) as caught:
            await deliver(channel, Handover(fail))
        assert caught.value is death
        await server.until(lambda: not server.open_sessions)
        assert [message.ended for message in server.messages] == [False]

        await deliver(channel)
    assert len(server.accepted) == 1
    assert len(server.sessions) == 2


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_cancelled_delivery_leaves_no_message_and_no_connection(
    either_server: HostileSmtp, step: str
) -> None:
    server = either_server
    server.answers(step, hang())
    async with channel_to(server) as channel:
        delivery = asyncio.create_task(deliver(channel))
        reached = (lambda: bool(server.sessions)) if step == "banner" else (lambda: step in server.commands)
        await server.until(reached)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        await server.until(lambda: not server.open_sessions)
    assert server.messages == []


@pytest.mark.rule("MAIL2")
async def test_cancel_during_recording_leaves_the_message_unsent(
    server: HostileSmtp,
) -> None:
    recording = asyncio.Event()

    async def record() -> None:
        recording.set()
        await asyncio.Event().wait()

    async with channel_to(server) as channel:
        delivery = asyncio.create_task(deliver(channel, Handover(record)))
        await recording.wait()
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        await server.until(lambda: not server.open_sessions)
    assert [message.ended for message in server.messages] == [False]


@pytest.mark.rule("MAIL2")
async def test_final_dot_follows_the_recording_at_once(server: HostileSmtp) -> None:
    async def cancel_and_return() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async with channel_to(server) as channel:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(deliver(channel, Handover(cancel_and_return)))
        await server.until(lambda: len(server.accepted) == 1)
        await server.until(lambda: not server.open_sessions)
        await deliver(channel)
    assert len(server.sessions) == 2


@pytest.mark.rule("MAIL2")
async def test_cancel_at_any_moment_sends_only_recorded_messages(
    either_server: HostileSmtp,
) -> None:
    server = either_server
    recorded: set[str] = set()
    turns, finished = 0, False
    while not finished:
        subject = f"Subject: {turns}".encode()

        async def record(subject: bytes = subject) -> None:
            recorded.add(subject.decode())
            await asyncio.sleep(0)

        async with channel_to(server) as channel:
            delivery = asyncio.create_task(deliver(channel, Handover(record), content=subject + b"\r\n\r\n"))
            for _ in range(turns):
                await asyncio.sleep(0)
            finished = not delivery.cancel()
            await asyncio.wait([delivery])
            assert delivery.cancelled() is not finished
        turns += 1
    await server.until(lambda: not server.open_sessions)

    arrived = {message.content.decode().strip() for message in server.accepted}
    assert arrived <= recorded
    assert len(arrived) == len(server.accepted)
    assert turns > 20


REFUSALS = [
    ("banner", "421 4.3.2 shutting down", TryLater, 0),
    ("banner", "450 come back", TryLater, 0),
    ("banner", "554 5.7.1 we do not know you", TryLater, 0),
    ("EHLO", "421 4.3.0 closing", TryLater, 0),
    ("EHLO", "550 5.7.1 go away", TryLater, 0),
    ("MAIL", "421 4.4.2 closing", TryLater, 0),
    ("MAIL", "451 4.3.0 local error", TryLater, 0),
    ("MAIL", "452 4.3.1 disk full", TryLater, 0),
    ("MAIL", "503 5.5.1 nested MAIL", TryLater, 0),
    ("MAIL", "530 5.7.0 authentication required", AuthenticationRefused, 0),
    ("MAIL", "550 5.7.1 sender not allowed", ContentRefused, 0),
    ("MAIL", "552 5.3.4 too big", ContentRefused, 0),
    ("MAIL", "553 5.1.8 no such sender domain", AccountRefused, 0),
    ("RCPT", "421 4.7.0 closing", TryLater, 0),
    ("RCPT", "432 4.7.12 later", TryLater, 0),
    ("RCPT", "450 4.2.0 greylisted", TryLater, 0),
    ("RCPT", "451 4.7.1 greylisted", TryLater, 0),
    ("RCPT", "452 4.2.2 mailbox full", TryLater, 0),
    ("RCPT", "530 5.7.0 must issue a STARTTLS command first", AuthenticationRefused, 0),
    ("RCPT", "550 5.1.1 <ana@example.org>: no such user", RecipientRefused, 0),
    ("RCPT", "551 5.1.6 has moved", RecipientRefused, 0),
    ("RCPT", "553 5.1.3 malformed", RecipientRefused, 0),
    ("RCPT", "550 no such user here", RecipientRefused, 0),
    ("RCPT", "552 5.2.2 mailbox full", TryLater, 0),
    ("RCPT", "554 5.7.1 <ana@example.org>: relay access denied", ContentRefused, 0),
    ("DATA", "421 4.3.0 closing", TryLater, 0),
    ("DATA", "451 4.3.0 not now", TryLater, 0),
    ("DATA", "554 5.5.0 no valid recipients", ContentRefused, 0),
    ("DATA", "250 what?", TryLater, 0),
    ("END", "421 4.3.0 closing", TryLater, 1),
    ("END", "451 4.3.0 scanner down", TryLater, 1),
    ("END", "452 4.3.1 disk full", TryLater, 1),
    ("END", "550 5.1.1 no such user after all", RecipientRefused, 1),
    ("END", "550 spam", ContentRefused, 1),
    ("END", "552 5.3.4 too big", ContentRefused, 1),
    ("END", "554 5.6.0 malformed message", ContentRefused, 1),
]


@pytest.mark.parametrize(("step", "answer", "verdict", "handed_over"), REFUSALS)
async def test_refusal_has_its_verdict_and_the_next_message_goes_out(
    either_server: HostileSmtp, step: str, answer: str, verdict: type[DeliveryError], handed_over: int
) -> None:
    server = either_server
    handover = Handover()
    server.answers(step, say(answer))
    async with channel_to(server) as channel:
        error = await refused(channel, handover)
        assert type(error) is verdict
        assert handover.times == handed_over
        assert (error.code, error.response) == (int(answer[:3]), answer[4:])
        assert error.enhanced in (answer.split()[1], None)
        assert server.accepted == []
        await server.until(lambda: not server.open_sessions)

        channel.circuit.close()
        await deliver(channel)
    assert len(server.accepted) == 1
    assert len(server.sessions) == 2


STEPS_BEFORE_THE_DOT = ["banner", "EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("step", STEPS_BEFORE_THE_DOT)
async def test_silence_before_the_final_dot_means_retry(either_server: HostileSmtp, step: str) -> None:
    server = either_server
    handover = Handover()
    server.answers(step, hang())
    limit = "connect_timeout" if step == "banner" else "command_timeout"
    async with channel_to(server, **{limit: 0.2}) as channel:
        assert type(await refused(channel, handover)) is TryLater
        await server.until(lambda: not server.open_sessions)
    assert handover.times == 0
    assert server.messages == []


NONSENSE = [
    drop(),
    close("250 goodbye"),
    raw(b"\x00\xff\xfe nonsense\r\n"),
    raw(b"ok\r\n"),
    raw(b"999 ok\r\n"),
    raw(b"25"),
    raw(b"250-and so on\r\n"),
    raw(b"2" * 100_000),
    raw(b"250-and so on\r\n" * 10_000),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("step", STEPS_BEFORE_THE_DOT)
async def test_malformed_reply_before_the_final_dot_means_retry(
    either_server: HostileSmtp, step: str, nonsense: Answer
) -> None:
    server = either_server
    server.answers(step, nonsense)
    async with channel_to(server, connect_timeout=0.2, command_timeout=0.2, data_timeout=1) as channel:
        assert type(await refused(channel)) is TryLater
        await server.until(lambda: not server.open_sessions)
    assert server.accepted == []


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize(
    "nonsense", [hang(), *NONSENSE[:1], *NONSENSE[2:], say("354 more?", stores=True), raw(b"2500 ok\r\n")]
)
async def test_unclear_reply_to_the_final_dot_is_ambiguous(
    either_server: HostileSmtp, nonsense: Answer
) -> None:
    server = either_server
    handover = Handover()
    server.answers("END", nonsense)
    async with channel_to(server, data_timeout=1) as channel:
        assert type(await refused(channel, handover)) is Ambiguous
        await server.until(lambda: not server.open_sessions)
        assert handover.times == 1
        await deliver(channel)
    assert len(server.sessions) == 2


@pytest.mark.rule("MAIL2")
async def test_late_acceptance_is_ambiguous(
    server: HostileSmtp,
) -> None:
    too_late = asyncio.Event()
    server.answers("END", after(too_late, "250 2.0.0 queued"))
    async with channel_to(server, data_timeout=1) as channel:
        assert type(await refused(channel)) is Ambiguous
        too_late.set()
        await server.until(lambda: not server.open_sessions)
        assert len(server.accepted) == 1

        await deliver(channel, content=CONTENT.replace(b"Hello", b"Second"))
    assert [b"Second" in message.content for message in server.accepted] == [False, True]


@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "END"])
async def test_reply_in_pieces_is_one_reply(either_server: HostileSmtp, step: str) -> None:
    server = either_server
    code = b"220" if step == "banner" else b"250"
    server.answers(step, pieces(code[:2], code[2:] + b"-first\r", b"\n" + code, b" last\r", b"\n"))
    async with channel_to(server) as channel:
        accepted = await deliver(channel)
    assert len(server.accepted) == 1
    if step == "END":
        assert accepted == Acceptance(250, "first\nlast")


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize(
    ("early", "verdict"),
    [
        (say("552 5.3.4 too big"), ContentRefused),
        (say("451 4.3.0 disk full"), TryLater),
        (close("421 4.3.2 shutting down"), TryLater),
        (raw(b"nonsense"), TryLater),
        (drop(), TryLater),
    ],
)
async def test_reply_before_the_final_dot_is_not_ambiguous(
    either_server: HostileSmtp, early: Answer, verdict: type[DeliveryError]
) -> None:
    server = either_server
    server.answers("BODY", early)

    async def record_until_the_answer_is_there() -> None:
        await server.until(lambda: server.messages[0].content != b"")
        await channel.check()

    async with channel_to(server) as channel:
        assert type(await refused(channel, Handover(record_until_the_answer_is_there))) is verdict
        await server.until(lambda: not server.open_sessions)
    assert [message.ended for message in server.messages] == [False]


async def test_server_that_stops_reading_means_retry(server: HostileSmtp) -> None:
    handover = Handover()
    server.answers("BODY", deaf())
    async with channel_to(server, data_timeout=0.3) as channel:
        huge = CONTENT + (b"x" * 998 + b"\r\n") * 20_000
        assert type(await refused(channel, handover, content=huge)) is TryLater
    assert handover.times == 0


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize(("step", "verdict"), [("banner", TryLater), ("RCPT", TryLater), ("END", Ambiguous)])
async def test_whole_delivery_has_a_deadline(
    server: HostileSmtp, step: str, verdict: type[DeliveryError]
) -> None:
    server.answers(step, hang())
    async with channel_to(server, total_timeout=2) as channel:
        assert type(await refused(channel)) is verdict
        await server.until(lambda: not server.open_sessions)


async def test_waiting_for_a_connection_counts_toward_the_deadline(server: HostileSmtp) -> None:
    released = asyncio.Event()

    async def record_past_the_deadline() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    async with channel_to(server, pool_size=1, total_timeout=2) as channel:
        first = asyncio.create_task(deliver(channel, Handover(record_past_the_deadline)))
        await server.until(lambda: bool(server.messages))
        try:
            assert type(await refused(channel)) is TryLater
            assert len(server.sessions) == 1
        finally:
            released.set()
        await first
    assert len(server.accepted) == 1


async def test_refused_connection_or_unknown_host_means_retry() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for host in ("127.0.0.1", "no..host"):
            channel = SmtpChannel(SmtpSettings(host=host, port=taken.getsockname()[1]))
            assert type(await refused(channel)) is TryLater


async def test_too_many_connections_means_a_long_retry_delay() -> None:
    async with HostileSmtp(connection_limit=1) as server, channel_to(server) as channel:
        server.answers("END", hang())
        first = asyncio.create_task(deliver(channel))
        await server.until(lambda: len(server.accepted) == 1)
        error = await refused(channel)
        assert isinstance(error, TryLater)
        assert error.after == RATE_LIMIT_BACK_OFF
        first.cancel()
        await asyncio.wait([first])


@pytest.mark.rule("MAIL2")
async def test_envelope_goes_out_in_one_round_trip() -> None:
    """The server replies to nothing before it has all three commands, and then to all in one packet (RFC 2920)."""
    kept: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readuntil(b"\r\n")
        writer.write(b"250-hello\r\n250 PIPELINING\r\n")
        for _ in range(2):
            kept.append(await reader.readuntil(b"DATA\r\n"))
            writer.write(b"250 ok\r\n250-it\r\n250 is\r\n354 go ahead\r\n")
            kept.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"250 kept\r\n")
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    channel = SmtpChannel(SmtpSettings("127.0.0.1", listening.sockets[0].getsockname()[1]))
    async with listening:
        await deliver(channel)
        await deliver(channel)
        await channel.aclose()
    group = b"MAIL FROM:<program@example.org>\r\nRCPT TO:<ana@example.org>\r\nDATA\r\n"
    assert kept == [group, CONTENT + b".\r\n"] * 2


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize(
    ("step", "refusal", "verdict"),
    [
        ("MAIL", "451 4.3.0 local error", TryLater),
        ("MAIL", "550 5.7.1 sender not allowed", ContentRefused),
        ("RCPT", "450 4.2.0 greylisted", TryLater),
        ("RCPT", "550 5.1.1 no such user", RecipientRefused),
    ],
)
@pytest.mark.parametrize("answer", ["354 go ahead", "503 5.5.1 need RCPT", "554 5.5.1 no valid recipients"])
async def test_nothing_follows_a_refusal_whatever_data_is_answered(
    server: HostileSmtp, step: str, refusal: str, verdict: type[DeliveryError], answer: str
) -> None:
    """A server may answer DATA by 354 although it refused the recipient (RFC 2920, 3.1)."""
    handover = Handover()
    server.answers(step, say(refusal))
    server.answers("DATA", say(answer, stores=False))
    async with channel_to(server) as channel:
        error = await refused(channel, handover)
        assert (type(error), error.code) == (verdict, int(refusal[:3]))
        await server.until(lambda: not server.open_sessions)
        assert server.commands == ["EHLO", "MAIL", "RCPT", "DATA"][: len(server.commands)]
        assert not any(message.ended or message.content for message in server.messages)
        await deliver(channel)
    assert handover.times == 0
    assert len(server.accepted) == 1


async def test_replies_that_are_one_too_many_send_no_message(either_server: HostileSmtp) -> None:
    handover = Handover()
    either_server.answers("MAIL", raw(b"250 ok\r\n250 ok\r\n"))
    either_server.answers("RCPT", say("550 5.1.1 no such user"))
    async with channel_to(either_server) as channel:
        await refused(channel, handover)
        await either_server.until(lambda: not either_server.open_sessions)
    assert handover.times == 0
    assert either_server.accepted == []


async def test_server_that_loses_grouped_commands_gets_them_one_by_one(server: HostileSmtp) -> None:
    server.always("MAIL", forget_the_rest("250 2.1.0 ok"))
    async with channel_to(server, command_timeout=1) as channel:
        assert type(await refused(channel)) is TryLater
        assert server.messages == []
        await deliver(channel)
        await deliver(channel)
    assert len(server.accepted) == 2
    assert len(server.sessions) == 2


class Kept:
    """What an independent server keeps."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.contents: list[bytes] = []
        self.peers: set[object] = set()

    async def handle_DATA(self, server: IndependentServer, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.contents.append(content)
        self.subjects.append(message_from_bytes(content)["Subject"])
        self.peers.add(session.peer)
        return "250 ok"


@pytest.mark.rule("MAIL2")
async def test_thousand_messages_arrive_once_over_a_small_pool() -> None:
    kept = Kept()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: IndependentServer(kept, hostname="localhost", loop=loop), "127.0.0.1", 0
    )
    channel = SmtpChannel(SmtpSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
    body = b"..\r\n.dot\r\n.\r\nend\r\n"
    try:
        await asyncio.gather(
            *(
                channel.deliver(
                    SENDER,
                    f"person{number}@example.org",
                    f"Subject: {number}\r\n\r\n".encode() + body,
                    before_last_byte=Handover(),
                )
                for number in range(1000)
            )
        )
    finally:
        await channel.aclose()
        server.close()
        await server.wait_closed()
    assert sorted(kept.subjects, key=int) == [str(number) for number in range(1000)]
    assert all(content.endswith(b"\r\n\r\n" + body) for content in kept.contents)
    assert 10 <= len(kept.peers) <= 14


async def test_pool_is_bounded_and_reuses_connections(server: HostileSmtp) -> None:
    async with channel_to(server, pool_size=3) as channel:
        await asyncio.gather(*(deliver(channel) for _ in range(30)))
        assert server.most_at_once == 3
        assert len(server.sessions) == 3
    await server.until(lambda: not server.open_sessions)
    assert len(server.accepted) == 30
    assert server.commands.count("QUIT") == 3


@pytest.mark.parametrize(
    "limit", [{"max_messages_per_connection": 1}, {"max_connection_age": 0.0}, {"max_idle": 0.0}]
)
async def test_old_connection_is_closed_with_quit(server: HostileSmtp, limit: dict[str, float]) -> None:
    async with channel_to(server, **limit) as channel:
        await deliver(channel)
        await deliver(channel)
        await server.until(lambda: not server.open_sessions)
    assert len(server.sessions) == 2
    assert server.commands.count("QUIT") == 2


async def test_connection_closed_while_idle_does_not_fail_the_next_message(
    either_server: HostileSmtp,
) -> None:
    server = either_server
    async with channel_to(server) as channel:
        await asyncio.gather(*(deliver(channel) for _ in range(4)))
        server.drop_all()
        await server.until(lambda: not server.open_sessions)
        await asyncio.gather(*(deliver(channel) for _ in range(4)))
    assert len(server.accepted) == 8
    assert len(server.messages) == 8


@pytest.mark.parametrize(
    "farewell",
    [drop(), hang(), close("421 4.4.2 idle for too long"), raw(b"nonsense\r\n"), say("450 4.7.0 enough")],
)
async def test_reused_connection_found_dead_is_replaced(either_server: HostileSmtp, farewell: Answer) -> None:
    server = either_server
    async with channel_to(server, command_timeout=2) as channel:
        await deliver(channel)
        server.answers("MAIL", farewell)
        await deliver(channel)
    assert len(server.accepted) == 2
    assert len(server.sessions) == 2


async def test_connection_with_an_extra_reply_is_discarded(server: HostileSmtp) -> None:
    server.answers("END", raw(b"250 ok\r\n250 and one for the next\r\n"))
    async with channel_to(server) as channel:
        await deliver(channel)
        await deliver(channel)
    assert len(server.accepted) == 2
    assert len(server.sessions) == 2


async def test_restarted_server_gets_the_next_message(server: HostileSmtp) -> None:
    async with channel_to(server) as channel:
        await deliver(channel)
        await server.stop()
        assert type(await refused(channel)) is TryLater
        await server.start(server.port)
        await deliver(channel)
    assert len(server.accepted) == 2


async def test_rate_limit_spaces_messages(server: HostileSmtp) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def note() -> None:
        times.append(loop.time())

    async with channel_to(server, rate_per_minute=1200) as channel:
        started = loop.time()
        await asyncio.gather(*(deliver(channel, Handover(note)) for _ in range(6)))
    # The nth departure is at n times 50 ms, or later where the machine is slow, never earlier.
    assert all(time - started >= number * 0.05 for number, time in enumerate(sorted(times)))
    assert len(server.accepted) == 6


async def test_delivery_over_the_rate_limit_gets_a_retry_delay(server: HostileSmtp) -> None:
    async with channel_to(server, rate_per_minute=1, total_timeout=20) as channel:
        await deliver(channel)
        error = await refused(channel)
        assert isinstance(error, TryLater)
        assert error.after is not None
        assert 30 < error.after <= 60
    assert len(server.accepted) == 1


LOGIN = {"username": "throughline", "password": "right"}


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "LOGIN PLAIN XOAUTH2"])
async def test_channel_logs_in(mechanisms: str) -> None:
    async with (
        HostileSmtp(users={"throughline": "right"}, mechanisms=mechanisms) as server,
        channel_to(server, **LOGIN) as channel,
    ):
        await deliver(channel)
        assert server.logins == [("throughline", True)]
        assert len(server.accepted) == 1


async def test_wrong_password_opens_the_circuit_after_one_attempt() -> None:
    """The channel stays stopped until it is resumed."""
    users = {"throughline": "changed"}
    async with (
        HostileSmtp(users=users, mechanisms="LOGIN PLAIN") as server,
        channel_to(server, **LOGIN) as channel,
    ):
        errors = await asyncio.gather(*(refused(channel) for _ in range(20)))
        assert {type(error) for error in errors} == {AuthenticationRefused}
        assert {(error.code, error.enhanced) for error in errors} == {(535, "5.7.8")}
        assert server.logins == [("throughline", False)]
        assert isinstance(channel.circuit.refusal, AuthenticationRefused)

        await server.until(lambda: not server.open_sessions)
        connections = len(server.sessions)
        assert type(await refused(channel)) is AuthenticationRefused
        with pytest.raises(AuthenticationRefused):
            await channel.check()
        assert len(server.sessions) == connections

        users["throughline"] = "right"
        channel.circuit.close()
        await deliver(channel)
        assert channel.circuit.refusal is None
        assert server.logins == [("throughline", False), ("throughline", True)]


async def test_open_circuit_is_probed_after_its_interval() -> None:
    users = {"throughline": "changed"}
    loop = asyncio.get_running_loop()
    async with HostileSmtp(users=users) as server, channel_to(server, **LOGIN, probe_interval=0.2) as channel:
        started = loop.time()
        await refused(channel)
        users["throughline"] = "right"
        while channel.circuit.refusal is not None:
            with suppress(AuthenticationRefused):
                await deliver(channel)
            await asyncio.sleep(0.01)
        assert loop.time() - started >= 0.2
        assert server.logins == [("throughline", False), ("throughline", True)]
        assert len(server.accepted) == 1


async def test_other_deliveries_stay_out_during_a_probe() -> None:
    users = {"throughline": "changed"}
    answered = asyncio.Event()
    async with HostileSmtp(users=users) as server, channel_to(server, **LOGIN, probe_interval=0) as channel:
        await refused(channel)
        server.answers("AUTH", after(answered, "235 2.7.0 welcome"))
        probe = asyncio.create_task(deliver(channel))
        await server.until(lambda: server.commands.count("AUTH") == 2)
        errors = await asyncio.gather(*(refused(channel) for _ in range(5)))
        assert {type(error) for error in errors} == {AuthenticationRefused}
        answered.set()
        await probe
        assert channel.circuit.refusal is None
        await deliver(channel)
        assert server.commands.count("AUTH") == 2
        assert len(server.accepted) == 2


async def test_password_change_drops_working_connections() -> None:
    users = {"throughline": "right"}
    async with HostileSmtp(users=users) as server, channel_to(server, **LOGIN) as channel:
        server.answers("END", *(pieces(b"25", b"0 ok\r\n") for _ in range(3)))
        await asyncio.gather(*(deliver(channel) for _ in range(3)))
        users["throughline"] = "changed"
        server.answers("MAIL", drop())
        await refused(channel)
        assert isinstance(channel.circuit.refusal, AuthenticationRefused)
        await server.until(lambda: not server.open_sessions)
        assert server.logins.count(("throughline", False)) == 1


async def test_in_flight_delivery_does_not_close_an_open_circuit() -> None:
    users = {"throughline": "right"}
    goes_on = asyncio.Event()
    async with HostileSmtp(users=users) as server, channel_to(server, **LOGIN) as channel:
        server.answers("MAIL", after(goes_on, "250 2.1.0 ok"))
        under_way = asyncio.create_task(deliver(channel))
        await server.until(lambda: "MAIL" in server.commands)
        users["throughline"] = "changed"
        assert type(await refused(channel)) is AuthenticationRefused
        goes_on.set()
        await under_way
        assert channel.circuit.refusal is not None
        await server.until(lambda: not server.open_sessions)
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "answer", ["530 5.7.0 first log in", "534 5.7.9 too weak", "535 5.7.8 no", "538 5.7.11 no"]
)
@pytest.mark.parametrize("step", ["AUTH", "MAIL"])
async def test_refused_access_opens_the_circuit(step: str, answer: str) -> None:
    async with HostileSmtp(users={"throughline": "right"}) as server, channel_to(server, **LOGIN) as channel:
        server.answers(step, say(answer))
        assert type(await refused(channel)) is AuthenticationRefused
        assert channel.circuit.refusal is not None


async def test_missing_auth_method_opens_the_circuit_without_the_password(server: HostileSmtp) -> None:
    async with channel_to(server, **LOGIN) as channel:
        assert type(await refused(channel)) is AuthenticationRefused
    assert server.commands == ["EHLO"]


@pytest.mark.parametrize(
    "answer", [say("454 4.7.0 later"), say("432 4.7.12 later"), say("421 4.7.0 bye"), drop()]
)
async def test_temporary_login_failure_keeps_the_circuit_closed(answer: Answer) -> None:
    async with HostileSmtp(users={"throughline": "right"}) as server, channel_to(server, **LOGIN) as channel:
        server.answers("AUTH", answer)
        assert type(await refused(channel)) is TryLater
        assert channel.circuit.refusal is None
        await deliver(channel)
        assert len(server.accepted) == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_tls_with_a_trusted_certificate_delivers(tls: str, certificate: Certificate) -> None:
    async with (
        HostileSmtp(tls=tls, certificate=certificate, users={"throughline": "right"}) as server,
        channel_to(server, tls=tls, ca_file=str(certificate.certificate), **LOGIN) as channel,
    ):
        await deliver(channel)
        await deliver(channel)
        assert [session.secure for session in server.sessions] == [True]
        assert len(server.accepted) == 2


@pytest.mark.rule("MAIL2")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_hand_over_is_recorded_before_the_final_dot_over_tls(
    tls: str, certificate: Certificate
) -> None:
    async with (
        HostileSmtp(tls=tls, certificate=certificate) as server,
        channel_to(server, tls=tls, verify_certificates=False) as channel,
    ):

        async def fail() -> None:
            await server.until(lambda: bool(server.messages) and server.messages[0].content == CONTENT)
            raise Killed

        with pytest.raises(Killed):
            await deliver(channel, Handover(fail))
        await server.until(lambda: not server.open_sessions)
        assert [message.ended for message in server.messages] == [False]
        server.answers("END", drop())
        assert type(await refused(channel)) is Ambiguous
        assert len(server.accepted) == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_untrusted_certificate_gets_no_mail(tls: str, certificate: Certificate) -> None:
    async with (
        HostileSmtp(tls=tls, certificate=certificate) as server,
        channel_to(server, tls=tls) as channel,
    ):
        assert type(await refused(channel)) is TryLater
        assert "MAIL" not in server.commands


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_certificate_for_another_name_gets_no_mail(tls: str, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "other.example.org")
    async with (
        HostileSmtp(tls=tls, certificate=other) as server,
        channel_to(server, tls=tls, ca_file=str(other.certificate)) as channel,
    ):
        assert type(await refused(channel)) is TryLater
        assert "MAIL" not in server.commands


async def test_stripped_starttls_gets_neither_mail_nor_password() -> None:
    async with (
        HostileSmtp(users={"throughline": "right"}) as server,
        channel_to(server, tls="starttls", **LOGIN) as channel,
    ):
        assert type(await refused(channel)) is TryLater
        assert server.commands == ["EHLO"]
        assert channel.circuit.refusal is None


@pytest.mark.parametrize(
    "answer",
    [
        say("454 4.7.0 not now"),
        say("501 5.5.4 no"),
        drop(),
        hang(),
        raw(b"220 go\r\n220 no TLS\r\n", stores=False),
    ],
)
async def test_starttls_that_fails_gets_no_mail(answer: Answer, certificate: Certificate) -> None:
    async with (
        HostileSmtp(tls="starttls", certificate=certificate) as server,
        channel_to(
            server, tls="starttls", ca_file=str(certificate.certificate), command_timeout=0.4
        ) as channel,
    ):
        server.answers("STARTTLS", answer)
        assert type(await refused(channel)) is TryLater
        assert "MAIL" not in server.commands


async def test_replies_injected_before_tls_are_ignored_after_it(certificate: Certificate) -> None:
    async with (
        HostileSmtp(tls="starttls", certificate=certificate) as server,
        channel_to(server, tls="starttls", ca_file=str(certificate.certificate)) as channel,
    ):
        server.answers("STARTTLS", raw(b"220 go\r\n550 5.1.1 no such user\r\n"))
        await deliver(channel)
        assert [session.secure for session in server.sessions] == [True]
        assert len(server.accepted) == 1


async def test_server_without_tls_gets_no_mail_over_implicit_tls(server: HostileSmtp) -> None:
    async with channel_to(server, tls="implicit", connect_timeout=0.3) as channel:
        assert type(await refused(channel)) is TryLater
    assert server.messages == []


async def test_missing_ca_file_means_retry(server: HostileSmtp, tmp_path: Path) -> None:
    async with channel_to(server, tls="implicit", ca_file=str(tmp_path / "missing.pem")) as channel:
        assert type(await refused(channel)) is TryLater
    assert server.sessions == []


async def test_message_over_the_size_limit_is_not_sent() -> None:
    async with HostileSmtp(extensions=("SIZE 1000",)) as server, channel_to(server) as channel:
        error = await refused(channel, content=CONTENT + b"x" * 1000)
        assert type(error) is ContentRefused
        assert error.enhanced == "5.3.4"
        assert server.messages == []
        await deliver(channel)
        assert server.sessions[-1].commands[1] == f"MAIL FROM:<{SENDER}> SIZE={len(CONTENT)}"


async def test_server_without_extensions_gets_a_bare_command() -> None:
    async with HostileSmtp(extensions=()) as server, channel_to(server) as channel:
        await deliver(channel)
        assert server.sessions[0].commands[1] == f"MAIL FROM:<{SENDER}>"


async def test_eight_bit_content_goes_only_to_8bitmime_servers() -> None:
    content = CONTENT + "Señora\r\n".encode()
    async with HostileSmtp(extensions=("8BITMIME",)) as server, channel_to(server) as channel:
        await deliver(channel, content=content)
        assert server.sessions[0].commands[1].endswith(" BODY=8BITMIME")
        assert server.accepted[0].content == content
    async with HostileSmtp(extensions=()) as server, channel_to(server) as channel:
        assert type(await refused(channel, content=content)) is ContentRefused
        assert server.messages == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@example.org",
        "ana@",
        "ana@example..org",
        "ana b@example.org",
        "ana@example.org>\r\nRCPT TO:<eve@example.org",
        "ana@example.org NOTIFY=NEVER",
        "Ana <ana@example.org>",
        "añá@example.org",
        "ana@" + "x" * 64 + ".org",
    ],
)
async def test_unsendable_address_is_refused_without_a_connection(server: HostileSmtp, address: str) -> None:
    async with channel_to(server) as channel:
        error = await refused(channel, recipient=address)
        assert type(error) is RecipientRefused
        assert error.enhanced == "5.1.3"
        with pytest.raises(ContentRefused):
            await channel.deliver(address or "nobody", RECIPIENT, CONTENT, before_last_byte=Handover())
    assert server.sessions == []


async def test_international_domain_is_sent_in_ascii(
    server: HostileSmtp,
) -> None:
    """The return path may be empty."""
    async with channel_to(server) as channel:
        await channel.deliver("", "ana@méxico.example.org", CONTENT, before_last_byte=Handover())
    [message] = server.accepted
    assert (message.sender, message.recipients) == ("", ["ana@xn--mxico-bsa.example.org"])


async def test_check_greets_logs_in_and_quits() -> None:
    async with HostileSmtp(users={"throughline": "right"}) as server, channel_to(server, **LOGIN) as channel:
        await channel.check()
        await server.until(lambda: not server.open_sessions)
        assert server.commands == ["EHLO", "AUTH", "QUIT"]


async def test_check_reports_why_no_mail_can_go_out(server: HostileSmtp) -> None:
    async with channel_to(server, total_timeout=2) as channel:
        server.answers("banner", say("421 4.3.2 closed"), hang())
        with pytest.raises(TryLater, match=r"^TryLater 421 4\.3\.2$"):
            await channel.check()
        with pytest.raises(TryLater):
            await channel.check()
        server.answers("banner", hang())


async def test_successful_check_closes_an_open_circuit() -> None:
    users = {"throughline": "changed"}
    async with HostileSmtp(users=users) as server, channel_to(server, **LOGIN, probe_interval=0) as channel:
        with pytest.raises(AuthenticationRefused):
            await channel.check()
        assert channel.circuit.refusal is not None
        users["throughline"] = "right"
        await channel.check()
        assert channel.circuit.refusal is None


async def test_closed_channel_takes_no_more_but_finishes_in_flight_mail(server: HostileSmtp) -> None:
    channel = SmtpChannel(settings_for(server))
    recording, record = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        recording.set()
        await record.wait()

    under_way = asyncio.create_task(deliver(channel, Handover(wait)))
    await recording.wait()
    await channel.aclose()
    with pytest.raises(RuntimeError):
        await deliver(channel)
    record.set()
    assert (await under_way).code == 250
    await server.until(lambda: not server.open_sessions)
    assert len(server.accepted) == 1


async def test_closing_does_not_wait_for_a_silent_server(server: HostileSmtp) -> None:
    channel = SmtpChannel(settings_for(server))
    await deliver(channel)
    server.answers("QUIT", hang())
    await channel.aclose()
    await server.until(lambda: not server.open_sessions)


@pytest.mark.rule("MEM6")
async def test_server_text_stays_out_of_errors_and_is_safe_to_store(
    server: HostileSmtp,
) -> None:
    server.answers("RCPT", raw(b"550 5.1.1 <ana@example.org>: \x00\xff unknown\r\n"))
    async with channel_to(server) as channel:
        error = await refused(channel)
    assert str(error) == "RecipientRefused 550 5.1.1"
    assert (
        error.response
        == "5.1.1 <ana@example.org>: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} unknown"
    )


CLASSIFIED = [
    (Stage.CONNECT, 521, "host takes no mail", TryLater, None),
    (Stage.CONNECT, 554, "5.7.1 Too many concurrent SMTP connections", TryLater, RATE_LIMIT_BACK_OFF),
    (Stage.CONNECT, 421, "4.7.0 Too many connections from your IP", TryLater, RATE_LIMIT_BACK_OFF),
    (Stage.MAIL, 421, "4.7.28 rate limit exceeded", TryLater, RATE_LIMIT_BACK_OFF),
    (Stage.MAIL, 452, "4.5.3 Too many messages in this session", TryLater, RATE_LIMIT_BACK_OFF),
    (Stage.MAIL, 501, "5.1.7 bad sender syntax", ContentRefused, None),
    (Stage.MAIL, 550, "5.1.1 no such sender", ContentRefused, None),
    (Stage.MAIL, 550, "4.3.0 make up your mind", TryLater, None),
    (Stage.RCPT, 452, "4.2.2 The mailbox is over quota", TryLater, MAILBOX_FULL_BACK_OFF),
    (Stage.RCPT, 550, "5.2.2 over quota", TryLater, MAILBOX_FULL_BACK_OFF),
    (Stage.RCPT, 552, "over quota", TryLater, MAILBOX_FULL_BACK_OFF),
    (Stage.RCPT, 552, "5.3.4 too big for this mailbox", ContentRefused, None),
    (Stage.RCPT, 552, "5.2.3 too big for this mailbox", ContentRefused, None),
    (Stage.RCPT, 501, "5.1.3 bad address syntax", RecipientRefused, None),
    (Stage.RCPT, 501, "bad address syntax", RecipientRefused, None),
    (Stage.RCPT, 502, "what?", TryLater, None),
    (Stage.RCPT, 504, "what?", TryLater, None),
    (Stage.RCPT, 550, "5.2.1 disabled", RecipientRefused, None),
    (Stage.RCPT, 550, "5.4.1 Recipient address rejected: Access denied.", RecipientRefused, None),
    (Stage.RCPT, 550, "5.5.0 Requested action not taken: mailbox unavailable", RecipientRefused, None),
    (Stage.RCPT, 550, "5.7.17 the mailbox has another owner now", RecipientRefused, None),
    (Stage.RCPT, 554, "5.1.1 no such user", RecipientRefused, None),
    (Stage.RCPT, 556, "5.1.10 the domain takes no mail", RecipientRefused, None),
    (Stage.RCPT, 550, "sorry, no mailbox here by that name. (#5.1.1)", RecipientRefused, None),
    (Stage.RCPT, 550, "5.1.1. Who?", RecipientRefused, None),
    (Stage.RCPT, 550, "<spam.policy@example.org> unknown", RecipientRefused, None),
    (Stage.RCPT, 550, "5.7.1 rejected by policy", ContentRefused, None),
    (Stage.RCPT, 554, "transaction failed", ContentRefused, None),
    (Stage.RCPT, 550, "blocked using a block list, see 5.1.1.2", ContentRefused, None),
    (Stage.RCPT, 550, "relaying not permitted", ContentRefused, None),
    (Stage.RCPT, 553, "sorry, not in my list of hosts (#5.7.1)", ContentRefused, None),
    (Stage.RCPT, 550, "5.1.0 Sender address rejected: unknown", ContentRefused, None),
    (Stage.RCPT, 553, "5.1.8 sender's domain not found", AccountRefused, None),
    (Stage.RCPT, 550, "5.4.6 routing loop", ContentRefused, None),
    (Stage.RCPT, 550, "5.6.7 needs SMTPUTF8", ContentRefused, None),
    (Stage.RCPT, 535, "5.7.8 log in", AuthenticationRefused, None),
    (Stage.DATA, 503, "5.5.1 bad sequence", TryLater, None),
    (Stage.END, 550, "5.2.2 over quota", TryLater, MAILBOX_FULL_BACK_OFF),
    (Stage.END, 552, "too much mail data", ContentRefused, None),
    (Stage.END, 550, "no such user", ContentRefused, None),
    (Stage.END, 550, "5.7.26 unauthenticated mail is blocked", ContentRefused, None),
]


@pytest.mark.parametrize(("stage", "code", "response", "verdict", "hint"), CLASSIFIED)
def test_reply_is_classified_by_stage_code_and_enhanced_code(
    stage: Stage, code: int, response: str, verdict: type[DeliveryError], hint: float | None
) -> None:
    error = classify(stage, code, response)
    assert type(error) is verdict
    assert getattr(error, "after", None) == hint


@given(
    stage=st.sampled_from(Stage),
    code=st.integers(400, 599),
    response=st.text(max_size=60) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3} .{0,20}", fullmatch=True),
)
def test_every_reply_has_a_verdict_and_4xx_is_never_final(stage: Stage, code: int, response: str) -> None:
    error = classify(stage, code, response)
    assert error.code == code
    assert not isinstance(error, Ambiguous)
    if code < 500 or stage is Stage.CONNECT:
        assert isinstance(error, TryLater)
    if isinstance(error, RecipientRefused):
        assert stage in (Stage.RCPT, Stage.END)


@pytest.fixture(scope="session")
def dkim_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A private key as PEM text, and the DNS record with its public half."""
    folder = tmp_path_factory.mktemp("dkim")
    private, public = folder / "private.pem", folder / "public.pem"
    openssl("genrsa", "-out", str(private), "2048")
    openssl("rsa", "-in", str(private), "-pubout", "-out", str(public))
    encoded = "".join(line for line in public.read_text().splitlines() if not line.startswith("--"))
    return private.read_text(), f"v=DKIM1; k=rsa; p={encoded}".encode()


@pytest.mark.rule("MAIL2", "MAIL6")
async def test_dkim_signature_verifies_and_covers_unsubscribe_headers(
    server: HostileSmtp, dkim_key: tuple[str, bytes]
) -> None:
    private, record = dkim_key
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "Check-in"
    message["Date"], message["Message-ID"] = "Mon, 06 Mar 2028 09:00:00 +0000", "<1@example.org>"
    message["List-Unsubscribe"] = "<https://example.org/u/1>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content("Hello.\n.dot\n\n\n")
    async with channel_to(server, dkim=DkimSettings("example.org", "mail", private)) as channel:
        signed = await channel.sign(bytes(message))
        await deliver(channel, content=signed)

    [arrived] = server.accepted
    assert arrived.content == signed
    names: list[bytes] = []

    def resolve(name: bytes, timeout: int = 5) -> bytes:
        names.append(name)
        return record

    assert dkim.verify(arrived.content, dnsfunc=resolve)
    assert names == [b"mail._domainkey.example.org."]
    for changed in (b"Check-in", b"One-Click", b"Hello."):
        assert not dkim.verify(arrived.content.replace(changed, b"Changed"), dnsfunc=resolve)
    for second in (b"From: eve@example.org", b"To: eve@example.org", b"Subject: Other", b"Date: today"):
        assert not dkim.verify(second + b"\r\n" + arrived.content, dnsfunc=resolve)


async def test_missing_dkim_settings_leave_the_message_unsigned(server: HostileSmtp) -> None:
    async with channel_to(server) as channel:
        assert await channel.sign(CONTENT) == CONTENT


def test_unreadable_dkim_key_is_an_error_at_signing() -> None:
    with pytest.raises(dkim.KeyFormatError):
        sign(CONTENT, DkimSettings("example.org", "mail", "no key"))


def test_settings_hide_secrets_and_refuse_unusable_values() -> None:
    settings = SmtpSettings(
        "localhost", 25, username="u", password="hidden", dkim=DkimSettings("d", "s", "hidden")
    )
    assert "hidden" not in repr(settings)
    wrong: list[dict[str, Any]] = [
        {"pool_size": 0},
        {"total_timeout": 0},
        {"rate_per_minute": 0},
        {"helo_name": "two words"},
    ]
    for change in wrong:
        with pytest.raises(ValueError, match="|".join(change)):
            dataclasses.replace(settings, **change)
