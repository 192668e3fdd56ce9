"""The agenda of an engagement: two people who work together (ENG1–ENG11, MEM2).

Dates of an engagement are local to the program's zone, and paused days are counted there. Mail goes out on each
recipient's own business days and clock (T4). Months count from the first day (T3). Sources: handbook, "Discovery Call"
to "Reflect and Assess"; FAQ; what both leave open is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from rules.acts import lapse_tasks
from rules.agenda import Agenda, Ended, PlannedMail, PlannedTask, StateChange, without_past
from rules.calendar import Calendar
from rules.engagement.confidentiality import DROPPED_BY_SUSPENSION, PAUSED_BY_STAFF, SUSPENDED
from rules.engagement.curriculum import done_at, lagging_tasks
from rules.engagement.dates import end_changes, held_since
from rules.engagement.facts import (
    GRADUATION,
    MISCONDUCT,
    ROLES,
    STAFF,
    WITHDRAWN,
    YESES_KEPT,
    EngagementFacts,
    MisconductReport,
)
from rules.engagement.plan import Draft, DraftKey, MailHistory, MessagePlan, mail_histories
from rules.pauses import Pause, after_pause, is_paused
from rules.program import CurriculumPolicy, EngagementPolicy

BETWEEN_NOTICES: Final = timedelta(days=1)
"""How long after a notice to staff the next one about the same cause may leave."""


# long: the facts, the two parts of the policy, and three calendars
def agenda(
    facts: EngagementFacts,
    policy: EngagementPolicy,
    program: Calendar,
    mentor: Calendar,
    mentee: Calendar,
    curriculum: CurriculumPolicy | None = None,
) -> Agenda:
    """Return everything that an engagement does (ENG1–ENG11, MEM2, COH4).

    The calendars are the program's own and those of the two people. While the engagement is suspended, only staff
    are mailed.
    """
    calendars = {"mentor": mentor, "mentee": mentee}
    whole = _whole_agenda(MessagePlan(facts, policy, program, calendars, curriculum))
    return without_past(whole, facts.taken_over_at)


def _whole_agenda(plan: MessagePlan) -> Agenda:
    facts = plan.facts
    histories = mail_histories(plan)
    closing = _closing_change(facts, plan.closes, plan.held_since)
    if facts.ended:
        mails, dropped_because = _closing_mails(plan, facts.ended, histories), facts.ended.cause
    elif facts.suspended:
        mails, dropped_because = [], DROPPED_BY_SUSPENSION
    else:
        mails, dropped_because = list(_mails(plan, histories)), "no longer due"
    opening, *changes = _state_changes(facts)
    tasks = [*_planned_tasks(plan), *_lapse_tasks(facts), *_withdrawal_tasks(facts)]
    if closing:
        changes = [*(change for change in changes if change.due < closing.due), closing]
        tasks = [task for task in tasks if task.due < closing.due]
    return Agenda(
        mails=(*mails, *_misconduct_mails(facts)),
        state_changes=(opening, *changes),
        tasks=(*tasks, *_misconduct_tasks(facts)),
        dropped_because=dropped_because,
    )


def state_at(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime) -> str:
    """Return the state in force at an instant, without the messages: each act asks for it."""
    closes = end_changes(facts, policy, program)[-1].closes
    opening, *changes = _state_changes(facts)
    if closing := _closing_change(facts, closes, held_since(facts, closes)):
        changes = [*(change for change in changes if change.due < closing.due), closing]
    return Agenda((), (opening, *changes)).state_at(at)


def _closing_change(facts: EngagementFacts, closes: datetime, held: datetime | None) -> StateChange | None:
    """Return the change that ends the engagement; None while a pause holds the planned end."""
    if ended := facts.ended:
        return StateChange(ended.at, ended.state, ended.cause, closes=True)
    if held is None:
        return StateChange(closes, "completed", "the planned end was reached", closes=True)
    return None


def _state_changes(facts: EngagementFacts) -> list[StateChange]:
    """Return the changes before the end: active, paused, suspended, and back."""
    began = "the cohort started" if facts.cohort else "the mentor accepted the request"
    changes = [StateChange(facts.started_at, "active", began)]
    instants = {at for pause in facts.pauses for at in (pause.since, pause.until) if at is not None}
    for at in sorted(instants):
        if is_paused(_suspensions(facts), at):
            state, cause = SUSPENDED, "misconduct was reported"
        elif is_paused(facts.pauses, at):
            left = any(pause.since == at and pause.cause == WITHDRAWN for pause in facts.pauses)
            state, cause = "paused", "a profile was withdrawn" if left else PAUSED_BY_STAFF
        else:
            state, cause = "active", "resumed by staff"
        if state != changes[-1].state:
            changes.append(StateChange(at, state, cause))
    return changes


def _suspensions(facts: EngagementFacts) -> list[Pause]:
    return [pause for pause in facts.pauses if pause.cause == MISCONDUCT]


def _mails(plan: MessagePlan, histories: dict[DraftKey, MailHistory]) -> Iterator[PlannedMail]:
    """Yield the messages that are on the agenda now; those of a paused engagement are held."""
    for history in histories.values():
        draft = history.draft
        if not history.planned or _answered(plan, draft):
            continue
        mail = _planned_mail(plan.facts, history)
        if plan.held_since:
            yield replace(mail, due=None)
        else:
            calendar = plan.calendars[draft.role] if draft.scheduled else None
            yield replace(mail, after_pause=after_pause(draft.due, plan.pauses, calendar))


def _planned_mail(facts: EngagementFacts, history: MailHistory) -> PlannedMail:
    """Return a message under its key. Each time that it was dropped begins another step, since no key is reused."""
    draft = history.draft
    message = f"{draft.role}.{draft.name}"
    step = f"{message}.{draft.about}" if draft.about else message
    return PlannedMail(
        step=f"{step}.{history.times_dropped + 1}" if history.times_dropped else step,
        due=draft.due,
        message=f"member.{draft.name}" if draft.name == GRADUATION else message,
        to=facts.mentor if draft.role == "mentor" else facts.mentee,
        occurrence=draft.occurrence + history.repeated,
        number=draft.occurrence if draft.numbered else draft.place,
        context=draft.context,
    )


def _answered(plan: MessagePlan, draft: Draft) -> bool:
    """Return whether the reader has already answered the question that the message asks (ENG2, ENG4, MAIL4, COH4)."""
    if draft.name == "discovery":
        held = plan.held_since is not None and plan.held_since < draft.due
        return any(
            answer.by == draft.role and (answer.answer == "good_fit" or (answer.at >= draft.due and not held))
            for answer in plan.facts.discovery
        )
    if draft.name == "pulse":
        return any(
            answer.by == draft.role and answer.number >= draft.occurrence for answer in plan.facts.answered
        )
    if draft.name == "curriculum" and plan.facts.curriculum:
        return done_at(plan.facts.curriculum.done, draft.role, draft.about) is not None
    return False


def _closing_mails(
    plan: MessagePlan, ended: Ended, histories: dict[DraftKey, MailHistory]
) -> list[PlannedMail]:
    """Return the mail about an ending. For a completion it has the key of the planned completion mail."""
    name = {"completed": "completed", "canceled": "canceled"}.get(ended.state, "ended")
    context = {
        "started": plan.start.isoformat(),
        "ends": plan.program.date_of(ended.at).isoformat(),
        "outcome": ended.state,
        "by": plan.facts.ended_by,
    }
    drafts = [Draft(role, name, ended.at, context, scheduled=False) for role in ROLES]
    dropped = [histories[draft.key].times_dropped if draft.key in histories else 0 for draft in drafts]
    return [
        _planned_mail(plan.facts, MailHistory(draft, times_dropped=times))
        for draft, times in zip(drafts, dropped, strict=True)
    ]


def _incidents(facts: EngagementFacts) -> list[list[tuple[int, MisconductReport]]]:
    """Return the reports by cause, with their numbers: one side's reports of one suspension are one cause (STA2)."""
    incidents: dict[tuple[str, int], list[tuple[int, MisconductReport]]] = {}
    for number, report in enumerate(facts.reports, start=1):
        begun = sum(pause.cause == MISCONDUCT and pause.since <= report.at for pause in facts.pauses)
        incidents.setdefault((report.by, begun), []).append((number, report))
    return list(incidents.values())


