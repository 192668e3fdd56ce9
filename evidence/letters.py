"""Letters and certificates: what they state, signing them, making their documents (CPE5, CPE6, CPE8, CPE11)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, ledger
from database.models import Claim, Letter
from database.tasks import open_task, settle_tasks
from evidence.badges.issuing import BadgeIssuer
from evidence.letter_codes import new_code
from evidence.letter_values import (
    CertificateContent,
    LetterContent,
    certificate_values,
    letter_kind,
    letter_values,
    retained_until,
)
from evidence.renderer import DocumentBrand, DocumentError, DocumentRenderer
from lifecycles.claims import claims_of
from lifecycles.engagements import EngagementContext, load_engagement
from lifecycles.facts import facts_from_row
from lifecycles.participants import Participant, Programs
from lifecycles.recording import resolve_reason
from rules import credit, engagement
from rules.agenda import PlannedMail, StateChange
from rules.credit import ClaimFacts
from rules.engagement import ROLES
from rules.program import Program
from rules.program.catalogue import Catalogue

log = structlog.get_logger()

RENDER_RETRY_INTERVAL = timedelta(hours=1)
"""How long after a failure a document is made again. Staff have to correct a template or its folder first."""


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement as somebody signed it (CPE8)."""

    statement: str
    name: str
    """The name as the signer typed it."""
    event: str
    """The id of the event that it came with."""
    method: str
    """`page` or `event`."""


