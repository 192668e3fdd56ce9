"""Reports as mail servers write them, with and without a standard part (MAIL7, MAIL10)."""

from __future__ import annotations

import base64
import time

import pytest

from mail.reports.parts import LARGEST
from mail.reports.report_reader import read_report, weightiest

pytestmark = pytest.mark.rule("MAIL7", "MAIL10")

DELIVERY = "0123456789abcdef0123456789abcdef"
OURS = f"Message-ID: <m-1@example.org>\nX-Throughline-Delivery: {DELIVERY}\nSubject: Your first weeks\n"
FAILED = "Final-Recipient: rfc822; ana@example.org\nAction: failed\n"
UNKNOWN = "Diagnostic-Code: smtp; 550 5.1.1 user unknown\n"


def report(
    status: str,
    *,
    text: str = "Your mail could not be delivered.",
    status_type: str = "message/delivery-status",
    headers_type: str = "text/rfc822-headers",
    encoding: str = "7bit",
    head: str = "From: MAILER-DAEMON@mx.example.org\nSubject: Undelivered Mail Returned to Sender\n",
) -> bytes:
    """A report with a part of per-recipient fields (RFC 3464)."""
    body = f"Reporting-MTA: dns; mx.example.org\n\n{status}"
    if encoding == "base64":
        body = base64.encodebytes(body.encode()).decode()
    return (
        f"{head}MIME-Version: 1.0\nContent-Type: multipart/report; boundary=cut\n\n"
        f"--cut\nContent-Type: text/plain\n\n{text}\n\n"
        f"--cut\nContent-Type: {status_type}\nContent-Transfer-Encoding: {encoding}\n\n{body}\n"
        f"--cut\nContent-Type: {headers_type}\n\n{OURS}\n--cut--\n"
    ).encode()


def plain(text: str, head: str) -> bytes:
    """A report of before RFC 3464: text alone."""
    return f"{head}\n\n{text}\n".encode()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (report(f"{FAILED}Status: 5.1.1\n{UNKNOWN}"), "hard"),
        (report(f"{FAILED.replace('failed', 'failed (a comment)')}Status: 5.1.1\n{UNKNOWN}"), "hard"),
        (report(f"{FAILED}{UNKNOWN}"), "hard"),
        (report(f"{FAILED}Status: 5.1.1\n{UNKNOWN}", encoding="base64"), "hard"),
        (
            report(
                f"{FAILED}Status: 5.1.1\n{UNKNOWN}",
                status_type="message/global-delivery-status",
                headers_type="message/global-headers",
            ),
            "hard",
        ),
        (report(f"{FAILED}Status: 5.0.0\n"), "soft"),
        (report(f"{FAILED}Status: 5.0.0\nDiagnostic-Code: x-unix; 255\n"), "soft"),
        (
            report(f"{FAILED}Status: 5.1.3\nDiagnostic-Code: smtp; 553 http://www.spamhaus.example/\n"),
            "refused",
        ),
        (report(f"{FAILED}Status: 5.2.1\nDiagnostic-Code: x-unix; mailbox disabled\n"), "hard"),
        (report(f"{FAILED}Status: 5.4.4\nDiagnostic-Code: dns; host not found\n"), "hard"),
        (report(f"{FAILED}Status: 5.4.4\nDiagnostic-Code: dns; host not found, try again\n"), "soft"),
        (report(f"{FAILED}Status: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 blocked by policy\n"), "refused"),
        (report(f"{FAILED}Status: 4.4.7\nDiagnostic-Code: smtp; 421 expired after five days\n"), "soft"),
        (report(f"{FAILED}Status: 5.0.0\n", text="<ana@example.org>: 550 5.1.1 user unknown"), "hard"),
        (report("Final-Recipient: rfc822; ana@example.org\nAction: delayed\nStatus: 4.4.1\n"), "delayed"),
        (report("Final-Recipient: rfc822; ana@example.org\nAction: delivered\nStatus: 2.0.0\n"), "none"),
        (report("Final-Recipient: rfc822; ana@example.org\nAction: relayed\nStatus: 2.0.0\n"), "none"),
    ],
)
def test_report_with_a_standard_part_has_its_class(content: bytes, wanted: str) -> None:
    found = weightiest(read_report(content))
    assert found.report_class == wanted
    if wanted not in ("none", "delayed"):
        assert (found.delivery, found.message_id) == (DELIVERY, "<m-1@example.org>")


QMAIL = (
    """Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ana@example.net>:
192.0.2.1 does not like recipient.
Remote host said: {said}
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Return-Path: <mentoring@example.org>
"""
    + OURS
)
EXIM = (
    """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ana@example.net
    host mx.example.net [192.0.2.1]
    SMTP error from remote mail server after {said}

------ This is a copy of the message, including all the headers. ------

Return-path: <mentoring@example.org>
"""
    + OURS
)
EXCHANGE = """Your message

  To:      ana@example.net
  Subject: Your first weeks
  Sent:    Mon, 13 Mar 2028 09:00:00 -0400

did not reach the following recipient(s):

ana@example.net on Mon, 13 Mar 2028 09:00:00 -0400
    {said}
"""
POSTFIX = """This is the mail system at host mx.example.org.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

<ana@example.net>: host mx.example.net[192.0.2.1] said: {said}
    (in reply to RCPT TO command)
"""
SENDMAIL = """The original message was received at Mon, 13 Mar 2028 09:00:00 -0400
from localhost [127.0.0.1]

   ----- The following addresses had permanent fatal errors -----
<ana@example.net>

   ----- Transcript of session follows -----
... while talking to mx.example.net.:
>>> RCPT To:<ana@example.net>
<<< {said}
"""


