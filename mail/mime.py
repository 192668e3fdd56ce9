"""Build the bytes that a mail server gets from a composed message: headers, addresses, MIME parts.

Everything here is a function of its arguments: the same message and envelope give the same bytes at each attempt
(MAIL2). No data in a name, a subject or a text can add a header, a recipient or a part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.message import Message, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from itertools import count

from mail.addresses import DOT_ATOM, header_address
from mail.encoding.mime_headers import address_header, text_header
from mail.encoding.mime_parts import file_part, multipart, text_part
from mail.meetups.calendar_files import FILE_NAME, CalendarFile
from rules.text import for_header

_LONGEST_NAME = 75
_LONGEST_SUBJECT = 200
_LONGEST_LINE = 998

_UNFIT_FOR_DISPLAY_NAMES = re.compile(r'[@:,"<>;()\[\]\\]')
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")
_TOKEN = re.compile(r"[!-~]+")
_URL = re.compile(r"https?://[!-;=?-~]+")

_PARTS_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Composed:
    """A message as its reader sees it: one line of subject, the plain text, the HTML document."""

    subject: str
    text: str
    html: str
    text_version: str = ""
    """The fingerprint of the templates that it was written with."""


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """A file that goes with a mail. `content_type` may carry parameters, as in `text/calendar; method=REQUEST`."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A PNG that the HTML shows as `cid:` with its `content_id`, which stands without angle brackets (RFC 2392)."""

    content_id: str
    png: bytes


@dataclass(frozen=True, slots=True)
class MailEnvelope:
    """Who writes to whom, and what machines read about a mail.

    `message_id`, and each of `references` from the oldest to the newest, stands in angle brackets. `date` is the
    workflow's time, with a zone (T6). `delivery` is the ledger's id, by which a bounce is recognised (MAIL7).
    `list_id` (a bare id such as `mentoring.example.org`) and `unsubscribe_url` are for what the reader may stop;
    one click works where the URL is HTTPS (MAIL6). `calendar` goes as a part beside the text, and as a file.
    """

    message_id: str
    date: datetime
    from_name: str
    from_address: str
    reply_to: str
    to_name: str
    to_address: str
    delivery: str
    language: str
    list_id: str | None = None
    unsubscribe_url: str | None = None
    references: tuple[str, ...] = ()
    attachments: tuple[MailAttachment, ...] = ()
    images: tuple[InlineImage, ...] = ()
    calendar: CalendarFile | None = None


def subject_line(value: str) -> str:
    """Return a subject: one line, at most 200 characters."""
    return for_header(value, _LONGEST_SUBJECT)


def display_name(value: str) -> str:
    """Return a display name: without characters that mail programs parse as syntax, at most 75 characters."""
    return for_header(_UNFIT_FOR_DISPLAY_NAMES.sub(" ", value), _LONGEST_NAME)


def build_mail(composed: Composed, envelope: MailEnvelope) -> bytes:
    """Return the whole message (RFC 5322): CRLF line ends, no line over 998 characters, ASCII only.

    Raises AddressRefused for an address that no mail can be sent to, and ValueError for an envelope that would
    break the format (a date without zone, an id or URL with spaces).
    """
    return _head(composed, envelope) + _body(composed, envelope)


