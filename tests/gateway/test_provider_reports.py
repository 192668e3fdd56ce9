"""Webhooks of SES, SendGrid, Postmark and Mailgun: verified, then judged by the one classifier (MAIL7, MAIL10)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from sqlalchemy import select
from structlog.testing import capture_logs

from database import ledger
from database.models import Event
from gateway.provider_reports import router
from gateway.provider_signatures import ProviderSecrets
from gateway.services import GatewayServices
from mail.reports.provider_lists import where_to_lift
from mail.reports.providers import READERS
from mail.smtp.refusals import Cause
from tests.support.delivery import (
    AT,
    KEYS,
    NUDGE,
    WORKFLOW,
    DeliveryFixture,
    check_ins,
    deliveries,
    migrated_url,
)

__all__ = ["deliveries", "migrated_url"]

DELIVERY = ledger.delivery_id(KEYS, WORKFLOW, NUDGE.step, 1)
MESSAGE_ID = f"<{DELIVERY}@example.org>"
SES_ID = "0100018f2a7c9b1e-6d0c1f7e-1111-2222-3333-444455556666-000000"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
LISTED = Cause.PROVIDER_LIST.value
UNKNOWN = "smtp; 550 5.1.1 <ana@example.org>: user unknown"

AMAZON = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SENDGRID = ec.generate_private_key(ec.SECP256R1())


def certificate() -> bytes:
    """A certificate for Amazon's key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(AMAZON.public_key())
    made = made.serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    signed = made.not_valid_after(datetime(2040, 1, 1, tzinfo=UTC)).sign(AMAZON, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


SECRETS = ProviderSecrets(
    TOPIC,
    base64.b64encode(
        SENDGRID.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode(),
    "postmark:a long password",
    "the signing key of mailgun",
)


def ses_bounce(
    kind: str = "Permanent", subtype: str = "NoEmail", *recipients: str, own: bool = True
) -> dict[str, Any]:
    named = [{"name": "X-Throughline-Delivery", "value": DELIVERY}] if own else []
    said = [{"emailAddress": "x@example.org", "status": "5.1.1", "diagnosticCode": one} for one in recipients]
    return {
        "notificationType": "Bounce",
        "mail": {"messageId": SES_ID, "headers": [{"name": "Subject", "value": "hello"}, *named]},
        "bounce": {"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": said},
    }


def by_sns(message: object, *, version: str = "2", topic: str = TOPIC, **changed: str) -> bytes:
    """A message of Amazon SNS with its signature; `changed` is changed after it was made."""
    sent = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": topic,
        "Message": json.dumps(message),
        "Timestamp": "2028-03-13T13:05:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
    }
    text = "".join(
        f"{name}\n{sent[name]}\n" for name in ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
    )
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()
    sent["Signature"] = base64.b64encode(AMAZON.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
    return json.dumps(sent | changed).encode()


def by_sendgrid(body: bytes) -> dict[str, str]:
    signature = SENDGRID.sign(b"1836565500" + body, ec.ECDSA(hashes.SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Timestamp": "1836565500",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
    }


def by_mailgun(event: dict[str, Any], key: str = SECRETS.mailgun_key) -> bytes:
    signature = hmac.new(key.encode(), b"1836565500token", hashlib.sha256).hexdigest()
    return json.dumps(
        {
            "signature": {"timestamp": "1836565500", "token": "token", "signature": signature},
            "event-data": event,
        }
    ).encode()


POSTMARK = {"Authorization": f"Basic {base64.b64encode(SECRETS.postmark.encode()).decode()}"}


@asynccontextmanager
async def gateway(
    deliveries: DeliveryFixture, secrets: ProviderSecrets = SECRETS
) -> AsyncIterator[tuple[httpx.AsyncClient, list[str]]]:
    """The route on a database with one mail that was sent; what it fetched and whom it notified."""
    await deliveries.plan(NUDGE)
    async with deliveries.database.begin() as session:
        (row,) = await ledger.rows_of(session, WORKFLOW)
        row.message_id, row.recipient = MESSAGE_ID, "ana@example.org"
        await ledger.decide(session, row, "sent", None, AT, response=f"250 Ok {SES_ID}")
    seen: list[str] = []

    async def notify() -> None:
        seen.append("notified")

    async def clock() -> datetime:
        return AT + timedelta(days=8)

    async def fetched(url: str) -> bytes:
        seen.append(url)
        return certificate()

    services = GatewayServices(
        database=deliveries.database,
        programs=deliveries.programs,
        links=None,  # type: ignore[arg-type]  # the route makes no link and no letter
        letters=None,  # type: ignore[arg-type]
        clock=clock,
        notify_inbox=notify,
        checks={},
    )
    app = FastAPI()
    app.include_router(router(services, secrets, fetched))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as client:
        yield client, seen


async def events(deliveries: DeliveryFixture) -> list[dict[str, Any]]:
    async with deliveries.database.reading() as session:
        return [event.data for event in await session.scalars(select(Event).order_by(Event.id))]


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize("version", ["1", "2"])
async def test_bounce_of_ses_is_found_by_our_own_header(deliveries: DeliveryFixture, version: str) -> None:
    async with gateway(deliveries) as (client, seen):
        body = by_sns(ses_bounce("Permanent", "General", UNKNOWN), version=version)
        assert [(await client.post("/bounces/ses", content=body)).status_code for _ in range(2)] == [204, 204]
    (event,) = await events(deliveries)
    assert (event["kind"], event["delivery"]) == ("hard", DELIVERY)
    assert seen == [CERTIFICATE, "notified"]


@pytest.mark.rule("MAIL7")
async def test_bounce_of_ses_is_found_by_the_id_in_the_answer(deliveries: DeliveryFixture) -> None:
    async with gateway(deliveries) as (client, _):
        several = ses_bounce("Permanent", "General", "smtp; 552 5.2.2 mailbox full", UNKNOWN, own=False)
        assert (await client.post("/bounces/ses", content=by_sns(several))).status_code == 204
    assert [(event["kind"], event["delivery"]) for event in await events(deliveries)] == [
        ("soft", DELIVERY),
        ("hard", DELIVERY),
    ]


@pytest.mark.rule("MAIL7")
async def test_subscription_of_ses_is_confirmed_at_amazon_only(deliveries: DeliveryFixture) -> None:
    sent = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "m-1",
        "Token": "t",
        "TopicArn": TOPIC,
        "Message": "confirm",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "Timestamp": "2028-03-13T13:05:00.000Z",
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE,
    }
    names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{sent[name]}\n" for name in names)
    signature = AMAZON.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    async with gateway(deliveries) as (client, seen):
        body = json.dumps({**sent, "Signature": base64.b64encode(signature).decode()})
        assert (await client.post("/bounces/ses", content=body)).status_code == 204
    assert seen == [CERTIFICATE, sent["SubscribeURL"]]


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize(
    ("provider", "body", "headers"),
    [
        ("ses", by_sns(ses_bounce(), Message="{}"), {}),
        ("ses", by_sns(ses_bounce(), topic="arn:aws:sns:eu-west-1:1:other"), {}),
        (
            "ses",
            by_sns(ses_bounce(), SigningCertURL="https://sns.eu-west-1.amazonaws.com.example.org/x.pem"),
            {},
        ),
        ("ses", by_sns(ses_bounce(), SigningCertURL="http://sns.eu-west-1.amazonaws.com/x.pem"), {}),
        ("ses", by_sns(ses_bounce(), Signature="no base64"), {}),
        ("ses", b"[]", {}),
        ("sendgrid", b"[{}]", by_sendgrid(b"[]")),
        ("sendgrid", b"[]", {}),
        ("postmark", b"{}", {}),
        ("postmark", b"{}", {"Authorization": "Basic cG9zdG1hcms6d3Jvbmc="}),
        ("mailgun", by_mailgun({"event": "failed"}, "another key"), {}),
        ("mailgun", b"\xff", {}),
    ],
)
async def test_report_that_its_provider_did_not_sign_is_refused(
    deliveries: DeliveryFixture, provider: str, body: bytes, headers: dict[str, str]
) -> None:
    async with gateway(deliveries) as (client, _):
        answer = await client.post(f"/bounces/{provider}", content=body, headers=headers)
        assert answer.status_code == 401
    assert await events(deliveries) == []


@pytest.mark.rule("MAIL7")
async def test_provider_without_a_secret_is_not_there(deliveries: DeliveryFixture) -> None:
    async with gateway(deliveries, ProviderSecrets()) as (client, _):
        for provider in (*READERS, "other"):
            assert (await client.post(f"/bounces/{provider}", content=b"{}")).status_code == 404


@pytest.mark.rule("MAIL7", "MAIL10")
async def test_sendgrid_postmark_and_mailgun_name_our_mail(deliveries: DeliveryFixture) -> None:
    sendgrid = json.dumps(
        [
            {"event": "processed", "smtp-id": MESSAGE_ID},
            {
                "event": "bounce",
                "type": "bounce",
                "status": "5.1.1",
                "reason": UNKNOWN,
                "smtp-id": MESSAGE_ID,
            },
            {"event": "spamreport", "smtp-id": MESSAGE_ID},
            {"event": "bounce", "type": "bounce", "reason": UNKNOWN, "smtp-id": "<guess@example.org>"},
        ]
    ).encode()
    postmark = {"RecordType": "Bounce", "Type": "HardBounce", "Details": UNKNOWN}
    postmark["Content"] = f"Subject: x\r\nX-Throughline-Delivery: {DELIVERY}\r\n"
    mailgun = {"event": "failed", "severity": "permanent", "reason": "bounce"}
    mailgun |= {"message": {"headers": {"message-id": MESSAGE_ID.strip("<>")}}}  # type: ignore[dict-item]
    mailgun |= {"delivery-status": {"code": 550, "message": "5.1.1 user unknown"}}  # type: ignore[dict-item]
    async with gateway(deliveries) as (client, _):
        for provider, body, headers in (
            ("sendgrid", sendgrid, by_sendgrid(sendgrid)),
            ("postmark", json.dumps(postmark).encode(), POSTMARK),
            ("mailgun", by_mailgun(mailgun), {}),
        ):
            assert (
                await client.post(f"/bounces/{provider}", content=body, headers=headers)
            ).status_code == 204
    found = await events(deliveries)
    assert [(one["kind"], one.get("delivery") or one["message_id"]) for one in found] == [
        ("hard", MESSAGE_ID),
        ("complaint", MESSAGE_ID),
        ("hard", DELIVERY),
        ("hard", MESSAGE_ID),
    ]


@pytest.mark.rule("MAIL10")
@pytest.mark.parametrize(
    ("provider", "report", "kind", "words"),
    [
        ("ses", ses_bounce("Transient", "MailboxFull", "smtp; 552 5.2.2 full"), "soft", ""),
        ("ses", ses_bounce("Transient", "General", UNKNOWN), "soft", ""),
        ("ses", ses_bounce("Permanent", "OnAccountSuppressionList", UNKNOWN), "refused", LISTED + " (ses)"),
        ("ses", ses_bounce("Permanent", "Suppressed", UNKNOWN), "refused", f"{LISTED} (ses)"),
        (
            "sendgrid",
            [{"event": "dropped", "reason": "Bounced Address"}],
            "refused",
            f"{LISTED} (sendgrid)",
        ),
        ("sendgrid", [{"event": "dropped", "reason": "Spam Content"}], "refused", "content"),
        ("sendgrid", [{"event": "bounce", "type": "blocked", "reason": UNKNOWN}], "soft", ""),
        ("sendgrid", [{"event": "bounce", "type": "blocked", "reason": "550 5.7.1 spam"}], "refused", ""),
        (
            "postmark",
            {"RecordType": "Bounce", "Type": "ManuallyDeactivated"},
            "refused",
            f"{LISTED} (postmark)",
        ),
        (
            "postmark",
            {"RecordType": "Bounce", "Type": "InactiveRecipient"},
            "refused",
            f"{LISTED} (postmark)",
        ),
        (
            "postmark",
            {"RecordType": "Bounce", "Type": "SMTPApiError", "Details": "ErrorCode 406: marked as inactive"},
            "refused",
            f"{LISTED} (postmark)",
        ),
        ("postmark", {"RecordType": "SubscriptionChange", "SuppressSending": True}, "refused", LISTED),
        ("postmark", {"RecordType": "Bounce", "Type": "SoftBounce", "Details": UNKNOWN}, "soft", ""),
        ("postmark", {"RecordType": "SpamComplaint"}, "complaint", ""),
        (
            "mailgun",
            {"event-data": {"event": "failed", "reason": "suppress-bounce"}},
            "refused",
            f"{LISTED} (mailgun)",
        ),
        ("mailgun", {"event-data": {"event": "failed", "delivery-status": {"code": 605}}}, "refused", LISTED),
        ("mailgun", {"event-data": {"event": "failed", "delivery-status": {"code": 607}}}, "refused", LISTED),
        ("mailgun", {"event-data": {"event": "complained"}}, "complaint", ""),
    ],
)
def test_words_of_a_provider_mean_what_the_classifier_says(
    provider: str, report: object, kind: str, words: str
) -> None:
    (found,) = READERS[provider](report)
    assert found.kind == kind
    assert words in found.reason


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize("provider", READERS)
@pytest.mark.parametrize("junk", [None, 7, "x", [], [7], {}, {"event-data": 7}, {"mail": [], "bounce": 7}])
def test_report_of_another_form_is_none(provider: str, junk: object) -> None:
    assert list(READERS[provider](junk)) == []


@pytest.mark.rule("MAIL10")
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (f"{LISTED} (ses)", ("Amazon SES", "DeleteSuppressedDestination")),
        (f"{LISTED} (sendgrid)", ("SendGrid", "/v3/suppression/bounces")),
        (f"{LISTED} (postmark)", ("Postmark", "suppressions/delete")),
        (f"{LISTED} (mailgun)", ("Mailgun", "/bounces/")),
        (f"{LISTED} (550 5.1.1)", ("your mail provider",)),
    ],
)
def test_list_of_a_provider_says_where_to_lift_it(reason: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in where_to_lift(reason)


def delivered_by(
    provider: str, delivery: str = DELIVERY, at: str = "2028-03-13T13:00:07Z"
) -> tuple[bytes, dict[str, str]]:
    """The report of a delivery as a provider sends it, with the headers that it proves itself by."""
    seconds = datetime.fromisoformat(at).timestamp()
    message_id = f"<{delivery}@example.org>"
    if provider == "ses":
        named = [{"name": "X-Throughline-Delivery", "value": delivery}]
        mail = {"messageId": SES_ID, "headers": named}
        return by_sns({"notificationType": "Delivery", "mail": mail, "delivery": {"timestamp": at}}), {}
    if provider == "sendgrid":
        body = json.dumps([{"event": "delivered", "smtp-id": message_id, "timestamp": seconds}]).encode()
        return body, by_sendgrid(body)
    if provider == "postmark":
        record = {"RecordType": "Delivery", "MessageID": SES_ID, "DeliveredAt": at}
        return json.dumps(record).encode(), POSTMARK
    headers = {"message-id": message_id.strip("<>")}
    return by_mailgun({"event": "delivered", "timestamp": seconds, "message": {"headers": headers}}), {}


@pytest.mark.rule("MAIL1", "MAIL7")
@pytest.mark.parametrize("provider", READERS)
async def test_delivery_is_a_fact_beside_the_decision(deliveries: DeliveryFixture, provider: str) -> None:
    async with gateway(deliveries) as (client, seen):
        for at in ("2028-03-13T13:00:07Z", "2028-03-13T14:00:00Z"):
            body, headers = delivered_by(provider, at=at)
            answer = await client.post(f"/bounces/{provider}", content=body, headers=headers)
            assert answer.status_code == 204
    (row,) = await deliveries.rows()
    assert (row.state, row.delivered_at) == ("sent", datetime(2028, 3, 13, 13, 0, 7, tzinfo=UTC))
    assert row.came_back is None
    assert await events(deliveries) == []
    assert "notified" not in seen


@pytest.mark.rule("MAIL7")
async def test_delivery_ahead_of_our_clock_counts_from_now(deliveries: DeliveryFixture) -> None:
    async with gateway(deliveries) as (client, _):
        body, headers = delivered_by("mailgun", at="2031-01-01T00:00:00Z")
        assert (await client.post("/bounces/mailgun", content=body, headers=headers)).status_code == 204
    (row,) = await deliveries.rows()
    assert row.delivered_at == AT + timedelta(days=8)


@pytest.mark.rule("MAIL7")
async def test_delivery_that_only_guesses_is_refused_and_counted(deliveries: DeliveryFixture) -> None:
    async with gateway(deliveries) as (client, _):
        body, headers = delivered_by("sendgrid", delivery="0" * 32)
        with capture_logs() as logs:
            assert (await client.post("/bounces/sendgrid", content=body, headers=headers)).status_code == 204
    assert [(one["event"], one["count"]) for one in logs] == [("reports_refused", 1)]
    assert (await deliveries.rows())[0].delivered_at is None


@pytest.mark.rule("MAIL7", "MAIL10")
async def test_one_request_may_name_several_people(deliveries: DeliveryFixture) -> None:
    """SendGrid posts events in batches; SES names each recipient of a mail in one notification."""
    async with gateway(deliveries) as (client, _):
        other = ledger.delivery_id(KEYS, WORKFLOW, NUDGE.step, 2)
        await deliveries.plan(*check_ins(2))
        async with deliveries.database.begin() as session:
            row = (await ledger.rows_of(session, WORKFLOW))[-1]
            row.message_id, row.recipient = f"<{other}@example.org>", "ben@example.org"
            await ledger.decide(session, row, "sent", None, AT)
        sendgrid = json.dumps(
            [
                {"event": "bounce", "type": "bounce", "reason": UNKNOWN, "smtp-id": MESSAGE_ID},
                {"event": "dropped", "reason": "Bounced Address", "smtp-id": f"<{other}@example.org>"},
                {"event": "delivered", "smtp-id": f"<{other}@example.org>", "timestamp": AT.timestamp()},
            ]
        ).encode()
        answer = await client.post("/bounces/sendgrid", content=sendgrid, headers=by_sendgrid(sendgrid))
        assert answer.status_code == 204
        ses = ses_bounce("Permanent", "General", UNKNOWN, "smtp; 550 5.7.1 blocked by policy")
        assert (await client.post("/bounces/ses", content=by_sns(ses))).status_code == 204
    assert [(one["kind"], one.get("delivery") or one["message_id"]) for one in await events(deliveries)] == [
        ("hard", MESSAGE_ID),
        ("refused", f"<{other}@example.org>"),
        ("hard", DELIVERY),
        ("refused", DELIVERY),
    ]
    assert [row.delivered_at for row in await deliveries.rows()] == [None, AT]
