"""What mails say about a claim, and the letter that goes with them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Badge, Claim, Engagement, Letter
from lifecycles.recording import resolve_reason
from mail.mime import MailAttachment
from rules import credit
from rules.credit import EARNED, Credit, Cycle
from rules.program import Program

SURVEY_MINUTES = 3
"""Minutes that a survey takes to answer, as its mails say."""


async def claim_context(
    session: AsyncSession, row: Claim, program: Program, locale: str
) -> dict[str, object]:
    """Return a claim as its mails show it: the values for the self-report form, domains by name, credits (CPE10).

    Until the claim is earned, `countable` is how much of it would count if it were complete now (CPE7, CPE9).
    """
    policy, inputs = program.credit, row.decision["inputs"]
    names = row.decision["domain_names"]
    letter = await session.get(Letter, inputs["letter"]) if inputs["letter"] else None
    engagement = await session.get_one(Engagement, f"engagement/{row.engagement_id}")
    return {
        "id": row.workflow,
        "certification": row.certification,
        "domains": [_domain_name(names.get(id, {}), locale, id) for id in row.domains],
        "purpose": (letter.data.get("purpose") if letter else None) or engagement.goals or "",
        "credits": inputs["amount"],
        "earned": row.earned,
        "countable": row.countable if row.state in EARNED else await _would_count(session, row),
        "cap": inputs["cap"],
        "category": policy.category,
        "sub_type": policy.sub_type,
        "sponsor": policy.sponsor,
        "location": policy.location,
        "fingerprint": _grouped(letter.sha256) if letter and letter.sha256 else "",
    }


async def decision_of_staff(session: AsyncSession, row: Claim, place: str | None) -> dict[str, str]:
    """Return the reason and the class of a decision of staff, by its place among the claim's steps (CPE13)."""
    steps = row.facts["steps"]
    if place is None or int(place) >= len(steps):
        return {"reason": "", "because": ""}
    step = steps[int(place)]
    return {"reason": await resolve_reason(session, step["reason"]), "because": step.get("because") or ""}


async def attachments(session: AsyncSession, letter_id: str | None) -> tuple[MailAttachment, ...]:
    """Return the letter or certificate that goes with a mail, as it was rendered (CPE8, CPE10)."""
    letter = await session.get(Letter, letter_id) if letter_id else None
    if letter is None or letter.document is None:
        return ()
    name = "certificate" if letter.kind == "certificate" else f"letter-{letter.certification}"
    return (MailAttachment(f"{name}.pdf", "application/pdf", letter.document),)


async def badge_link(session: AsyncSession, base_url: str, letter_id: str | None) -> dict[str, str]:
    """Return the address of a letter's badge as the link `badge`; empty where it has none (CPE14)."""
    id = await session.scalar(select(Badge.id).where(Badge.letter_id == letter_id)) if letter_id else None
    return {"badge": f"{base_url}/badges/{id}"} if id else {}


async def _would_count(session: AsyncSession, row: Claim) -> int:
    """Return how much of a claim would count if it were complete now."""
    inputs = row.decision["inputs"]
    if not row.cycle_start or not row.cycle_end:
        return 0
    others = await session.scalars(
        select(Claim).where(
            Claim.member_id == row.member_id,
            Claim.certification == row.certification,
            Claim.workflow != row.workflow,
            Claim.credit_date.is_not(None),
        )
    )
    own = Credit(
        row.workflow,
        row.engagement_id,
        row.certification,
        row.credit_date or str(row.decision["credit_date"] or inputs["started_on"]),
        "ready",
        inputs["amount"],
    )
    known = [
        Credit(
            other.workflow,
            other.engagement_id,
            other.certification,
            str(other.credit_date),
            other.state,
            other.decision["inputs"]["amount"],
        )
        for other in others
    ]
    cycle = Cycle(row.cycle_start, row.cycle_end)
    sharing = credit.in_cycle(known, row.certification, cycle)
    return credit.countable([*sharing, own], inputs["cap"])[row.workflow]


def _domain_name(names: dict[str, str], locale: str, id: str) -> str:
    return names.get(locale) or next(iter(names.values()), id)


def _grouped(digits: str) -> str:
    return " ".join(digits[start : start + 4] for start in range(0, 16, 4))
