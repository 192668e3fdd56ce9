"""The first weeks of a mentor or mentee: what is mailed when, and how it ends (MEM1–MEM3, MEM5, ONB1–ONB7).

Dates are local to the member whose onboarding it is. Sources: handbook, "Onboarding Process"; FAQ, "roles and
requirements"; the details that both leave open are decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from rules.acts import Act
from rules.agenda import Agenda, Ended, PlannedMail, PlannedTask, Refused, StateChange
from rules.calendar import Calendar
from rules.kinds import KINDS
from rules.pauses import Pause, after_pause, begin_pause, end_pause, is_paused, merge_pauses, send_at
from rules.program import OnboardingPolicy


@dataclass(frozen=True, slots=True)
class Extension:
    """More check-ins, asked for at an instant (ONB5); `event` is the stored event behind it, if one is."""

    check_ins: int
    at: datetime
    event: str = ""


@dataclass(frozen=True, slots=True)
class OnboardingFacts:
    """All that decides an onboarding: ids and instants only (MEM6).

    `blocked` tells that the member was not in good standing at sign-up, `unblocked_at` when that ended (MEM1).
    `first_decided_at` is when the first mail of the sequence had its decision: from then on it is active.
    """

    profile: str
    role: str
    created_at: datetime
    blocked: bool = False
    unblocked_at: datetime | None = None
    first_decided_at: datetime | None = None
    extensions: list[Extension] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    ended: Ended | None = None


def mentor_is_qualified(
    years_management: int | None, certifications: Iterable[str], policy: OnboardingPolicy
) -> bool:
    """Whether a mentor has the years of management experience or a certification that stands for them (MEM3, FAQ)."""
    if years_management is not None and years_management >= policy.mentor_years:
        return True
    return any(code in policy.mentor_certifications for code in certifications)


def agenda(
    facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar, *, qualified: bool = True
) -> Agenda:
    """All that an onboarding does (ONB1–ONB6, MEM1–MEM3).

    `calendar` is the member's; `qualified` is `mentor_is_qualified`, for mentors. Every instant is computed
    anew from the facts, so that a cancel, a match, a pause or an extension is only a change of facts.
    """
    started = facts.unblocked_at if facts.blocked else facts.created_at
    pauses = merge_pauses(facts.pauses, since=started)
    changes = _opening(facts, policy, calendar)
    mails: list[PlannedMail] = []
    tasks: list[PlannedTask] = []
    if facts.blocked:
        closes = calendar.date_of(_lapses(facts, policy, calendar)).isoformat()
        mails.append(
            PlannedMail(
                "standing",
                facts.created_at,
                "member.standing_lapsed",
                facts.profile,
                context={"closes": closes},
                after_pause=after_pause(facts.created_at, merge_pauses(facts.pauses)),
            )
        )
        if facts.unblocked_at is None:
            tasks.append(
                PlannedTask(
                    facts.created_at,
                    "member_lapsed",
                    "sign-up while lapsed",
                    "Help the member to renew; onboarding starts by itself when good standing is reported.",
                )
            )
    if started is not None:
        if facts.role == "mentor":
            mails += _welcome(facts, policy, calendar, started, pauses)
            if not qualified:
                tasks.append(
                    PlannedTask(
                        started,
                        "mentor_review",
                        "experience",
                        "Review the mentor's experience: neither the years in management nor the certification "
                        "that stands for them is on record.",
                    )
                )
        else:
            mails += _check_ins(facts, policy, calendar, started, pauses)
        changes += _state_changes(facts, pauses)
        if facts.role == "mentee":
            changes, tasks = _unmatched(changes, tasks, mails, pauses, policy, calendar)
    because = "no longer due"
    if facts.ended:
        changes = [change for change in changes if change.due <= facts.ended.at and not change.closes]
        tasks = [task for task in tasks if task.due <= facts.ended.at]
        changes.append(StateChange(facts.ended.at, facts.ended.state, facts.ended.cause, closes=True))
        because = facts.ended.cause or f"the onboarding ended as {facts.ended.state}"
        mails = []
    elif any(pause.until is None for pause in facts.pauses):
        mails = [replace(mail, due=None, after_pause=None) for mail in mails]
    return Agenda(tuple(mails), tuple(changes), tuple(tasks), because)


def _opening(facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar) -> list[StateChange]:
    if not facts.blocked:
        return [StateChange(facts.created_at, "waiting", "the profile was created")]
    changes = [StateChange(facts.created_at, "blocked", "the member is not in good standing")]
    if facts.unblocked_at:
        changes.append(StateChange(facts.unblocked_at, "waiting", "good standing returned"))
    else:
        lapses = _lapses(facts, policy, calendar)
        changes.append(StateChange(lapses, "lapsed", "good standing did not return", closes=True))
    return changes


def _lapses(facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar) -> datetime:
    """When a sign-up without good standing is closed, if that does not return (MEM1)."""
    return calendar.plus_days(facts.created_at, policy.lapsed_after_days)


def _state_changes(facts: OnboardingFacts, pauses: list[Pause]) -> list[StateChange]:
    """The changes between the opening and the end: active (or welcomed), paused, and back."""
    begun = "welcomed" if facts.role == "mentor" else "active"
    changes = []
    decided = facts.first_decided_at
    done = facts.role == "mentor"
    if decided and (done or not is_paused(pauses, decided)):
        changes.append(StateChange(decided, begun, "the first mail was decided", closes=done))
    for pause in pauses:
        cause = "good standing was lost" if pause.cause == "standing" else "paused by staff"
        changes.append(StateChange(pause.since, "paused", cause))
        if pause.until:
            running = decided is not None and decided <= pause.until
            changes.append(StateChange(pause.until, "active" if running else "waiting", "the pause ended"))
    return changes


def _welcome(
    facts: OnboardingFacts,
    policy: OnboardingPolicy,
    calendar: Calendar,
    started: datetime,
    pauses: list[Pause],
) -> list[PlannedMail]:
    day = calendar.date_of(started) + timedelta(days=policy.welcome_after_days)
    due = send_at(day, pauses, calendar)
    late = after_pause(due, pauses, calendar)
    return [PlannedMail("welcome", due, "mentor.welcome", facts.profile, after_pause=late)]


def _check_ins(
    facts: OnboardingFacts,
    policy: OnboardingPolicy,
    calendar: Calendar,
    started: datetime,
    pauses: list[Pause],
) -> list[PlannedMail]:
    anchor = calendar.date_of(started) + timedelta(days=policy.starts_after_days)
    dues = [send_at(anchor + timedelta(days=offset), pauses, calendar) for offset in policy.check_ins]
    offset = policy.check_ins[-1]
    for extension in facts.extensions:
        for _ in range(extension.check_ins):
            offset += policy.extension_spacing_days
            due = send_at(anchor + timedelta(days=offset), pauses, calendar)
            if due and due <= extension.at:
                slot = calendar.date_of(calendar.next_send_after(extension.at))
                due = send_at(slot, [pause for pause in pauses if pause.since > extension.at], calendar)
            dues.append(due)
    return [
        PlannedMail(
            "check-in",
            due,
            "mentee.checkin",
            facts.profile,
            occurrence=number,
            number=number,
            after_pause=after_pause(due, pauses, calendar),
        )
        for number, due in enumerate(dues, start=1)
    ]


def _unmatched(
    changes: list[StateChange],
    tasks: list[PlannedTask],
    mails: list[PlannedMail],
    pauses: list[Pause],
    policy: OnboardingPolicy,
    calendar: Calendar,
) -> tuple[list[StateChange], list[PlannedTask]]:
    """The close after the last check-in, which a pause after that check-in moves by its length too (ONB4, ONB5)."""
    last = next(mail for mail in reversed(mails) if mail.message == "mentee.checkin")
    if last.due is None:
        return changes, tasks
    closes = calendar.plus_days(last.due, policy.unmatched_after_days)
    for pause in pauses:
        if last.due < pause.since < closes:
            if pause.until is None:
                return changes, tasks
            days = (calendar.date_of(pause.until) - calendar.date_of(pause.since)).days
            closes = max(calendar.plus_days(closes, days), pause.until)
    return (
        [*changes, StateChange(closes, "unmatched", "no match after the last check-in", closes=True)],
        [
            *tasks,
            PlannedTask(
                closes,
                "mentee_unmatched",
                "unmatched",
                "Offer the mentee help with finding a mentor.",
            ),
        ],
    )


def closed_because(facts: OnboardingFacts, state: str, on: date | None = None) -> str:
    """Return how an onboarding is over, for an act that comes too late; empty while it goes on.

    `on` is the local day on which it ended, where that is known.
    """
    ended = facts.ended.state if facts.ended else state
    if ended in KINDS["onboarding"].open_states:
        return ""
    return f"the onboarding is over: {ended}{f' on {on.isoformat()}' if on else ''}"


def apply(facts: OnboardingFacts, act: Act, now: datetime) -> OnboardingFacts:
    """Return the facts after an act (ONB3, ONB5, ONB6, MEM1, MEM2, STA1).

    What the program itself reports (a match, a withdrawn profile, a change of standing) changes nothing once the
    onboarding has ended. Raises Refused for an act that staff may not order now.
    """
    at = act.at or now
    match act.name:
        case "matched" | "withdrawn" | "standing" if facts.ended:
            return facts
        case "matched":
            if facts.role != "mentee":
                raise Refused("only a mentee's onboarding ends by a match")
            return end(facts, "matched", at, f"matched by request {act.details.get('request', '')}")
        case "withdrawn":
            return end(facts, "withdrawn", at, "the profile was withdrawn")
        case "standing":
            return standing_changed(facts, act.details["good"] == "yes", at)
    if facts.ended:
        raise Refused(closed_because(facts, facts.ended.state))
    paused = any(pause.until is None and pause.cause == "staff" for pause in facts.pauses)
    match act.name:
        case "cancel":
            cause = f"cancelled by staff: {act.reason}" if act.reason else "cancelled by staff"
            return end(facts, "canceled", at, cause, act.actor)
        case "extend":
            return extend(facts, int(act.details.get("check_ins", "0")), now, act.event)
        case "pause" if not paused:
            return pause(facts, "staff", at)
        case "pause":
            raise Refused("it is paused already")
        case "resume" if paused:
            return resume(facts, "staff", at)
        case "resume":
            raise Refused("it is not paused by staff")
    raise Refused(f"an onboarding has no act {act.name}")


def end(facts: OnboardingFacts, state: str, at: datetime, cause: str, actor: str = "") -> OnboardingFacts:
    """The onboarding ended by a match, staff or a withdrawn profile (ONB3, ONB5, ONB6); the first ending stands."""
    return facts if facts.ended else replace(facts, ended=Ended(state, at, cause, actor))


def extend(facts: OnboardingFacts, check_ins: int, at: datetime, event: str = "") -> OnboardingFacts:
    """More check-ins after the last planned one (ONB5), once per event; none goes out before `at`.

    Raises Refused for mentors, and for none or too many.
    """
    if event and any(extension.event == event for extension in facts.extensions):
        return facts
    if facts.role != "mentee":
        raise Refused("only a mentee's onboarding has check-ins to extend")
    if not 1 <= check_ins <= 26:
        raise Refused("an extension is 1 to 26 check-ins")
    return replace(facts, extensions=[*facts.extensions, Extension(check_ins, at, event)])


def pause(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """Nothing is mailed from `at` on (ONB5; MEM2 with the cause `standing`)."""
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at))


def resume(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """The pause of this cause is over; what is left moves by its length (ONB5, MEM2)."""
    return replace(facts, pauses=end_pause(facts.pauses, cause, at))


def standing_changed(facts: OnboardingFacts, good: bool, at: datetime) -> OnboardingFacts:
    """Good standing was lost or came back (MEM1 before the start, MEM2 after it)."""
    if facts.blocked and facts.unblocked_at is None:
        return replace(facts, unblocked_at=at) if good else facts
    return resume(facts, "standing", at) if good else pause(facts, "standing", at)


def mail_decided(facts: OnboardingFacts, step: str, at: datetime) -> OnboardingFacts:
    """A mail has its decision; the first of the sequence makes the onboarding active, a welcome completes it."""
    if facts.first_decided_at or step not in ("welcome", "check-in"):
        return facts
    return replace(facts, first_decided_at=at)
