"""The check of a badge: foreign bytes of any kind get a verdict, and addresses lead where they should."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64encode

from evidence.badges import badge_verifier, compact_jws, status_list
from evidence.badges.badge_verifier import (
    BadgeInvalid,
    NotReadable,
    Published,
    check,
    did_address,
    may_be_read,
)
from evidence.badges.issuer_profile import BadgeAddresses

pytestmark = pytest.mark.rule("CPE14")

AT = datetime(2028, 9, 14, 13, 0, tzinfo=UTC)
KEY = OKPKey.generate_key("Ed25519", auto_kid=False)
DID = "did:web:mentoring.example.org:badges:issuers:asis-global"
LIST = "https://mentoring.example.org/badges/status/1"
PROFILE: dict[str, Any] = {
    "id": DID,
    "verificationMethod": [{"id": f"{DID}#1", "publicKeyJwk": KEY.as_dict(private=False)}],
}


def claims(**changes: object) -> dict[str, object]:
    return {
        "id": "https://mentoring.example.org/badges/1",
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "issuer": {"id": DID, "name": "A program"},
        "validFrom": "2028-07-10T00:00:00Z",
        "credentialSubject": {"id": "urn:uuid:1", "achievement": {"name": "Mentoring"}},
        "credentialStatus": {
            "statusPurpose": "revocation",
            "statusListCredential": LIST,
            "statusListIndex": "7",
        },
        "iss": DID,
        "jti": "https://mentoring.example.org/badges/1",
        "sub": "urn:uuid:1",
        **changes,
    }


def listing(*places: int, **changes: object) -> dict[str, object]:
    return {
        "id": LIST,
        "iss": DID,
        "validFrom": "2028-09-14T12:00:00Z",
        "validUntil": "2028-09-21T12:00:00Z",
        "credentialSubject": {"statusPurpose": "revocation", "encodedList": status_list.encode(places)},
        **changes,
    }


def signed(value: dict[str, object], kid: str = f"{DID}#1") -> bytes:
    return compact_jws.sign({"typ": "JWT", "kid": kid}, value, KEY).encode()


def checked(
    badge: dict[str, object], listed: dict[str, object] | None = None, profile: object = PROFILE
) -> str:
    status = signed(listed) if listed else None
    return check(signed(badge), Published(json.dumps(profile).encode(), status), AT).status


def test_badge_holds_with_and_without_its_list() -> None:
    assert checked(claims()) == "unchecked"
    assert checked(claims(), listing(6, 8)) == "valid"


@pytest.mark.parametrize(
    ("badge", "listed", "why"),
    [
        (claims(), listing(7), "it was revoked or withdrawn"),
        (claims(), listing(validUntil="2028-09-13T12:00:00Z"), "the status list holds no longer"),
        (claims(), listing(id=f"{LIST}0"), "is not the one that the badge names"),
        (claims(), listing(iss="did:web:example.org"), "is not the one that the badge names"),
        (claims(), listing(credentialSubject={}), "the status list cannot be read"),
        (claims(validFrom="2028-09-15T00:00:00Z"), None, "the badge holds only from"),
        (claims(validUntil="2028-09-01T00:00:00Z"), None, "the badge holds no longer"),
        (claims(validFrom="soon"), None, "no readable time"),
        (claims(iss="did:web:example.org"), None, "its claim iss"),
        (claims(jti="another"), None, "its claim jti"),
        (claims(sub=None), None, "its claim sub"),
        (claims(type=["VerifiableCredential"]), None, "its type is another"),
        (claims(credentialStatus=None), None, "where its revocation would be published"),
    ],
)
def test_badge_that_does_not_hold_says_why(
    badge: dict[str, object], listed: dict[str, object] | None, why: str
) -> None:
    with pytest.raises(BadgeInvalid, match=why):
        checked(badge, listed)


@pytest.mark.parametrize(
    "profile",
    [
        {**PROFILE, "id": "did:web:example.org"},
        {**PROFILE, "verificationMethod": []},
        {**PROFILE, "verificationMethod": [{"id": f"{DID}#1", "publicKeyJwk": {"kty": "OKP"}}]},
        {"keys": [{**OKPKey.generate_key("Ed25519").as_dict(private=False), "kid": "1"}]},
    ],
)
def test_profile_of_another_issuer_or_key_is_refused(profile: object) -> None:
    with pytest.raises(BadgeInvalid):
        checked(claims(), profile=profile)


def test_key_of_another_issuer_signs_nothing() -> None:
    kid = "did:web:example.org#1"
    profile = {**PROFILE, "verificationMethod": [{**PROFILE["verificationMethod"][0], "id": kid}]}
    with pytest.raises(BadgeInvalid, match="does not publish"):
        check(signed(claims(), kid), Published(json.dumps(profile).encode()), AT)


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA", "crit": ["x"], "x": 1}]
)
def test_header_cannot_choose_how_it_is_checked(header: dict[str, object]) -> None:
    parts = signed(claims()).decode().split(".")
    parts[0] = urlsafe_b64encode(json.dumps({"kid": f"{DID}#1", **header}).encode()).decode()
    for signature in (parts[2], ""):
        text = f"{parts[0]}.{parts[1]}.{signature}".encode()
        with pytest.raises(BadgeInvalid):
            check(text, Published(json.dumps(PROFILE).encode()), AT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(list(claims())), value=JSON)
def test_any_claim_of_a_badge_gets_a_verdict(key: str, value: object) -> None:
    """A signer can put anything anywhere."""
    with suppress(BadgeInvalid, NotReadable):
        check(signed(claims(**{key: value})), Published(json.dumps(PROFILE).encode()), AT)


@given(
    key=st.sampled_from(["id", "verificationMethod", "keys", "iss", "credentialSubject", "validUntil"]),
    value=JSON | st.lists(st.fixed_dictionaries({"id": JSON, "kid": JSON, "publicKeyJwk": JSON}), max_size=2),
)
def test_any_profile_and_status_list_get_a_verdict(key: str, value: object) -> None:
    for profile, listed in (({**PROFILE, key: value}, listing()), (PROFILE, listing(**{key: value}))):
        with suppress(BadgeInvalid, NotReadable):
            checked(claims(), listed, profile)


@given(text=st.binary(max_size=200))
def test_any_bytes_get_a_verdict(text: bytes) -> None:
    with pytest.raises(BadgeInvalid):
        check(text, Published(b"{}"), AT)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{" * 100_000, b"a." * 100_000, b"x" * 300_000])
def test_deep_and_long_bytes_get_a_verdict(text: bytes) -> None:
    with pytest.raises(BadgeInvalid):
        check(text, Published(b"{}"), AT)
    with pytest.raises((BadgeInvalid, NotReadable)):
        check(signed(claims()), Published(text), AT)
    with pytest.raises((BadgeInvalid, NotReadable)):
        check(signed(claims()), Published(json.dumps(PROFILE).encode(), text), AT)


@pytest.mark.parametrize(
    "base", ["https://mentoring.example.org", "https://example.org:8443/a/b", "http://127.0.0.1:8080"]
)
def test_did_leads_back_to_its_address(base: str) -> None:
    addresses = BadgeAddresses(base)
    assert did_address(addresses.did("asis-global")) == f"{addresses.issuer('asis-global')}/did.json"


@pytest.mark.parametrize(
    "did",
    [
        *("did:key:z6Mk", "did:web:", "did:web:example.org:..:etc", "did:web:user%40example.org"),
        *("did:web:example.org%2Fx", "did:web:example.org:a%2F..", "did:web:example.org:%0A", "did:web:a b"),
    ],
)
def test_odd_did_is_not_read(did: str) -> None:
    with pytest.raises(BadgeInvalid):
        did_address(did)


def test_only_https_and_this_machine_are_read() -> None:
    assert may_be_read("https://example.org/x")
    assert may_be_read("http://127.0.0.1:8080/x")
    for address in ("http://example.org/x", "file:///etc/passwd", "https://", "http://[", "ftp://127.0.0.2/"):
        assert not may_be_read(address), address
    assert badge_verifier.CLOCK_SKEW.total_seconds() == 300