def _head(composed: Composed, envelope: MailEnvelope) -> bytes:
    if envelope.date.tzinfo is None:
        raise ValueError("the date of a mail needs a zone")
    references = [_matching(_MESSAGE_ID, "References", one) for one in envelope.references]
    sender = display_name(envelope.from_name)
    lines = [
        f"Message-ID: {_matching(_MESSAGE_ID, 'Message-ID', envelope.message_id)}",
        f"Date: {format_datetime(envelope.date)}",
        address_header("From", sender, header_address(envelope.from_address)),
        address_header("To", display_name(envelope.to_name), header_address(envelope.to_address)),
        address_header("Reply-To", sender, header_address(envelope.reply_to)),
        text_header("Subject", subject_line(composed.subject)),
        f"Content-Language: {_matching(_TOKEN, 'Content-Language', envelope.language)}",
        # Automatic replies stay away; bounces, which are wanted, still come (RFC 3834).
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply",
        f"X-Throughline-Delivery: {_matching(_TOKEN, 'X-Throughline-Delivery', envelope.delivery)}",
    ]
    if references:
        lines.append(f"In-Reply-To: {references[-1]}")
        lines.append("References: " + "\r\n ".join(references))
    if envelope.list_id is not None:
        lines.append(f"List-Id: <{_matching(DOT_ATOM, 'List-Id', envelope.list_id)}>")
    if envelope.unsubscribe_url is not None:
        lines.append(f"List-Unsubscribe: <{_matching(_URL, 'List-Unsubscribe', envelope.unsubscribe_url)}>")
        if envelope.unsubscribe_url.startswith("https://"):  # RFC 8058 knows one click over HTTPS only
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    lines.append("MIME-Version: 1.0")
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def _matching(pattern: re.Pattern[str], header: str, value: str) -> str:
    if not pattern.fullmatch(value) or len(value) > _LONGEST_LINE - len(header) - 4:
        raise ValueError(f"malformed value for {header}")
    return value


def _body(composed: Composed, envelope: MailEnvelope) -> bytes:
    """Return the MIME tree: text and HTML are alternatives, images belong to the HTML, files go beside it all."""
    outside = [_attached(attachment) for attachment in envelope.attachments]
    if envelope.calendar:
        outside.insert(0, _calendar_file(envelope.calendar))
    boundaries = _boundaries(envelope.message_id)
    outermost = next(boundaries) if outside else ""
    around_text = next(boundaries)
    html = text_part(composed.html, "html")
    if envelope.images:
        # RFC 2387 asks for the type of the part that is shown.
        shown = [html, *(_image(image) for image in envelope.images)]
        html = multipart("related", next(boundaries), shown, '; type="text/html"')
    inside = [text_part(composed.text, "plain"), html]
    if envelope.calendar:
        inside.append(text_part(envelope.calendar.text, "calendar", f'; method="{envelope.calendar.method}"'))
    body = multipart("alternative", around_text, inside)
    return multipart("mixed", outermost, [body, *outside]) if outside else body


def _boundaries(message_id: str) -> Iterator[str]:
    seed = hashlib.sha256(message_id.encode()).hexdigest()[:32]
    return (f"=_{number}_{seed}" for number in count(1))  # "=_" occurs in no encoded body


def _calendar_file(calendar: CalendarFile) -> bytes:
    """Return a calendar file as mail programs want it: those with a calendar show the part, others offer the file.

    The method stands in both headers as in the file. cal.com wrote REQUEST beside CANCEL, and Outlook kept the entry.
    """
    return file_part(
        f'text/calendar; method="{calendar.method}"; charset="utf-8"',
        calendar.text.encode("utf-8"),
        f'Content-Disposition: attachment; filename="{FILE_NAME}"',
    )


@lru_cache(maxsize=16)
def _image(image: InlineImage) -> bytes:
    """Return an image that the HTML names, without a file name: mail programs list named parts as attached.

    It is kept, because the logo of a program stands in all its mails.
    """
    id = _matching(_MESSAGE_ID, "Content-ID", f"<{image.content_id}>")
    return file_part("image/png", image.png, "Content-Disposition: inline", f"Content-ID: {id}")


def _attached(attachment: MailAttachment) -> bytes:
    """Return an attachment. Few mails have one, and its name may be in any script (RFC 2231): `email` writes it."""
    part = MIMEPart(policy=_PARTS_POLICY)
    declared: Message = Message()
    declared["Content-Type"] = for_header(attachment.content_type, _LONGEST_SUBJECT)
    parameters = declared.get_params() or []
    part.set_content(
        attachment.data,
        maintype=declared.get_content_maintype(),
        subtype=declared.get_content_subtype(),
        disposition="attachment",
        filename=for_header(attachment.name.replace("/", "-").replace("\\", "-"), _LONGEST_NAME),
        params=dict(parameters[1:]),
    )
    return part.as_bytes()
