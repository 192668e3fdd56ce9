"""Two people who work together: what is mailed when, and how it ends (ENG1–ENG11, MEM2).

Dates of an engagement are local to the program's zone, and pauses are counted in its days; mail goes out on
each recipient's own days and clock (T4). Months count from the first day (T3). Sources: handbook, "Discovery Call"
to "Reflect and Assess"; FAQ; the rest is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta

from rules.acts import lapse_tasks
from rules.agenda import Agenda, Ended, PlannedMail, PlannedTask, StateChange
from rules.calendar import Calendar
from rules.engagement.facts import MISCONDUCT, ROLES, STAFF, YESES_KEPT, EngagementFacts
from rules.engagement.plan import Draft, MailHistory, MessagePlan, mail_histories
from rules.pauses import after_pause
from rules.program import EngagementPolicy


def agenda(
    facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, mentor: Calendar, mentee: Calendar
) -> Agenda:
    """All that an engagement does (ENG1–ENG11, MEM2). The calendars are the program's own and the two persons'.

    While it is suspended only staff are mailed. A message that an act took out before it was due, and a later act
    brings back, comes under a step of its own: what was decided once never goes out again (MAIL1).
    """
    plan = MessagePlan(facts, policy, program, {"mentor": mentor, "mentee": mentee})
    histories, held = mail_histories(plan), plan.held_since
    because, closing = "no longer due", None
    if facts.ended:
        ended, because = facts.ended, facts.ended.cause
        closing = StateChange(ended.at, ended.state, ended.cause, closes=True)
        mails = _closing_mails(plan, ended, histories)
    elif facts.suspended:
        because, mails = "the engagement is suspended", []
    else:
        mails = [
            replace(mail, due=None, after_pause=None) if held else mail for mail in _mails(plan, histories)
        ]
    if closing is None and held is None:
        closing = StateChange(plan.closes, "completed", "the planned end was reached", closes=True)
    opening, *course = _state_changes(facts)
    if closing:
        course = [*(change for change in course if change.due < closing.due), closing]
    planned = [task for task in (*_stalled(plan), *_inactive(plan)) if held is None or task.due < held]
    lapsed = lapse_tasks(
        facts.lapses, facts.mentor, "The engagement goes on; credit needs good standing at its gate."
    )
    tasks = [task for task in (*planned, *lapsed) if closing is None or task.due < closing.due]
    return Agenda(
        (*mails, *_reports(facts)), (opening, *course), (*tasks, *_misconduct_tasks(facts)), because
    )


def _state_changes(facts: EngagementFacts) -> list[StateChange]:
    """The changes before the end: active, paused, suspended, and back."""
    changes = [StateChange(facts.started_at, "active", "the mentor accepted the request")]
    instants = {at for pause in facts.pauses for at in (pause.since, pause.until) if at is not None}
    for at in sorted(instants):
        causes = {
            pause.cause
            for pause in facts.pauses
            if pause.since <= at and (pause.until is None or at < pause.until)
        }
        if MISCONDUCT in causes:
            state, cause = "suspended", "misconduct was reported"
        elif causes:
            state, cause = "paused", "paused by staff"
        else:
            state, cause = "active", "resumed by staff"
        if state != changes[-1].state:
            changes.append(StateChange(at, state, cause))
    return changes


def _mails(plan: MessagePlan, histories: dict[tuple[str, str, int], MailHistory]) -> Iterator[PlannedMail]:
    for history in histories.values():
        draft = history.draft
        if history.planned and not _answered(plan, draft):
            calendar = plan.calendars[draft.role] if draft.scheduled else None
            late = after_pause(draft.due, plan.pauses, calendar)
            yield replace(_mail(plan.facts, history), after_pause=late)


def _mail(facts: EngagementFacts, history: MailHistory) -> PlannedMail:
    draft = history.draft
    message = f"{draft.role}.{draft.what}"
    return PlannedMail(
        step=f"{message}.{history.times_dropped + 1}" if history.times_dropped else message,
        due=draft.due,
        message=message,
        to=facts.mentor if draft.role == "mentor" else facts.mentee,
        occurrence=draft.occurrence + history.repeated,
        number=draft.occurrence if draft.numbered else None,
        context=draft.context,
    )


def _answered(plan: MessagePlan, draft: Draft) -> bool:
    """Whether the reader has already said what the message asks for (ENG2, ENG4, MAIL4)."""
    if draft.what == "discovery":
        held = plan.held_since is not None and plan.held_since < draft.due
        return any(
            told.by == draft.role and (told.answer == "good_fit" or (told.at >= draft.due and not held))
            for told in plan.facts.discovery
        )
    if draft.what == "pulse":
        return any(told.by == draft.role and told.number >= draft.occurrence for told in plan.facts.answered)
    return False


def _closing_mails(
    plan: MessagePlan, ended: Ended, histories: dict[tuple[str, str, int], MailHistory]
) -> list[PlannedMail]:
    """What an ending has mailed. The mail of a completion is the one that was planned all along."""
    what = {"completed": "completed", "canceled": "canceled"}.get(ended.state, "ended")
    context = {
        "started": plan.start.isoformat(),
        "ends": plan.program.date_of(ended.at).isoformat(),
        "outcome": ended.state,
        "by": plan.facts.ended_by,
    }
    drafts = [Draft(role, what, ended.at, context, scheduled=False) for role in ROLES]
    dropped = [histories[draft.key].times_dropped if draft.key in histories else 0 for draft in drafts]
    return [
        _mail(plan.facts, MailHistory(draft, times_dropped=times))
        for draft, times in zip(drafts, dropped, strict=True)
    ]


def _reports(facts: EngagementFacts) -> Iterator[PlannedMail]:
    for number, report in enumerate(facts.reports, start=1):
        context = {"opened": report.at.astimezone(UTC).isoformat()}
        yield PlannedMail("staff.misconduct", report.at, "staff.misconduct", STAFF, number, context=context)


def _misconduct_tasks(facts: EngagementFacts) -> Iterator[PlannedTask]:
    for number, report in enumerate(facts.reports, start=1):
        yield PlannedTask(
            report.at,
            "misconduct",
            f"misconduct, report {number}",
            "Read the report and talk to who made it. All mail of the engagement has stopped, and the other "
            "party knows nothing. Then resume, end or cancel it.",
        )


def _stalled(plan: MessagePlan) -> Iterator[PlannedTask]:
    days = (plan.policy.discovery_repeats + 2) * plan.policy.discovery_days
    due = plan.send_at(plan.program, plan.start + timedelta(days=days))
    if not any(told.answer == "good_fit" and told.at <= due for told in plan.facts.discovery):
        yield PlannedTask(
            due,
            "discovery_stalled",
            "discovery call",
            "Ask both whether they have met, and help them to find a time or another match.",
        )


def _inactive(plan: MessagePlan) -> Iterator[PlannedTask]:
    """A task for each row of pulses without a yes; rows do not overlap, and a yes begins anew (ENG4).

    One that a weekend or a holiday would move past the end opens on its own day: the row was whole before the end.
    """
    met, row = plan.facts.met, plan.policy.inactive_after_pulses
    number = met[0] if len(met) >= YESES_KEPT else 1
    while plan.moved(plan.pulse(number + row)) <= plan.ends[-1].day:
        pulses = range(number, number + row)
        yes = max((each for each in pulses if each in met), default=None)
        if yes is None:
            yield PlannedTask(
                plan.before_the_end(plan.pulse(number + row)),
                "inactive",
                f"no meeting confirmed in the pulses {', '.join(map(str, pulses))}",
                "Ask both how it goes: whether they still meet, want more time, or would rather end it.",
            )
        number = number + row if yes is None else yes + 1
