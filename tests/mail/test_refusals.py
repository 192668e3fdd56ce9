"""What a mail server's refusal speaks of: the same in the dialogue and in a report (MAIL3, MAIL10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.reports.report_reader import refused
from mail.smtp.refusals import RefusalClass, classify_refusal
from mail.smtp.verdicts import (
    AccountRefused,
    ContentRefused,
    RecipientRefused,
    Stage,
    TryLater,
    classify,
)

pytestmark = pytest.mark.rule("MAIL10")

NOT_THE_MAILBOX = [
    ("550 user over quota", "soft"),
    ("552 buzon lleno: mailbox lleno", "soft"),
    ("552 5.2.2 el mailbox lleno", "soft"),
    ("550 5.2.5 folder full", "soft"),
    ("550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents more", "soft"),
    ("550 5.2.121 too many messages to this recipient", "soft"),
    ("550 5.2.121", "soft"),
    ("550 5.1.1 <ana@example.org> mx.example.org has sent too many this hour", "soft"),
    ("550 temporary failure", "soft"),
    ("550 5.1.1 <ana@example.org> temporary failure in user lookup", "soft"),
    ("550 internal server error", "soft"),
    ("554 5.4.4 Name service error for name=example.org type=MX: Malformed name server reply", "soft"),
    ("554 5.4.6 hop count exceeded", "soft"),
    ("554 Too many hops, this mail is looping", "soft"),
    ("550 message filtered", "refused"),
    ("550 no PTR record", "refused"),
    ("550 invalid HELO name", "refused"),
    ("550 message too large", "refused"),
    ("550 line too long", "refused"),
    ("550 attachment type refused", "refused"),
    ("553 5.1.3 http://www.spamhaus.example/query/bl?ip=192.0.2.1", "refused"),
    ("553 5.1.3 http://dnsbl.example.org/192.0.2.1", "refused"),
    ("553 5.1.3 http://lists.example.org/why", "refused"),
    ("550 5.1.1 blocked by our policy", "refused"),
    ("501 Invalid MAIL FROM address", "refused"),
    ("550 your account has been disabled", "refused"),
    ("550 plan limit reached", "refused"),
    ("550 maximum credits exceeded", "refused"),
    ("550 verify your domain first", "refused"),
    ("550 5.7.1 blocked by policy", "refused"),
    ("550 listed at a spam blacklist", "refused"),
    ("552 5.3.4 too big", "refused"),
    ("550 5.7.26 unauthenticated mail is not accepted due to the domain's DMARC policy", "refused"),
    ("550 5.1.0 Sender address rejected: user unknown", "refused"),
    ("550", "soft"),
    ("554 5.0.0 transaction failed", "soft"),
    ("550 5.1.0 something went wrong", "soft"),
    ("550 5.2.0 delivery error", "soft"),
]
"""Replies that speak of something else than the mailbox, with their class."""

THE_MAILBOX = [
    "550 5.1.1 <ana@example.org>: user unknown",
    "550 no such user here",
    "550 5.1.1",
    "550 5.1.1 <ana@example.org>: Recipient address rejected: User unknown in relay recipient table",
    "550 5.5.0 Requested action not taken: mailbox unavailable",
    "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking it",
    "550 5.2.1 The email account that you tried to reach is disabled",
    "554 delivery error: dd This user doesn't have an example.org account (ana@example.org) [0]",
    "550 usuario desconocido",
    "550 la cuenta no existe",
    "551 5.1.6 recipient no longer on server",
    "556 5.1.10 the domain takes no mail",
    "550 5.1.2 Host unknown (Name server: host not found)",
    "550 sorry, no mailbox here by that name. (#5.1.1)",
]


def _verdict(reply: str, stage: Stage) -> type:
    return type(classify(stage, int(reply[:3]), reply[4:]))


@pytest.mark.parametrize(("reply", "wanted"), NOT_THE_MAILBOX)
@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.END])
def test_reply_about_something_else_is_never_the_mailboxs(reply: str, wanted: str, stage: Stage) -> None:
    assert _verdict(reply, stage) is not RecipientRefused
    assert refused([reply], None).report_class == wanted


@pytest.mark.parametrize("reply", THE_MAILBOX)
def test_reply_that_names_the_mailbox_is_hard(reply: str) -> None:
    assert _verdict(reply, Stage.RCPT) is RecipientRefused
    assert refused([reply], None).report_class == "hard"


@pytest.mark.parametrize("reply", THE_MAILBOX)
def test_temporary_code_is_never_hard(reply: str) -> None:
    assert refused([reply], "4.0.0").report_class == "soft"
    assert classify_refusal(450, None, reply[4:]).refusal_class is not RefusalClass.HARD
    assert type(classify(Stage.RCPT, 450, reply[4:])) is TryLater


@pytest.mark.parametrize(
    "reply",
    [
        "554 Sending paused for this account. For more information, see the console",
        "554 Message rejected: Email address is not verified. The following identities failed the check",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "554 5.2.252 SendAsDenied; mailer@example.org not allowed to send as ana@example.org",
        "550 5.1.8 Access denied, bad outbound sender",
        "550 5.7.501 Access denied, spam abuse detected",
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit",
        "550 5.4.5 Daily user sending limit exceeded",
        "552 5.4.5 Daily user sending quota exceeded",
        "550 maximum credits exceeded",
        "550 plan limit reached",
        "550 your account has been disabled",
        "550 verify your domain first",
    ],
)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END])
def test_refusal_of_our_own_account_stops_the_channel(reply: str, stage: Stage) -> None:
    assert _verdict(reply, stage) is AccountRefused
    assert refused([reply], None).report_class == "refused"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("550 user over quota", TryLater),
        ("552 mailbox lleno", TryLater),
        ("550 5.2.1 receiving mail at a rate that prevents more", TryLater),
        ("550 temporary failure", TryLater),
        ("550 internal server error", TryLater),
        ("550 message too large", ContentRefused),
        ("550 message filtered", ContentRefused),
        ("550 no PTR record", ContentRefused),
    ],
)
def test_what_may_pass_is_tried_again_and_the_rest_fails(reply: str, verdict: type) -> None:
    assert _verdict(reply, Stage.RCPT) is verdict


@given(
    code=st.none() | st.integers(400, 599),
    enhanced=st.none() | st.from_regex(r"[45]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    text=st.text(max_size=300),
)
def test_any_text_has_a_class_and_temporary_is_never_hard(
    code: int | None, enhanced: str | None, text: str
) -> None:
    found = classify_refusal(code, enhanced, text)
    if (enhanced or "").startswith("4."):
        assert found.refusal_class is not RefusalClass.HARD
