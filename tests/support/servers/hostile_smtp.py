"""An SMTP server for tests whose every answer can be replaced by a refusal, silence, nonsense or a broken line.

    async with HostileSmtp() as server:
        server.answers("RCPT", say("450 4.2.0 greylisted"))          # once, then as usual again
        server.always("END", drop())                                 # from now on
        ...
        await server.until(lambda: len(server.accepted) == 1)

The steps that can be answered: `banner`, the commands `EHLO` `HELO` `STARTTLS` `AUTH` `MAIL` `RCPT` `DATA` `RSET`
`NOOP` `QUIT`, `BODY` (an act after the first line of the message, in addition) and `END` (the final dot).
What counts is what the server has: `accepted` are the messages that it took responsibility for.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import subprocess
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import cast

import pytest

from tests.support.limits import PATIENCE


@dataclass(frozen=True)
class Answer:
    """What a session does at a step. `stores` tells whether it does what was asked: keeps the message, starts TLS."""

    act: Callable[[Session], Awaitable[None]]
    stores: bool = True


@dataclass
class Message:
    """A message as it came: dots unstuffed, without the final one. `ended` is whether that one came."""

    sender: str
    recipients: list[str]
    connection: int
    content: bytes = b""
    ended: bool = False
    accepted: bool = False
    at: float = 0.0
    """When its final dot came, by the event loop's clock."""


