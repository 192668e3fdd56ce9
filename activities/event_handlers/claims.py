"""Handlers of `claim.*` and `letter.*`: domains, signatures, and credit that was reported (CPE5–CPE7, CPE10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from activities.event_handlers.base import HandlerContext, NotOpenYet, RefusedEvent, StoredEvent, role_in
from database.models import Claim, Engagement
from lifecycles.claims import upcoming_claims
from lifecycles.engagements import EngagementContext, load_engagement
from lifecycles.workflow_commands import WorkflowCommand
from rules.credit import same_name


async def domains_chosen(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on the claimant's choice of domains; a choice before the claim opens waits for it (CPE7)."""
    role, workflow = await _own_claim(context, event)
    if await context.session.get(Claim, workflow) is None:
        await _hold_until_open(context, event, role, set())
        raise _no_claim(workflow)
    act = event.act(by=event.data["by"], domains=event.data["domains"])
    return [WorkflowCommand("update", workflow, "choose_domains", act)]


async def claim_submitted(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on that the claimant has reported the credit (CPE10)."""
    _, workflow = await _own_claim(context, event)
    if await context.session.get(Claim, workflow) is None:
        raise _no_claim(workflow)
    return [WorkflowCommand("update", workflow, "submit", event.act(by=event.data["by"]))]


async def letter_signed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on a signature; one before its claims open waits for them (CPE5, CPE6, CPE7).

    A letter that names no certification serves each claim whose certification it names a domain of; a mentee's
    confirmation serves all claims of the mentor.
    """
    data = event.data
    row = await context.session.get_one(Engagement, f"engagement/{data['engagement']}")
    role_in(row, data["by"])
    claims = await _claims_for(context, event)
    await _hold_until_open(context, event, data["for"], {claim.certification for claim in claims})
    if not claims:
        raise RefusedEvent(f"there is no claim for the {data['for']}'s credit that this letter could prove")
    if data["for"] == "mentee" and not data.get("certification"):
        engagement_context = await load_engagement(
            context.session, context.programs, row.id, event.occurred_at
        )
        chosen = {claim.certification: claim.domains for claim in claims}
        codes = _served_certifications(context, event, engagement_context, chosen)
        claims = [claim for claim in claims if claim.certification in codes]
    waiting = [claim for claim in claims if claim.state in ("precheck", "awaiting_evidence")]
    claims = waiting or claims
    act = event.act(by=data["by"])
    return [WorkflowCommand("update", claim.workflow, "sign", act) for claim in claims]


async def _own_claim(context: HandlerContext, event: StoredEvent) -> tuple[str, str]:
    """Return the sender's role and the workflow id of their claim. Raises RefusedEvent for a third person."""
    data = event.data
    row = await context.session.get_one(Engagement, f"engagement/{data['engagement']}")
    role = role_in(row, data["by"])
    return role, f"claim/{row.id}/{role}/{data['certification']}"


def _no_claim(workflow: str) -> RefusedEvent:
    return RefusedEvent(f"there is no {workflow}; claims open some weeks before the credit date")


async def _claims_for(context: HandlerContext, event: StoredEvent) -> list[Claim]:
    """Return the claims that a letter may be for."""
    data = event.data
    claims = await context.session.scalars(
        select(Claim)
        .where(Claim.engagement_id == data["engagement"], Claim.role == data["for"])
        .order_by(Claim.workflow)
    )
    return [claim for claim in claims if data.get("certification") in (None, claim.certification)]


async def _hold_until_open(
    context: HandlerContext, event: StoredEvent, role: str, opened: Collection[str]
) -> None:
    """Raise NotOpenYet if a claim of a role is still to open, and the event fits it (CPE5, CPE6).

    `opened` are the certifications whose claims are on record: the claims of a role open at one instant, one after the
    other. Raises RefusedEvent for an event that will not fit later either, so that its sender learns that now.
    """
    data = event.data
    at = max(event.occurred_at, event.held_until or event.occurred_at)
    engagement_context = await load_engagement(context.session, context.programs, data["engagement"], at)
    codes, opens = upcoming_claims(engagement_context, context.catalogue, role, at)
    wanted = [code for code in codes if data.get("certification") in (None, code)]
    if not wanted or set(wanted) <= set(opened):
        return
    is_letter = event.type == "letter.signed"
    if is_letter:
        _refuse_unfit(event, engagement_context, role)
        if len(wanted) > 1 and role == "mentee":
            wanted = _served_certifications(context, event, engagement_context, {code: [] for code in wanted})
    if not is_letter or (role == "mentee" and len(wanted) == 1):
        _refuse_unknown_domains(context, event, engagement_context, wanted[0])
    missing = [code for code in wanted if code not in opened]
    if missing:
        raise NotOpenYet(f"claim/{engagement_context.facts.engagement}/{role}/{missing[0]}", opens)


def _served_certifications(
    context: HandlerContext,
    event: StoredEvent,
    engagement_context: EngagementContext,
    chosen: Mapping[str, Collection[str]],
) -> list[str]:
    """Return the certifications that have a domain of a mentor's letter (CPE6, CPE7).

    `chosen` holds the domains that the claimant chose, by certification; they count where the letter names none.
    Raises RefusedEvent for a domain that none of them has, and where no domain is known at all.
    """
    domains = event.data.get("domains") or []
    if not domains:
        named = [code for code, known in chosen.items() if known]
        if not named and len(chosen) > 1:
            raise RefusedEvent(f"the letter has to name a domain of {' or '.join(chosen)}")
        return named or list(chosen)
    on = engagement_context.gate.earliest
    held = {code: context.catalogue.certification(code, on) for code in chosen}
    unknown = [each for each in domains if not any(found and found.domain(each) for found in held.values())]
    if unknown:
        those = f"neither {' nor '.join(chosen)} has a" if len(chosen) > 1 else f"{''.join(chosen)} has no"
        raise RefusedEvent(f"{those} domain {', '.join(unknown)}")
    return [code for code, found in held.items() if found and any(map(found.domain, domains))]


def _refuse_unknown_domains(
    context: HandlerContext, event: StoredEvent, engagement_context: EngagementContext, code: str
) -> None:
    """Raise RefusedEvent if a certification has not all the domains that an event names (CPE6)."""
    held = context.catalogue.certification(code, engagement_context.gate.earliest)
    domains = event.data.get("domains") or []
    unknown = [domain for domain in domains if not (held and held.domain(domain))]
    if unknown:
        raise RefusedEvent(f"{code} has no domain {', '.join(unknown)}")


def _refuse_unfit(event: StoredEvent, engagement_context: EngagementContext, role: str) -> None:
    """Raise RefusedEvent for a letter that can never count: the wrong signer, or another name (CPE5)."""
    signer = "mentee" if role == "mentor" else "mentor"
    if event.data["by"] != engagement_context.profile(signer):
        raise RefusedEvent(f"only the {signer} of this engagement can sign this letter")
    if not same_name(str(event.data["name"]), engagement_context.who(signer).member.name):
        raise RefusedEvent("the name typed is not the name on record; please type your own full name")
