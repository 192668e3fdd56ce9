"""The SMTP channel: one message to one recipient, and an unambiguous verdict about it (MAIL2, MAIL3).

A verdict is an `Acceptance` or one of the `DeliveryError`s. `mail.smtp.verdicts` has the table of replies and verdicts.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import aiosmtplib
import structlog

from mail.addresses import envelope_recipient, envelope_sender
from mail.smtp.circuit_breaker import CircuitBreaker
from mail.smtp.connection import Connection, command
from mail.smtp.dkim_signing import sign
from mail.smtp.mail_transaction import MailTransaction, MalformedReply, dot_stuffed, with_crlf
from mail.smtp.oauth2 import TokenSource
from mail.smtp.settings import SmtpSettings, tls_context
from mail.smtp.verdicts import (
    Acceptance,
    AccountRefused,
    Ambiguous,
    AuthenticationRefused,
    ChannelRefused,
    ContentRefused,
    DeliveryError,
    Stage,
    TryLater,
    classify,
)
from rules.text import from_mail_server

log = structlog.get_logger()

_POSITIVE = {Stage.MAIL: {250}, Stage.RCPT: {250, 251}, Stage.DATA: {354}}
"""The replies by which the transaction goes on (RFC 5321, 4.3.2)."""

Reserve = Callable[[float, float], Awaitable[float | None]]
"""Reserves the next departure for a step in seconds; returns the seconds until then, or None if it is too far."""


class SmtpChannel:
    """Delivers through one relay over a small pool of connections, on one event loop.

    A refused login or account opens the `circuit`. While it is open, only a probe tries: one delivery, or `check`,
    after each `probe_interval`. All other attempts raise the refusal. A probe that logs in closes the circuit of a
    refused login, a message that is accepted that of a refused account.
    """

    @property
    def settings(self) -> SmtpSettings:
        """The relay, and how it is used."""
        return self._settings

    def __init__(self, settings: SmtpSettings, reserve: Reserve | None = None) -> None:
        self._settings = settings
        self._reserve = reserve or self._reserve_here
        self._slots = asyncio.Semaphore(settings.pool_size)
        self._idle: list[Connection] = []
        self._login_lock = asyncio.Lock()
        self._tls_context: ssl.SSLContext | None = None
        self._next_start = 0.0
        self._closed = False
        self._pipelining = True
        self._tokens = TokenSource(settings.oauth2) if settings.oauth2 else None
        self.circuit = CircuitBreaker(settings.probe_interval)

    async def deliver(
        self, sender: str, recipient: str, content: bytes, *, before_last_byte: Callable[[], Awaitable[None]]
    ) -> Acceptance:
        """Hand one message to the server, for one recipient (MAIL2, MAIL3). Raises a `DeliveryError`.

        The message goes out up to its last byte. Then `before_last_byte` is awaited: the caller records the hand-over.
        The final dot follows in the same step of the event loop. So before that record the server cannot have
        accepted the message; after it, it may have. What `before_last_byte` raises ends the delivery without the dot
        and is passed on.

        `Ambiguous` is the only verdict after which the server may have the message without having replied. A
        cancellation after `before_last_byte` returned leaves the same doubt.

        `sender` may be empty (the null return path). `content` is sent as it is, with CRLF line ends; sign it when
        it is rendered (`sign`).
        """
        if self._closed:
            raise RuntimeError("the channel is closed")
        mail = _Mail(
            envelope_sender(sender), envelope_recipient(recipient), with_crlf(content), before_last_byte
        )
        deadline = asyncio.timeout(self._settings.total_timeout)
        try:
            with self.circuit.enter() as probe:
                async with deadline:
                    await self._wait_for_rate_limit()
                    async with self._slots:
                        return await self._deliver(mail, probe)
        except TimeoutError:
            if not deadline.expired():
                raise
        if mail.dot_sent:
            raise Ambiguous("no answer to the whole message within the time for a delivery")
        raise TryLater("the delivery took too long")

    async def check(self) -> None:
        """Check that mail could go out now: connect, greet, log in, leave. Raises a `DeliveryError` if not.

        It uses a connection of its own, outside the pool. An open circuit is tried only as its probe.
        """
        connection = None
        with self.circuit.enter() as probe, suppress(TimeoutError):
            async with asyncio.timeout(self._settings.total_timeout):
                connection = await self._connect(probe)
        if connection is None:
            raise TryLater("the check took too long")
        connection.leave()
        if probe and self.circuit.closes_at_login:
            self.circuit.close()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing goes out but a probe."""
        return self.circuit.open

    def stop(self, refusal: AccountRefused) -> None:
        """Open the circuit for what the caller has seen: the server refuses us, whatever its words (MAIL10)."""
        self._open_circuit(refusal)

    async def sign(self, content: bytes) -> bytes:
        """Return the message with its DKIM signature, made off the event loop; unchanged without DKIM settings."""
        if self._settings.dkim is None:
            return content
        return await asyncio.to_thread(sign, content, self._settings.dkim)

    async def aclose(self) -> None:
        """Close the idle connections. Deliveries in flight run to their end; new ones raise RuntimeError."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    def _open_circuit(self, refusal: ChannelRefused) -> None:
        """Stop deliveries, and drop the idle connections: they are logged in with the refused account."""
        self.circuit.trip(refusal)
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.leave()

    async def _wait_for_rate_limit(self) -> None:
        """Wait for this delivery's place in the rate: a token bucket that holds one token."""
        if self._settings.rate_per_minute is None:
            return
        step, within = 60 / self._settings.rate_per_minute, self._settings.total_timeout
        wait = await self._reserve(step, within)
        if wait is None:
            raise TryLater(
                "more mail is waiting than the rate limit lets out in time", after=max(step, within)
            )
        await asyncio.sleep(wait)

    async def _reserve_here(self, step: float, within: float) -> float | None:
        """Reserve the next departure of this process alone."""
        now = asyncio.get_running_loop().time()
        wait = max(0.0, self._next_start - now)
        if wait >= within:
            return None
        self._next_start = now + wait + step
        return wait

    async def _deliver(self, mail: _Mail, probe: bool) -> Acceptance:
        connection, transaction = await self._begin(mail, probe)
        try:
            accepted = await self._transfer(connection, transaction, mail)
        except ChannelRefused as refusal:
            connection.abort()
            self._open_circuit(refusal)
            raise
        except DeliveryError as error:
            connection.abort()
            if probe:
                self.circuit.judge_probe(error)
            raise
        except BaseException:
            connection.abort()
            raise
        if probe:
            self.circuit.close()
        self._put_back(connection)
        return accepted

    async def _begin(self, mail: _Mail, probe: bool) -> tuple[Connection, MailTransaction]:
        """Return a connection, and the transaction on it whose MAIL FROM the server has accepted.

        The server may have closed an idle connection in the meantime, silently or with a parting reply (such as 421)
        that looks like the reply to our command. Nothing of the message has gone out by then. So any failure of
        MAIL FROM on a used connection is tried again on a fresh one.
        """
        used = self._take_idle()
        if used is not None:
            try:
                return used, await self._open_envelope(used, mail)
            except DeliveryError:
                used.abort()
            except BaseException:
                used.abort()
                raise
        fresh = await self._connect(probe)
        try:
            transaction = await self._open_envelope(fresh, mail)
        except ChannelRefused as refusal:
            fresh.abort()
            self._open_circuit(refusal)
            raise
        except DeliveryError as error:
            fresh.abort()
            if probe:
                self.circuit.judge_probe(error)
            raise
        except BaseException:
            fresh.abort()
            raise
        if probe and self.circuit.closes_at_login:
            self.circuit.close()
        return fresh, transaction

    async def _open_envelope(self, connection: Connection, mail: _Mail) -> MailTransaction:
        smtp = connection.smtp
        options = ""
        if smtp.supports_extension("size"):
            limit = smtp.esmtp_extensions["size"]
            if limit.isdecimal() and 0 < int(limit) < len(mail.content):
                raise ContentRefused(
                    f"{len(mail.content)} octets are more than the server's {limit}", enhanced="5.3.4"
                )
            options += f" SIZE={len(mail.content)}"
        if not mail.content.isascii():
            if not smtp.supports_extension("8bitmime"):
                raise ContentRefused("8-bit content, and the server takes 7-bit only", enhanced="5.6.3")
            options += " BODY=8BITMIME"
        group = {
            Stage.MAIL: f"MAIL FROM:<{mail.sender}>{options}",
            Stage.RCPT: f"RCPT TO:<{mail.recipient}>",
            Stage.DATA: "DATA",
        }
        pipelined = self._pipelining and smtp.supports_extension("pipelining")
        transaction = MailTransaction(connection.transport, group, pipelined)
        await self._ask(transaction, Stage.MAIL)
        return transaction

    async def _ask(self, transaction: MailTransaction, stage: Stage) -> None:
        """Get a positive reply to a command of the envelope.

        A server that offers PIPELINING and then loses commands would never get a mail: the channel stops to use it.
        """
        reply = transaction.reply_to(stage)
        try:
            code, response = await command(stage, reply, self._settings.command_timeout)
        except TryLater:
            if transaction.pipelined and stage is not Stage.MAIL and not transaction.lost:
                self._pipelining = False
                log.warning("smtp_pipelining_stopped", stage=stage.value)
            raise
        if code not in _POSITIVE[stage]:
            raise classify(stage, code, response)

    async def _transfer(
        self, connection: Connection, transaction: MailTransaction, mail: _Mail
    ) -> Acceptance:
        settings = self._settings
        # The recipient's reply comes first. A server that refuses it may still answer DATA by 354 (RFC 2920, 3.1).
        await self._ask(transaction, Stage.RCPT)
        await self._ask(transaction, Stage.DATA)
        await command(Stage.DATA, transaction.write_body(dot_stuffed(mail.content)), settings.data_timeout)
        transaction.raise_early_reply()
        await mail.before_last_byte()
        transaction.raise_early_reply()
        mail.dot_sent = True
        transaction.write(b".\r\n")
        # From here on the server may have the message: only a clear refusal is one.
        try:
            async with asyncio.timeout(settings.data_timeout):
                code, response = await transaction.reply()
        except (OSError, MalformedReply) as error:
            doubt = f"no clear answer to the whole message ({type(error).__name__})"
        else:
            if 400 <= code < 600:
                raise classify(Stage.END, code, response)
            if 200 <= code < 300:
                connection.synchronized = transaction.hand_back()
                return Acceptance(code, from_mail_server(response))
            doubt = f"no clear answer to the whole message ({code} {response})"
        raise Ambiguous(doubt)

    async def _connect(self, probe: bool) -> Connection:
        if not probe:
            self.circuit.raise_if_open()
        settings = self._settings
        if settings.tls != "none" and self._tls_context is None:
            self._tls_context = await command(
                Stage.CONNECT, asyncio.to_thread(tls_context, settings), settings.command_timeout
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
            await self._greet(smtp)
            if settings.username is not None:
                # One at a time, so that a wrong password is tried once and not once per connection.
                async with self._login_lock:
                    if not probe:
                        self.circuit.raise_if_open()
                    try:
                        await self._log_in(smtp, settings.username, settings.password or "")
                    except AuthenticationRefused as refusal:
                        self._open_circuit(refusal)
                        raise
            if smtp.transport is None:
                raise TryLater("the server closed the connection")
        except BaseException:
            if smtp.transport is not None:
                cast(asyncio.Transport, smtp.transport).abort()
            raise
        return Connection(smtp)

    async def _greet(self, smtp: aiosmtplib.SMTP) -> None:
        """Connect, greet, and start TLS. The second EHLO is required: TLS discards the first (RFC 3207, 4.2)."""
        settings = self._settings
        await command(Stage.CONNECT, smtp.connect(), settings.connect_timeout)
        await command(Stage.CONNECT, smtp.ehlo(), settings.command_timeout)
        if settings.tls == "starttls":
            await command(Stage.CONNECT, smtp.starttls(), settings.command_timeout)
            await command(Stage.CONNECT, smtp.ehlo(), settings.command_timeout)

    async def _log_in(self, smtp: aiosmtplib.SMTP, username: str, password: str) -> None:
        """Log in by one method: aiosmtplib's own `login` repeats a wrong password with each method on offer."""
        if self._tokens is not None:
            await self._log_in_by_token(smtp, username, self._tokens)
            return
        methods = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
        by_preference = ["plain", "login", "cram-md5"]
        if self._settings.tls == "none":
            by_preference = ["cram-md5", "plain", "login"]
        for name in by_preference:
            if name in smtp.server_auth_methods:
                await command(Stage.AUTH, methods[name](username, password), self._settings.command_timeout)
                return
        raise AuthenticationRefused("the server offers no supported login method")

    async def _log_in_by_token(self, smtp: aiosmtplib.SMTP, username: str, tokens: TokenSource) -> None:
        """Log in by XOAUTH2; a refused token is renewed once: it may have been revoked before its end."""
        for last in (False, True):
            token = await tokens.token()
            try:
                await command(Stage.AUTH, smtp.auth_xoauth2(username, token), self._settings.command_timeout)
            except AuthenticationRefused:
                tokens.discard(token)
                if last:
                    raise
            else:
                return

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if self._is_usable(connection):
                return connection
            connection.leave()
        return None

    def _put_back(self, connection: Connection) -> None:
        connection.messages += 1
        connection.idle_since = asyncio.get_running_loop().time()
        if self._closed or self.circuit.open or not self._is_usable(connection):
            connection.leave()
        else:
            self._idle.append(connection)

    def _is_usable(self, connection: Connection) -> bool:
        now = asyncio.get_running_loop().time()
        return (
            connection.synchronized
            and connection.smtp.is_connected
            and connection.messages < self._settings.max_messages_per_connection
            and now - connection.opened_at < self._settings.max_connection_age
            and now - connection.idle_since < self._settings.max_idle
        )


@dataclass(slots=True)
class _Mail:
    sender: str
    recipient: str
    content: bytes
    before_last_byte: Callable[[], Awaitable[None]]
    dot_sent: bool = False
