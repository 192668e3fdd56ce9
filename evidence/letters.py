"""Letters and certificates: what they state, signing them, making their bytes (CPE5, CPE6, CPE8, CPE11)."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Claim, Letter
from database.tasks import open_task
from evidence.renderer import DocumentError, DocumentRenderer
from lifecycles.claims import claims_of
from lifecycles.engagements import EngagementContext, load_engagement
from lifecycles.facts import facts_from_row
from lifecycles.participants import Participant, Programs
from lifecycles.recording import resolve_reason
from rules import credit, engagement
from rules.agenda import PlannedMail, Refused
from rules.credit import ClaimFacts
from rules.engagement import ROLES
from rules.pauses import days_paused
from rules.program import CreditPolicy, Program
from rules.program.catalogue import Catalogue

log = structlog.get_logger()

RENDER_RETRY_INTERVAL = timedelta(hours=1)
"""So long after a letter could not be made it is tried again."""


class LetterService:
    """Makes letters and certificates. `base_url` is where the gateway is reached from outside."""

    def __init__(self, catalogue: Catalogue, documents: DocumentRenderer, base_url: str) -> None:
        self.catalogue = catalogue
        self._documents = documents
        self._base_url = base_url.rstrip("/")

    def locale(self, who: Participant, program: Program) -> str:
        """The language of a document that somebody signs or gets (CPE8)."""
        wanted = who.locale(program)
        return wanted if wanted in self._documents.languages else self._documents.languages[0]

    def statement(
        self,
        facts: ClaimFacts,
        context: EngagementContext,
        locale: str,
        at: datetime,
        *,
        purpose: str = "",
        domains: Sequence[str] = (),
    ) -> str:
        """The text of a claim's letter as it would be shown at an instant; `domains` are ids (CPE8)."""
        return self._documents.statement(
            letter_kind(facts.role), locale, self._letter_values(facts, context, locale, purpose, domains, at)
        )

    # long: all that a letter states
    async def sign(
        self,
        session: AsyncSession,
        facts: ClaimFacts,
        context: EngagementContext,
        statement: str,
        *,
        name: str,
        event: str,
        method: str,
        purpose: str,
        domains: Sequence[str],
        at: datetime,
    ) -> Letter:
        """Keep a letter that was signed, for good, and make its bytes. One that an event made already stays the only
        one of that event (CPE5, CPE6, CPE8)."""
        made = await session.scalars(select(Letter).where(Letter.claim == facts.claim))
        known = next((letter for letter in made if letter.data.get("event") == event), None)
        if known is not None:
            return known
        signer = context.people[facts.counterpart]
        locale = self.locale(signer, context.program)
        id = secrets.token_urlsafe(16)
        values = {
            **self._letter_values(facts, context, locale, purpose, domains, at),
            "statement": statement,
            "document": self._address(id),
            "retained_until": _kept_until(context.calendar.date_of(at), context.program.credit),
            "signature": {
                "name": name,
                "at": at.isoformat(),
                "zone": signer.calendar(context.program).zone,
                "method": method,
            },
        }
        letter = Letter(
            id=id,
            engagement_id=facts.engagement,
            claim=facts.claim,
            kind=letter_kind(facts.role),
            role=facts.role,
            certification=facts.certification,
            signer_profile=facts.counterpart,
            signer_name=name,
            locale=locale,
            statement=statement,
            data={**values, "event": event, "domain_ids": list(domains)},
            signed_at=at,
        )
        session.add(letter)
        await self.finish(session, letter, at)
        return letter

    async def unfinished(self, session: AsyncSession, claim: str) -> list[Letter]:
        """The letters of a claim that were signed and could not be made yet."""
        found = await session.scalars(
            select(Letter)
            .where(Letter.claim == claim, Letter.sha256.is_(None))
            .order_by(Letter.signed_at, Letter.id)
        )
        return list(found)

    async def certificates(
        self, session: AsyncSession, context: EngagementContext, at: datetime
    ) -> tuple[list[PlannedMail], bool]:
        """The certificates of a completed engagement, for those who have no claim and can have none (CPE3); and
        whether one of them could not be made yet."""
        closing, waiting = context.closing, False
        if closing is None or closing.state != "completed":
            return [], waiting
        claims = (await claims_of(session, context.facts.engagement)).values()
        claimants = {row.role for row in claims if row.state != "not_eligible"}
        days, on = context.gate, context.calendar.date_of(closing.due)
        mails = []
        for role in ROLES:
            held = [str(each["code"]) for each in context.who(role).member.certifications]
            policy = context.program.credit
            may_claim = policy.amount(role) and credit.claimable(held, policy, self.catalogue, days.gate, on)
            if role in claimants or may_claim:
                continue
            started = engagement.start_day(context.facts, context.calendar)
            try:
                letter = await self._certificate(session, context, role, started, on, closing.due, at)
            except DocumentError as failed:
                subject = f"engagement/{context.facts.engagement}"
                await report_failed(session, subject, f"the {role}'s certificate", failed, at)
                waiting = True
                continue
            if letter.sha256 is None:
                waiting = True
                continue
            mails.append(
                PlannedMail(
                    f"{role}.certificate",
                    closing.due,
                    f"{role}.certificate",
                    context.profile(role),
                    context={"started": started.isoformat(), "ends": on.isoformat(), "letter": letter.id},
                )
            )
        return mails, waiting

    # long: all that a certificate states
    async def _certificate(
        self,
        session: AsyncSession,
        context: EngagementContext,
        role: str,
        started: date,
        ended: date,
        issued: datetime,
        at: datetime,
    ) -> Letter:
        known = await session.scalar(
            select(Letter).where(
                Letter.engagement_id == context.facts.engagement,
                Letter.kind == "certificate",
                Letter.role == role,
            )
        )
        if known is not None:
            if known.sha256 is None:
                await self.finish(session, known, at)
            return known
        program, locale = context.program, self.locale(context.who(role), context.program)
        id = secrets.token_urlsafe(16)
        values = {
            **_parties(context),
            "role": role,
            "started": started.isoformat(),
            "ended": ended.isoformat(),
            "document": self._address(id),
            "retained_until": _kept_until(ended, program.credit),
            "issued": {"at": issued.isoformat(), "zone": context.calendar.zone},
            "manager": {"name": program.manager.name, "title": program.manager.title},
        }
        letter = Letter(
            id=id,
            engagement_id=context.facts.engagement,
            kind="certificate",
            role=role,
            locale=locale,
            statement=self._documents.statement("certificate", locale, values),
            data=values,
            signed_at=issued,
        )
        session.add(letter)
        await self.finish(session, letter, at)
        return letter

    async def finish(self, session: AsyncSession, letter: Letter, at: datetime) -> bool:
        """Make the bytes of a letter, and put it on record (CPE8, CPE11). False if that failed: then staff are told
        once, and the letter waits as it was signed."""
        subject = letter.claim or f"engagement/{letter.engagement_id}"
        values = {**letter.data, "statement": letter.statement}
        try:
            document = await asyncio.to_thread(self._documents.render, letter.kind, letter.locale, values)
        except DocumentError as failed:
            await report_failed(session, subject, f"{letter.kind} {letter.id}", failed, at)
            return False
        letter.document, letter.sha256 = document, hashlib.sha256(document).hexdigest()
        data = {
            "letter": letter.id,
            "letter_kind": letter.kind,
            "role": letter.role,
            "locale": letter.locale,
            "sha256": letter.sha256,
            "statement_sha256": credit.fingerprint(letter.statement),
            "signed_at": letter.signed_at.isoformat(),
        }
        if letter.certification:
            data["certification"] = letter.certification
        veiled = {"name": letter.signer_name} if letter.signer_name else None
        when = at.replace(microsecond=0)
        await audit.append(session, subject, "letter", when, data, actor=letter.signer_profile, veiled=veiled)
        return True

    def _letter_values(
        self,
        facts: ClaimFacts,
        context: EngagementContext,
        locale: str,
        purpose: str,
        domains: Sequence[str],
        at: datetime,
    ) -> dict[str, Any]:
        policy, calendar, days = context.program.credit, context.calendar, context.gate
        certification = self.catalogue.certification(facts.certification, days.earliest)
        cycle = credit.deciding_cycle(facts, policy, calendar)
        if certification is None or cycle is None:
            raise Refused(f"{facts.certification} is not on record for this claim")
        named = [certification.domain(id) for id in (domains or facts.domains)]
        before = calendar.instant(days.earliest, calendar.hours.send_time)
        return {
            **_parties(context),
            "engagement": facts.engagement,
            "started": facts.started_on,
            "ended": calendar.date_of(context.closing.due).isoformat() if context.closing else None,
            "months": policy.gate_months,
            "credit_date": days.earliest.isoformat(),
            # A letter signed before says what is expected: a pause may still move the gate, or a cycle be renewed.
            "gate_met": days.gate is not None and calendar.date_of(at) >= days.gate,
            "paused_days": days_paused(context.pauses, calendar, before=before),
            "pauses": [
                {
                    "since": calendar.date_of(pause.since).isoformat(),
                    "until": calendar.date_of(pause.until).isoformat() if pause.until else None,
                }
                for pause in context.pauses
            ],
            "extensions": _extensions(context),
            "certification": {"code": certification.code, "name": certification.name_in(locale)},
            "cycle": {"start": cycle.start, "end": cycle.end},
            "domains": [domain.name_in(locale) for domain in named if domain],
            "purpose": purpose,
            "credits": {
                "amount": policy.amount(facts.role),
                "category": policy.category,
                "cap": credit.cap_on(policy, self.catalogue, days.earliest),
            },
            "policy": f"{context.program.id} {context.program.policy_version}",
            "catalogue": self.catalogue.version,
        }

    def _address(self, id: str) -> dict[str, str]:
        return {"id": id, "url": f"{self._base_url}/verify/{id}"}