def _misconduct_mails(facts: EngagementFacts) -> Iterator[PlannedMail]:
    """Yield the notices to staff, which no pause and no end stops (ENG8): at once, then one a day for each cause."""
    for incident in _incidents(facts):
        mailed_at: datetime | None = None
        for number, report in incident:
            if mailed_at and report.at < mailed_at + BETWEEN_NOTICES:
                continue
            mailed_at, context = report.at, {"opened": report.at.astimezone(UTC).isoformat()}
            message = "staff.misconduct"
            yield PlannedMail(message, report.at, message, STAFF, number, context=context)


def _misconduct_tasks(facts: EngagementFacts) -> Iterator[PlannedTask]:
    for incident in _incidents(facts):
        number, report = incident[0]
        yield PlannedTask(
            report.at,
            "misconduct",
            f"misconduct, report {number}",
            "Read the report (throughline report show) and talk to who made it. All mail of the engagement has "
            "stopped, and the other party knows nothing. Then resume, end or cancel it."
            + times_reported(len(incident)),
        )


def times_reported(times: int) -> str:
    """Return the words that say how often something was reported; none for once."""
    return f" Reported {times} times." if times > 1 else ""


def _lapse_tasks(facts: EngagementFacts) -> list[PlannedTask]:
    note = "The engagement goes on; credit needs good standing at its gate."
    return lapse_tasks(facts.lapses, facts.mentor, note)


