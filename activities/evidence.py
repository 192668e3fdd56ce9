"""What an engagement gives a right to: claims, surveys, letters and certificates (CPE3, CPE5, CPE6, CPE8, SUR2).

Everything is reckoned from the engagement's facts and from what already stands in the database, so that whoever asks
twice gets nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.documents import DocumentFailed, Documents
from activities.effects import Effect, start
from activities.people import Participant
from database import audit
from database.models import Claim, Letter, Survey
from database.tasks import open_task
from rules import credit, engagement
from rules.agenda import Agenda, Mail, Pause, Refused, Turn, moment
from rules.calendar import Calendar, calendar_for, days_paused
from rules.catalogue import Catalogue
from rules.credit import ClaimFacts, Cycle, GateDays, Record
from rules.engagement import ROLES, EngagementFacts
from rules.program import CreditPolicy, Program
from rules.survey import SurveyFacts

log = structlog.get_logger()

_CLAIM_FACTS = TypeAdapter(ClaimFacts)

MADE_AGAIN = timedelta(hours=1)
"""So long after a letter could not be made it is tried again."""


@dataclass(frozen=True, slots=True)
class Match:
    """An engagement with its two people, as the database has them now."""

    facts: EngagementFacts
    people: Mapping[str, Participant]
    program: Program
    closing: Turn | None
    """Its end, if that has come."""

    @property
    def calendar(self) -> Calendar:
        """The program's own calendar."""
        return calendar_for(self.program.hours, None, None, None)

    @property
    def pauses(self) -> list[Pause]:
        """Its pauses; one that is open ends with the engagement."""
        if self.closing is None:
            return list(self.facts.pauses)
        return [
            replace(pause, until=max(self.closing.due, pause.since)) if pause.until is None else pause
            for pause in self.facts.pauses
        ]

    @property
    def gate(self) -> GateDays:
        """The days of pre-check and gate (CPE1, CPE7)."""
        started = engagement.start_day(self.facts, self.calendar)
        return credit.gate_days(started, self.pauses, self.program.credit, self.calendar)

    def profile(self, role: str) -> str:
        """The profile of a role."""
        return self.facts.mentor if role == "mentor" else self.facts.mentee

    def who(self, role: str) -> Participant:
        """The participant in a role."""
        return self.people[self.profile(role)]


def closing_turn(agenda: Agenda, at: datetime) -> Turn | None:
    """The turn that has ended a lifecycle by an instant, if one has."""
    return next((turn for turn in agenda.turns if turn.closes and turn.due <= at), None)


def cycle_on_record(who: Participant, certification: str, gate: date) -> Cycle | None:
    """The cycle of a certification that a member holds: the one with the gate in it, else the last (CPE4)."""
    cycles = [
        Cycle(str(held["cycle_start"]), str(held["cycle_end"]))
        for held in who.member.certifications
        if held["code"] == certification
    ]
    covering = [cycle for cycle in cycles if cycle.covers(gate)]
    return next(iter(covering or cycles[-1:]), None)


def follow(facts: ClaimFacts, match: Match, state: str, at: datetime) -> ClaimFacts:
    """A claim's facts with what its engagement has come to by now (CPE1, ENG6, ENG11)."""
    if match.closing and match.closing.state == "canceled":
        actor = match.facts.ended.actor if match.facts.ended else ""
        return credit.engagement_canceled(facts, at, state, "the engagement was cancelled", actor)
    return credit.engagement_changed(facts, match.pauses, at, match.closing.due if match.closing else None)


def claims_due(
    match: Match, catalogue: Catalogue, at: datetime
) -> tuple[list[ClaimFacts], tuple[datetime, ...]]:
    """The claims that are open by now if all went well, and the instants at which to look again (CPE3, CPE7)."""
    policy, days = match.program.credit, match.gate
    if days.precheck is None or (match.closing and match.closing.state == "canceled"):
        return [], ()
    until = min(at, match.closing.due) if match.closing else at
    found, later = [], []
    for role in ROLES:
        opens = credit.opens_at(days.precheck, match.calendar, match.who(role).calendar(match.program))
        if not policy.amount(role) or opens > until:
            later += [opens] if opens > at and match.closing is None and policy.amount(role) else []
            continue
        held = [str(each["code"]) for each in match.who(role).member.certifications]
        on = match.calendar.date_of(until)
        found += [
            _claim(match, role, code, days, moment(opens, at))
            for code in credit.claimable(held, policy, catalogue, days.gate, on)
        ]
    return found, tuple(later)


