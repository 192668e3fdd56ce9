"""The bytes of a mail, read back by a parser that is not ours."""

from __future__ import annotations

import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail.addresses import AddressRefused, header_address
from mail.mime import Composed, MailAttachment, MailEnvelope, build_mail, display_name, subject_line

TEXT = "Hola, Ana:\n\nUna línea.\n"
MAIL = Composed("Una primera lista de tres mentores", TEXT, "<!doctype html><html><body>á</body></html>")
ENVELOPE = MailEnvelope(
    message_id="<check-in.1.p-ana@mail.example.org>",
    date=datetime(2028, 3, 13, 14, 0, tzinfo=UTC),
    from_name="Elena Ruiz",
    from_address="elena@example.org",
    reply_to="mentoring@example.org",
    to_name="Ana Pérez",
    to_address="ana@example.org",
    delivery="d-7",
    language="es",
)
HEADERS = [
    "Message-ID",
    "Date",
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Content-Language",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Throughline-Delivery",
    "MIME-Version",
    "Content-Type",
]


def built(mail: Composed = MAIL, **changes: Any) -> bytes:
    return build_mail(mail, replace(ENVELOPE, **changes))


def read(data: bytes) -> EmailMessage:
    message = BytesParser(policy=email.policy.default).parsebytes(data)
    assert isinstance(message, EmailMessage)
    return message


def shown_name(data: bytes, header: str) -> str:
    """The name before the address, as RFC 2047 says: no space between encoded words."""
    name, _address = parseaddr(str(BytesHeaderParser().parsebytes(data)[header]))
    return str(make_header(decode_header(name)))


@pytest.mark.rule("MAIL2", "T6")
def test_every_attempt_has_the_same_bytes() -> None:
    assert built() == built()
    files = (MailAttachment("a.ics", "text/calendar; method=REQUEST", b"BEGIN"),)
    assert built(attachments=files) == built(attachments=files)
    assert parsedate_to_datetime(str(read(built())["Date"])) == ENVELOPE.date
    assert read(built())["Message-ID"] == ENVELOPE.message_id


@pytest.mark.rule("MAIL5")
def test_text_part_comes_first_and_html_last() -> None:
    message = read(built())
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert html.get_content_type() == "text/html"
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert text.get_content().replace("\r\n", "\n") == TEXT
    assert html.get_content().rstrip() == MAIL.html
    assert message["Content-Language"] == "es"


@pytest.mark.rule("ONB7")
def test_from_is_a_person_and_reply_to_the_mailbox() -> None:
    message = read(built())
    assert message["From"] == "Elena Ruiz <elena@example.org>"
    assert message["Reply-To"].addresses[0].addr_spec == "mentoring@example.org"
    assert message["To"] == "Ana Pérez <ana@example.org>"


@pytest.mark.rule("MAIL7")
def test_headers_mark_automatic_mail_and_name_the_delivery() -> None:
    message = read(built())
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Throughline-Delivery"] == "d-7"
    suppressed = str(message["X-Auto-Response-Suppress"]).split(", ")
    assert "OOF" in suppressed
    assert not {"All", "NDR"} & set(suppressed), "bounces are wanted"


@pytest.mark.rule("MAIL6")
def test_one_click_unsubscribe_header_only_where_given() -> None:
    plain = read(built())
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"} & set(plain.keys())

    url = "https://mentoring.example.org/u/" + "x" * 300
    nudge = built(list_id="mentoring.example.org", unsubscribe_url=url)
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in nudge
    assert read(nudge)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read(nudge)["List-Id"] == "<mentoring.example.org>"

    assert "List-Unsubscribe-Post" not in read(built(unsubscribe_url="http://localhost:8080/u/1"))


@pytest.mark.rule("MAIL5")
def test_reminder_joins_the_thread_of_its_first_mail() -> None:
    message = read(built(references=("<one@example.org>", "<two@example.org>")))
    assert message["References"].split() == ["<one@example.org>", "<two@example.org>"]
    assert message["In-Reply-To"] == "<two@example.org>"


@pytest.mark.rule("MAIL5")
def test_attachment_keeps_its_type_and_parameters() -> None:
    calendar = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    message = read(
        built(
            attachments=(
                MailAttachment("../reunión.ics", "text/calendar; method=REQUEST; charset=utf-8", calendar),
            )
        )
    )
    assert message.get_content_type() == "multipart/mixed"
    body, attached = message.iter_parts()
    assert body.get_content_type() == "multipart/alternative"
    assert isinstance(attached, EmailMessage)
    assert attached.get_content_type() == "text/calendar"
    assert attached["Content-Type"].params["method"] == "REQUEST"
    assert attached.get_filename() == "..-reunión.ics"
    assert attached.get_payload(decode=True) == calendar


