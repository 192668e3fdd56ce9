"""A mentee's request to a mentor: its mail, its deadlines and its ends (REQ1–REQ10, MEM2, MEM4).

Deadlines follow the business days and the clock of the mentor, who has to act (T2). Sources: handbook,
"Roles and Responsibilities", "Onboarding Process" and "Discovery Call"; the rest is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from rules.acts import NOBODY, Act, Lapse, Received, lapse_tasks, record_standing
from rules.agenda import (
    Agenda,
    Ended,
    PlannedMail,
    PlannedTask,
    Refused,
    StateChange,
    closing_change,
    without_past,
)
from rules.calendar import Calendar
from rules.kinds import KINDS
from rules.program import RequestPolicy

OPEN = KINDS["request"].open_states
"""The states in which a request can be answered."""

MOST_EXTENSION = 60
"""The business days that one extension adds at most."""

MOST_EXTENDED = 260
"""The business days that all extensions of a request add at most."""


@dataclass(frozen=True, slots=True)
class DeadlineExtension:
    """Business days that staff added to the deadlines (REQ9)."""

    at: datetime
    business_days: int
    event: str = ""
    """The stored event that reported it, if there is one."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Everything that decides a request: ids and instants only (MEM6)."""

    request: str
    mentee: str
    """The mentee's profile."""
    mentor: str
    """The mentor's profile."""
    created_at: datetime
    unavailable_because: str = ""
    """Why the mentor could take nobody when the request was made; empty if they could (MEM4)."""
    heard_at: datetime | None = None
    """When the engine heard of it, if that was later: deadlines count from then (T9)."""
    taken_over_at: datetime | None = None
    """The take-over that it was history at: deadlines count from its own time (T10)."""
    extensions: list[DeadlineExtension] = field(default_factory=list)
    lapses: list[Lapse] = field(default_factory=list)
    ended: Ended | None = None
    ended_by: str = ""
    """`mentee`, `mentor`, `staff` or `program`."""
    received: Received = field(default_factory=Received)

    @property
    def mailed_at(self) -> datetime:
        """The instant of its first mails, from which deadlines count (T9)."""
        return (
            self.created_at if self.taken_over_at else max(self.created_at, self.heard_at or self.created_at)
        )


def agenda(facts: RequestFacts, policy: RequestPolicy, calendar: Calendar, mentee: Calendar) -> Agenda:
    """Return everything that a request does (REQ1–REQ4, REQ6–REQ9, REQ11, MEM2, MEM4, T9, T10).

    `calendar` is the mentor's, who has to answer; `mentee` is that of the mentee, whom time alone mails by T4. An
    extension moves what is still ahead. What has passed comes again as the next occurrence.
    """
    return without_past(_whole_agenda(facts, policy, calendar, mentee), facts.taken_over_at)


def _whole_agenda(facts: RequestFacts, policy: RequestPolicy, calendar: Calendar, mentee: Calendar) -> Agenda:
    if facts.unavailable_because:
        unavailable = Ended("unavailable", facts.created_at, facts.unavailable_because)
        closing = StateChange(unavailable.at, unavailable.state, unavailable.cause, closes=True)
        return Agenda(tuple(_closing_mails(facts, unavailable)), (closing,))
    answer = _deadline(facts, policy.answer_business_days, calendar)
    unanswered = _deadline(facts, policy.unanswered_business_days, calendar)
    expires = expires_at(facts, policy, calendar)
    ended = facts.ended or Ended("expired", expires, "it was not answered in time")
    opening, *changes = _state_changes(facts, answer)
    lapsed = lapse_tasks(
        facts.lapses, facts.mentor, "The request stays open; cancel it if nothing comes of that."
    )
    return Agenda(
        tuple(
            _closing_mails(facts, facts.ended)
            if facts.ended
            else _mails(facts, policy, calendar, mentee, answer)
        ),
        (
            opening,
            *(change for change in changes if change.due < ended.at),
            StateChange(ended.at, ended.state, ended.cause, closes=True),
        ),
        tuple(task for task in (_unanswered_task(unanswered), *lapsed) if task.due < ended.at),
        facts.ended.cause if facts.ended else "no longer due",
    )