def _withdrawal_tasks(facts: EngagementFacts) -> Iterator[PlannedTask]:
    """Yield the task of each withdrawn profile (MEM7)."""
    for withdrawal in facts.withdrawals:
        role = facts.role(withdrawal.profile)
        yield PlannedTask(
            withdrawal.at,
            "party_withdrawn",
            f"the {role}'s profile was withdrawn",
            "Ask both whether the mentorship goes on. Then resume it, or end it.",
        )


def _planned_tasks(plan: MessagePlan) -> list[PlannedTask]:
    """Return the tasks that open by date; an open pause holds back those that are due after it began."""
    held = plan.held_since
    return [
        task
        for task in (*_stalled_tasks(plan), *_inactive_tasks(plan), *_lagging_tasks(plan))
        if held is None or task.due < held
    ]


def _lagging_tasks(plan: MessagePlan) -> Iterator[PlannedTask]:
    if plan.curriculum:
        yield from lagging_tasks(plan.curriculum, plan.finished_pauses, plan.closes)


def _stalled_tasks(plan: MessagePlan) -> Iterator[PlannedTask]:
    """Yield a task if nobody has called the discovery call a good fit after all its questions (ENG2)."""
    days = (plan.policy.discovery_repeats + 2) * plan.policy.discovery_days
    due = plan.send_at(plan.program, plan.discovery_base(plan.program) + timedelta(days=days))
    if not any(answer.answer == "good_fit" and answer.at <= due for answer in plan.facts.discovery):
        yield PlannedTask(
            due,
            "discovery_stalled",
            "discovery call",
            "Ask both whether they have met, and help them to find a time or another match.",
        )


def _inactive_tasks(plan: MessagePlan) -> Iterator[PlannedTask]:
    """Yield a task for the first run of pulses without a yes, and for the first one after each later yes (ENG4).

    The month of the last pulse must be over before the end. Where a weekend or a holiday would move the task past the
    end, it opens on its own day instead.
    """
    met, run_length = plan.facts.met, plan.policy.inactive_after_pulses
    first = met[0] if len(met) >= YESES_KEPT else plan.first_pulse
    while first and plan.moved(plan.pulse(first + run_length)) <= plan.ends[-1].day:
        run = range(first, first + run_length)
        last_yes = max((number for number in run if number in met), default=None)
        if last_yes is None:
            yield PlannedTask(
                plan.open_task_at(plan.pulse(first + run_length)),
                "inactive",
                f"no meeting confirmed in the pulses {', '.join(map(str, run))}",
                "Ask both how it goes: whether they still meet, want more time, or would rather end it.",
            )
            last_yes = next((number for number in met if number >= first + run_length), None)
        first = last_yes + 1 if last_yes is not None else 0
