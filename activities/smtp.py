"""The SMTP channel: one message to one recipient, and an unambiguous verdict about it (MAIL2, MAIL3).

A verdict is an `Accepted` or one of the `DeliveryError`s. Which answer at which point leads to which of them:

| when                   | answer                                                | verdict                          |
|------------------------|-------------------------------------------------------|----------------------------------|
| before the final dot   | none: no connection, time-out, end of file, garbage   | TryLater                         |
| at any time            | 4xx                                                   | TryLater                         |
| at any time            | 5xx with an enhanced code 4.x.x, or 503               | TryLater                         |
| greeting, EHLO, TLS    | 5xx; STARTTLS not offered; certificate not trusted    | TryLater                         |
| AUTH                   | 5xx; no usable method offered                         | AuthenticationRefused            |
| from MAIL FROM on      | 530, 534, 535, 538                                    | AuthenticationRefused            |
| RCPT TO, final dot     | 5.1.1–4, 5.1.6, 5.1.10, 5.2.1, 5.4.1, 5.4.4, 5.7.17–18 | RecipientRefused                 |
| RCPT TO, final dot     | 5.2.2 (mailbox full); at RCPT TO also a bare 552      | TryLater, after hours            |
| RCPT TO                | 501, 550, 551, 553, 556 with another 5.0.x, 5.1.x,    | RecipientRefused, unless the text |
|                        | 5.2.x, 5.5.x or no enhanced code                      | speaks of policy or the sender   |
| RCPT TO                | 500, 502, 504: the command was not understood         | TryLater                         |
| from MAIL FROM on      | any other 5xx (policy 5.7.x, size, sender, media)     | ContentRefused                   |
| after the final dot    | none: time-out, end of file, garbage                  | Ambiguous                        |

A wrong RecipientRefused silences a person for good, so what does not clearly speak of the mailbox is not one.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeVar, cast

import aiosmtplib
import dkim

T = TypeVar("T")

CROWDED_BACK_OFF = 300.0
"""Seconds to keep away from a server that refused for too many connections or too high a rate."""

MAILBOX_FULL_BACK_OFF = 6 * 3600.0
"""Seconds to keep away from a full mailbox."""

PROBE_INTERVAL = 900.0
"""Seconds that a refused login keeps the channel stopped before one delivery may try again."""

LEAVE_TIMEOUT = 1.0
"""Seconds that a server gets to answer QUIT when the channel closes."""

LONGEST_REPLY = 32 * 1024
LONGEST_KEPT_RESPONSE = 2_000


@dataclass(frozen=True, slots=True)
class DkimSettings:
    """What signs the mail of a domain: its selector in the DNS, and the RSA private key as PEM text."""

    domain: str
    selector: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One relay and how to use it. All durations are seconds.

    `tls` "starttls" never falls back to plain text. With `ca_file` only that authority is trusted, else the
    system's; `verify_certificates` False trusts any. With `tls` "none" a password travels as the server asks for
    it, in the clear unless it offers CRAM-MD5. `total_timeout` covers a whole delivery, with the wait for a
    connection and for the rate. `probe_interval` is how long a refused login keeps the channel stopped before one
    delivery may try again. `rate_per_minute` spaces deliveries evenly.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["none", "starttls", "implicit"] = "none"
    verify_certificates: bool = True
    ca_file: str | None = None
    pool_size: int = 4
    connect_timeout: float = 10
    command_timeout: float = 30
    data_timeout: float = 120
    total_timeout: float = 300
    max_messages_per_connection: int = 100
    max_connection_age: float = 300
    max_idle: float = 60
    rate_per_minute: int | None = None
    probe_interval: float = PROBE_INTERVAL
    helo_name: str = field(default_factory=socket.gethostname)
    dkim: DkimSettings | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for values with which no mail could ever go out."""
        for name in (
            "pool_size",
            "connect_timeout",
            "command_timeout",
            "data_timeout",
            "total_timeout",
            "max_messages_per_connection",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.rate_per_minute is not None and self.rate_per_minute <= 0:
            raise ValueError("rate_per_minute must be positive, or None for no limit")
        if not re.fullmatch(r"[!-~]+", self.helo_name):
            raise ValueError("helo_name must be a host name")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the message over: its code and its words (often a queue id)."""

    code: int
    response: str


class DeliveryError(Exception):
    """A message was not confirmed. `str()` holds no words of the server: they quote addresses (MEM6).

    `code` is the SMTP code and `enhanced` the enhanced one, where there was an answer; `response` the server's
    words, or ours where it said nothing, for the database only.
    """

    def __init__(self, response: str, *, code: int | None = None, enhanced: str | None = None) -> None:
        named = (type(self).__name__, code, enhanced)
        super().__init__(" ".join(str(part) for part in named if part is not None))
        self.response = _printable(response)
        self.code = code
        self.enhanced = enhanced


class TryLater(DeliveryError):
    """The server certainly does not have the message, and may take it later (MAIL3).

    `after` is a hint: not within so many seconds. None leaves it to the caller's growing delays.
    """

    def __init__(
        self,
        response: str,
        *,
        code: int | None = None,
        enhanced: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(response, code=code, enhanced=enhanced)
        self.after = after


class RecipientRefused(DeliveryError):
    """The address will not take mail, now or later: suppress it (MAIL3)."""


class ContentRefused(DeliveryError):
    """This message will not be taken; nothing is said against the address (MAIL3)."""


class AuthenticationRefused(DeliveryError):
    """The server does not let us in: the channel stops (MAIL3)."""


class Ambiguous(DeliveryError):
    """The message went out whole and no clear answer came back: the server may have it (MAIL2)."""


class Stage(StrEnum):
    """What the server answered to."""

    CONNECT = "connect"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"


_NOT_LET_IN = {530, 534, 535, 538}
_NOT_UNDERSTOOD = {500, 502, 504}
_NO_SUCH_MAILBOX = {
    *("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"),
    *("5.2.1", "5.4.1", "5.4.4", "5.7.17", "5.7.18"),
}
_MAILBOX_FULL = {"4.2.2", "5.2.2"}
_ABOUT_SENDER_OR_SIZE = {"5.1.7", "5.1.8", "5.1.9", "5.2.3"}
_MAYBE_MAILBOX_CODES = {501, 550, 551, 553, 556}
_MAYBE_MAILBOX_SUBJECTS = {"0", "1", "2", "5"}
_POLICY_WORDS = re.compile(
    r"spam|junk|polic|black.?list|block.?list|deny.?list|\bblock|\bban|\brbl\b|dnsbl|spamhaus|reputation"
    r"|\bspf\b|dkim|dmarc|relay|\brate\b|too many|sender|gr[ae]y.?list|content|virus"
    r"|access denied|not permitted|not allowed|authenti"
)
_CROWDED_WORDS = re.compile(
    r"too many (?:\w+ )*(?:connections|sessions|messages)|concurren|simultaneous"
    r"|connection (?:rate|limit|count)|(?:maximum|max)\.? (?:number of )?connections|rate.?limit|throttl"
)
_ENHANCED = re.compile(r"(?:^\W{0,2}|#)([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_QUOTED_ADDRESS = re.compile(r"\S*@\S*")


def classify(stage: Stage, code: int, response: str) -> DeliveryError:
    """The verdict on an answer that is not a yes, by the table of this module (MAIL3)."""
    found = _ENHANCED.search(response)
    enhanced = found[1] if found else None
    words = _QUOTED_ADDRESS.sub(" ", response).lower()
    kind = _kind(stage, code, enhanced, words)
    if kind is not TryLater:
        return kind(response, code=code, enhanced=enhanced)
    after = None
    if _CROWDED_WORDS.search(words):
        after = CROWDED_BACK_OFF
    elif enhanced in _MAILBOX_FULL or (stage is Stage.RCPT and code == 552):
        after = MAILBOX_FULL_BACK_OFF
    return TryLater(response, code=code, enhanced=enhanced, after=after)


def _kind(stage: Stage, code: int, enhanced: str | None, words: str) -> type[DeliveryError]:
    if code not in range(500, 600) or stage is Stage.CONNECT:
        return TryLater
    if stage is Stage.AUTH or code in _NOT_LET_IN:
        return AuthenticationRefused
    if code == 503 or (enhanced or "").startswith("4."):
        return TryLater
    if stage in (Stage.RCPT, Stage.END):
        if enhanced in _NO_SUCH_MAILBOX:
            return RecipientRefused
        if enhanced in _MAILBOX_FULL:
            return TryLater
    if stage is Stage.RCPT:
        if code in _NOT_UNDERSTOOD or (code == 552 and enhanced is None):
            return TryLater
        subject = enhanced.split(".")[1] if enhanced else "0"
        if (
            code in _MAYBE_MAILBOX_CODES
            and subject in _MAYBE_MAILBOX_SUBJECTS
            and enhanced not in _ABOUT_SENDER_OR_SIZE
            and not _POLICY_WORDS.search(words)
        ):
            return RecipientRefused
    return ContentRefused


def sign(content: bytes, settings: DkimSettings) -> bytes:
    """The message with a DKIM signature in front, as it will travel (CRLF line ends).

    To be called once, when the message is rendered, so that each attempt sends the same bytes (MAIL2). It costs
    some ten milliseconds of a core: off the event loop use `SmtpChannel.sign`. Every header is covered, the
    one-click unsubscribe pair too (RFC 8058), and From, To, Subject and Date against a second one. Only RSA keys.
    Raises dkim.DKIMException for an unreadable key or a message without From.
    """
    content = _with_crlf(content)
    signer = dkim.DKIM(content)
    signer.add_frozen([b"from", b"to", b"subject", b"date"])
    headers = signer.all_sign_headers() + sorted(signer.frozen_sign)
    signature: bytes = signer.sign(
        settings.selector.encode("ascii"),
        settings.domain.encode("ascii"),
        settings.private_key.encode("ascii"),
        include_headers=headers,
    )
    return signature + content


class SmtpChannel:
    """Delivers through one relay over a small pool of connections, on one event loop.

    `stopped` is the refusal that keeps the channel from trying, or None. It ends by `resume()`, or when a probe is
    let in: after `probe_interval` one delivery (or `check`) tries, and the others stay out until it has succeeded.
    """

    stopped: AuthenticationRefused | None

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.pool_size)
        self._idle: list[_Connection] = []
        self._login_turn = asyncio.Lock()
        self._tls_context: ssl.SSLContext | None = None
        self._next_departure = 0.0
        self._next_probe = 0.0
        self._probe_under_way = False
        self._closed = False
        self.stopped = None

    async def deliver(
        self, sender: str, recipient: str, content: bytes, *, before_last_byte: Callable[[], Awaitable[None]]
    ) -> Accepted:
        """Hand one message to the server, for one recipient; return its yes or raise a `DeliveryError` (MAIL2, MAIL3).

        The message goes out up to its last byte. Then `before_last_byte` is awaited, where the caller records that
        the message is being handed over; then the final dot follows in the same step of the event loop. So before
        that record the server cannot have accepted the message, and after it, it may have. Whatever
        `before_last_byte` raises ends the delivery without the dot and is passed on. `Ambiguous` is the only
        verdict after which the server may have the message without having said so; a cancellation after
        `before_last_byte` returned leaves the same doubt.

        `sender` may be empty (the null return path). `content` is sent as it is, with line ends made CRLF; a
        signature belongs to rendering (`sign`).
        """
        if self._closed:
            raise RuntimeError("the channel is closed")
        mail = _Mail(
            _envelope_sender(sender), _envelope_recipient(recipient), _with_crlf(content), before_last_byte
        )
        deadline = asyncio.timeout(self._settings.total_timeout)
        try:
            with self._admitted() as probing:
                async with deadline:
                    await self._depart()
                    async with self._slots:
                        return await self._deliver(mail, probing)
        except TimeoutError:
            if not deadline.expired():
                raise
        if mail.dot_sent:
            raise Ambiguous("no answer to the whole message within the time for a delivery")
        raise TryLater("the delivery took too long")

    async def check(self) -> None:
        """See whether mail could go out now: connect, greet, log in, leave. Raises a `DeliveryError` if not.

        On a connection of its own, beside the pool. A stopped channel is not tried, except as its probe.
        """
        connection = None
        with self._admitted() as probing, suppress(TimeoutError):
            async with asyncio.timeout(self._settings.total_timeout):
                connection = await self._connect(probing)
        if connection is None:
            raise TryLater("the check took too long")
        connection.leave()
        if probing:
            self.resume()

    async def sign(self, content: bytes) -> bytes:
        """The message signed as the settings say, off the event loop; unchanged without DKIM settings."""
        if self._settings.dkim is None:
            return content
        return await asyncio.to_thread(sign, content, self._settings.dkim)

    def resume(self) -> None:
        """Let deliveries try again after an authentication refusal, at once."""
        self.stopped = None

    async def aclose(self) -> None:
        """Leave the server. Deliveries under way end by themselves; new ones raise RuntimeError."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    @contextmanager
    def _admitted(self) -> Iterator[bool]:
        """Let an attempt in, and tell it whether it is the probe of a stopped channel. Raises its refusal else."""
        probing = self.stopped is not None
        if probing:
            now = asyncio.get_running_loop().time()
            if self._probe_under_way or now < self._next_probe:
                self._stay_out()
            self._probe_under_way = True
            self._next_probe = now + self._settings.probe_interval
        try:
            yield probing
        finally:
            if probing:
                self._probe_under_way = False

    def _stay_out(self) -> None:
        if self.stopped is not None:
            raise AuthenticationRefused(
                self.stopped.response, code=self.stopped.code, enhanced=self.stopped.enhanced
            )

    def _stop(self, refusal: AuthenticationRefused) -> None:
        self.stopped = refusal
        self._next_probe = asyncio.get_running_loop().time() + self._settings.probe_interval
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.leave()

    async def _depart(self) -> None:
        """Wait for this delivery's place in the rate: a token bucket that holds one token."""
        if self._settings.rate_per_minute is None:
            return
        now = asyncio.get_running_loop().time()
        wait = max(0.0, self._next_departure - now)
        if wait >= self._settings.total_timeout:
            raise TryLater("more mail is waiting than the rate lets out in time", after=wait)
        self._next_departure = now + wait + 60 / self._settings.rate_per_minute
        await asyncio.sleep(wait)

    async def _deliver(self, mail: _Mail, probing: bool) -> Accepted:
        connection = await self._connection_for(mail, probing)
        try:
            accepted = await self._transfer(connection, mail)
        except AuthenticationRefused as refusal:
            connection.abort()
            self._stop(refusal)
            raise
        except BaseException:
            connection.abort()
            raise
        self._put_back(connection)
        return accepted

    async def _connection_for(self, mail: _Mail, probing: bool) -> _Connection:
        """A connection on which the server has taken MAIL FROM.

        The server may have given up an idle connection in the meantime, silently or with a parting word that would
        pass for an answer to us. Nothing of the message has gone out by then, so whatever it says to MAIL FROM on a
        used connection, a fresh one is asked again.
        """
        used = self._take_idle()
        if used is not None:
            try:
                await self._open_envelope(used, mail)
            except DeliveryError:
                used.abort()
            except BaseException:
                used.abort()
                raise
            else:
                return used
        fresh = await self._connect(probing)
        try:
            await self._open_envelope(fresh, mail)
        except AuthenticationRefused as refusal:
            fresh.abort()
            self._stop(refusal)
            raise
        except BaseException:
            fresh.abort()
            raise
        if probing:
            self.resume()
        return fresh

    async def _open_envelope(self, connection: _Connection, mail: _Mail) -> None:
        smtp = connection.smtp
        options = []
        if smtp.supports_extension("size"):
            limit = smtp.esmtp_extensions["size"]
            if limit.isdecimal() and 0 < int(limit) < len(mail.content):
                raise ContentRefused(
                    f"{len(mail.content)} octets are more than the server's {limit}", enhanced="5.3.4"
                )
            options.append(f"SIZE={len(mail.content)}")
        if not mail.content.isascii():
            if not smtp.supports_extension("8bitmime"):
                raise ContentRefused("8-bit content, and the server takes 7-bit only", enhanced="5.6.3")
            options.append("BODY=8BITMIME")
        await _asked(Stage.MAIL, smtp.mail(mail.sender, options=options), self._settings.command_timeout)

    async def _transfer(self, connection: _Connection, mail: _Mail) -> Accepted:
        settings = self._settings
        await _asked(Stage.RCPT, connection.smtp.rcpt(mail.recipient), settings.command_timeout)
        data = _DataPhase(connection.transport)
        data.write(b"DATA\r\n")
        code, response = await _asked(Stage.DATA, data.answer(), settings.command_timeout)
        if code != 354:
            raise classify(Stage.DATA, code, response)
        await _asked(Stage.DATA, data.write_body(_dot_stuffed(mail.content)), settings.data_timeout)
        data.raise_early_answer()
        await mail.before_last_byte()
        data.raise_early_answer()
        mail.dot_sent = True
        data.write(b".\r\n")
        # From here on the server may have the message: only a clear no is a no.
        try:
            async with asyncio.timeout(settings.data_timeout):
                code, response = await data.answer()
        except (OSError, _Garbage) as error:
            doubt = f"no clear answer to the whole message ({type(error).__name__})"
        else:
            if 400 <= code < 600:
                raise classify(Stage.END, code, response)
            if 200 <= code < 300:
                connection.in_step = data.hand_back()
                return Accepted(code, _printable(response))
            doubt = f"no clear answer to the whole message ({code} {response})"
        raise Ambiguous(doubt)

    async def _connect(self, probing: bool) -> _Connection:
        if not probing:
            self._stay_out()
        settings = self._settings
        patience = settings.command_timeout
        if settings.tls != "none" and self._tls_context is None:
            self._tls_context = await _asked(
                Stage.CONNECT, asyncio.to_thread(_tls_context, settings), patience
            )
        smtp = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.helo_name,
            timeout=None,
            use_tls=settings.tls == "implicit",
            start_tls=False,
            tls_context=self._tls_context,
        )
        try:
            await _asked(Stage.CONNECT, smtp.connect(), settings.connect_timeout)
            await _asked(Stage.CONNECT, smtp.ehlo(), patience)
            if settings.tls == "starttls":
                await _asked(Stage.CONNECT, smtp.starttls(), patience)
                await _asked(Stage.CONNECT, smtp.ehlo(), patience)
            if settings.username is not None:
                # One at a time, so that a wrong password is tried once and not once per connection.
                async with self._login_turn:
                    if not probing:
                        self._stay_out()
                    try:
                        await self._log_in(smtp, settings.username, settings.password or "")
                    except AuthenticationRefused as refusal:
                        self._stop(refusal)
                        raise
            if smtp.transport is None:
                raise TryLater("the server left")
        except BaseException:
            if smtp.transport is not None:
                cast(asyncio.Transport, smtp.transport).abort()
            raise
        return _Connection(smtp)

    async def _log_in(self, smtp: aiosmtplib.SMTP, username: str, password: str) -> None:
        """Log in by one method only: aiosmtplib's own `login` tries a wrong password again with each of them."""
        methods = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
        by_preference = ["plain", "login", "cram-md5"]
        if self._settings.tls == "none":
            by_preference = ["cram-md5", "plain", "login"]
        for name in by_preference:
            if name in smtp.server_auth_methods:
                await _asked(Stage.AUTH, methods[name](username, password), self._settings.command_timeout)
                return
        raise AuthenticationRefused("the server offers no way to log in that we know")

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if self._may_be_used(connection):
                return connection
            connection.leave()
        return None

    def _put_back(self, connection: _Connection) -> None:
        connection.messages += 1
        connection.idle_since = asyncio.get_running_loop().time()
        if self._closed or self.stopped is not None or not self._may_be_used(connection):
            connection.leave()
        else:
            self._idle.append(connection)

    def _may_be_used(self, connection: _Connection) -> bool:
        now = asyncio.get_running_loop().time()
        return (
            connection.in_step
            and connection.smtp.is_connected
            and connection.messages < self._settings.max_messages_per_connection
            and now - connection.born < self._settings.max_connection_age
            and now - connection.idle_since < self._settings.max_idle
        )


