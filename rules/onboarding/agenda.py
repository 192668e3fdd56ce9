"""The agenda of an onboarding: its mail, its dates and its ends (MEM1–MEM3, MEM5, ONB1–ONB8, T9, T10).

Dates are local to the member. Sources: handbook, "Onboarding Process"; FAQ, "roles and requirements"; what both leave
open is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from rules.agenda import Agenda, Ended, PlannedMail, PlannedTask, StateChange, without_past
from rules.calendar import Calendar
from rules.onboarding.facts import Match, OnboardingFacts
from rules.onboarding.sign_up import closing, window_mail
from rules.pauses import Pause, after_pause, is_paused, merge_pauses, send_at
from rules.program import OnboardingPolicy


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
    planned = _whole_agenda(facts, policy, calendar, qualified=qualified)
    return without_past(planned, facts.taken_over_at)


def _whole_agenda(
    facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar, *, qualified: bool
) -> Agenda:
    mails = list(_standing_mail(facts, policy, calendar))
    changes = _opening(facts, policy, calendar)
    tasks = list(_standing_task(facts))
    if facts.cohort_program:
        return _sign_up(facts, calendar, mails, changes, tasks)
    started = facts.unblocked_at if facts.blocked else facts.created_at
    closes: datetime | None = None
    if started is not None:
        pauses = merge_pauses(facts.pauses, since=started)
        if facts.role == "mentor":
            sequence = _welcome(facts, policy, calendar, started, pauses)
            tasks += [] if qualified else [_review_task(started)]
        else:
            sequence = _check_ins(facts, policy, calendar, started, pauses)
            closes = _unmatched_at(sequence[-1].due, pauses, policy, calendar)
        changes += _state_changes(facts, pauses, _active_since(facts, sequence))
        if facts.matches and not facts.ended:
            return _with_matches(facts, changes, sequence, tasks, closes)
        mails += sequence
    if closes:
        changes.append(StateChange(closes, "unmatched", "no match after the last check-in", closes=True))
        tasks.append(_unmatched_task(closes))
    if facts.ended:
        return _ended(facts.ended, changes, tasks)
    return Agenda(tuple(_held(facts, mails)), tuple(changes), tuple(tasks))


def _sign_up(
    facts: OnboardingFacts,
    calendar: Calendar,
    mails: list[PlannedMail],
    changes: list[StateChange],
    tasks: list[PlannedTask],
) -> Agenda:
    """Return the agenda in a cohort program: the notices to who cannot take part now, and no more (COH1, MEM1)."""
    notices = list(window_mail(facts, _mailed_at(facts), calendar))
    if facts.blocked and facts.unblocked_at:
        changes = changes[:1]  # closed at once: it does not wait for anything
    changes += _state_changes(facts, merge_pauses(facts.pauses), None)
    changes += closing(facts, _active_since(facts, notices) if notices else None)
    if facts.ended:
        return _ended(facts.ended, changes, tasks)
    return Agenda(tuple(_held(facts, [*mails, *notices])), tuple(changes), tuple(tasks))


def _active_since(facts: OnboardingFacts, sequence: Sequence[PlannedMail]) -> datetime | None:
    """Return when the first mail had its decision; one of before a take-over had it when it was due (T10)."""
    first = sequence[0].due
    if facts.taken_over_at and first and first < facts.taken_over_at:
        return first
    return facts.first_decided_at


def _with_matches(
    facts: OnboardingFacts,
    changes: Sequence[StateChange],
    check_ins: Sequence[PlannedMail],
    tasks: Sequence[PlannedTask],
    unmatched_at: datetime | None,
) -> Agenda:
    """Return the agenda of an onboarding that had a match: silent while it runs, open while check-ins are ahead (ONB8).

    After a match that was no fit it goes on with the check-ins that are ahead then; any other end closes it.
    """
    stretches = _stretches(facts.matches)
    kept = [change for change in changes if not change.closes]
    for since, until, last in stretches:
        kept = [change for change in kept if change.due <= since or (until and change.due > until)]
        kept.append(StateChange(since, "matched", f"matched by request {last.request}"))
        if until and last.no_fit:
            state = "paused" if is_paused(facts.pauses, until) else "active"
            kept.append(StateChange(until, state, "the match was no fit"))
    since, until, last = stretches[-1]
    cause, last_due = f"matched by request {last.request}", check_ins[-1].due
    nothing_ahead = max(since, last_due) if last_due else None
    if until is None or not last.no_fit or (nothing_ahead and nothing_ahead <= until):
        closes = min((at for at in (until, nothing_ahead) if at), default=None)
        return Agenda((), tuple(kept), tuple(tasks), cause, closes)
    # A key is never sent twice (MAIL1): what the match dropped comes back under another step.
    step = f"check-in.{times_returned(facts.matches) + 1}"
    ahead = [replace(mail, step=step) for mail in check_ins if mail.due is None or mail.due >= until]
    if unmatched_at:
        kept.append(StateChange(unmatched_at, "unmatched", "no match after the last check-in", closes=True))
        tasks = [*tasks, _unmatched_task(unmatched_at)]
    return Agenda(tuple(_held(facts, ahead)), tuple(kept), tuple(tasks))


def times_returned(matches: Sequence[Match]) -> int:
    """Return how often the check-ins have come back after a match.

    A match that is heard of late may join two stretches, whose check-ins had come back between them.
    """
    return max([len(_stretches(matches)), *(match.returned + 1 for match in matches)]) if matches else 0


def _stretches(matches: Sequence[Match]) -> list[tuple[datetime, datetime | None, Match]]:
    """Return the stretches of time in which a match ran, each with the match that ended last."""
    found: list[tuple[datetime, datetime | None, Match]] = []
    for match in sorted(matches, key=lambda match: match.since):
        if not found or (found[-1][1] is not None and found[-1][1] < match.since):
            found.append((match.since, match.until, match))
            continue
        since, until, _ = found[-1]
        if until is not None and (match.until is None or match.until >= until):
            found[-1] = (since, match.until, match)
    return found


def _held(facts: OnboardingFacts, mails: Sequence[PlannedMail]) -> Sequence[PlannedMail]:
    """Return mails without their instants while a pause is open."""
    if any(pause.until is None for pause in facts.pauses):
        return [replace(mail, due=None, after_pause=None) for mail in mails]
    return mails


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
        mailed_at = _mailed_at(facts)
        closes = calendar.date_of(_lapses_at(facts, policy, calendar)).isoformat()
        yield PlannedMail(
            "standing",
            mailed_at,
            "member.standing_lapsed",
            facts.profile,
            context={"closes": closes},
            after_pause=after_pause(mailed_at, merge_pauses(facts.pauses)),
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


def _mailed_at(facts: OnboardingFacts) -> datetime:
    """Return when a member without good standing is mailed: when the engine heard of the sign-up (T9)."""
    heard = None if facts.taken_over_at else facts.heard_at
    return max(facts.created_at, heard or facts.created_at)


def _lapses_at(facts: OnboardingFacts, policy: OnboardingPolicy, calendar: Calendar) -> datetime:
    """Return when a sign-up without good standing closes, unless standing returns before (MEM1)."""
    return calendar.plus_days(_mailed_at(facts), policy.lapsed_after_days)


def _state_changes(
    facts: OnboardingFacts, pauses: list[Pause], decided: datetime | None
) -> list[StateChange]:
    """Return the changes between the opening and the end: active (or welcomed), paused, and back."""
    first_state = "welcomed" if facts.role == "mentor" else "active"
    changes = []
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
    heard = facts.heard_of_start
    day = _anchor(calendar.date_of(started) + timedelta(days=policy.welcome_after_days), heard, calendar)
    due = _send_at(day, heard, pauses, calendar)
    late = after_pause(due, pauses, calendar)
    return [PlannedMail("welcome", due, "mentor.welcome", facts.profile, after_pause=late)]


def _check_ins(
    facts: OnboardingFacts,
    policy: OnboardingPolicy,
    calendar: Calendar,
    started: datetime,
    pauses: list[Pause],
) -> list[PlannedMail]:
    heard = facts.heard_of_start
    first = calendar.date_of(started) + timedelta(days=policy.starts_after_days)
    anchor = _anchor(first, heard, calendar, policy.check_ins[0])
    dues = [_send_at(anchor + timedelta(days=offset), heard, pauses, calendar) for offset in policy.check_ins]
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


def _anchor(day: date, heard: datetime | None, calendar: Calendar, first: int = 0) -> date:
    """Return the day from which a sequence counts; `first` is the number of days to its first mail.

    A sequence that the engine hears of after the day of its first mail begins on the day of hearing (T9).
    """
    if heard is None:
        return day
    first_mail = calendar.send_at(day + timedelta(days=first))
    heard_on = calendar.date_of(heard)
    return heard_on - timedelta(days=first) if heard_on > calendar.date_of(first_mail) else day


def _send_at(
    day: date, heard: datetime | None, pauses: Sequence[Pause], calendar: Calendar
) -> datetime | None:
    """Return when mail of a day goes out, moved by pauses; never before the engine heard of the sequence (T4, T9)."""
    if heard and calendar.send_at(day) < heard:
        day = calendar.date_of(calendar.send_from(heard))
        pauses = [pause for pause in pauses if pause.until is None or pause.until > heard]
    return send_at(day, pauses, calendar)


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
