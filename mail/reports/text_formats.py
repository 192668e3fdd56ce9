"""Reports in the formats of before RFC 3464, as qmail, Exim, older Exchange and many relays still write them (MAIL7).

They have no machine-readable part. `flufl.bounce` knows most of their layouts, and finds the recipient; the words that
`mail.smtp.refusals` classifies are cut out of the text here. Nothing is a report unless a mail system sent it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from flufl.bounce import all_failures

from mail.reports.parts import Part, parse

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

_LONGEST_TEXT = 20_000
_LONGEST_LINE = 1_000
_MOST_LINES = 600
_LONGEST_ANSWER = 1_500
_MOST_ANSWERS = 10

_SYSTEM = re.compile(
    r"mailer[-_. ]?daemon|mail[-_. ]?daemon|postmaster|post[-_]?office|mail (?:delivery|system|administrator)"
    r"|mdaemon|system administrator|mailsystem|\bmta\b|delivery (?:subsystem|system)|microsoft exchange"
    r"|\bsmtpd?@|bounce@|mail_admin"
)
_FAILURE_SUBJECT = re.compile(
    r"undeliver|not deliver|could not send|non[- ]?deliver|deliver\w* (?:status|fail|problem|error|report)"
    r"|failure (?:notice|delivery)|fail(?:ed|ure)\b.{0,20}(?:mail|deliver|message)|mail (?:failure|error)"
    r"|returned (?:mail|to sender)|message status|return(?:ing|ed) (?:mail|message)|bounce|warning: message"
    r"|\bndn\b|can.?t be delivered|エラー|不達|配信|rejected"
)
_ANSWERED = re.compile(r"auto-?repl(?:y|ied)|auto-?generated \(?vacation|auto-?notified")
_AWAY = re.compile(
    r"out of (?:the )?office|auto(?:matic)? ?-?(?:reply|response|antwort)|vacation|fuera de (?:la )?oficina"
)
_LIST_FIELDS = (
    "list-id",
    "list-post",
    "list-unsubscribe",
    "mailing-list",
    "x-mailinglist",
    "x-mailman-version",
)

_ORIGINAL = re.compile(
    r"(?mi)^(?:[-_=*# ]{2,}.{0,20}(?:original (?:message|mail)|copy of|below this line|unsent message"
    r"|returned message|message (?:header|text|follows)|header\w* (?:of|follow)|returned mail"
    r"|undelivered message|message headers|included|original).*|(?:received|return-path|message-id|x-[\w-]+"
    r"|dkim-signature):.*|(?:the )?(?:original|undelivered) message (?:header|follow).{0,40}:.*"
    r"|.{0,40}copy of (?:the|your) message.*)$"
)
_QUOTED_FIELD = re.compile(
    r"(?i)^\s*(?:to|cc|from|subject|sent|date|sender|message|reference|message-id)\s*:"
)
_BOILERPLATE = re.compile(
    r"(?i)for (?:further|more) (?:assistance|information|help|details)"
    r"|if you (?:do so|need|require|have|sent|feel|believe|want|still)"
    r"|please (?:include|contact|send|do not|see|forward|quote|read)"
    r"|this (?:is an? (?:auto|permanent|warning)|e?-?mail (?:was|is)|message was (?:created|generated))"
    r"|sorry (?:it|to have|about)|i'?m (?:afraid|sorry)|automatically (?:generated|created)|learn more"
    r"|contact(?:ing)? the (?:other|system|service)|could not be delivered to (?:one|the following|all)"
    r"|delivery to the following|following address|following recipient|original message was received|with id "
    r"|^\s*-{3,}.*-{3,}\s*$|postmaster\W*$|undeliverable (?:mail|message)"
)
_EVIDENCE = re.compile(
    r"(?:^|[^\d.])[45]\d\d(?:[ :-]|$)|[45]\.\d{1,3}\.\d{1,3}|\bsaid:|<<<|diagnostic", re.IGNORECASE
)
_DELAYED = re.compile(
    r"(?i)will (?:keep|continue)(?: on)? (?:trying|to try|to be)|will be retried|will retry|has been delayed"
    r"|is delayed|delivery delay|not yet (?:been )?delivered|no action is required|warning message only"
    r"|do not (?:need to )?resend|still (?:being )?(?:trying|tried)|message (?:is )?still undelivered"
    r"|could not yet be"
)
_GIVEN_UP = re.compile(
    r"(?i)giv(?:en|ing) up|permanent|failed permanently|will be deleted|undeliverable|too long"
)
_STATUS_FIELD = re.compile(r"(?mi)^(?:action|final-recipient|status|diagnostic-code):.*$")
_ADDRESS = re.compile(r"[^\s<>;:,()\[\]\"']+@[^\s<>;:,()\[\]\"']+")


@dataclass(frozen=True, slots=True)
class FailureText:
    """The words of a report about one recipient: each answer of a mail server that it quotes."""

    answers: tuple[str, ...]
    recipient: str | None = None
    delayed: bool = False


def is_automatic_reply(head: Part) -> bool:
    """Whether a mail answers by itself for a person or a list, by its header (RFC 3834): never a report."""
    if head.get("x-failed-recipients"):
        return False
    if _AWAY.search(head.get("subject").lower()):
        return True
    if _SYSTEM.search(_sender(head)):
        return False
    if any(head.get(name) for name in _LIST_FIELDS):
        return True
    return bool(_ANSWERED.search(head.get("auto-submitted").lower()) or head.get("x-autoreply"))


def read_text(parts: Sequence[Part]) -> list[FailureText]:
    """Return what the text of a report says; nothing if no mail system wrote it, or it reports no failure."""
    head = parts[0]
    if not is_from_a_mail_system(head):
        return []
    text = human_text(parts)
    temporary, permanent = _recognized(head, text)
    named = _ADDRESS.search(head.get("x-failed-recipients"))
    recipient = named[0] if named else next(iter(sorted(permanent or temporary)), None)
    if not (recipient or _FAILURE_SUBJECT.search(head.get("subject").lower()) or _EVIDENCE.search(text)):
        return []
    delayed = bool(_DELAYED.search(text)) and not _GIVEN_UP.search(text)
    return [FailureText(answers_in(text), recipient, delayed or bool(temporary and not permanent))]


def status_fields(parts: Sequence[Part]) -> Part | None:
    """Return the fields of RFC 3464 that a mail system wrote into the text of its report."""
    if not is_from_a_mail_system(parts[0]):
        return None
    for part in parts:
        if part.content_type == "text/plain":
            block = parse("\n".join(_STATUS_FIELD.findall(part.text[:_LONGEST_TEXT])).encode())
            if block.get("action") and block.get("final-recipient"):
                return block
    return None


def is_from_a_mail_system(head: Part) -> bool:
    if head.get("x-failed-recipients") or _SYSTEM.search(_sender(head)):
        return True
    if head.content_type == "multipart/report":
        return True
    null_path = head.get("return-path").strip() in ("<>", "") and bool(head.all("return-path"))
    return bool(_FAILURE_SUBJECT.search(head.get("subject").lower())) and (
        null_path or bool(_SYSTEM.search(head.get("return-path").lower()))
    )


def _sender(head: Part) -> str:
    return f"{head.get('from')} {head.get('sender')}".lower()


def human_text(parts: Sequence[Part]) -> str:
    """Return the text for the reader, up to where the original mail begins."""
    for wanted in ("text/plain", "text/html"):
        for part in parts:
            if part.content_type == wanted and part.body.strip():
                text = part.text[:_LONGEST_TEXT]
                if wanted == "text/html":
                    text = re.sub(r"<[^<>@]{1,500}>", " ", text)
                begins = _ORIGINAL.search(text)
                text = text[: begins.start()] if begins else text
                lines = (line[:_LONGEST_LINE] for line in text.splitlines()[:_MOST_LINES])
                return "\n".join(line for line in lines if not _QUOTED_FIELD.match(line))
    return ""


def _recognized(head: Part, text: str) -> tuple[set[str], set[str]]:
    """Return the recipients that `flufl.bounce` finds: temporary failures and permanent ones."""
    message = Message()
    for name in ("from", "subject", "x-failed-recipients"):
        if value := head.get(name):
            message[name] = value
    message["Content-Type"] = "text/plain"
    message.set_payload(text)
    try:
        temporary, permanent = all_failures(message)
    except Exception:
        # Its detectors raise what they like for text that is malformed.
        return set(), set()
    return {_as_text(one) for one in temporary}, {_as_text(one) for one in permanent}


def _as_text(address: bytes | str) -> str:
    return address.decode("utf-8", "replace") if isinstance(address, bytes) else address


def answers_in(text: str) -> tuple[str, ...]:
    """Return the passages that quote a mail server's answer, or else the text without its standing phrases."""
    answers = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip(" \t>") for line in paragraph.splitlines()]
        quoting = [number for number, line in enumerate(lines) if _EVIDENCE.search(line)]
        for number in quoting:
            after = next((other for other in quoting if other > number), len(lines))
            before = max((other + 1 for other in quoting if other < number), default=max(0, number - 2))
            lead = [line for line in lines[before:number] if not _BOILERPLATE.search(line)]
            answers.append(" ".join([*lead, *lines[number : min(after, number + 5)]])[:_LONGEST_ANSWER])
    if answers:
        return tuple(answers[:_MOST_ANSWERS])
    words = " ".join(line for line in text.splitlines() if not _BOILERPLATE.search(line))
    return (" ".join(words.split())[:_LONGEST_ANSWER],)