async def report_failed(
    session: AsyncSession, subject: str, what: str, failed: DocumentError, at: datetime
) -> None:
    """Tell staff, once, that a document cannot be made (STA2)."""
    log.error("document not made", subject=subject, document=what, reason=str(failed))
    await open_task(
        session,
        "letter_failed",
        subject,
        f"{what} could not be made",
        "What was signed is kept, and making the document is tried again every hour. The worker's log says why it "
        "fails: mend the templates or their folder.",
        at.replace(microsecond=0),
    )


def letter_kind(role: str) -> str:
    """The kind of letter that proves a role's credit (CPE5, CPE6)."""
    return "confirmation" if role == "mentor" else "mentor_letter"


def _parties(context: EngagementContext) -> dict[str, Any]:
    return {
        "program": {"name": context.program.name, "organisation": context.program.organisation},
        **{role: {"name": context.who(role).member.name, "profile": context.profile(role)} for role in ROLES},
    }


def _extensions(context: EngagementContext) -> list[dict[str, str]]:
    """The ends to which it was extended, by the two or by staff."""
    facts, policy = context.facts, context.program.engagement
    ends = []
    for count, new in enumerate(facts.new_ends, start=1):
        if new.by != "plan":
            then = replace(facts, new_ends=facts.new_ends[:count])
            ends.append({"end": engagement.planned_end(then, policy, context.calendar).isoformat()})
    return ends