def claims_ahead(
    match: Match, catalogue: Catalogue, role: str, at: datetime
) -> tuple[tuple[str, ...], datetime | None]:
    """The certifications of a role for which a claim is to be opened if all goes on as it is, and when: None while a
    pause holds that day (CPE3, CPE7)."""
    policy, days, who = match.program.credit, match.gate, match.who(role)
    if match.closing is not None or not policy.amount(role):
        return (), None
    held = [str(each["code"]) for each in who.member.certifications]
    codes = credit.claimable(held, policy, catalogue, days.gate, match.calendar.date_of(at))
    if days.precheck is None:
        return codes, None
    return codes, credit.opens_at(days.precheck, match.calendar, who.calendar(match.program))


def _claim(match: Match, role: str, code: str, days: GateDays, at: datetime) -> ClaimFacts:
    who = match.who(role)
    return ClaimFacts(
        match.facts.engagement,
        role,
        match.profile(role),
        match.profile("mentee" if role == "mentor" else "mentor"),
        code,
        engagement.start_day(match.facts, match.calendar).isoformat(),
        at,
        [Record(at, who.good_standing, cycle_on_record(who, code, days.earliest))],
    )


async def effects_of(session: AsyncSession, match: Match, catalogue: Catalogue, at: datetime) -> list[Effect]:
    """What an engagement has still to start or to tell by now: claims and surveys (CPE1, CPE3, CPE7, SUR2)."""
    rows = await claims_of(session, match.facts.engagement)
    claims, _ = claims_due(match, catalogue, at)
    effects = [start("Claim", claim.claim, claim) for claim in claims if claim.claim not in rows]
    for row in rows.values():
        facts = _CLAIM_FACTS.validate_python(row.facts)
        if row.closed_at is None and follow(facts, match, row.state, at) != facts:
            effects.append(Effect("signal", row.workflow, "engagement_changed"))
    if match.closing is None or not _asks_both(match):
        return effects
    for role in ROLES:
        workflow = f"survey/{match.facts.engagement}/{role}"
        if await session.get(Survey, workflow) is None:
            survey = SurveyFacts(match.facts.engagement, role, match.profile(role), match.closing.due)
            effects.append(start("Survey", workflow, survey))
    return effects


def _asks_both(match: Match) -> bool:
    """Whether an end is one that both look back at: completed, or ended by one of the two (SUR2)."""
    assert match.closing is not None
    ended_by_party = match.closing.state == "ended" and match.facts.ended_by in ROLES
    return match.closing.state == "completed" or ended_by_party


async def claims_of(session: AsyncSession, engagement_id: str) -> dict[str, Claim]:
    """The claims of an engagement, by workflow id."""
    rows = await session.scalars(
        select(Claim).where(Claim.engagement_id == engagement_id).order_by(Claim.workflow)
    )
    return {row.workflow: row for row in rows}


