"""Signatures after the Standard Webhooks specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from gateway.webhook_signatures import SignatureRefused, Signatures, sign_events
from tests.support.gateway import OLD_SECRET, SECRET, member_updated

pytestmark = pytest.mark.rule("MAIL7")


def test_single_event_is_signed_by_the_specification() -> None:
    headers, body = sign_events(SECRET, member_updated())
    assert headers["content-type"] == "application/cloudevents+json"
    assert Webhook(SECRET).verify(body, headers) == member_updated()
    Signatures([SECRET]).check(headers, body)


def test_several_events_form_a_batch_with_an_own_webhook_id() -> None:
    first, body = sign_events(SECRET, [member_updated(), member_updated("leo", "e-2")])
    second, _ = sign_events(SECRET, [member_updated()])
    assert first["content-type"] == "application/cloudevents-batch+json"
    assert [event["id"] for event in json.loads(body)] == ["e-1", "e-2"]
    assert first["webhook-id"] != second["webhook-id"]


def test_any_configured_secret_verifies_during_rotation() -> None:
    signatures = Signatures([SECRET, OLD_SECRET])
    for secret in (SECRET, OLD_SECRET):
        signatures.check(*sign_events(secret, member_updated()))


def test_two_signatures_at_once_verify() -> None:
    headers, body = sign_events(SECRET, member_updated())
    other = Webhook(OLD_SECRET).sign(
        headers["webhook-id"], datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC), body.decode()
    )
    headers["webhook-signature"] = f"{other} v1a,ignored {headers['webhook-signature']}"
    Signatures([SECRET]).check(headers, body)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_header_is_named(name: str) -> None:
    headers, body = sign_events(SECRET, member_updated())
    with pytest.raises(SignatureRefused, match=f"{name} missing"):
        Signatures([SECRET]).check({**headers, name: ""}, body)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_old_and_future_signatures_are_refused(minutes: int) -> None:
    headers, body = sign_events(SECRET, member_updated(), datetime.now(UTC) + timedelta(minutes=minutes))
    with pytest.raises(SignatureRefused, match="more than five minutes"):
        Signatures([SECRET]).check(headers, body)


@pytest.mark.parametrize("minutes", [-4, 4])
def test_clock_skew_of_a_few_minutes_is_accepted(minutes: int) -> None:
    headers, body = sign_events(SECRET, member_updated(), datetime.now(UTC) + timedelta(minutes=minutes))
    Signatures([SECRET]).check(headers, body)


@pytest.mark.parametrize(
    "alter",
    [
        lambda headers, body: (headers, body + b" "),
        lambda headers, body: (headers, body.replace(b"eva", b"ana")),
        lambda headers, body: ({**headers, "webhook-id": "msg_other"}, body),
        lambda headers, body: (
            {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
            body,
        ),
        lambda headers, body: ({**headers, "webhook-timestamp": "soon"}, body),
        lambda headers, body: ({**headers, "webhook-timestamp": "nan"}, body),
        lambda headers, body: ({**headers, "webhook-signature": "v1,AAAA"}, body),
        lambda headers, body: ({**headers, "webhook-signature": "v1,%%%"}, body),
        lambda headers, body: ({**headers, "webhook-signature": "v1"}, body),
        lambda headers, body: (
            {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")},
            body,
        ),
        lambda headers, body: (headers, b"\xff" + body),
    ],
)
def test_changed_body_or_header_breaks_the_signature(
    alter: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]],
) -> None:
    with pytest.raises(SignatureRefused):
        Signatures([SECRET]).check(*alter(*sign_events(SECRET, member_updated())))


def test_wrong_and_missing_secrets_are_refused() -> None:
    signed = sign_events(OLD_SECRET, member_updated())
    for secrets in ([SECRET], []):
        with pytest.raises(SignatureRefused, match="no signature"):
            Signatures(secrets).check(*signed)


@pytest.mark.parametrize(
    "secret", ["", "whsec_c2hvcnQ", "whsec_c2hvcnQ=", "whsec_no base64 at all!", "whsec_é"]
)
def test_malformed_secret_is_refused_without_quoting_it(secret: str) -> None:
    with pytest.raises(ValueError, match="a webhook secret") as refused:
        Signatures([secret])
    assert not secret or secret not in str(refused.value)
