"""A sign-in that gives out tokens, and a mail server that takes them (XOAUTH2), on the test's own event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER = "mentoring@example.org"


@dataclass
class SignIn:
    """A token endpoint. `refuse` is the OAuth error that it answers; `valid` are the tokens that hold."""

    asked: list[dict[str, str]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    expires_in: object = 3600
    refuse: str = ""
    status: int = 200
    url: str = ""

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """What a request gets."""
        self.asked.append(form)
        if self.refuse:
            return 400, {"error": self.refuse, "error_description": f"secret {form}"}
        token = f"token-{len(self.asked)}"
        self.valid.add(token)
        return self.status, {
            "access_token": token,
            "expires_in": self.expires_in,
            "refresh_token": f"refresh-{len(self.asked)}",
        }


@asynccontextmanager
async def sign_in() -> AsyncIterator[SignIn]:
    """Run a token endpoint within the block."""
    state = SignIn()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        body = (await reader.readexactly(int(length[1]) if length else 0)).decode()
        code, answer = state.answer({name: values[0] for name, values in parse_qs(body).items()})
        said = json.dumps(answer)
        writer.write(
            f"HTTP/1.1 {code} x\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n"
            f"Connection: close\r\n\r\n{said}".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    async with server:
        yield state


def user_of(response: bytes, valid: set[str]) -> str | None:
    """The user of an XOAUTH2 response whose token holds; else None."""
    found = re.fullmatch(rb"user=([^\x01]+)\x01auth=Bearer ([^\x01]+)\x01\x01", response)
    return found[1].decode() if found and found[2].decode() in valid else None


class _Server(SMTP):
    valid: set[str]

    async def auth_XOAUTH2(self, _server: SMTP, args: list[str]) -> AuthResult:
        """Take a token that holds; say why not by a challenge, as Google and Microsoft do."""
        if user := user_of(base64.b64decode(args[1]), self.valid):
            return AuthResult(success=True, auth_data=user)
        error = base64.b64encode(b'{"status":"401"}').decode()
        await self.push(f"334 {error}")
        await self._reader.readline()
        await self.push("535 5.7.8 Username and Password not accepted")
        return AuthResult(success=False, handled=True)


@dataclass
class OAuthSmtp:
    """A mail server that only a token opens; keeps who sent what."""

    port: int = 0
    received: list[tuple[object, str]] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        """Accept a message of somebody who is signed in (called by aiosmtpd)."""
        if session.auth_data is None:
            return "530 5.7.0 sign in first"
        self.received.append((session.auth_data, envelope.rcpt_tos[0]))
        return "250 2.0.0 kept"


@asynccontextmanager
async def oauth_smtp(valid: set[str]) -> AsyncIterator[OAuthSmtp]:
    """Run the mail server within the block."""
    state, sessions = OAuthSmtp(), set[_Server]()

    def connect() -> _Server:
        session = _Server(
            state,
            auth_require_tls=False,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            authenticator=lambda *_: AuthResult(success=False),
            loop=asyncio.get_running_loop(),
        )
        session.valid = valid
        sessions.add(session)
        return session

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for session in sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        await server.wait_closed()
