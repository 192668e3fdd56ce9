"""The values that letters and certificates are written from, as the templates name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from lifecycles.engagements import EngagementContext
from lifecycles.participants import Participant
from rules import credit, engagement
from rules.agenda import Refused
from rules.calendar import Calendar
from rules.credit import ClaimFacts
from rules.engagement import ROLES
from rules.pauses import Pause, days_paused
from rules.program.catalogue import Catalogue
from rules.program.policies import CreditPolicy


@dataclass(frozen=True, slots=True)
class LetterContent:
    """What a letter about a claim is written from."""

    facts: ClaimFacts
    context: EngagementContext
    at: datetime
    """The instant at which it is shown or signed."""
    purpose: str = ""
    domains: Sequence[str] = ()
    """Ids of domains; those of the claim where none are given."""

    @property
    def signer(self) -> Participant:
        """The person whose letter it is: the claimant's counterpart (CPE5, CPE6)."""
        return self.context.people[self.facts.counterpart]


@dataclass(frozen=True, slots=True)
class CertificateContent:
    """What a certificate of participation is written from (CPE3)."""

    context: EngagementContext
    role: str
    started: date
    ended: date
    issued: datetime


def letter_kind(role: str) -> str:
    """Return the kind of letter that proves a role's credit (CPE5, CPE6)."""
    return "confirmation" if role == "mentor" else "mentor_letter"


def letter_values(content: LetterContent, catalogue: Catalogue, locale: str) -> dict[str, Any]:
    """Return the values of a claim's letter. Raises Refused for a certification that is not on record."""
    facts, context = content.facts, content.context
    policy, calendar, days = context.program.credit, context.calendar, context.gate
    certification = catalogue.certification(facts.certification, days.earliest)
    cycle = credit.deciding_cycle(facts, policy, calendar)
    if certification is None or cycle is None:
        raise Refused(f"{facts.certification} is not on record for this claim")
    domains = [certification.domain(id) for id in (content.domains or facts.domains)]
    return {
        **_parties(context),
        **_course(context, calendar),
        "engagement": facts.engagement,
        "started": facts.started_on,
        "months": policy.gate_months,
        "credit_date": days.earliest.isoformat(),
        # A letter signed before the gate states what is expected: a pause may still move the gate.
        "gate_met": days.gate is not None and calendar.date_of(content.at) >= days.gate,
        "certification": {"code": certification.code, "name": certification.name_in(locale)},
        "cycle": {"start": cycle.start, "end": cycle.end},
        "domains": [domain.name_in(locale) for domain in domains if domain],
        "purpose": content.purpose,
        "credits": {
            "amount": policy.amount(facts.role),
            "category": policy.category,
            "cap": credit.cap_on(policy, catalogue, days.earliest),
        },
        "policy": f"{context.program.id} {context.program.policy_version}",
        "catalogue": catalogue.version,
    }


def certificate_values(content: CertificateContent) -> dict[str, Any]:
    """Return the values of a certificate of participation."""
    program = content.context.program
    return {
        **_parties(content.context),
        "role": content.role,
        "started": content.started.isoformat(),
        "ended": content.ended.isoformat(),
        "retained_until": retained_until(content.ended, program.credit),
        "issued": {"at": content.issued.isoformat(), "zone": content.context.calendar.zone},
        "manager": {"name": program.manager.name, "title": program.manager.title},
    }


def retained_until(day: date, policy: CreditPolicy) -> str:
    """Return the last day on which a document of a day is kept: the end of a calendar year (CPE11)."""
    return date(day.year + policy.retention_years, 12, 31).isoformat()


def _parties(context: EngagementContext) -> dict[str, Any]:
    return {
        "program": {"name": context.program.name, "organisation": context.program.organisation},
        **{role: {"name": context.who(role).member.name, "profile": context.profile(role)} for role in ROLES},
    }


def _course(context: EngagementContext, calendar: Calendar) -> dict[str, Any]:
    """Return the end, the pauses and the extensions of an engagement."""
    before = calendar.instant(context.gate.earliest, calendar.hours.send_time)
    return {
        "ended": calendar.date_of(context.closing.due).isoformat() if context.closing else None,
        "paused_days": days_paused(context.pauses, calendar, before=before),
        "pauses": [_pause(pause, calendar) for pause in context.pauses],
        "extensions": _extensions(context),
    }


def _pause(pause: Pause, calendar: Calendar) -> dict[str, str | None]:
    return {
        "since": calendar.date_of(pause.since).isoformat(),
        "until": calendar.date_of(pause.until).isoformat() if pause.until else None,
    }


def _extensions(context: EngagementContext) -> list[dict[str, str]]:
    """Return the ends to which it was extended, by the two or by staff."""
    facts, policy = context.facts, context.program.engagement
    ends = []
    for count, new in enumerate(facts.new_ends, start=1):
        if new.by != "plan":
            then = replace(facts, new_ends=facts.new_ends[:count])
            ends.append({"end": engagement.planned_end(then, policy, context.calendar).isoformat()})
    return ends