def answer_due(facts: RequestFacts, policy: RequestPolicy, calendar: Calendar) -> datetime:
    """Return the mentor's deadline, extensions included; `calendar` is the mentor's (REQ2, REQ9)."""
    return _deadline(facts, policy.answer_business_days, calendar).due


def expires_at(facts: RequestFacts, policy: RequestPolicy, calendar: Calendar) -> datetime:
    """Return when an unanswered request expires, extensions included; `calendar` is the mentor's (REQ8)."""
    return _deadline(facts, policy.expires_business_days, calendar).due


@dataclass(frozen=True, slots=True)
class _Due:
    """A deadline that extensions move."""

    due: datetime
    passed: tuple[tuple[datetime, datetime], ...] = ()
    """The deadlines that passed before an extension, each with the instant of that extension."""

    @property
    def occurrence(self) -> int:
        return len(self.passed) + 1


def _extended(facts: RequestFacts, due_after: Callable[[int], datetime]) -> _Due:
    """Return the deadline that `due_after` gives for a number of added business days (REQ9).

    A deadline that has passed stays passed until an extension moves it into the future.
    """
    added, due, passed = 0, due_after(0), []
    for extension in facts.extensions:
        added += extension.business_days
        moved = due_after(added)
        if due > extension.at:
            due = moved
        elif moved > extension.at:
            passed.append((due, extension.at))
            due = moved
    return _Due(due, tuple(passed))


def _deadline(facts: RequestFacts, business_days: int, calendar: Calendar) -> _Due:
    return _extended(facts, lambda added: calendar.deadline(facts.mailed_at, business_days + added))


def _state_changes(facts: RequestFacts, answer: _Due) -> list[StateChange]:
    changes = [StateChange(facts.created_at, "open", "the mentee asked")]
    for missed_at, extended_at in answer.passed:
        changes.append(StateChange(missed_at, "past_due", "the mentor did not answer in time"))
        changes.append(StateChange(extended_at, "open", "staff gave the mentor more time"))
    changes.append(StateChange(answer.due, "past_due", "the mentor did not answer in time"))
    return changes


def _mails(
    facts: RequestFacts,
    policy: RequestPolicy,
    calendar: Calendar,
    mentee: Calendar,
    answer: _Due,
) -> list[PlannedMail]:
    """Yield the mail of an open request; only what falls on the mentor's close of business leaves then (T4)."""

    def morning_of_the_due_day(added: int) -> datetime:
        due = calendar.deadline(facts.mailed_at, policy.answer_business_days + added)
        return calendar.send_at(calendar.date_of(due))

    def unanswered_mail(added: int) -> datetime:
        return mentee.send_from(calendar.deadline(facts.mailed_at, policy.unanswered_business_days + added))

    reminder, unanswered = _extended(facts, morning_of_the_due_day), _extended(facts, unanswered_mail)
    expires = expires_at(facts, policy, calendar)
    created = _Due(facts.mailed_at)
    context = _context(facts, due=answer.due, expires=expires)
    return [
        PlannedMail(message, when.due, message, _reader(facts, message), when.occurrence, context=context)
        for message, when in (
            ("mentor.request_received", created),
            ("mentee.request_sent", created),
            ("mentor.request_reminder", reminder),
            ("mentor.request_past_due", answer),
            ("mentee.request_unanswered", unanswered),
            ("mentor.request_expired", _Due(expires)),
            ("mentee.request_expired", _Due(mentee.send_from(expires))),
        )
    ]