@dataclass
class Session:
    """One connection: what it said (`commands`, without the message) and who logged in."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    commands: list[str] = field(default_factory=list)
    user: str | None = None
    secure: bool = False
    open: bool = True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> bytes:
        """The next line with its end; b"" at the end of the connection."""
        line = await self.reader.readline()
        return line if line.endswith(b"\n") else b""

    def drop(self) -> None:
        self.writer.transport.abort()


def say(text: str, *, stores: bool | None = None) -> Answer:
    """Answer `text`; several lines make a multi-line answer, each with its own code."""
    data = "".join(f"{line}\r\n" for line in text.split("\n")).encode()
    return Answer(lambda session: session.send(data), text.startswith("2") if stores is None else stores)


def raw(data: bytes, *, stores: bool = True) -> Answer:
    """Answer these bytes, whatever they are."""
    return Answer(lambda session: session.send(data), stores)


def pieces(*parts: bytes) -> Answer:
    """Answer in several writes, a moment apart, so that they arrive as several packets."""

    async def act(session: Session) -> None:
        for part in parts:
            await session.send(part)
            await asyncio.sleep(0.01)

    return Answer(act)


def hang() -> Answer:
    """Never answer; read on, and end when the client leaves."""

    async def act(session: Session) -> None:
        while await session.reader.read(2**16):
            pass
        raise ConnectionResetError

    return Answer(act)


def deaf() -> Answer:
    """Never answer, and read nothing more: what the client sends piles up on its side."""

    async def act(session: Session) -> None:
        cast(asyncio.Transport, session.writer.transport).pause_reading()
        await asyncio.Event().wait()

    return Answer(act)


def after(event: asyncio.Event, text: str) -> Answer:
    """Answer `text`, but not before `event` is set."""

    async def act(session: Session) -> None:
        await event.wait()
        await say(text).act(session)

    return Answer(act)


def forget_the_rest(text: str) -> Answer:
    """Answer `text`, and lose what came in one packet with the command."""

    async def act(session: Session) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await session.reader.read(2**16)
        await say(text).act(session)

    return Answer(act, text.startswith("2"))


def drop() -> Answer:
    """Break the connection without an answer."""

    async def act(session: Session) -> None:
        raise ConnectionResetError

    return Answer(act)


def close(text: str) -> Answer:
    """Answer `text` and close the connection in good order."""

    async def act(session: Session) -> None:
        await say(text).act(session)
        session.writer.close()

    return Answer(act, text.startswith("2"))


class HostileSmtp:
    """The server, on a loopback port of its own. See the module's text."""

    host = "localhost"

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = ("SIZE 33554432", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING"),
        tls: str = "none",
        certificate: Certificate | None = None,
        users: dict[str, str] | None = None,
        mechanisms: str = "PLAIN LOGIN",
        connection_limit: int | None = None,
        narrow: bool = False,
    ) -> None:
        """`narrow` makes the kernel take little more than the server reads, so that a body can stop half-way."""
        self.extensions = list(extensions)
        self.users = users
        self.mechanisms = mechanisms
        self.connection_limit = connection_limit
        self.sessions: list[Session] = []
        self.messages: list[Message] = []
        self.logins: list[tuple[str, bool]] = []
        self.most_at_once = 0
        self.port = 0
        self._narrow = narrow
        self._tls = tls
        self._context = certificate.server_context() if certificate else None
        self._once: dict[str, deque[Answer]] = defaultdict(deque)
        self._always: dict[str, Answer] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def accepted(self) -> list[Message]:
        """The messages that the server took responsibility for, in their order."""
        return [message for message in self.messages if message.accepted]

    @property
    def open_sessions(self) -> list[Session]:
        return [session for session in self.sessions if session.open]

    @property
    def commands(self) -> list[str]:
        """The verbs of all sessions."""
        return [command.split()[0].upper() for session in self.sessions for command in session.commands]

    def last_message(self, session: Session) -> Message:
        """The message that a session is about, or was last about."""
        return next(message for message in reversed(self.messages) if message.connection == session.number)

    def answers(self, step: str, *answers: Answer) -> None:
        """The next answers at a step, one each; after them it is as before."""
        self._once[step].extend(answers)

    def always(self, step: str, answer: Answer | None) -> None:
        """The answer at a step from now on; None makes it the usual one again."""
        self._always.pop(step, None)
        if answer is not None:
            self._always[step] = answer

    async def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait for something to become true on this side; fails the test if it does not `within` some seconds."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError("the server has waited in vain") from None

    async def start(self, port: int = 0) -> None:
        """Listen, on the given port or any free one."""
        listening = socket.create_server(("127.0.0.1", port))
        # asyncio sets this, but not on a socket that it is given. Replies to a group would wait 40 ms for an ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._narrow:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._server = await asyncio.start_server(
            self._serve,
            sock=listening,
            limit=2**20,
            ssl=self._context if self._tls == "implicit" else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break all connections and free the port."""
        if self._server is not None:
            self._server.close()
        self.drop_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def drop_all(self) -> None:
        """Break all connections, and go on listening."""
        for session in self.open_sessions:
            session.drop()

    async def __aenter__(self) -> HostileSmtp:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(len(self.sessions) + 1, reader, writer, secure=self._tls == "implicit")
        self.sessions.append(session)
        self.most_at_once = max(self.most_at_once, len(self.open_sessions))
        self._notify()
        try:
            await self._talk(session)
        except (OSError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError):
            session.drop()
        finally:
            session.open = False
            self._tasks.discard(task)
            self._notify()
            with suppress(OSError):
                writer.close()

    async def _talk(self, session: Session) -> None:
        crowded = self.connection_limit is not None and len(self.open_sessions) > self.connection_limit
        if crowded:
            await session.send(b"421 4.7.0 localhost Too many concurrent connections from your host\r\n")
            return
        if not await self._answer(session, "banner", "220 localhost ESMTP"):
            return
        message = Message("", [], session.number)
        while line := (await session.line()).decode("utf-8", "replace").rstrip("\r\n"):
            session.commands.append(line)
            verb = line.split()[0].upper()
            self._notify()
            if verb == "DATA" and message.recipients:
                if await self._answer(session, verb, "354 go ahead"):
                    await self._body(session, message)
                message = Message("", [], session.number)
                continue
            usual, done = self._usual(session, verb, line)
            if verb == "AUTH" and not self._scripted(verb):
                await self._auth(session, line)
                continue
            good = await self._answer(session, verb, usual)
            if verb == "QUIT":
                return
            if good and done and verb == "STARTTLS":
                assert self._context is not None
                await session.writer.start_tls(self._context)
                session.secure = True
            elif good and verb == "AUTH":
                session.user = "let in"
            elif good and verb == "MAIL":
                message = Message(_address(line), [], session.number)
            elif good and verb == "RCPT":
                message.recipients.append(_address(line))
            elif verb in ("RSET", "EHLO"):
                message = Message("", [], session.number)

    def _usual(self, session: Session, verb: str, line: str) -> tuple[str, bool]:
        """The usual answer to a command, and whether what it asks for is done."""
        may_mail = self.users is None or session.user is not None
        match verb:
            case "EHLO":
                offered = list(self.extensions)
                if self._tls == "starttls" and not session.secure:
                    offered.append("STARTTLS")
                if self.users is not None:
                    offered.append(f"AUTH {self.mechanisms}")
                lines = ["localhost greets you", *offered]
                return "\n".join([*(f"250-{word}" for word in lines[:-1]), f"250 {lines[-1]}"]), True
            case "STARTTLS" if self._tls == "starttls":
                return "220 2.0.0 go ahead", True
            case "MAIL" if not may_mail:
                return "530 5.7.0 authentication required", False
            case "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP":
                return "250 2.0.0 ok", True
            case "DATA":
                return "503 5.5.1 need RCPT", False
            case "QUIT":
                return "221 2.0.0 bye", True
            case _:
                return "502 5.5.2 what?", False

    async def _auth(self, session: Session, line: str) -> None:
        words = line.split()
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            user = base64.b64decode(words[2]).decode()
            await session.send(b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(await session.line()).decode()
        good = (self.users or {}).get(user) == password
        self.logins.append((user, good))
        session.user = user if good else None
        await session.send(b"235 2.7.0 welcome\r\n" if good else b"535 5.7.8 wrong user or password\r\n")

    async def _body(self, session: Session, message: Message) -> None:
        self.messages.append(message)
        started = False
        while (line := await session.line()) != b".\r\n":
            if not line:
                raise ConnectionError
            message.content += line[1:] if line.startswith(b".") else line
            self._notify()
            if not started:
                started = True
                if (answer := self._scripted("BODY", take=True)) is not None:
                    await answer.act(session)
        message.ended, message.at = True, asyncio.get_running_loop().time()
        answer = self._scripted("END", take=True) or say(f"250 2.0.0 queued as {len(self.messages)}")
        message.accepted = answer.stores
        self._notify()
        await answer.act(session)

    def _scripted(self, step: str, *, take: bool = False) -> Answer | None:
        once = self._once[step]
        if once:
            return once.popleft() if take else once[0]
        return self._always.get(step)

    async def _answer(self, session: Session, step: str, usual: str) -> bool:
        """Answer a step; True if the answer was a yes, the usual one or another."""
        answer = self._scripted(step, take=True) or say(usual, stores=usual[0] in "23")
        await answer.act(session)
        self._notify()
        return answer.stores

    def _notify(self) -> None:
        self._changed.set()


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key, in files."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(folder: Path, name: str = "localhost") -> Certificate:
    """A fresh self-signed certificate for a host name, made by the `openssl` command."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName=DNS:{name}", "-keyout", str(made.key), "-out", str(made.certificate)),
    )
    return made


def openssl(*arguments: str) -> None:
    """Run the `openssl` command; fails the test where it is missing or does not succeed."""
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail("the `openssl` command is missing: install the package openssl")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"openssl {arguments[0]} failed: {error.stderr}")


@pytest.fixture
async def hostile_smtp() -> AsyncIterator[HostileSmtp]:
    """A server that behaves until a test scripts an answer."""
    async with HostileSmtp() as server:
        yield server
