"""Read delivery reports from a mailbox by IMAP: for deployments whose mail server routes nothing to a port (MAIL7).

`imaplib` blocks, so each look at the mailbox runs in a thread of its own.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mail.smtp.oauth2 import OAuth2Settings, xoauth2

LARGEST = 256 * 1024
"""Octets of a mail that are read; a report says what it has to say at its beginning."""

TIMEOUT = 30.0
AT_ONCE = 50
"""Mails of one look; the rest waits for the next."""

_BODY = re.compile(rb"\bUID (\d+)\b")


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """A mailbox, and how to sign in: by `oauth2` where it is set, else by `password`.

    Mails that were read are marked as seen, or moved to `done_folder`.
    """

    host: str
    port: int
    username: str
    password: str = field(default="", repr=False)
    oauth2: OAuth2Settings | None = None
    tls: Literal["none", "implicit"] = "implicit"
    ca_file: str | None = None
    folder: str = "INBOX"
    done_folder: str = ""


class ImapRefused(Exception):
    """The mailbox cannot be read; the text has no word of the server, which may quote an address (MEM6)."""


class SignInRefused(ImapRefused):
    """The server refused the password or the token."""


def look(settings: ImapSettings, token: str, take: Callable[[list[bytes]], None]) -> int:
    """Hand the mails that nobody has read to `take`, then mark or move them; return their number.

    What `take` raises leaves all of them unread. A crash in between has them read again: a report is known by its
    content, and counts once. Raises ImapRefused, OSError.
    """
    client = _connected(settings)
    try:
        _sign_in(client, settings, token)
        _done(client.select(_quoted(settings.folder)), "the folder cannot be opened")
        unread = _done(client.uid("SEARCH", "UNSEEN"), "the search was refused")
        uids = (unread[0] or b"").split()[:AT_ONCE]
        if not uids:
            return 0
        names = b",".join(uids).decode("ascii")
        fetched = _done(
            client.uid("FETCH", names, f"(UID BODY.PEEK[]<0.{LARGEST}>)"), "no mail was given out"
        )
        take([part[1] for part in fetched if isinstance(part, tuple) and _BODY.search(part[0])])
        _done(client.uid("STORE", names, "+FLAGS.SILENT", r"(\Seen)"), "no mail could be marked")
        if settings.done_folder:
            _move(client, names, settings.done_folder)
        return len(uids)
    except imaplib.IMAP4.error as error:
        raise ImapRefused(type(error).__name__) from None
    finally:
        _leave(client)


def check_mailbox(settings: ImapSettings, token: str) -> None:
    """Sign in, and open the folders to read; nothing is marked. Raises ImapRefused, OSError."""
    client = _connected(settings)
    try:
        _sign_in(client, settings, token)
        for folder in filter(None, (settings.done_folder, settings.folder)):
            _done(client.select(_quoted(folder), readonly=True), f"the folder {folder} cannot be opened")
    except imaplib.IMAP4.error as error:
        raise ImapRefused(type(error).__name__) from None
    finally:
        _leave(client)


def _connected(settings: ImapSettings) -> imaplib.IMAP4:
    if settings.tls == "none":
        return imaplib.IMAP4(settings.host, settings.port, timeout=TIMEOUT)
    context = ssl.create_default_context(cafile=settings.ca_file)
    return imaplib.IMAP4_SSL(settings.host, settings.port, ssl_context=context, timeout=TIMEOUT)


def _sign_in(client: imaplib.IMAP4, settings: ImapSettings, token: str) -> None:
    try:
        if settings.oauth2 is None:
            client.login(settings.username, settings.password)
            return
        answers = iter((xoauth2(settings.username, token), b""))
        client.authenticate("XOAUTH2", lambda _: next(answers, b""))
    except imaplib.IMAP4.abort:
        raise ImapRefused("the connection was lost") from None
    except imaplib.IMAP4.error:
        raise SignInRefused("the sign-in was refused") from None


def _move(client: imaplib.IMAP4, names: str, folder: str) -> None:
    """Move mails, also on a server without MOVE (RFC 6851)."""
    if "MOVE" in client.capabilities:
        _done(client.uid("MOVE", names, _quoted(folder)), "no mail could be moved")
        return
    _done(client.uid("COPY", names, _quoted(folder)), "no mail could be copied")
    _done(client.uid("STORE", names, "+FLAGS.SILENT", r"(\Deleted)"), "no mail could be deleted")
    client.expunge()


def _done(answer: tuple[str, list[Any]], refused: str) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise ImapRefused(refused)
    return data


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _leave(client: imaplib.IMAP4) -> None:
    try:
        client.logout()
    except (imaplib.IMAP4.error, OSError):
        client.shutdown()
