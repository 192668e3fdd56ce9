"""Badges as the gateway publishes them, verified by another implementation of Open Badges 3.0 (openbadgeslib)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from openbadgeslib.ob3 import IdentityObject
from openbadgeslib.ob3.verifier import OB3VerificationError
from sqlalchemy import select

from database import audit, person_keys
from database.models import AuditRecord, Badge, BadgeKey, Claim, Letter
from evidence.badges import badge_keys, compact_jws, status_list
from tests.support.badges.badge_fixture import (
    AT,
    CERTIFICATE,
    DID,
    LETTER,
    NEXT_RING,
    RING,
    BadgeFixture,
    badge_rows,
)
from tests.support.gateway import gateway_fixture

pytestmark = pytest.mark.rule("CPE14")

HTML = {"accept": "text/html"}


@pytest.fixture
async def badges(migrated_url: str) -> AsyncIterator[BadgeFixture]:
    """A gateway with a letter and a certificate, on each kind of database."""
    async with gateway_fixture(migrated_url, badge_rows(), keys=RING) as made:
        yield BadgeFixture(made)


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[BadgeFixture]:
    """The same on SQLite alone, for what no database decides."""
    async with gateway_fixture(sqlite_url, badge_rows(), keys=RING) as made:
        yield BadgeFixture(made)


async def test_other_library_accepts_badges_of_letter_and_certificate(badges: BadgeFixture) -> None:
    letter, certificate = await badges.issue(), await badges.issue(CERTIFICATE)
    found = await badges.verified(letter)
    assert (found.issuer.id, found.issuer.name) == (DID, "Security Leaders Mentoring Program")
    assert (found.credits_earned, found.achievement.credits_available) == (9, 9)
    assert found.achievement.name == "Mentoring credit for CPP, as a mentor"
    assert found.issuance_date is not None
    assert found.issuance_date.isoformat() == "2026-07-11T01:30:00+00:00"
    assert found.evidence[0].id == f"https://mentoring.example.org/verify/{LETTER}"
    assert found.evidence[0].narrative == f"SHA-256: {'c' * 64}"
    other = await badges.verified(certificate)
    assert other.credits_earned is None
    assert other.achievement.achievement_type == "CertificateOfCompletion"
    assert "Participación en una mentoría" in other.achievement.name


async def test_badge_is_made_once_and_recorded(badges: BadgeFixture) -> None:
    first, again = await badges.issue(), await badges.issue(at=AT + timedelta(days=3))
    assert first.text == again.text
    async with badges.gateway.database.reading() as session:
        rows = (await session.scalars(select(AuditRecord).where(AuditRecord.kind == "badge"))).all()
        assert [row.subject for row in rows] == ["claim/r-2/mentor/CPP"]
        assert first.row.id not in json.dumps(rows[0].data)
        chain = (await session.scalars(select(AuditRecord).order_by(AuditRecord.sequence))).all()
        assert audit.breaks(chain) == []


async def test_altered_badge_is_refused(badges: BadgeFixture) -> None:
    opened = await badges.issue()
    head, payload, signature = opened.text.split(".")
    for text in (
        f"{head}.{payload[:-8]}AAAAAAAA.{signature}",
        f"{head}.{payload}.{signature[:-6]}AAAAAA",
        f"{head}.{payload}.",
    ):
        with pytest.raises(OB3VerificationError):
            await badges.verified(opened, text)


async def test_badge_of_another_key_is_refused(badges: BadgeFixture) -> None:
    opened = await badges.issue()
    async with badges.gateway.database.begin() as session:
        stranger = (await session.scalars(select(BadgeKey))).one()
        claims = compact_jws.read(opened.text).payload
        await badge_keys.rotate(session, AT)
        taken = await badge_keys.current_key(session)
        assert taken is not None
        forged = compact_jws.sign({"typ": "JWT", "kid": f"{DID}#{stranger.kid}"}, claims, taken.key)
        unknown = compact_jws.sign({"typ": "JWT", "kid": f"{DID}#nobody"}, claims, taken.key)
    for text in (forged, unknown):
        with pytest.raises(OB3VerificationError):
            await badges.verified(opened, text)


async def test_old_badges_verify_after_a_rotation(badges: BadgeFixture) -> None:
    old = await badges.issue()
    async with badges.gateway.database.begin() as session:
        await badge_keys.rotate(session, AT + timedelta(days=1))
    new = await badges.issue(CERTIFICATE)
    assert old.row.kid != new.row.kid
    for opened in (old, new):
        await badges.verified(opened)
    keys = json.loads(await badges.read("/badges/keys"))["keys"]
    assert [key["kid"] for key in keys] == [new.row.kid, old.row.kid]
    assert not any("d" in key for key in keys)
    async with badges.gateway.database.reading() as session:
        rows = await badge_keys.all_keys(session)
        assert [row.private is None for row in rows] == [False, True]


async def test_badge_of_a_compromised_key_is_signed_again(badges: BadgeFixture) -> None:
    old = await badges.issue()
    async with badges.gateway.database.begin() as session:
        await badge_keys.rotate(session, AT, compromised=True)
        assert await badges.gateway.services.letters.badges.sign_again(session, AT) == 1
        assert await badges.gateway.services.letters.badges.sign_again(session, AT) == 0
    with pytest.raises(OB3VerificationError):
        await badges.verified(old)
    new = await badges.issue()
    await badges.verified(new)
    assert compact_jws.read(old.text).payload == compact_jws.read(new.text).payload


async def test_badge_of_a_revoked_letter_is_revoked(badges: BadgeFixture) -> None:
    opened, other = await badges.issue(), await badges.issue(CERTIFICATE)
    await badges.revoke(LETTER)
    with pytest.raises(OB3VerificationError, match="'revocation' is set"):
        await badges.verified(opened)
    await badges.verified(other)
    page = (await badges.gateway.client.get(f"/badges/{opened.row.id}", headers=HTML)).text
    assert "It is no longer valid" in page
    assert "What it says was found to be untrue." in page
    assert "she wrote to us" not in page


async def test_erased_person_leaves_a_withdrawn_badge_and_no_words(badges: BadgeFixture) -> None:
    opened = await badges.issue()
    async with badges.gateway.database.begin() as session:
        await person_keys.destroy(session, "marcus", AT)
    with pytest.raises(OB3VerificationError, match="'revocation' is set"):
        await badges.verified(opened)
    client, path = badges.gateway.client, f"/badges/{opened.row.id}"
    page, claims = await client.get(path, headers=HTML), await client.get(f"{path}.jwt")
    assert (page.status_code, claims.status_code) == (410, 410)
    assert "This badge was withdrawn" in page.text
    assert "Marcus" not in page.text
    async with badges.gateway.database.reading() as session:
        assert await badges.gateway.services.letters.badges.open(session, opened.row.id) is None
    assert await badges.row() is not None, "it stays as it is"


async def test_badge_has_the_address_as_a_hash_and_no_name(badges: BadgeFixture) -> None:
    opened = await badges.issue()
    claims = json.dumps(compact_jws.read(opened.text).payload)
    for word in ("marcus@example.org", "Marcus", "Oyelaran", "Pérez", "p-marcus", "r-2"):
        assert word not in claims
    (identity,) = (await badges.verified(opened)).identifiers
    assert identity == IdentityObject.create("marcus@example.org", identity.salt)
    async with badges.gateway.database.reading() as session:
        row = await session.get_one(Badge, opened.row.id)
        assert b"EdDSA" not in row.content
        assert opened.text.encode() not in row.content


async def test_private_key_is_sealed_again_with_the_ring(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, badge_rows(), keys=RING) as made:
        opened = await BadgeFixture(made).issue()
        (row,) = await made.all(BadgeKey)
        assert '"d"' not in row.private
    async with gateway_fixture(sqlite_url, [], keys=NEXT_RING) as made:
        async with made.database.begin() as session:
            assert await badge_keys.seal_again(session) == 1
            assert await badge_keys.seal_again(session) == 0
            row = (await session.scalars(select(BadgeKey))).one()
            assert row.sealed_by == NEXT_RING.fingerprints[0]
            current = await badge_keys.current_key(session)
        assert current is not None
        assert current.kid == opened.row.kid


async def test_lost_key_ring_is_replaced_by_a_new_key(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, badge_rows(), keys=RING) as made:
        old = await BadgeFixture(made).issue(CERTIFICATE)
    lost = type(RING)(("quite another key of a ring",))
    async with gateway_fixture(sqlite_url, [], keys=lost) as made:
        new = await BadgeFixture(made).issue()
        assert new.row.kid != old.row.kid
        await BadgeFixture(made).verified(new)


@pytest.mark.parametrize("state", ["awaiting_evidence", "rejected", "canceled"])
async def test_letter_without_earned_credit_has_no_badge(on_sqlite: BadgeFixture, state: str) -> None:
    async with on_sqlite.gateway.database.begin() as session:
        (await session.get_one(Claim, "claim/r-2/mentor/CPP")).state = state
    assert await on_sqlite.row() is None
    async with on_sqlite.gateway.database.begin() as session:
        (await session.get_one(Letter, CERTIFICATE)).sha256 = None
    assert await on_sqlite.row(CERTIFICATE) is None
    assert await on_sqlite.gateway.all(Badge) == []


async def test_without_a_key_ring_there_is_no_badge(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, badge_rows()) as made:
        assert await BadgeFixture(made).row() is None
        assert json.loads(await BadgeFixture(made).read("/badges/keys")) == {"keys": []}


async def test_page_of_a_badge_reads_in_both_languages(on_sqlite: BadgeFixture) -> None:
    opened = await on_sqlite.issue()
    path, client = f"/badges/{opened.row.id}", on_sqlite.gateway.client
    page = await client.get(path, headers=HTML)
    for words in (
        "This digital badge is valid",
        "Mentoring credit for CPP",
        f"{path}.jwt",
        f"/verify/{LETTER}",
    ):
        assert words in page.text
    assert "Oyelaran" not in page.text
    assert "Descargar la insignia" in (await client.get(path, headers={**HTML, "accept-language": "es"})).text
    signed = await client.get(f"{path}.jwt")
    assert (signed.text, signed.headers["content-type"]) == (opened.text, "application/vc+jwt")
    assert (await client.get(path, headers={"accept": "application/vc+jwt"})).text == opened.text
    assert (await client.get(path)).json() == (await client.get(f"{path}.json")).json()
    assert (await client.get(path)).headers["access-control-allow-origin"] == "*"


async def test_verification_page_of_a_letter_leads_to_its_badge(on_sqlite: BadgeFixture) -> None:
    client = on_sqlite.gateway.client
    assert "/badges/" not in (await client.get(f"/verify/{LETTER}")).text
    opened = await on_sqlite.issue()
    assert f'href="/badges/{opened.row.id}"' in (await client.get(f"/verify/{LETTER}")).text


async def test_profile_and_achievement_are_published(on_sqlite: BadgeFixture) -> None:
    claims = compact_jws.read((await on_sqlite.issue()).text).payload
    profile = json.loads(await on_sqlite.read("/badges/issuers/asis-global"))
    assert {name: profile[name] for name in claims["issuer"]} == claims["issuer"]
    assert profile["verificationMethod"][0]["id"].startswith(f"{DID}#")
    achievement = claims["credentialSubject"]["achievement"]
    published = json.loads(
        await on_sqlite.read(achievement["id"].removeprefix("https://mentoring.example.org"))
    )
    assert {name: published[name] for name in achievement} == achievement


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/issuers",
        "/issuers/nobody",
        "/issuers/nobody/did.json",
        "/status/1",
        "/status/99999999999999999999",
        "/status/²",
        "/achievements/" + "0" * 32,
        "/" + "0" * 32,
        "/" + "0" * 32 + ".exe",
        "/%00",
    ],
)
async def test_address_that_is_not_there_is_a_404(on_sqlite: BadgeFixture, path: str) -> None:
    assert (await on_sqlite.gateway.client.get(f"/badges{path}")).status_code == 404


async def test_status_list_has_many_places_and_random_ones(on_sqlite: BadgeFixture) -> None:
    opened = await on_sqlite.issue()
    text = (await on_sqlite.read(f"/badges/status/{opened.row.status_list}")).decode()
    listed = compact_jws.read(text).payload["credentialSubject"]["encodedList"]
    assert not status_list.is_set(listed, 131_071)
    with pytest.raises(ValueError, match="cannot be read"):
        status_list.is_set(listed, 131_072)
    async with on_sqlite.gateway.database.begin() as session:
        places = {(await status_list.free_place(session, "asis-global", AT))[1] for _ in range(20)}
    assert len(places) > 15
    assert max(places) > 1_000


def test_set_bits_are_read_where_they_were_set() -> None:
    places = {0, 1, 7, 8, 4_711, 131_071}
    encoded = status_list.encode(places)
    assert {
        place for place in (*range(20), 4_710, 4_711, 131_071) if status_list.is_set(encoded, place)
    } == places
    assert datetime.fromisoformat(status_list.instant_text(AT)) == AT
