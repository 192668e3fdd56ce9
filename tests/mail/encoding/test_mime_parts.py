"""The bytes of a mail beside those of Python's own writer of mails: a reader gets the same from both."""

from __future__ import annotations

import email.policy
import quopri
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail.encoding.mime_headers import encoded_words, text_header
from mail.encoding.mime_parts import quoted_printable
from mail.meetups.calendar_files import FILE_NAME, CalendarFile
from mail.mime import Composed, InlineImage, MailAttachment, build_mail, subject_line
from tests.mail.test_mime import ENVELOPE, MAIL, built

LOGO = InlineImage("logo@example.org", b"\x89PNG\r\n" + bytes(range(256)))
INVITE = CalendarFile("REQUEST", "BEGIN:VCALENDAR\r\nSUMMARY:Reunión \r\n de martes\r\nEND:VCALENDAR\r\n")
FILES = (
    MailAttachment("letter.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(300)),
    MailAttachment("año " * 12, 'text/csv; charset="utf-8"; header=present', "á;b\n".encode()),
)
TEXTS = (
    st.text(max_size=400) | st.text("a .\tñ=\n\r", max_size=400) | st.text("x ", min_size=60, max_size=200)
)


def by_email(composed: Composed, **changes: Any) -> EmailMessage:
    """The same mail, written by `email.message` part by part."""
    message = EmailMessage(policy=email.policy.SMTP.clone(cte_type="7bit"))
    message["Subject"] = subject_line(composed.subject)
    message.set_content(_sendable(composed.text))
    message.add_alternative(_sendable(composed.html), subtype="html")
    if invite := changes.get("calendar"):
        method = {"method": invite.method}
        message.add_alternative(invite.text, subtype="calendar", charset="utf-8", params=method)
        message.add_attachment(
            invite.text.encode(),
            maintype="text",
            subtype="calendar",
            filename=FILE_NAME,
            params={**method, "charset": "utf-8"},
        )
    for image in changes.get("images", ()):
        html = message.get_body(("html",))
        assert isinstance(html, EmailMessage)
        cid = f"<{image.content_id}>"
        html.add_related(image.png, maintype="image", subtype="png", cid=cid, disposition="inline")
        html.set_param("type", "text/html")
    for file in changes.get("attachments", ()):
        declared = EmailMessage()
        declared["Content-Type"] = file.content_type
        main, sub = declared.get_content_type().split("/")
        message.add_attachment(
            file.data,
            maintype=main,
            subtype=sub,
            filename=file.name.strip(),
            params=dict(declared["Content-Type"].params),
        )
    return message


def _sendable(text: str) -> str:
    return text.encode("utf-8", "ignore").decode().replace("\0", "")


def parts(data: bytes) -> Iterator[tuple[Any, ...]]:
    """What a reader finds in each part, but for boundaries and the choice of an encoding."""
    message = BytesParser(policy=email.policy.default).parsebytes(data)
    for part in message.walk():
        assert isinstance(part, EmailMessage)
        assert not part.defects
        parameters = {key: value for key, value in part["Content-Type"].params.items() if key != "boundary"}
        content = None if part.is_multipart() else part.get_payload(decode=True)
        if isinstance(content, bytes) and part.get_content_disposition() is None:
            content = content.replace(b"\r\n", b"\n")
        yield (
            part.get_content_type(),
            parameters,
            part.get_content_disposition(),
            part.get_filename(),
            part["Content-ID"],
            content,
        )


@pytest.mark.rule("MAIL2", "MAIL5")
@given(text=TEXTS, html=TEXTS)
@example(text="", html="")
@example(text="a" * 79, html="á" * 500)
@example(text="." + "x" * 72 + " \n.\nFrom here\n", html="x" * 73 + "\t\n" + "=" * 80 + "\r\r\n")
def test_text_and_html_read_as_from_the_standard_writer(text: str, html: str) -> None:
    composed = Composed("Una lista", text, html)
    data = build_mail(composed, ENVELOPE)
    assert list(parts(data)) == list(parts(by_email(composed).as_bytes()))
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")


@pytest.mark.rule("MAIL5", "MEE1")
@pytest.mark.parametrize(
    "changes",
    [
        {"images": (LOGO,)},
        {"calendar": INVITE},
        {"attachments": FILES},
        {"images": (LOGO,), "calendar": INVITE, "attachments": FILES},
    ],
)
def test_files_and_images_read_as_from_the_standard_writer(changes: dict[str, Any]) -> None:
    data = built(**changes)
    assert list(parts(data)) == list(parts(by_email(MAIL, **changes).as_bytes()))
    boundaries = [
        part.get_boundary()
        for part in BytesParser(policy=email.policy.default).parsebytes(data).walk()
        if part.is_multipart()
    ]
    assert len(set(boundaries)) == len(boundaries)


@pytest.mark.rule("MAIL5")
def test_several_images_stand_beside_one_html() -> None:
    second = InlineImage("photo@example.org", b"\x89PNG\r\n")
    found = [(kind, cid) for kind, *_, cid, _ in parts(built(images=(LOGO, second)))]
    assert found[2:] == [
        ("multipart/related", None),
        ("text/html", None),
        ("image/png", "<logo@example.org>"),
        ("image/png", "<photo@example.org>"),
    ]


@given(TEXTS)
@example("x" * 73 + " \n" + "y" * 74 + "\t\n" + "á" * 12 + " " * 80 + "\n.\n")
def test_quoted_printable_reads_back_in_lines_of_76(text: str) -> None:
    raw = b"".join(line + b"\n" for line in _sendable(text).encode().splitlines())
    encoded = quoted_printable(raw)
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == raw
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.endswith((b" ", b"\t"))


@given(
    st.text(max_size=200) | st.text("aé中😀 =?_", max_size=200),
    st.sampled_from(["To", "Subject", "Reply-To"]),
)
def test_encoded_words_read_back_in_lines_of_76(text: str, header: str) -> None:
    value = subject_line(text)
    line = f"{header}: {encoded_words(value, len(header) + 2)}"
    assert max(map(len, line.split("\r\n"))) <= 76
    assert str(make_header(decode_header(line.removeprefix(f"{header}: ")))) == value
    for word in line.removeprefix(f"{header}: ").split("\r\n "):
        assert len(word) <= 75
        [(raw, charset)] = decode_header(word)
        assert charset == "utf-8"
        assert isinstance(raw, bytes)
        raw.decode()


@given(st.text("abc .=?", max_size=200))
def test_subject_folds_between_words_only(text: str) -> None:
    value = subject_line(text)
    line = text_header("Subject", value)
    if "=?" not in value:
        assert line.replace("\r\n", "") == f"Subject: {value}"
        assert all(len(one) <= 76 or " " not in one[9:] for one in line.split("\r\n"))
    assert all(one.strip() for one in line.split("\r\n"))