class Paper:
    """Makes letters and certificates. `base_url` is where the gateway is reached from outside."""

    def __init__(self, catalogue: Catalogue, documents: Documents, base_url: str) -> None:
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
        match: Match,
        locale: str,
        at: datetime,
        *,
        purpose: str = "",
        domains: Sequence[str] = (),
    ) -> str:
        """The text of a claim's letter as it would be shown at an instant; `domains` are ids (CPE8)."""
        return self._documents.statement(
            letter_kind(facts.role), locale, self._letter_values(facts, match, locale, purpose, domains, at)
        )

    async def sign(
        self,
        session: AsyncSession,
        facts: ClaimFacts,
        match: Match,
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
        signer = match.people[facts.counterpart]
        locale = self.locale(signer, match.program)
        id = secrets.token_urlsafe(16)
        values = {
            **self._letter_values(facts, match, locale, purpose, domains, at),
            "statement": statement,
            "document": self._address(id),
            "retained_until": _kept_until(match.calendar.date_of(at), match.program.credit),
            "signature": {
                "name": name,
                "at": at.isoformat(),
                "zone": signer.calendar(match.program).zone,
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
        self, session: AsyncSession, match: Match, at: datetime
    ) -> tuple[list[Mail], bool]:
        """The certificates of a completed engagement, for those who have no claim and can have none (CPE3); and
        whether one of them could not be made yet."""
        closing, waiting = match.closing, False
        if closing is None or closing.state != "completed":
            return [], waiting
        claims = (await claims_of(session, match.facts.engagement)).values()
        claimants = {row.role for row in claims if row.state != "not_eligible"}
        days, on = match.gate, match.calendar.date_of(closing.due)
        mails = []
        for role in ROLES:
            held = [str(each["code"]) for each in match.who(role).member.certifications]
            policy = match.program.credit
            may_claim = policy.amount(role) and credit.claimable(held, policy, self.catalogue, days.gate, on)
            if role in claimants or may_claim:
                continue
            started = engagement.start_day(match.facts, match.calendar)
            try:
                letter = await self._certificate(session, match, role, started, on, closing.due, at)
            except DocumentFailed as failed:
                subject = f"engagement/{match.facts.engagement}"
                await report_failed(session, subject, f"the {role}'s certificate", failed, at)
                waiting = True
                continue
            if letter.sha256 is None:
                waiting = True
                continue
            mails.append(
                Mail(
                    f"{role}.certificate",
                    closing.due,
                    f"{role}.certificate",
                    match.profile(role),
                    context={"started": started.isoformat(), "ends": on.isoformat(), "letter": letter.id},
                )
            )
        return mails, waiting

    async def _certificate(
        self,
        session: AsyncSession,
        match: Match,
        role: str,
        started: date,
        ended: date,
        issued: datetime,
        at: datetime,
    ) -> Letter:
        known = await session.scalar(
            select(Letter).where(
                Letter.engagement_id == match.facts.engagement,
                Letter.kind == "certificate",
                Letter.role == role,
            )
        )
        if known is not None:
            if known.sha256 is None:
                await self.finish(session, known, at)
            return known
        program, locale = match.program, self.locale(match.who(role), match.program)
        id = secrets.token_urlsafe(16)
        values = {
            **_both(match),
            "role": role,
            "started": started.isoformat(),
            "ended": ended.isoformat(),
            "document": self._address(id),
            "retained_until": _kept_until(ended, program.credit),
            "issued": {"at": issued.isoformat(), "zone": match.calendar.zone},
            "manager": {"name": program.manager.name, "title": program.manager.title},
        }
        letter = Letter(
            id=id,
            engagement_id=match.facts.engagement,
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
        except DocumentFailed as failed:
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
        match: Match,
        locale: str,
        purpose: str,
        domains: Sequence[str],
        at: datetime,
    ) -> dict[str, Any]:
        policy, calendar, days = match.program.credit, match.calendar, match.gate
        certification = self.catalogue.certification(facts.certification, days.earliest)
        cycle = credit.deciding_cycle(facts, policy, calendar)
        if certification is None or cycle is None:
            raise Refused(f"{facts.certification} is not on record for this claim")
        named = [certification.domain(id) for id in (domains or facts.domains)]
        before = calendar.instant(days.earliest, calendar.hours.send_time)
        return {
            **_both(match),
            "engagement": facts.engagement,
            "started": facts.started_on,
            "ended": calendar.date_of(match.closing.due).isoformat() if match.closing else None,
            "months": policy.gate_months,
            "credit_date": days.earliest.isoformat(),
            # A letter signed before says what is expected: a pause may still move the gate, or a cycle be renewed.
            "gate_met": days.gate is not None and calendar.date_of(at) >= days.gate,
            "paused_days": days_paused(match.pauses, calendar, before=before),
            "pauses": [
                {
                    "since": calendar.date_of(pause.since).isoformat(),
                    "until": calendar.date_of(pause.until).isoformat() if pause.until else None,
                }
                for pause in match.pauses
            ],
            "extensions": _extensions(match),
            "certification": {"code": certification.code, "name": certification.name_in(locale)},
            "cycle": {"start": cycle.start, "end": cycle.end},
            "domains": [domain.name_in(locale) for domain in named if domain],
            "purpose": purpose,
            "credits": {
                "amount": policy.amount(facts.role),
                "category": policy.category,
                "cap": credit.cap_on(policy, self.catalogue, days.earliest),
            },
            "policy": f"{match.program.id} {match.program.policy_version}",
            "catalogue": self.catalogue.version,
        }

    def _address(self, id: str) -> dict[str, str]:
        return {"id": id, "url": f"{self._base_url}/verify/{id}"}


async def report_failed(
    session: AsyncSession, subject: str, what: str, failed: DocumentFailed, at: datetime
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


def _both(match: Match) -> dict[str, Any]:
    return {
        "program": {"name": match.program.name, "organisation": match.program.organisation},
        **{role: {"name": match.who(role).member.name, "profile": match.profile(role)} for role in ROLES},
    }


def _extensions(match: Match) -> list[dict[str, str]]:
    """The ends to which it was extended, by the two or by staff."""
    facts, policy = match.facts, match.program.engagement
    ends = []
    for count, new in enumerate(facts.new_ends, start=1):
        if new.by != "plan":
            then = replace(facts, new_ends=facts.new_ends[:count])
            ends.append({"end": engagement.planned_end(then, policy, match.calendar).isoformat()})
    return ends


def _kept_until(day: date, policy: CreditPolicy) -> str:
    """The last day on which a document of a day is kept: the end of a calendar year (CPE11)."""
    return date(day.year + policy.retention_years, 12, 31).isoformat()