def _closing_mails(facts: RequestFacts, ended: Ended) -> list[PlannedMail]:
    """Return the mail about an end.

    An acceptance has none: the engagement that follows has its own mail. Nor has what the program cancels (REQ11).
    """
    if ended.state == "canceled" and facts.ended_by == "program":
        return []
    messages = {
        "declined": ("mentee.request_declined", "mentor.declined_checkin"),
        "canceled": ("mentor.request_canceled", "mentee.request_canceled"),
        "unavailable": ("mentee.mentor_unavailable",),
    }
    context = _context(facts)
    return [
        PlannedMail(message, ended.at, message, _reader(facts, message), context=context)
        for message in messages.get(ended.state, ())
    ]


def _context(facts: RequestFacts, **instants: datetime) -> dict[str, str]:
    named = {"asked": facts.created_at, **instants}
    return {name: at.astimezone(UTC).isoformat() for name, at in named.items()}


def _reader(facts: RequestFacts, message: str) -> str:
    return facts.mentor if message.startswith("mentor.") else facts.mentee


def _unanswered_task(unanswered: _Due) -> PlannedTask:
    again = f" again ({unanswered.occurrence})" if unanswered.occurrence > 1 else ""
    return PlannedTask(
        unanswered.due,
        "request_unanswered",
        f"unanswered{again}",
        "Ask the mentor personally, or help the mentee to ask somebody else.",
    )


def accept(facts: RequestFacts, at: datetime, state: str) -> RequestFacts:
    """Accept the request for the mentor, past due or not (REQ5). Raises Refused if it is closed (REQ10).

    Here and below, `state` is the state in force at `at`, as it was recorded.
    """
    return _close(facts, Ended("accepted", at, "accepted by the mentor"), state, by="mentor")


def decline(facts: RequestFacts, at: datetime, state: str, reason: str = "") -> RequestFacts:
    """Decline the request for the mentor; the reason is for staff (REQ6). Raises Refused if it is closed (REQ10)."""
    cause = _with_reason("declined by the mentor", reason)
    return _close(facts, Ended("declined", at, cause), state, by="mentor")


def withdraw(facts: RequestFacts, at: datetime, state: str, reason: str = "") -> RequestFacts:
    """Withdraw the request for the mentee (REQ7). Raises Refused if it is closed (REQ10)."""
    cause = _with_reason("withdrawn by the mentee", reason)
    return _close(facts, Ended("canceled", at, cause), state, by="mentee")


