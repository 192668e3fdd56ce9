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
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from mail.addresses import envelope_recipient, envelope_sender
from mail.smtp.connection import Connection, DataPhase, MalformedReply, _dot_stuffed, command, with_crlf
from mail.smtp.dkim_signing import sign
from mail.smtp.settings import SmtpSettings, tls_context
from mail.smtp.verdicts import (
    Accepted,
    Ambiguous,
    AuthenticationRefused,
    ContentRefused,
    DeliveryError,
    Stage,
    TryLater,
    classify,
)
from rules.text import from_mail_server


class SmtpChannel:
    """Delivers through one relay over a small pool of connections, on one event loop.

    `stopped` is the refusal that keeps the channel from trying, or None. It ends by `resume()`, or when a probe is
    let in: after `probe_interval` one delivery (or `check`) tries, and the others stay out until it has succeeded.
    """

    stopped: AuthenticationRefused | None

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.pool_size)
        self._idle: list[Connection] = []
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
            envelope_sender(sender), envelope_recipient(recipient), with_crlf(content), before_last_byte
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

    async def _connection_for(self, mail: _Mail, probing: bool) -> Connection:
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

    async def _open_envelope(self, connection: Connection, mail: _Mail) -> None:
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
        await command(Stage.MAIL, smtp.mail(mail.sender, options=options), self._settings.command_timeout)

    async def _transfer(self, connection: Connection, mail: _Mail) -> Accepted:
        settings = self._settings
        await command(Stage.RCPT, connection.smtp.rcpt(mail.recipient), settings.command_timeout)
        data = DataPhase(connection.transport)
        data.write(b"DATA\r\n")
        code, response = await command(Stage.DATA, data.answer(), settings.command_timeout)
        if code != 354:
            raise classify(Stage.DATA, code, response)
        await command(Stage.DATA, data.write_body(_dot_stuffed(mail.content)), settings.data_timeout)
        data.raise_early_answer()
        await mail.before_last_byte()
        data.raise_early_answer()
        mail.dot_sent = True
        data.write(b".\r\n")
        # From here on the server may have the message: only a clear no is a no.
        try:
            async with asyncio.timeout(settings.data_timeout):
                code, response = await data.answer()
        except (OSError, MalformedReply) as error:
            doubt = f"no clear answer to the whole message ({type(error).__name__})"
        else:
            if 400 <= code < 600:
                raise classify(Stage.END, code, response)
            if 200 <= code < 300:
                connection.in_step = data.hand_back()
                return Accepted(code, from_mail_server(response))
            doubt = f"no clear answer to the whole message ({code} {response})"
        raise Ambiguous(doubt)

    async def _connect(self, probing: bool) -> Connection:
        if not probing:
            self._stay_out()
        settings = self._settings
        patience = settings.command_timeout
        if settings.tls != "none" and self._tls_context is None:
            self._tls_context = await command(
                Stage.CONNECT, asyncio.to_thread(tls_context, settings), patience
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
            await command(Stage.CONNECT, smtp.connect(), settings.connect_timeout)
            await command(Stage.CONNECT, smtp.ehlo(), patience)
            if settings.tls == "starttls":
                await command(Stage.CONNECT, smtp.starttls(), patience)
                await command(Stage.CONNECT, smtp.ehlo(), patience)
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
        return Connection(smtp)

    async def _log_in(self, smtp: aiosmtplib.SMTP, username: str, password: str) -> None:
        """Log in by one method only: aiosmtplib's own `login` tries a wrong password again with each of them."""
        methods = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
        by_preference = ["plain", "login", "cram-md5"]
        if self._settings.tls == "none":
            by_preference = ["cram-md5", "plain", "login"]
        for name in by_preference:
            if name in smtp.server_auth_methods:
                await command(Stage.AUTH, methods[name](username, password), self._settings.command_timeout)
                return
        raise AuthenticationRefused("the server offers no way to log in that we know")

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if self._may_be_used(connection):
                return connection
            connection.leave()
        return None

    def _put_back(self, connection: Connection) -> None:
        connection.messages += 1
        connection.idle_since = asyncio.get_running_loop().time()
        if self._closed or self.stopped is not None or not self._may_be_used(connection):
            connection.leave()
        else:
            self._idle.append(connection)

    def _may_be_used(self, connection: Connection) -> bool:
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
