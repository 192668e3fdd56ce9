"""What a staff act would change, reckoned without doing it (STA1).

The same pure rules that the planning activities use, on the facts that a lifecycle's row keeps. A preview is of the
lifecycle itself: what its end does to others (the claims and surveys of an engagement) is theirs to tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.ledger import Changes
from database.models import Lifecycle
from lifecycles.claims import claim_agenda
from lifecycles.engagements import engagement_agenda, load_engagement
from lifecycles.facts import facts_from_row
from lifecycles.onboardings import onboarding_agenda
from lifecycles.participants import Programs, participant, participants, program_of
from rules import engagement, onboarding, request, survey
from rules.acts import Act
from rules.agenda import Agenda, Refused
from rules.credit import ClaimFacts, apply_to_claim
from rules.engagement import EngagementFacts, apply_to_engagement
from rules.onboarding import OnboardingFacts
from rules.program import program_calendar
from rules.request import RequestFacts, apply_to_request, request_state
from rules.survey import SurveyFacts


@dataclass(frozen=True, slots=True)
class Preview:
    """The state that a lifecycle would be in, and what would become of its messages."""

    state: str
    changes: Changes


async def preview(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Preview:
    """What an act at `at` would change. Raises Refused if it would be refused."""
    agenda = await PREVIEWS[row.workflow.partition("/")[0]](session, row, act, programs, at)
    changes = ledger.compare(await ledger.rows_of(session, row.workflow), agenda.mails)
    return Preview(agenda.state_at(at), changes)


async def _onboarding(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Agenda:
    facts = facts_from_row(OnboardingFacts, row.facts)
    if facts.ended or row.closed_at:
        raise Refused(f"the onboarding is over: {row.state}")
    paused = any(pause.until is None and pause.cause == "staff" for pause in facts.pauses)
    match act.name:
        case "cancel":
            cause = f"cancelled by staff: {act.reason}" if act.reason else "cancelled by staff"
            facts = onboarding.end(facts, "canceled", at, cause, act.actor)
        case "extend":
            facts = onboarding.extend(facts, int(act.details.get("check_ins", "0")), at)
        case "pause":
            if paused:
                raise Refused("it is paused already")
            facts = onboarding.pause(facts, "staff", at)
        case "resume":
            if not paused:
                raise Refused("it is not paused by staff")
            facts = onboarding.resume(facts, "staff", at)
        case _:
            raise Refused(f"an onboarding cannot be told to {act.name}")
    who = await participant(session, facts.profile)
    return onboarding_agenda(facts, who, program_of(programs, row.program))


async def _request(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Agenda:
    facts = facts_from_row(RequestFacts, row.facts)
    mentor = await participant(session, facts.mentor)
    policy = program_of(programs, row.program)
    calendar = mentor.calendar(policy)
    state = request_state(facts, act, policy, calendar, at)
    return request.agenda(apply_to_request(facts, act, state, at), policy.request, calendar)


async def _engagement(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Agenda:
    facts = facts_from_row(EngagementFacts, row.facts)
    policy = program_of(programs, row.program)
    if row.closed_at:
        raise Refused(
            engagement.closed_because(facts, row.state, program_calendar(policy).date_of(row.closed_at))
        )
    people = await participants(session, [facts.mentee, facts.mentor])
    state = engagement_agenda(facts, people, policy).state_at(at)
    return engagement_agenda(apply_to_engagement(facts, act, state, at, policy), people, policy)


async def _claim(session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime) -> Agenda:
    facts = facts_from_row(ClaimFacts, row.facts)
    match = await load_engagement(session, programs, facts.engagement, at)
    state = claim_agenda(facts, match).state_at(at)
    return claim_agenda(apply_to_claim(facts, act, state, at, match.program.credit, match.calendar), match)


async def _survey(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Agenda:
    facts = facts_from_row(SurveyFacts, row.facts)
    if row.closed_at:
        raise Refused(f"the survey is over: {row.state}")
    if act.name != "cancel":
        raise Refused(f"a survey cannot be told to {act.name}")
    who = await participant(session, facts.profile)
    policy = program_of(programs, row.program)
    canceled = survey.cancel(facts, at, act.reason, act.actor)
    return survey.agenda(canceled, policy.survey, who.calendar(policy))


PREVIEWS: Final[
    dict[str, Callable[[AsyncSession, Lifecycle, Act, Programs, datetime], Awaitable[Agenda]]]
] = {
    "onboarding": _onboarding,
    "request": _request,
    "engagement": _engagement,
    "claim": _claim,
    "survey": _survey,
}
"""The agenda after an act, for each kind of lifecycle that staff act on."""