class TestAddresses:
    def test_internationalized_domain_becomes_ascii(self) -> None:
        assert header_address("ana@Bücher.example") == "ana@xn--bcher-kva.example"
        assert header_address("ana@straße.example") == "ana@xn--strae-oqa.example"
        assert (
            read(built(to_address="ana@bücher.example"))["To"].addresses[0].domain == "xn--bcher-kva.example"
        )

    @pytest.mark.parametrize(
        "address",
        [
            "añá@example.org",
            "ana",
            "@example.org",
            "ana@",
            "ana@example.org, bea@example.org",
            "ana@example.org\r\nBcc: bea@example.org",
            "ana pérez@example.org",
            "<ana@example.org>",
            '"ana@home"@example.org',
            "ana..b@example.org",
            "ana@example..org",
            "ana@example.org.",
            "ana@exam_ple.org",
            "a" * 65 + "@example.org",
            "ana@" + "a." * 130 + "org",
        ],
    )
    @pytest.mark.rule("MAIL3", "MEM6")
    def test_invalid_address_is_refused_without_quoting_it(self, address: str) -> None:
        with pytest.raises(AddressRefused) as refused:
            built(to_address=address)
        assert "ana" not in str(refused.value)
        assert "example" not in str(refused.value)


@pytest.mark.rule("MAIL1")
class TestHostileData:
    @given(
        subject=st.text(max_size=400),
        name=st.text(max_size=400),
        text=st.text(max_size=2000),
        html=st.text(max_size=2000),
    )
    @example(subject="a\x00b", name="a\x00b", text="a\x00b", html="a\x00b")
    def test_data_cannot_inject_headers_recipients_or_parts(
        self, subject: str, name: str, text: str, html: str
    ) -> None:
        data = built(Composed(subject, text, html), to_name=name, from_name=name)
        assert data == built(Composed(subject, text, html), to_name=name, from_name=name)
        assert max(map(len, data.split(b"\r\n"))) <= 998
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|[^\x00-\x7f]|\x00", data)

        message = read(data)
        assert list(message.keys()) == HEADERS
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        [recipient] = message["To"].addresses
        assert recipient.addr_spec == "ana@example.org"
        assert shown_name(data, "To") == shown_name(data, "From") == display_name(name)
        assert message["Subject"] == subject_line(subject)

    @given(st.text(max_size=300))
    def test_display_name_is_quoted_against_syntax(self, name: str) -> None:
        shown = display_name(name)
        assert not set(shown) & set('@:,"<>;()[]\\\r\n')
        assert len(shown) <= 75

    @pytest.mark.parametrize(
        "name", ["", "J. R. Pérez", "=?utf-8?q?Boss?=", 'Ana "x" <b@example.org>, c', "Ñ" * 10_000]
    )
    def test_display_name_parses_back_unchanged(self, name: str) -> None:
        data = built(to_name=name, from_name=name)
        assert shown_name(data, "To") == shown_name(data, "From") == display_name(name)

    def test_subject_is_one_line_of_at_most_200_characters(self) -> None:
        assert subject_line("a\r\nBcc: b@example.org") == "a Bcc: b@example.org"
        assert len(subject_line("x" * 10_000)) == 200
        assert read(built(replace(MAIL, subject="=?utf-8?q?x?="))).get("Subject") == "=?utf-8?q?x?="

    @pytest.mark.parametrize(
        "changes",
        [
            {"message_id": "no-brackets@example.org"},
            {"message_id": "<a@example.org>\r\nBcc: x@example.org"},
            {"references": ("<a b@example.org>",)},
            {"delivery": "d-7\r\nX: y"},
            {"delivery": ""},
            {"language": "es\n"},
            {"list_id": "a>\r\nX: y"},
            {"unsubscribe_url": "https://example.org/\r\nX: y"},
            {"unsubscribe_url": "mailto:x@example.org"},
            {"unsubscribe_url": "https://example.org/" + "x" * 1000},
            {"date": datetime(2028, 3, 13, 14, 0)},  # noqa: DTZ001 - that is the fault
        ],
    )
    def test_envelope_that_would_break_the_format_is_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"malformed|zone"):
            built(**changes)

    def test_date_header_keeps_the_given_zone(self) -> None:
        bogota = timezone(timedelta(hours=-5))
        assert read(built(date=ENVELOPE.date.astimezone(bogota)))["Date"] == "Mon, 13 Mar 2028 09:00:00 -0500"