def cancel(facts: RequestFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> RequestFacts:
    """Cancel the request by order of staff (REQ9). Raises Refused if it is closed (REQ10)."""
    cause = _with_reason("cancelled by staff", reason)
    return _close(facts, Ended("canceled", at, cause, actor), state, by="staff")


def supersede(facts: RequestFacts, at: datetime, state: str, cause: str) -> RequestFacts:
    """Close the request without mail: the same mentor has accepted another one of the mentee (REQ11).

    Raises Refused if the request is closed (REQ10).
    """
    return _close(facts, Ended("canceled", at, cause), state, by="program")


def make_unavailable(facts: RequestFacts, at: datetime, state: str, cause: str) -> RequestFacts:
    """Close the request because the mentor can take nobody: a hold, no place, a withdrawn profile (MEM4).

    `cause` says which, in words for staff. Raises Refused if the request is closed (REQ10).
    """
    return _close(facts, Ended("unavailable", at, cause), state, by="program")


def extend(
    facts: RequestFacts, business_days: int, at: datetime, state: str, event: str = ""
) -> RequestFacts:
    """Move every deadline by business days, by order of staff, once per event (REQ9).

    Deadlines still count from the start. Raises Refused if the request is closed, and for too few or too many days.
    """
    if event and any(extension.event == event for extension in facts.extensions):
        return facts
    _refuse_if_closed(facts, state)
    if not 1 <= business_days <= MOST_EXTENSION:
        raise Refused(f"an extension is 1 to {MOST_EXTENSION} business days")
    if sum(extension.business_days for extension in facts.extensions) + business_days > MOST_EXTENDED:
        raise Refused(f"a request is extended by {MOST_EXTENDED} business days at most, all in all")
    at = max([facts.created_at, at, *(extension.at for extension in facts.extensions)])
    return replace(facts, extensions=[*facts.extensions, DeadlineExtension(at, business_days, event)])


def standing_changed(facts: RequestFacts, profile: str, good: bool, at: datetime) -> RequestFacts:
    """Record that a party lost or regained good standing; the request stays open (MEM2)."""
    return replace(facts, lapses=record_standing(facts.lapses, profile, good, at))


def _with_reason(cause: str, reason: str) -> str:
    return f"{cause}: {reason}" if reason else cause


# long: the parts of an agenda that a close may keep or drop
def _close(facts: RequestFacts, ended: Ended, state: str, by: str) -> RequestFacts:
    _refuse_if_closed(facts, state)
    return replace(facts, ended=replace(ended, at=max(ended.at, facts.created_at)), ended_by=by)


def closed_because(facts: RequestFacts, state: str, on: date | None = None) -> str:
    """Return why a request takes no more acts, in words for the person who acts (REQ10); empty while it is open.

    `on` is the mentor's local day on which it ended, where that is known.
    """
    ended = facts.ended.state if facts.ended else "unavailable" if facts.unavailable_because else state
    if ended in OPEN:
        return ""
    expired = f"expired on {on.isoformat()}" if on else "has expired"
    return {
        "accepted": "the request was already accepted",
        "declined": "the request was already declined",
        "canceled": {
            "mentee": "the mentee has withdrawn the request",
            "program": "the two work together already, by another request",
        }.get(facts.ended_by, "staff have cancelled the request"),
        "expired": f"the request {expired}: it was open for too long without an answer",
        "unavailable": "the request is closed: the mentor cannot take another mentee now",
    }.get(ended, "the request is closed")


def _refuse_if_closed(facts: RequestFacts, state: str) -> None:
    if reason := closed_because(facts, state):
        raise Refused(reason)


def apply(
    facts: RequestFacts, act: Act, now: datetime, policy: RequestPolicy, calendar: Calendar
) -> RequestFacts:
    """Return a request's facts after an act; `calendar` is the mentor's (REQ5–REQ11, MEM2, MEM4, T9, T10).

    Raises Refused if the request had ended by then; the text says how.
    """
    after = _apply(facts, act, now, policy, calendar)
    if after.ended and after.ended is not facts.ended:
        after = replace(after, ended=replace(after.ended, heard_at=act.heard_at, history=act.history))
    if act.taken_over_at:
        after = replace(after, taken_over_at=max(act.taken_over_at, facts.taken_over_at or act.taken_over_at))
    return after


def _apply(
    facts: RequestFacts, act: Act, now: datetime, policy: RequestPolicy, calendar: Calendar
) -> RequestFacts:
    at = act.at or now
    planned = agenda(facts, policy, calendar, calendar)
    closing = closing_change(planned, at)
    if closing and act.name != "standing":
        raise Refused(closed_because(facts, closing.state, calendar.date_of(closing.due)))
    state = planned.state_at(at)
    match act.name:
        case "accept":
            return accept(facts, at, state)
        case "decline":
            return decline(facts, at, state, act.reason)
        case "withdraw":
            return withdraw(facts, at, state, act.reason)
        case "cancel":
            return cancel(facts, at, state, act.reason, act.actor)
        case "extend":
            at = max(at, act.heard_at or at)
            return extend(facts, int(act.details.get("business_days", "0")), at, state, act.event)
        case "superseded":
            return supersede(facts, at, state, act.reason)
        case "unavailable":
            return make_unavailable(facts, at, state, act.reason)
        case "standing":
            return standing_changed(facts, act.by, act.details["good"] == "yes", at)
    raise Refused(f"a request has no act {act.name}")


def attributed(act: Act) -> Act:
    """Return an answer with its party as the actor, where a plain Temporal client named nobody (STA3)."""
    actor = {"accept": "mentor", "decline": "mentor", "withdraw": "mentee"}.get(act.name)
    return replace(act, actor=actor) if actor and act.actor == NOBODY else act
