"""The mail that the catcher accepted, for reading: in memory, and with a folder across restarts."""

from __future__ import annotations

import base64
import email
import email.policy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

from embedded.mail_catcher import Caught


@dataclass(frozen=True, slots=True)
class File:
    """An attachment of a message."""

    name: str
    content_type: str
    content: bytes


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else str(content).encode()


@dataclass(frozen=True)
class Mail:
    """An accepted message, by its number; the first is 1."""

    number: int
    content: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed message."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @property
    def subject(self) -> str:
        """Its subject line."""
        return str(self.message.get("Subject", "")) or "(no subject)"

    @property
    def sender(self) -> str:
        """Its From header."""
        return str(self.message.get("From", ""))

    @property
    def reply_to(self) -> str:
        """Its Reply-To header."""
        return str(self.message.get("Reply-To", ""))

    @property
    def recipient(self) -> str:
        """Its To header: name and address."""
        return str(self.message.get("To", ""))

    @property
    def name(self) -> str:
        """The recipient's name, else the address."""
        header = self.message["To"]
        addresses = getattr(header, "addresses", ())
        return next((a.display_name or a.addr_spec for a in addresses), str(header or ""))

    @property
    def address(self) -> str:
        """The recipient's address."""
        addresses = getattr(self.message["To"], "addresses", ())
        return next((str(a.addr_spec) for a in addresses), "")

    @property
    def at(self) -> datetime | None:
        """When it was written, in program time (UTC)."""
        told = getattr(self.message["Date"], "datetime", None)
        return told.astimezone(UTC) if isinstance(told, datetime) and told.tzinfo else None

    @property
    def language(self) -> str:
        """Its Content-Language, else English."""
        return str(self.message.get("Content-Language", "")) or "en"

    @property
    def text(self) -> str:
        """Its plain-text part."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """Its HTML part, unsanitized: never embed it in another page."""
        return self._part("html")

    @cached_property
    def html_with_images(self) -> str:
        """Its HTML part with the images of its own that it shows: a browser cannot look into a mail."""
        page = self.html
        for part in self.message.walk():
            id = str(part.get("Content-ID", "")).strip("<>")
            if id and part.get_content_type() == "image/png":
                image = base64.b64encode(_bytes(part.get_payload(decode=True))).decode()
                page = page.replace(f"cid:{id}", f"data:image/png;base64,{image}")
        return page

    @property
    def stoppable(self) -> bool:
        """Whether it carries a one-click unsubscribe (MAIL6)."""
        return "List-Unsubscribe-Post" in self.message

    @cached_property
    def files(self) -> list[File]:
        """Its attachments, in order."""
        return [
            File(part.get_filename() or "file", part.get_content_type(), _bytes(part.get_content()))
            for part in self.message.iter_attachments()
        ]

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


class Mailbox:
    """All accepted mail, in order. With `folder` each is a file there before it is acknowledged."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._mails: list[Mail] = []
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob("[0-9]*.eml"), key=lambda file: int(file.stem)):
                self._mails.append(Mail(int(file.stem), file.read_bytes()))

    def __len__(self) -> int:
        return len(self._mails)

    def __iter__(self) -> Iterator[Mail]:
        return iter(self._mails)

    def keep(self, caught: Caught) -> None:
        """Keep a message. Raises OSError if the folder cannot be written."""
        mail = Mail(self._mails[-1].number + 1 if self._mails else 1, caught.content)
        if self._folder:
            file = self._folder / f"{mail.number:05}.eml"
            half = file.with_suffix(".part")
            with half.open("wb") as writing:
                writing.write(mail.content)
                writing.flush()
                os.fsync(writing.fileno())
            half.replace(file)
        self._mails.append(mail)

    def get(self, number: int) -> Mail | None:
        """A message by its number."""
        return next((mail for mail in self._mails if mail.number == number), None)

    def newest(self, most: int, before: int | None = None) -> list[Mail]:
        """The newest messages (those before a number), the newest first."""
        older = [mail for mail in self._mails if before is None or mail.number < before]
        return older[: -most - 1 : -1]
