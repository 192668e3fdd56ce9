"""Build the bytes that a mail server gets from a composed message: headers, addresses, MIME parts.

Everything here is a function of its arguments: the same message and envelope give the same bytes at each attempt
(MAIL2). No data in a name, a subject or a text can add a header, a recipient or a part.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import format_datetime

from mail.addresses import DOT_ATOM, header_address
from mail.meetups.calendar_files import FILE_NAME, CalendarFile
from rules.text import for_header

_LONGEST_NAME = 75
_LONGEST_SUBJECT = 200
_LONGEST_LINE = 998

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_UNFIT_FOR_DISPLAY_NAMES = re.compile(r'[@:,"<>;()\[\]\\]')
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
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
    return _head(composed, envelope) + _parts(composed, envelope).as_bytes()


def _head(composed: Composed, envelope: MailEnvelope) -> bytes:
    if envelope.date.tzinfo is None:
        raise ValueError("the date of a mail needs a zone")
    references = [_matching(_MESSAGE_ID, "References", one) for one in envelope.references]
    lines = [
        f"Message-ID: {_matching(_MESSAGE_ID, 'Message-ID', envelope.message_id)}",
        f"Date: {format_datetime(envelope.date)}",
        _mailbox("From", envelope.from_name, envelope.from_address),
        _mailbox("To", envelope.to_name, envelope.to_address),
        _mailbox("Reply-To", envelope.from_name, envelope.reply_to),
        _unstructured("Subject", subject_line(composed.subject)),
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
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def _matching(pattern: re.Pattern[str], header: str, value: str) -> str:
    if not pattern.fullmatch(value) or len(value) > _LONGEST_LINE - len(header) - 4:
        raise ValueError(f"malformed value for {header}")
    return value


def _unstructured(header: str, value: str) -> str:
    # A mail program decodes any ASCII text that looks like an encoded word (RFC 2047), so such text is encoded too.
    charset = "us-ascii" if value.isascii() and "=?" not in value else "utf-8"
    folded = Header(value, charset, maxlinelen=76, header_name=header).encode(linesep="\r\n")
    return f"{header}: {folded}"


def _mailbox(header: str, name: str, address: str) -> str:
    shown, bare = display_name(name), header_address(address)
    if not shown:
        return f"{header}: {bare}"
    if not _ATOMS.fullmatch(shown) or "=?" in shown:
        shown = Header(shown, "utf-8", maxlinelen=76, header_name=header).encode(linesep="\r\n")
    fold = "\r\n " if len(header) + len(shown.rpartition("\r\n")[2]) + len(bare) > 70 else " "
    return f"{header}: {shown}{fold}<{bare}>"


def _parts(composed: Composed, envelope: MailEnvelope) -> EmailMessage:
    message = EmailMessage(policy=_PARTS_POLICY)
    message.set_content(_UNSENDABLE.sub("", composed.text))
    message.add_alternative(_UNSENDABLE.sub("", composed.html), subtype="html")
    if envelope.calendar:
        _invite(message, envelope.calendar)
    for image in envelope.images:
        _show(message, image)
    for attachment in envelope.attachments:
        _attach(message, attachment)
    seed = hashlib.sha256(envelope.message_id.encode()).hexdigest()[:32]
    multiparts = (part for part in message.walk() if part.is_multipart())
    for number, part in enumerate(multiparts, start=1):
        part.set_boundary(f"=_{number}_{seed}")  # "=_" occurs in no encoded body
    return message


def _invite(message: EmailMessage, calendar: CalendarFile) -> None:
    """Add a calendar file, as mail programs want it: those with a calendar show the part, others offer the file.

    The method stands in both headers as in the file. cal.com wrote REQUEST beside CANCEL, and Outlook kept the entry.
    """
    method = {"method": calendar.method}
    message.add_alternative(calendar.text, subtype="calendar", charset="utf-8", params=method)
    message.add_attachment(
        calendar.text.encode("utf-8"),
        maintype="text",
        subtype="calendar",
        filename=FILE_NAME,
        params={**method, "charset": "utf-8"},
    )


def _show(message: EmailMessage, image: InlineImage) -> None:
    """Add an image beside the HTML that names it, without a file name: mail programs list named parts as attached."""
    html = message.get_body(("html",))
    if isinstance(html, EmailMessage):
        id = _matching(_MESSAGE_ID, "Content-ID", f"<{image.content_id}>")
        html.add_related(image.png, maintype="image", subtype="png", cid=id, disposition="inline")
        html.set_param("type", "text/html")  # RFC 2387 asks for the type of the part that is shown


def _attach(message: EmailMessage, attachment: MailAttachment) -> None:
    declared: Message = Message()
    declared["Content-Type"] = for_header(attachment.content_type, _LONGEST_SUBJECT)
    parameters = declared.get_params() or []
    message.add_attachment(
        attachment.data,
        maintype=declared.get_content_maintype(),
        subtype=declared.get_content_subtype(),
        filename=for_header(attachment.name.replace("/", "-").replace("\\", "-"), _LONGEST_NAME),
        params=dict(parameters[1:]),
    )
