"""Badges made of letters and certificates, each once, and read again (CPE14)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, person_keys
from database.insertion import insert_if_new
from database.models import Badge, BadgeAchievement, BadgeStatus, Claim, Engagement, Letter, Member, Profile
from evidence.badges import compact_jws, status_list
from evidence.badges.badge_keys import SigningKey, current_key, signing_key
from evidence.badges.credential import BadgeContent, achievement, badge_kind, credential, word_values
from evidence.badges.issuer_profile import BadgeAddresses
from evidence.renderer import DocumentRenderer
from evidence.verifier import sha256
from rules.credit import EARNED
from rules.program import Program

BATCH: Final = 100
"""The most badges that one transaction signs again."""

_DRAWS: Final = 5
"""How often a place in a status list is drawn again that another worker took at the same moment."""


@dataclass(frozen=True, slots=True)
class OpenedBadge:
    """A badge as it can be shown."""

    row: Badge
    letter: Letter
    text: str
    """The credential, signed."""


class BadgeIssuer:
    """Makes badges and status lists. `base_url` is where the gateway is reached from outside."""

    def __init__(self, documents: DocumentRenderer, base_url: str) -> None:
        self.addresses = BadgeAddresses(base_url.rstrip("/"))
        self._documents = documents

    async def issue(
        self, session: AsyncSession, program: Program, letter_id: str, at: datetime
    ) -> Badge | None:
        """Return the badge of a letter or certificate, made now if there is none yet.

        `program` has the rules that its engagement goes by.
        Return None for a letter whose credit is not earned, that was revoked or has no document, for a person who was
        erased, and without a key ring. Raises DocumentError.
        """
        known = await badge_of(session, letter_id)
        letter = await session.get(Letter, letter_id)
        if known is not None or letter is None or not await _is_due(session, letter):
            return known
        engagement = await session.get_one(Engagement, f"engagement/{letter.engagement_id}")
        profile = engagement.mentor_id if letter.role == "mentor" else engagement.mentee_id
        query = select(Member).join(Profile, Profile.member_id == Member.id).where(Profile.id == profile)
        member, signing = await session.scalar(query), await signing_key(session, at)
        if member is None or signing is None:
            return None
        await person_keys.ensure(session, member.id, at)
        key = await person_keys.key_of(session, member.id)
        if key is None:
            return None
        words = self._documents.badge_words(badge_kind(letter), letter.locale, word_values(letter, program))
        content = BadgeContent(
            id=secrets.token_hex(16),
            letter=letter,
            program=program,
            email=member.email,
            salt=secrets.token_hex(16),
            words=words,
            status=(0, 0),
        )
        return await self._store(session, content, member.id, key, signing, at)

    async def open(self, session: AsyncSession, id: str) -> OpenedBadge | None:
        """Return a badge with its credential; None where there is none, or none any more."""
        row = await session.get(Badge, id)
        letter = await session.get(Letter, row.letter_id) if row else None
        key = await person_keys.key_of(session, row.member_id) if row else None
        if row is None or letter is None or key is None:
            return None
        text = person_keys.decrypt(key, row.content, row.id)
        return OpenedBadge(row, letter, text.decode()) if text is not None else None

    async def status_list(self, session: AsyncSession, number: int, at: datetime) -> str | None:
        """Return a status list as it stands, signed by the key that signs now; None without list or key."""
        row, signing = await session.get(BadgeStatus, number), await current_key(session)
        if row is None or signing is None:
            return None
        places = await status_list.no_longer_valid(session, number)
        claims = status_list.credential(self.addresses, row, places, at)
        return compact_jws.sign(self._header(row.program, signing), claims, signing.key)

    async def sign_again(self, session: AsyncSession, at: datetime) -> int:
        """Sign badges that another key signed with the one that signs now, at most BATCH; return how many.

        What they say stays the same. Those of people who were erased cannot be read, and are left as they are.
        """
        signing = await signing_key(session, at)
        if signing is None:
            return 0
        rows = await session.scalars(
            select(Badge).where(Badge.kid != signing.kid).order_by(Badge.id).limit(BATCH).with_for_update()
        )
        found = rows.all()
        for row in found:
            row.kid = signing.kid
            opened, key = await self.open(session, row.id), await person_keys.key_of(session, row.member_id)
            if opened is not None and key is not None:
                claims = compact_jws.read(opened.text).payload
                # The issuer as the badge has it: the deployment may have another address by now.
                header = {"typ": "JWT", "kid": f"{claims['iss']}#{signing.kid}"}
                text = compact_jws.sign(header, claims, signing.key)
                row.content = person_keys.encrypt(key, text.encode(), row.id)
        return len(found)

    # long: whose badge is stored, under which keys
    async def _store(
        self,
        session: AsyncSession,
        content: BadgeContent,
        member: str,
        key: bytes,
        signing: SigningKey,
        at: datetime,
    ) -> Badge | None:
        attested, described = achievement(content, self.addresses)
        await insert_if_new(session, BadgeAchievement, {"id": attested, "content": described})
        for _ in range(_DRAWS):
            place = await status_list.free_place(session, content.program.id, at)
            claims = credential(replace(content, status=place), self.addresses)
            text = compact_jws.sign(self._header(content.program.id, signing), claims, signing.key)
            row = {
                "id": content.id,
                "letter_id": content.letter.id,
                "member_id": member,
                "program": content.program.id,
                "achievement": attested,
                "status_list": place[0],
                "status_index": place[1],
                "kid": signing.kid,
                "content": person_keys.encrypt(key, text.encode(), content.id),
                "made_at": at,
            }
            if await insert_if_new(session, Badge, row):
                await _record(session, content.letter, text, signing.kid, at)
                break
            if await badge_of(session, content.letter.id) is not None:
                break
        return await badge_of(session, content.letter.id)

    def _header(self, program: str, signing: SigningKey) -> dict[str, str]:
        return {"typ": "JWT", "kid": self.addresses.kid(program, signing.kid)}


async def badge_of(session: AsyncSession, letter_id: str) -> Badge | None:
    """Return the badge of a letter or certificate, if it has one."""
    return await session.scalar(select(Badge).where(Badge.letter_id == letter_id))


async def _is_due(session: AsyncSession, letter: Letter) -> bool:
    """Return whether a document has what a badge attests: it is made, valid, and its credit earned (CPE10)."""
    if letter.sha256 is None or letter.revoked_at is not None:
        return False
    if letter.claim is None:
        return True
    claim = await session.get(Claim, letter.claim)
    decided_by = (claim.decision.get("inputs") or {}).get("letter") if claim else None
    return claim is not None and claim.state in EARNED and decided_by == letter.id


async def _record(session: AsyncSession, letter: Letter, text: str, kid: str, at: datetime) -> None:
    """Record that a badge was made (CPE11). Its address is not in the record, which goes out with the dossier."""
    subject = letter.claim or f"engagement/{letter.engagement_id}"
    data = {"letter": letter.id, "sha256": sha256(text.encode()), "key": kid}
    await audit.append(session, subject, "badge", at.replace(microsecond=0), data)