class LetterService:
    """Makes letters and certificates. `base_url` is where the gateway is reached from outside."""

    def __init__(self, catalogue: Catalogue, documents: DocumentRenderer, base_url: str) -> None:
        self.catalogue = catalogue
        self.badges = BadgeIssuer(documents, base_url)
        self._documents = documents
        self._base_url = base_url.rstrip("/")

    def locale(self, who: Participant, program: Program) -> str:
        """Return the language of a document that somebody signs or gets (CPE8)."""
        wanted = who.locale(program)
        return wanted if wanted in self._documents.languages else self._documents.languages[0]

    def statement(self, content: LetterContent) -> str:
        """Return the text of a claim's letter as its signer reads it (CPE8)."""
        locale = self.locale(content.signer, content.context.program)
        values = letter_values(content, self.catalogue, locale)
        return self._documents.statement(letter_kind(content.facts.role), locale, values)

    async def sign(self, session: AsyncSession, content: LetterContent, signed: SignedStatement) -> Letter:
        """Store a signed letter for good, and make its document. An event makes one letter (CPE5, CPE6, CPE8)."""
        facts, program = content.facts, content.context.program
        existing = await session.scalars(select(Letter).where(Letter.claim == facts.claim))
        known = next((letter for letter in existing if letter.data.get("event") == signed.event), None)
        if known is not None:
            return known
        locale = self.locale(content.signer, program)
        id = new_code()
        values = {
            **letter_values(content, self.catalogue, locale),
            "translations": self._translations(content, locale),
            "statement": signed.statement,
            "document": self._address(id),
            "retained_until": retained_until(content.context.calendar.date_of(content.at), program.credit),
            "signature": {
                "name": signed.name,
                "at": content.at.isoformat(),
                "zone": content.signer.calendar(program).zone,
                "method": signed.method,
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
            signer_name=signed.name,
            locale=locale,
            statement=signed.statement,
            data={**values, "event": signed.event, "domain_ids": list(content.domains)},
            signed_at=content.at,
        )
        session.add(letter)
        await self.finish(session, letter, program, content.at)
        return letter

    def _translations(self, content: LetterContent, signed_in: str) -> dict[str, dict[str, Any]]:
        """Return the values that differ in each language that needs a translation of a letter.

        These are the claimant's language and that of the certification, where the letter is signed in another (CPE8).
        """
        facts, program = content.facts, content.context.program
        certification = self.catalogue.certification(facts.certification, content.context.gate.earliest)
        readers = [self.locale(content.context.who(facts.role), program)]
        if certification is not None:
            readers.append(next(iter(certification.name)))
        wanted = [
            each for each in dict.fromkeys(readers) if each != signed_in and each in self._documents.languages
        ]
        return {
            language: {
                key: value
                for key, value in letter_values(content, self.catalogue, language).items()
                if key in ("certification", "domains")
            }
            for language in wanted
        }

    async def unfinished(self, session: AsyncSession, claim: str) -> list[Letter]:
        """Return the signed letters of a claim whose document could not be made yet."""
        found = await session.scalars(
            select(Letter)
            .where(Letter.claim == claim, Letter.sha256.is_(None))
            .order_by(Letter.signed_at, Letter.id)
        )
        return list(found)

    async def with_certificates(
        self, session: AsyncSession, mails: Sequence[PlannedMail], context: EngagementContext, at: datetime
    ) -> tuple[list[PlannedMail], bool]:
        """Return the mails of an engagement, with certificates for those who can have no claim (CPE3).

        A certificate goes with the completion mail, and by a mail of its own only where it is made after that one. The
        second value is true where a certificate could not be made yet.
        """
        closing, waiting, planned = context.closing, False, list(mails)
        if closing is None or closing.state != "completed" or not _took_part(context, closing):
            return planned, waiting
        claims = (await claims_of(session, context.facts.engagement)).values()
        claimants = {row.role for row in claims if row.state != "not_eligible"}
        for role in ROLES:
            if role in claimants or self._may_claim(context, role, closing):
                continue
            content = CertificateContent(
                context,
                role,
                started=engagement.start_day(context.facts, context.calendar),
                ended=context.calendar.date_of(closing.due),
                issued=closing.due,
            )
            try:
                letter = await self._certificate(session, content, at)
            except DocumentError as failed:
                subject = f"engagement/{context.facts.engagement}"
                await report_failed(session, subject, f"the {role}'s certificate", failed, at)
                waiting = True
                continue
            if letter.sha256 is None:
                waiting = True
            else:
                await self.badges.issue(session, context.program, letter.id, at)
                planned = await _with_certificate(session, planned, content, letter, at)
        return planned, waiting

    def _may_claim(self, context: EngagementContext, role: str, closing: StateChange) -> bool:
        """Whether the person in a role holds a certification that a claim can be made for (CPE3)."""
        held = [str(each["code"]) for each in context.who(role).member.certifications]
        policy, on = context.program.credit, context.calendar.date_of(closing.due)
        return bool(
            policy.amount(role) and credit.claimable(held, policy, self.catalogue, context.gate.gate, on)
        )

    async def _certificate(self, session: AsyncSession, content: CertificateContent, at: datetime) -> Letter:
        """Return the one certificate of an engagement and role, made now if it is new."""
        context = content.context
        known = await session.scalar(
            select(Letter).where(
                Letter.engagement_id == context.facts.engagement,
                Letter.kind == "certificate",
                Letter.role == content.role,
            )
        )
        if known is not None:
            if known.sha256 is None:
                await self.finish(session, known, context.program, at)
            return known
        locale = self.locale(context.who(content.role), context.program)
        id = new_code()
        values = {**certificate_values(content), "document": self._address(id)}
        letter = Letter(
            id=id,
            engagement_id=context.facts.engagement,
            kind="certificate",
            role=content.role,
            locale=locale,
            statement=self._documents.statement("certificate", locale, values),
            data=values,
            signed_at=content.issued,
        )
        session.add(letter)
        await self.finish(session, letter, context.program, at)
        return letter

    async def finish(self, session: AsyncSession, letter: Letter, program: Program, at: datetime) -> bool:
        """Make the document of a letter, and record its fingerprint (CPE8, CPE11).

        Return False if the document could not be made: staff get one task, and the letter stays as it was signed.
        """
        subject = letter.claim or f"engagement/{letter.engagement_id}"
        values = {**letter.data, "statement": letter.statement}
        try:
            brand = _brand(program, letter.locale)
            rendered = await asyncio.to_thread(
                self._documents.render, letter.kind, letter.locale, values, brand
            )
        except DocumentError as failed:
            await report_failed(session, subject, f"{letter.kind} {letter.id}", failed, at)
            return False
        letter.document, letter.sha256 = rendered.content, hashlib.sha256(rendered.content).hexdigest()
        await settle_tasks(session, subject, "letter_failed", (), "the document was made", at)
        if rendered.lacking:
            await _report_lacking(session, subject, letter, rendered.lacking, at)
        data = _record(letter)
        veiled = {"name": letter.signer_name} if letter.signer_name else None
        when = at.replace(microsecond=0)
        await audit.append(session, subject, "letter", when, data, actor=letter.signer_profile, veiled=veiled)
        return True

    def _address(self, id: str) -> dict[str, str]:
        return {"id": id, "url": f"{self._base_url}/verify/{id}"}


def _brand(program: Program, locale: str) -> DocumentBrand:
    return DocumentBrand(program.brand.palette.accent, program.logo, program.brand.footer_in(locale))


def _record(letter: Letter) -> dict[str, Any]:
    """Return what the audit record states about a letter whose document is made."""
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
    return data


def _took_part(context: EngagementContext, closing: StateChange) -> bool:
    """Return whether an engagement was active long enough for certificates (CPE3)."""
    started = engagement.start_day(context.facts, context.calendar)
    ended = context.calendar.date_of(closing.due)
    return credit.took_part(started, ended, context.pauses, context.program.credit, context.calendar)


async def _with_certificate(
    session: AsyncSession,
    mails: Sequence[PlannedMail],
    content: CertificateContent,
    letter: Letter,
    at: datetime,
) -> list[PlannedMail]:
    """Return the mails with a certificate attached to the completion mail, or with a mail for it (CPE3, T4)."""
    role, workflow = content.role, f"engagement/{content.context.facts.engagement}"
    completion = next((mail for mail in mails if mail.message == f"{role}.completed"), None)
    row = await ledger.found(session, workflow, completion.key) if completion else None
    if completion and (row is None or row.state == "planned" or "letter" in row.context):
        attached = replace(completion, context={**completion.context, "letter": letter.id})
        return [attached if mail is completion else mail for mail in mails]
    own = f"{role}.certificate"
    planned = await ledger.found(session, workflow, f"{own}/1")
    calendar = content.context.who(role).calendar(content.context.program)
    due = planned.due_at if planned else calendar.next_send_after(at)
    dates = {"started": content.started.isoformat(), "ends": content.ended.isoformat()}
    profile = content.context.profile(role)
    return [*mails, PlannedMail(own, due, own, profile, context={**dates, "letter": letter.id})]


async def report_failed(
    session: AsyncSession, subject: str, document: str, failed: DocumentError, at: datetime
) -> None:
    """Open one staff task about a document that cannot be made, and log the reason (STA2)."""
    log.error("document_render_failed", subject=subject, document=document, reason=str(failed))
    await open_task(
        session,
        "letter_failed",
        subject,
        f"{document} could not be made",
        "Correct the templates or their folder: the worker's log gives the reason. The signed text is kept, and "
        "making the document is tried again every hour.",
        at.replace(microsecond=0),
    )


async def _report_lacking(
    session: AsyncSession, subject: str, letter: Letter, lacking: str, at: datetime
) -> None:
    """Open a staff task about a letter in a script that no installed typeface has (CPE8, STA2)."""
    shown = ", ".join(f"U+{ord(one):04X}" for one in lacking[:5])
    await open_task(
        session,
        "letter_script_missing",
        subject,
        f"{letter.kind} {letter.id} shows {len(lacking)} characters by their number ({shown}): no typeface has them",
        "Install the extra `cjk` for Chinese, Japanese and Korean. The letter stays as it is: its fingerprint is of "
        "the text as signed. Letters made from now on have the new typefaces.",
        at.replace(microsecond=0),
    )


def letter_text(
    programs: Programs, letters: LetterService
) -> Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]:
    """Return the function that gives a claim's letter before it is signed: its text for a purpose and domains (CPE8).

    Domains are ids. The function raises Refused where the letter cannot be written now.
    """

    async def statement(
        session: AsyncSession, claim: str, purpose: str, domains: Sequence[str], at: datetime
    ) -> str:
        row = await session.get_one(Claim, claim)
        context = await load_engagement(session, programs, row.engagement_id, at)
        facts = facts_from_row(ClaimFacts, row.facts)
        return letters.statement(LetterContent(facts, context, at, purpose, domains))

    return statement


async def revoke_letters(session: AsyncSession, row: Claim, facts: ClaimFacts, at: datetime) -> None:
    """Mark the letters of a revoked claim, so that verification shows it; their documents stay (CPE8, CPE11)."""
    for letter in await session.scalars(
        select(Letter).where(Letter.claim == row.workflow, Letter.revoked_at.is_(None))
    ):
        step = facts.steps[-1]
        letter.revoked_at, letter.revoked_class = at, step.because
        letter.revoked_because = await resolve_reason(session, step.reason)
        data = {"letter": letter.id, "revoked": True, "because": step.because}
        await audit.append(session, row.workflow, "letter", at, data)