@pytest.mark.parametrize(
    ("text", "sender", "subject"),
    [
        (QMAIL, "MAILER-DAEMON@mx.example.org", "failure notice"),
        (
            EXIM.replace("{said}", "RCPT TO:<ana@example.net>: {said}"),
            "Mailer-Daemon@mx.example.org",
            "Mail failed",
        ),
        (POSTFIX, "MAILER-DAEMON@mx.example.org", "Undelivered Mail Returned to Sender"),
        (SENDMAIL, "MAILER-DAEMON@mx.example.org", "Returned mail: see transcript for details"),
        (EXCHANGE, "System Administrator <postmaster@example.org>", "Undeliverable: Your first weeks"),
    ],
    ids=["qmail", "exim", "postfix", "sendmail", "exchange"],
)
@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("550 5.1.1 <ana@example.net>... user unknown", "hard"),
        ("552 5.2.2 mailbox full", "soft"),
        ("550 5.7.1 blocked by our policy", "refused"),
        ("554 something went wrong", "soft"),
    ],
)
def test_report_in_an_older_format_is_read(
    text: str, sender: str, subject: str, said: str, wanted: str
) -> None:
    head = f"Return-Path: <>\nFrom: {sender}\nTo: mentoring+{DELIVERY}@example.org\nSubject: {subject}"
    (found,) = read_report(plain(text.format(said=said), head))
    assert (found.report_class, found.delivery) == (wanted, DELIVERY)


@pytest.mark.parametrize(
    "content",
    [
        plain("I am away. 550 5.1.1 user unknown", "From: ana@example.org\nSubject: Out of office"),
        plain(
            "550 5.1.1 user unknown",
            "From: ana@example.org\nSubject: Re: Delivery failure\nAuto-Submitted: auto-replied\nReturn-Path: <>",
        ),
        plain(
            "550 5.1.1 user unknown",
            "From: mentors@lists.example.org\nList-Id: mentors\nSubject: delivery failure\nReturn-Path: <>",
        ),
        plain("550 5.1.1 user unknown", "From: postmaster@example.org\nSubject: Automatic reply: hello"),
        plain("Mail failed: 550 5.1.1 user unknown", "From: ana@example.org\nSubject: failure notice"),
    ],
    ids=["away", "reply", "list", "postmaster away", "person"],
)
def test_mail_that_no_mail_system_wrote_is_no_report(content: bytes) -> None:
    assert read_report(content) == []


def test_report_that_our_mail_quotes_is_not_ours() -> None:
    inner = report(f"{FAILED}Status: 5.1.1\n{UNKNOWN}").decode()
    content = (
        "From: MAILER-DAEMON@mx.example.org\nSubject: Returned mail\n"
        "Content-Type: multipart/report; boundary=outer\n\n"
        f"--outer\nContent-Type: message/delivery-status\n\n{FAILED}Status: 5.7.1\n"
        f"--outer\nContent-Type: message/rfc822\n\n{inner}\n--outer--\n"
    )
    assert [found.report_class for found in read_report(content.encode())] == ["refused"]


BOMBS = {
    "parameters": b"Content-Type: multipart/report"
    + b"".join(b";\r\n p%d=x" % number for number in range(360_000))
    + b"\r\n\r\nhello",
    "nested": b"Content-Type: message/rfc822\r\n\r\n" * 5_000 + b"Subject: x\r\n\r\ny",
    "parts": b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\nA: b\n\nc\n" * 100_000,
    "fields": b"A: b\n" * 200_000,
    "folded": b"From: mailer-daemon@x.example\nSubject:" + b"\n x" * 200_000,
    "one line": b"From: mailer-daemon@x.example\nSubject: failure notice\n\n" + b"user " * 100_000,
    "lines": b"From: mailer-daemon@x.example\nSubject: failure notice\n\n" + b"\n" * 300_000,
    "addresses": b"From: mailer-daemon@x.example\nSubject: failure notice\n\n"
    + b"a@b.example said: 550 " * 12_000,
    "statuses": b"Content-Type: message/delivery-status\n\n" + b"Status: 5.1.1\n\n" * 20_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_hostile_report_is_read_within_bounds(bomb: bytes) -> None:
    started = time.process_time()
    read_report(bomb)
    assert time.process_time() - started < 2


def test_report_cut_at_its_limit_names_the_delivery_by_the_address() -> None:
    text = "x" * (2 * LARGEST)
    content = report(f"{FAILED}Status: 5.1.1\n{UNKNOWN}", text="short") + text.encode()
    (found,) = read_report(content, [f"mentoring+{DELIVERY}@example.org"])
    assert (found.report_class, found.delivery) == ("hard", DELIVERY)
