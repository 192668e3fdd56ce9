"""The onboarding of a mentor or mentee: its mail, its dates and its ends (MEM1–MEM3, MEM5, ONB1–ONB7).

Dates are local to the member. Sources: handbook, "Onboarding Process"; FAQ, "roles and requirements"; what both leave
open is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from rules.acts import Act, Received
from rules.agenda import Agenda, Ended, PlannedMail, PlannedTask, Refused, StateChange
from rules.calendar import Calendar
from rules.kinds import KINDS
from rules.pauses import Pause, after_pause, begin_pause, end_pause, is_paused, merge_pauses, send_at
from rules.program import OnboardingPolicy


@dataclass(frozen=True, slots=True)
class CheckInExtension:
    """Check-ins that staff added after the planned ones (ONB5)."""

    check_ins: int
    at: datetime
    event: str = ""
    """The stored event that reported it, if there is one."""


@dataclass(frozen=True, slots=True)
class OnboardingFacts:
    """Everything that decides an onboarding: ids and instants only (MEM6)."""

    profile: str
    role: str
    """`mentor` or `mentee`."""
    created_at: datetime
    blocked: bool = False
    """Whether the member signed up without good standing (MEM1)."""
    unblocked_at: datetime | None = None
    """When good standing returned after that."""
    first_decided_at: datetime | None = None
    """When the first mail of the sequence had its decision: from then on the onboarding is active."""
    extensions: list[CheckInExtension] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    ended: Ended | None = None
    received: Received = field(default_factory=Received)


def mentor_is_qualified(
    years_management: int | None, certifications: Iterable[str], policy: OnboardingPolicy
) -> bool:
    """Return whether a mentor has enough years in management, or a certification that stands for them (MEM3, FAQ)."""
    if years_management is not None and years_management >= policy.mentor_years:
        return True
    return any(code in policy.mentor_certifications for code in certifications)


def agenda(
    facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar, *, qualified: bool = True
) -> Agenda:
    """Return everything that an onboarding does (ONB1–ONB6, MEM1–MEM3).

    `calendar` is the member's; `qualified` is `mentor_is_qualified`, for mentors. Every instant is computed from the
    facts, so that a cancel, a match, a pause or an extension is only a change of facts.
    """
    mails = list(_standing_mail(facts, policy, calendar))
    changes = _opening(facts, policy, calendar)
    tasks = list(_standing_task(facts))
    started = facts.unblocked_at if facts.blocked else facts.created_at
    if started is not None:
        pauses = merge_pauses(facts.pauses, since=started)
        changes += _state_changes(facts, pauses)
        if facts.role == "mentor":
            mails += _welcome(facts, policy, calendar, started, pauses)
            tasks += [] if qualified else [_review_task(started)]
        else:
            check_ins = _check_ins(facts, policy, calendar, started, pauses)
            mails += check_ins
            if closes := _unmatched_at(check_ins[-1].due, pauses, policy, calendar):
                reason = "no match after the last check-in"
                changes.append(StateChange(closes, "unmatched", reason, closes=True))
                tasks.append(_unmatched_task(closes))
    if facts.ended:
        return _ended(facts.ended, changes, tasks)
    if any(pause.until is None for pause in facts.pauses):
        mails = [replace(mail, due=None, after_pause=None) for mail in mails]
    return Agenda(tuple(mails), tuple(changes), tuple(tasks))


def _ended(ended: Ended, changes: list[StateChange], tasks: list[PlannedTask]) -> Agenda:
    """Return the agenda of an onboarding that somebody ended: nothing is due after that."""
    before = [change for change in changes if change.due <= ended.at and not change.closes]
    closing = StateChange(ended.at, ended.state, ended.cause, closes=True)
    return Agenda(
        mails=(),
        state_changes=(*before, closing),
        tasks=tuple(task for task in tasks if task.due <= ended.at),
        dropped_because=ended.cause or f"the onboarding ended as {ended.state}",
    )


def _standing_mail(
    facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar
) -> Iterator[PlannedMail]:
    """Yield the notice to a member who signed up without good standing (MEM1)."""
    if facts.blocked:
        closes = calendar.date_of(_lapses_at(facts, policy, calendar)).isoformat()
        yield PlannedMail(
            "standing",
            facts.created_at,
            "member.standing_lapsed",
            facts.profile,
            context={"closes": closes},
            after_pause=after_pause(facts.created_at, merge_pauses(facts.pauses)),
        )


def _standing_task(facts: OnboardingFacts) -> Iterator[PlannedTask]:
    if facts.blocked and facts.unblocked_at is None:
        yield PlannedTask(
            facts.created_at,
            "member_lapsed",
            "sign-up while lapsed",
            "Help the member to renew; onboarding starts by itself when good standing is reported.",
        )


def _review_task(started: datetime) -> PlannedTask:
    return PlannedTask(
        started,
        "mentor_review",
        "experience",
        "Review the mentor's experience: neither the years in management nor the certification "
        "that stands for them is on record.",
    )


def _unmatched_task(closes: datetime) -> PlannedTask:
    action = "Offer the mentee help with finding a mentor."
    return PlannedTask(closes, "mentee_unmatched", "unmatched", action)


def _opening(facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar) -> list[StateChange]:
    if not facts.blocked:
        return [StateChange(facts.created_at, "waiting", "the profile was created")]
    changes = [StateChange(facts.created_at, "blocked", "the member is not in good standing")]
    if facts.unblocked_at:
        changes.append(StateChange(facts.unblocked_at, "waiting", "good standing returned"))
    else:
        lapses_at = _lapses_at(facts, policy, calendar)
        changes.append(StateChange(lapses_at, "lapsed", "good standing did not return", closes=True))
    return changes


def _lapses_at(facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar) -> datetime:
    """Return when a sign-up without good standing closes, unless standing returns before (MEM1)."""
    return calendar.plus_days(facts.created_at, policy.lapsed_after_days)


def _state_changes(facts: OnboardingFacts, pauses: list[Pause]) -> list[StateChange]:
    """Return the changes between the opening and the end: active (or welcomed), paused, and back."""
    first_state = "welcomed" if facts.role == "mentor" else "active"
    changes = []
    decided = facts.first_decided_at
    done = facts.role == "mentor"
    if decided and (done or not is_paused(pauses, decided)):
        changes.append(StateChange(decided, first_state, "the first mail was decided", closes=done))
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


def _unmatched_at(
    last_check_in: datetime | None, pauses: list[Pause], policy: OnboardingPolicy, calendar: Calendar
) -> datetime | None:
    """Return when the onboarding closes without a match; None while an open pause holds it (ONB4, ONB5).

    A pause after the last check-in moves the close by its length.
    """
    if last_check_in is None:
        return None
    closes = calendar.plus_days(last_check_in, policy.unmatched_after_days)
    for pause in pauses:
        if last_check_in < pause.since < closes:
            if pause.until is None:
                return None
            days = (calendar.date_of(pause.until) - calendar.date_of(pause.since)).days
            closes = max(calendar.plus_days(closes, days), pause.until)
    return closes


def closed_because(facts: OnboardingFacts, state: str, on: date | None = None) -> str:
    """Return why an onboarding takes no more acts, in words for the person who acts; empty while it is open.

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
    """End the onboarding (ONB3, ONB5, ONB6). A second end changes nothing."""
    return facts if facts.ended else replace(facts, ended=Ended(state, at, cause, actor))