def _kept_until(day: date, policy: CreditPolicy) -> str:
    """The last day on which a document of a day is kept: the end of a calendar year (CPE11)."""
    return date(day.year + policy.retention_years, 12, 31).isoformat()


def letter_text(
    programs: Programs, letters: LetterService
) -> Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]:
    """What shows a claim's letter before it is signed: its text for a purpose and domains, by id (CPE8).

    Raises Refused where the letter cannot be written as things stand.
    """

    async def statement(
        session: AsyncSession, claim: str, purpose: str, domains: Sequence[str], at: datetime
    ) -> str:
        row = await session.get_one(Claim, claim)
        context = await load_engagement(session, programs, row.engagement_id, at)
        facts = facts_from_row(ClaimFacts, row.facts)
        locale = letters.locale(context.people[facts.counterpart], context.program)
        return letters.statement(facts, context, locale, at, purpose=purpose, domains=domains)

    return statement


async def revoke_letters(session: AsyncSession, row: Claim, facts: ClaimFacts, at: datetime) -> None:
    """The letters of a revoked claim say so where they are verified; their bytes stay (CPE8, CPE11)."""
    for letter in await session.scalars(
        select(Letter).where(Letter.claim == row.workflow, Letter.revoked_at.is_(None))
    ):
        step = facts.steps[-1]
        letter.revoked_at, letter.revoked_class = at, step.because
        letter.revoked_because = await resolve_reason(session, step.reason)
        told = {"letter": letter.id, "revoked": True, "because": step.because}
        await audit.append(session, row.workflow, "letter", at, told)