@dataclass(slots=True)
class _Mail:
    sender: str
    recipient: str
    content: bytes
    before_last_byte: Callable[[], Awaitable[None]]
    dot_sent: bool = False


class _Connection:
    """A connection that is logged in, with its age on the loop's clock.

    `in_step` is False once the server has said more than it was asked for.
    """

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.transport = cast(asyncio.Transport, smtp.transport)
        self.born = self.idle_since = asyncio.get_running_loop().time()
        self.messages = 0
        self.in_step = True

    def abort(self) -> None:
        """Drop the connection with all that is still unsent."""
        self.transport.abort()

    def leave(self) -> None:
        """Say QUIT and close without waiting for the answer."""
        if not self.transport.is_closing():
            self.transport.write(b"QUIT\r\n")
            self.transport.close()

    async def quit(self) -> None:
        """Say QUIT, wait a moment for the answer, and close."""
        try:
            await _asked(Stage.CONNECT, self.smtp.quit(), LEAVE_TIMEOUT)
        except DeliveryError:
            pass
        finally:
            self.transport.abort()


class _Garbage(Exception):
    """What came back is no SMTP answer."""


class _DataPhase(asyncio.Protocol):
    """A connection between RCPT TO and the answer to the final dot.

    aiosmtplib writes the message and the final dot in one call, and between commands it throws away what the server
    says unasked. Here the caller's record comes between message and dot, and a refusal or end of file before the
    dot is worth a lot: it saves an ambiguity. So this protocol takes the transport over, and hands it back when the
    server has said yes. It passes on that the connection is lost, so that aiosmtplib's own state stays true.
    """

    _REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._owner = transport.get_protocol()
        self._received = b""
        self._paused = False
        self._lost = transport.is_closing()
        self._news = asyncio.Event()
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._news.set()

    def eof_received(self) -> None:
        self._lost = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._news.set()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._news.set()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def write_body(self, data: bytes) -> None:
        """Write and wait until the bytes have left, or the server is no longer interested."""
        self._transport.write(data)
        while self._paused and not self._lost and not self._received:
            await self._hear()

    async def answer(self) -> tuple[int, str]:
        """The next answer: code and text. Raises ConnectionError or _Garbage."""
        while (reply := self._next_reply()) is None:
            if self._lost:
                raise ConnectionError("connection lost")
            await self._hear()
        return reply

    def raise_early_answer(self) -> None:
        """Raise the verdict if the server has spoken or left before the end of the message: neither is a yes."""
        if not self._received:
            if self._lost:
                raise TryLater("the connection was lost before the end of the message")
            return
        reply = None
        with suppress(_Garbage):
            reply = self._next_reply()
        if reply is not None and 400 <= reply[0] < 600:
            raise classify(Stage.END, *reply)
        raise TryLater("the server spoke before the end of the message")

    def hand_back(self) -> bool:
        """Give the transport back. False if the server said more than its answer: then it is out of step."""
        self._transport.set_write_buffer_limits()
        self._transport.set_protocol(self._owner)
        return not self._received and not self._lost

    async def _hear(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _next_reply(self) -> tuple[int, str] | None:
        """Take one whole answer off what was received; None while it is incomplete."""
        rest, texts = self._received, []
        while b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            parts = self._REPLY_LINE.fullmatch(line.rstrip(b"\r"))
            if parts is None:
                raise _Garbage
            texts.append((parts[3] or b"").decode("utf-8", "replace"))
            if parts[2] != b"-":
                self._received = rest
                return int(parts[1]), "\n".join(texts)
        if len(self._received) > LONGEST_REPLY:
            raise _Garbage
        return None


async def _asked(stage: Stage, answer: Awaitable[T], within: float) -> T:
    """Await an answer that comes before the final dot; raise the verdict where it is not a yes.

    The time limit is here, and aiosmtplib's own is off: it uses `asyncio.wait_for`, which in Python 3.11 loses a
    cancellation that comes together with the answer. The verdict is raised outside the handler, so that no
    exception which quotes an address hangs on to it.
    """
    try:
        async with asyncio.timeout(within):
            return await answer
    except aiosmtplib.SMTPResponseException as error:
        verdict = classify(stage, error.code, error.message)
    except (aiosmtplib.SMTPException, OSError, UnicodeError, _Garbage) as error:
        verdict = TryLater(f"no answer at {stage} ({type(error).__name__}: {error})")
    raise verdict


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify_certificates:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _with_crlf(content: bytes) -> bytes:
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _dot_stuffed(content: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", content)


_MAILBOX = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)


def _mailbox(address: str) -> str | None:
    """The address for an envelope, its domain in ASCII; None for one that cannot be sent without SMTPUTF8."""
    local, _, domain = address.strip().rpartition("@")
    with suppress(UnicodeError):
        mailbox = f"{local}@{domain.encode('idna').decode('ascii')}"
        if _MAILBOX.fullmatch(mailbox):
            return mailbox
    return None


def _envelope_sender(address: str) -> str:
    mailbox = _mailbox(address) if address else ""
    if mailbox is None:
        raise ContentRefused("the sender's address cannot be sent", enhanced="5.1.7")
    return mailbox


def _envelope_recipient(address: str) -> str:
    mailbox = _mailbox(address)
    if mailbox is None:
        raise RecipientRefused("the recipient's address cannot be sent", enhanced="5.1.3")
    return mailbox


def _printable(text: str) -> str:
    """Text that any database takes: no control characters but line ends, no half surrogates, not too long."""
    clean = "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
    return clean[:LONGEST_KEPT_RESPONSE]