def extend(facts: OnboardingFacts, check_ins: int, at: datetime, event: str = "") -> OnboardingFacts:
    """Add check-ins after the last planned one, once per event; none goes out before `at` (ONB5).

    Raises Refused for mentors, and for a number that is not 1 to 26.
    """
    if event and any(extension.event == event for extension in facts.extensions):
        return facts
    if facts.role != "mentee":
        raise Refused("only a mentee's onboarding has check-ins to extend")
    if not 1 <= check_ins <= 26:
        raise Refused("an extension is 1 to 26 check-ins")
    return replace(facts, extensions=[*facts.extensions, CheckInExtension(check_ins, at, event)])


def pause(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """Stop mail from `at` on (ONB5; MEM2 with the cause `standing`)."""
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at))


def resume(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """End the pause of this cause; mail that is still planned moves by its length (ONB5, MEM2)."""
    return replace(facts, pauses=end_pause(facts.pauses, cause, at))


def standing_changed(facts: OnboardingFacts, good: bool, at: datetime) -> OnboardingFacts:
    """Record that the member lost or regained good standing (MEM1 before the start, MEM2 after it)."""
    if facts.blocked and facts.unblocked_at is None:
        return replace(facts, unblocked_at=at) if good else facts
    return resume(facts, "standing", at) if good else pause(facts, "standing", at)


def mail_decided(facts: OnboardingFacts, step: str, at: datetime) -> OnboardingFacts:
    """Record that a mail has its decision: the first check-in starts the onboarding, the welcome completes it."""
    if facts.first_decided_at or step not in ("welcome", "check-in"):
        return facts
    return replace(facts, first_decided_at=at)
