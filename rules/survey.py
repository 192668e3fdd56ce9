"""The survey of one side after an engagement: its mail, its deadline and its answers (SUR1–SUR3).

It opens when an engagement is completed, ends as not a fit, or is ended by a party. Sources: handbook, "Reflect and
Assess"; the dates are decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from rules.acts import Act, Received
from rules.agenda import Agenda, Ended, PlannedMail, Refused, StateChange, without_past
from rules.calendar import Calendar
from rules.kinds import KINDS
from rules.program import Question, SurveyPolicy
from rules.validation import Issue, Issues, ValidationError, integer, multi_line, nearest, text_of

Answer = str | int | bool
"""An answer as it is stored: the id of a choice or free text, a rating, yes or no."""


@dataclass(frozen=True, slots=True)
class SurveyFacts:
    """Everything that decides a survey: ids and instants only (MEM6)."""

    engagement: str
    role: str
    """The role of the side that is asked: `mentor` or `mentee`."""
    profile: str
    opened_at: datetime
    """When the engagement ended."""
    answered_at: datetime | None = None
    """When the first answer came."""
    ended: Ended | None = None
    """A cancellation by staff."""
    notified_at: datetime | None = None
    """When the mail about the end was due to the reader; None in facts from before surveys followed that mail."""
    waits_until: datetime | None = None
    """The send time for which the first mail waits, as long as the mail about the end has not left."""
    received: Received = field(default_factory=Received)
    taken_over_at: datetime | None = None
    """The take-over of its engagement: nobody is mailed about the time before (T10)."""


def closes_at(facts: SurveyFacts, policy: SurveyPolicy, calendar: Calendar) -> datetime:
    """Return when a survey closes: calendar days after its opening, at the same local time (SUR2).

    `calendar` is the reader's.
    """
    return calendar.plus_days(facts.opened_at, policy.closes_after_days)


def agenda(facts: SurveyFacts, policy: SurveyPolicy, calendar: Calendar) -> Agenda:
    """Return everything that a survey does (SUR2, SUR3). `calendar` is the reader's.

    The first mail follows the mail about the end on the reader's next business day; the reminders count from the end
    (T4). After an answer the state is `answered`. The answer can be replaced until `closes_at`, when the lifecycle
    ends in that state.
    """
    closes = closes_at(facts, policy, calendar)
    changes = [StateChange(facts.opened_at, "open", "the engagement has ended")]
    if facts.answered_at:
        changes.append(StateChange(facts.answered_at, "answered", "an answer came"))
    if facts.ended:
        changes.append(StateChange(facts.ended.at, facts.ended.state, facts.ended.cause, closes=True))
        return Agenda((), tuple(changes), dropped_because=facts.ended.cause)
    if facts.answered_at:
        return Agenda((), tuple(changes), dropped_because="the survey is answered", closes_at=closes)
    changes.append(StateChange(closes, "closed", "no answer came in time", closes=True))
    mails = tuple(_mails(facts, policy, calendar, closes))
    # At the due instant of the first mail the plan looks whether the mail about the end has left (`wait_for_notice`).
    first = [mail.due for mail in mails if mail.due and mail.number == 1]
    return without_past(Agenda(mails, tuple(changes), recheck_at=tuple(first)), facts.taken_over_at)


def first_mail_at(facts: SurveyFacts, calendar: Calendar) -> datetime:
    """Return when the survey itself goes out (SUR2, T4). `calendar` is the reader's.

    That is on the first business day after the day of the mail about the end, so that nobody gets both at once.
    """
    if facts.notified_at is None:
        return facts.opened_at
    day = calendar.plus_business_days(calendar.date_of(facts.notified_at), 1)
    due = calendar.send_at(day)
    return max(due, facts.waits_until) if facts.waits_until else due


def wait_for_notice(
    facts: SurveyFacts, at: datetime, calendar: Calendar, *, notice_left: bool
) -> SurveyFacts:
    """Return the facts at an instant at which the mail about the end has left, or has not (SUR2).

    A survey whose first mail is due before that waits for the next send time of the reader.
    """
    if notice_left or facts.answered_at or facts.ended or first_mail_at(facts, calendar) > at:
        return facts
    return replace(facts, waits_until=calendar.next_send_after(at))


def _mails(
    facts: SurveyFacts, policy: SurveyPolicy, calendar: Calendar, closes: datetime
) -> Iterator[PlannedMail]:
    """Yield the survey and its reminders.

    A reminder that would not come after the mail before it, and any mail after the close, is left out.
    """
    opened_on = calendar.date_of(facts.opened_at)
    previous: datetime | None = None
    context = {"opened": facts.opened_at.isoformat(), "closes": calendar.date_of(closes).isoformat()}
    for number, days in enumerate((0, *policy.reminder_days), start=1):
        due = (
            calendar.send_at(opened_on + timedelta(days=days))
            if number > 1
            else first_mail_at(facts, calendar)
        )
        if due >= closes or (previous and due <= previous):
            continue
        previous = due
        yield PlannedMail("survey", due, f"{facts.role}.survey", facts.profile, number, number, context)


def answer(facts: SurveyFacts, at: datetime, closes: datetime | None = None) -> SurveyFacts:
    """Record an answer; a later one replaces it and changes no date (SUR2, SUR3).

    `closes` is `closes_at`, for callers that do not know whether the lifecycle has ended. Raises Refused once the
    survey is closed or cancelled.
    """
    if facts.ended:
        raise Refused("this survey was cancelled")
    if closes is not None and at >= closes:
        raise Refused("this survey is closed; feedback is welcome at any time all the same")
    if facts.answered_at:
        return facts
    return replace(facts, answered_at=max(at, facts.opened_at))


def cancel(facts: SurveyFacts, at: datetime, reason: str = "", actor: str = "") -> SurveyFacts:
    """Cancel the survey by order of staff: no more mail, no more answers. A second cancel changes nothing."""
    if facts.ended:
        return facts
    cause = f"cancelled by staff: {reason}" if reason else "cancelled by staff"
    at = max([at, facts.opened_at, *([facts.answered_at] if facts.answered_at else [])])
    return replace(facts, ended=Ended("canceled", at, cause, actor))


def closed_because(facts: SurveyFacts, state: str, on: date | None = None) -> str:
    """Return how a survey is over, for an act that comes too late; empty while it takes answers."""
    ended = facts.ended.state if facts.ended else state
    if ended == "answered" or ended in KINDS["survey"].open_states:
        return ""
    return f"the survey is over: {ended}{f' on {on.isoformat()}' if on else ''}"


def apply(
    facts: SurveyFacts, act: Act, now: datetime, policy: SurveyPolicy, calendar: Calendar
) -> SurveyFacts:
    """Return a survey's facts after an act; `calendar` is the reader's (SUR2, SUR3, STA1). Raises Refused."""
    at = act.at or now
    match act.name:
        case "answered":
            return answer(facts, at, closes_at(facts, policy, calendar))
        case "cancel":
            return cancel(facts, at, act.reason, act.actor)
    raise Refused(f"a survey has no act {act.name}")


def check_answers(
    policy: SurveyPolicy, role: str, answers: Mapping[str, object]
) -> tuple[dict[str, Answer], list[Issue]]:
    """Return the valid answers to a role's questions, as they are stored, and the issues of the others (SUR1).

    The text of a form (`yes`, `4`) counts as true and 4. A missing or blank answer is left out. An issue names a
    question by its id: a required one without an answer, an answer that does not fit, an unknown id.
    """
    questions = {question.id: question for question in policy.questions(role)}
    faults = Issues()
    clean: dict[str, Answer] = {}
    for name, question in questions.items():
        given = answers.get(name)
        if isinstance(given, str) and not given.strip():
            given = None
        if given is None:
            if question.required:
                faults.add("needs an answer", name)
            continue
        value = faults.read(name, _reader(question, policy), given)
        if value is not None:
            clean[name] = value
    for name in answers:
        if name not in questions:
            faults.add(f"is no question of this survey{nearest(name, questions)}", name)
    if not clean and not faults.found:
        faults.add("at least one question needs an answer")
    return clean, faults.found


def _reader(question: Question, policy: SurveyPolicy) -> Callable[[object], Answer]:
    if question.kind == "yes_no":
        return _yes_or_no
    if question.kind == "rating":
        return lambda value: integer(1, policy.rating_most)(_number(value, policy.rating_most))
    if question.kind == "choice":
        return lambda value: _choice(question, value)
    return lambda value: multi_line(blank=False)(value).strip()


_YES, _NO = ("yes", "true"), ("no", "false")


def _yes_or_no(value: object) -> bool:
    word = ("yes" if value else "no") if isinstance(value, bool) else text_of(value).strip().casefold()
    if word not in (*_YES, *_NO):
        raise ValidationError("must be yes or no")
    return word in _YES


def _number(value: object, most: int) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        # The words of an answer are confidential: a reason does not quote them.
        raise ValidationError(f"must be a whole number from 1 to {most}, not text")
    return int(text)


def _choice(question: Question, value: object) -> str:
    ids = [choice.id for choice in question.choices]
    word = ("yes" if value else "no") if isinstance(value, bool) else text_of(value).strip()
    if word not in ids:
        raise ValidationError(f"must be one of {', '.join(ids)}")
    return word
