"""An IMAP server for tests: one mailbox with folders, that a password or a token opens (RFC 3501, XOAUTH2)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.servers.oauth_mail import USER, user_of


@dataclass
class Mail:
    """One mail, and whether it was read or is to be removed."""

    uid: int
    content: bytes
    seen: bool = False
    deleted: bool = False


@dataclass
class ImapServer:
    """The mailbox, and every command that came."""

    password: str = ""
    valid: set[str] = field(default_factory=set)
    can_move: bool = False
    port: int = 0
    folders: dict[str, list[Mail]] = field(default_factory=lambda: {"INBOX": [], "Done": []})
    commands: list[str] = field(default_factory=list)
    _next: int = 1

    def put(self, *contents: bytes) -> None:
        """Deliver mails to the inbox."""
        for content in contents:
            self.folders["INBOX"].append(
                Mail(self._next, content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
            )
            self._next += 1

    def unread(self, folder: str = "INBOX") -> int:
        """How many mails of a folder nobody has read."""
        return sum(not mail.seen for mail in self.folders[folder])

    # long: one command of the protocol after the other
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        writer.write(b"* OK ready\r\n")
        signed_in = False
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            tag, _, rest = line.partition(" ")
            verb, _, given = rest.partition(" ")
            self.commands.append(rest if verb.upper() != "LOGIN" else "LOGIN")
            said, status = b"", "OK done"
            if verb == "CAPABILITY":
                said = b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2" + (b" MOVE" if self.can_move else b"") + b"\r\n"
            elif verb == "LOGIN":
                signed_in = bool(self.password) and f'"{self.password}"' in given
                status = "OK done" if signed_in else "NO [AUTHENTICATIONFAILED] wrong for ana@example.org"
            elif verb == "AUTHENTICATE":
                signed_in = await self._token(reader, writer)
                status = "OK done" if signed_in else "NO AUTHENTICATE failed"
            elif verb == "LOGOUT":
                writer.write(f"* BYE\r\n{tag} OK\r\n".encode())
                break
            elif not signed_in:
                status = "NO sign in first"
            elif verb == "SELECT":
                said = b"* 0 RECENT\r\n"
            elif verb == "EXPUNGE":
                self.folders["INBOX"] = [mail for mail in self.folders["INBOX"] if not mail.deleted]
            elif verb == "UID":
                said = self._uid(given)
            writer.write(said + f"{tag} {status}\r\n".encode())
            await writer.drain()
        writer.close()

    async def _token(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"+ \r\n")
        if user_of(base64.b64decode(await reader.readline()), self.valid) == USER:
            return True
        writer.write(b"+ " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
        await reader.readline()
        return False

    def _uid(self, given: str) -> bytes:
        verb, _, rest = given.partition(" ")
        inbox = self.folders["INBOX"]
        if verb == "SEARCH":
            return (
                "* SEARCH " + " ".join(str(mail.uid) for mail in inbox if not mail.seen) + "\r\n"
            ).encode()
        names, _, what = rest.partition(" ")
        chosen = [mail for mail in inbox if str(mail.uid) in names.split(",")]
        if verb == "FETCH":
            most = int((re.search(r"<0\.(\d+)>", what) or ["", "0"])[1])
            return b"".join(
                f"* {number} FETCH (UID {mail.uid} BODY[]<0> {{{len(mail.content[:most])}}}\r\n".encode()
                + mail.content[:most]
                + b")\r\n"
                for number, mail in enumerate(chosen, start=1)
            )
        for mail in chosen:
            mail.seen = mail.seen or r"\Seen" in what
            mail.deleted = mail.deleted or r"\Deleted" in what
        if verb in ("COPY", "MOVE"):
            self.folders[what.strip('"')] += [Mail(mail.uid, mail.content, mail.seen) for mail in chosen]
        if verb == "MOVE":
            self.folders["INBOX"] = [mail for mail in inbox if mail not in chosen]
        return b""


@asynccontextmanager
async def imap_server(**settings: object) -> AsyncIterator[ImapServer]:
    """Run a mailbox within the block."""
    state = ImapServer(**settings)  # type: ignore[arg-type]
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state
