"""A gateway with a letter and a certificate of which badges are made; times lie before the machine's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from openbadgeslib.ob3 import OB3Verifier, OpenBadgeCredential

from database.key_ring import KeyRing
from database.models import Badge, Claim, Letter
from evidence.badges.issuing import OpenedBadge
from tests.support.gateway import (
    GatewayFixture,
    claim_row,
    engagement_row,
    letter_row,
    people,
    request_row,
)

RING = KeyRing(("the first key of a ring",))
NEXT_RING = KeyRing(("the second key of a ring", "the first key of a ring"))
AT = datetime(2026, 9, 14, 13, 0, tzinfo=UTC)
LETTER, CERTIFICATE = "7KQ2-M9TX-4HBC-WD3R", "9ABC-DEFG-HJKM-NPQR"
DID = "did:web:mentoring.example.org:badges:issuers:asis-global"


def badge_rows() -> list[Any]:
    """Marcus' claim, ready by Ana's letter, and Ana's certificate, both of July 2026."""
    signed = datetime(2026, 7, 11, 1, 30, tzinfo=UTC)
    letter, certificate = letter_row("confirmation", LETTER), letter_row("certificate", CERTIFICATE)
    claim: Claim = claim_row("mentor", "CPP", "ready")
    claim.decision = {"inputs": {"letter": LETTER}}
    for row in (letter, certificate):
        row.engagement_id, row.signed_at = "r-2", signed
    letter.claim = claim.workflow
    letter.data = {**letter.data, "started": "2026-01-10", "credit_date": "2026-07-10", "months": 6}
    certificate.role, certificate.locale = "mentee", "es"
    certificate.data = {**certificate.data, "started": "2026-01-10", "ended": "2026-07-10"}
    return [*people(), request_row("r-2"), engagement_row(), claim, letter, certificate]


@dataclass
class BadgeFixture:
    """Badges as their holders and verifiers meet them."""

    gateway: GatewayFixture

    def __post_init__(self) -> None:
        # The other implementation holds status lists against the machine's clock.
        self.gateway.at = datetime.now(UTC)

    async def issue(self, letter: str = LETTER, at: datetime = AT) -> OpenedBadge:
        """Make the badge of a letter, unless there is one, and open it."""
        badges = self.gateway.services.letters.badges
        async with self.gateway.database.begin() as session:
            row = await badges.issue(session, self.gateway.programs["asis-global"], letter, at)
            assert row is not None
            opened = await badges.open(session, row.id)
        assert opened is not None
        return opened

    async def row(self, letter: str = LETTER, at: datetime = AT) -> Badge | None:
        """Ask for the badge of a letter, which may have none."""
        async with self.gateway.database.begin() as session:
            return await self.gateway.services.letters.badges.issue(
                session, self.gateway.programs["asis-global"], letter, at
            )

    async def revoke(self, letter: str, because: str = "untrue") -> None:
        """Revoke a letter."""
        async with self.gateway.database.begin() as session:
            row = await session.get_one(Letter, letter)
            row.revoked_at, row.revoked_class, row.revoked_because = AT, because, "she wrote to us"

    async def read(self, path: str) -> bytes:
        """Read a public address."""
        answer = await self.gateway.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def published(self, opened: OpenedBadge) -> dict[str, bytes]:
        """All that a verifier reads of a badge, by address."""
        base = "https://mentoring.example.org"
        paths = ("/badges/issuers/asis-global/did.json", f"/badges/status/{opened.row.status_list}")
        return {f"{base}{path}": await self.read(path) for path in paths}

    async def verified(self, opened: OpenedBadge, text: str | None = None) -> OpenBadgeCredential:
        """Have another implementation verify a badge, by its issuer's DID and its status list."""
        download: Callable[[str], bytes] = (await self.published(opened)).__getitem__
        verifier = OB3Verifier.for_issuer_did(DID, download=download)
        return verifier.verify(text or opened.text, check_status=True, download=download)
