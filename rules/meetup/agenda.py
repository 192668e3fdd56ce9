"""The states of a meetup, and the mail of one invited person (MEE1).

Thousands may be invited, so a meetup has no agenda of all mail. `mails` is the agenda of one person, a pure function
that a plan calls for a bounded number of people at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rules.agenda import Agenda, PlannedMail, StateChange
from rules.calendar import Calendar
from rules.meetup.facts import InvitedPerson, MeetupFacts, PastMail

RESOURCES_WITHIN = timedelta(days=30)
"""How long after its end a meetup waits for resources before it closes."""

MOST_LOOKS = 400
"""On how many days before its start a meetup of a cohort looks for new members."""

OUT = frozenset({"handed_over", "sent", "ambiguous"})
"""The states of a message that its reader has, or may have."""

STEPS = ("invitation", "changed", "canceled", "reminder", "resources")
"""What the messages of a meetup are."""


def agenda(facts: MeetupFacts) -> Agenda:
    """Return the states of a meetup. Its mail is planned apart, person by person."""
    changes = [StateChange(facts.scheduled_at, "scheduled", "it was scheduled")]
    if facts.ended:
        changes.append(StateChange(facts.ended.at, facts.ended.state, facts.ended.cause))
        return Agenda((), tuple(changes), closes_at=facts.finished_at, has_batches=True)
    changes.append(StateChange(max(facts.ends_at, facts.scheduled_at), "held", "it took place"))
    recheck = [*_looks_for_joiners(facts)]
    if facts.resources_at is None:
        recheck.append(facts.ends_at + RESOURCES_WITHIN)
    return Agenda(
        (), tuple(changes), closes_at=facts.finished_at, recheck_at=tuple(recheck), has_batches=True
    )


def _looks_for_joiners(facts: MeetupFacts) -> Iterator[datetime]:
    """Yield the instants at which a meetup of a cohort looks for new members: each day, as they come at any time."""
    if facts.cohort:
        days = min((facts.starts_at - facts.announced_at).days, MOST_LOOKS)
        for day in range(1, days + 1):
            yield facts.starts_at - timedelta(days=day)


def waits_for_resources(facts: MeetupFacts, at: datetime) -> bool:
    """Return whether a meetup that took place stays open because its resources may still come (MEE1)."""
    return not facts.ended and facts.resources_at is None and at < facts.ends_at + RESOURCES_WITHIN


def dropped_because(facts: MeetupFacts, person: InvitedPerson) -> str:
    """Return the reason to record with a message of a person that is no longer due."""
    if facts.ended:
        return facts.ended.cause
    if facts.held:
        return "the meetup is over"
    if person.answer == "no":
        return "the invitation was declined"
    return "the meetup was changed"


def mails(
    facts: MeetupFacts, person: InvitedPerson, past: Sequence[PastMail], calendar: Calendar
) -> tuple[PlannedMail, ...]:
    """Return the agenda of one invited person (MEE1, T4). `calendar` is the person's.

    A cancellation goes to those who have an invitation, or may have one: mail programs take no other. A change goes
    to the same; others get the invitation with the newest data.
    """
    return tuple(mail for mail in _mails(facts, person, past, calendar) if not _is_past(facts, mail))


def _is_past(facts: MeetupFacts, mail: PlannedMail) -> bool:
    """Return whether a mail is of before a take-over: it counts as done (T10)."""
    taken_over = facts.taken_over_at
    return taken_over is not None and mail.due is not None and mail.due < taken_over


def _mails(
    facts: MeetupFacts, person: InvitedPerson, past: Sequence[PastMail], calendar: Calendar
) -> Iterator[PlannedMail]:
    seen = max((each.edition for each in past if each.what != "canceled" and _is_request(each)), default=0)
    if facts.ended:
        if seen:
            yield _planned(facts, person, "canceled", facts.ended.at)
        return
    if not facts.held:
        if not seen:
            yield _planned(facts, person, "invitation", person.invited_at)
        elif facts.changed_at and seen < facts.edition:
            yield _planned(facts, person, "changed", facts.changed_at, facts.edition)
        if due := reminder_at(facts, person, calendar):
            yield _planned(facts, person, "reminder", due, _reminder_number(facts, past))
    if facts.resources_at and (seen or facts.taken_over_at):
        yield _planned(facts, person, "resources", _resources_due(facts, facts.resources_at, calendar))


def _is_request(mail: PastMail) -> bool:
    return mail.what in ("invitation", "changed") and mail.state in OUT


def _resources_due(facts: MeetupFacts, known_at: datetime, calendar: Calendar) -> datetime:
    """Return when resources go out: at the reader's first send time after the end, or at once if they come later."""
    return known_at if known_at > facts.ends_at else calendar.send_from(facts.ends_at)


def reminder_at(facts: MeetupFacts, person: InvitedPerson, calendar: Calendar) -> datetime | None:
    """Return the send time on the business day before, on the person's calendar (MEE1, T4).

    None for who declined, and for who was invited, or heard of the present time, on that morning or later.
    """
    if person.answer == "no":
        return None
    day = calendar.business_day_before(calendar.date_of(facts.starts_at))
    due = calendar.instant(day, calendar.hours.send_time)
    if due <= person.invited_at or (facts.moved_at and due <= facts.moved_at):
        return None
    return due


def _reminder_number(facts: MeetupFacts, past: Sequence[PastMail]) -> int:
    """Return the occurrence of the reminder: another one after a move to another time, or a decline taken back."""
    reminders = [each for each in past if each.what == "reminder"]
    if not reminders:
        return 1
    last = max(reminders, key=lambda each: each.occurrence)
    is_new = last.state == "cancelled" or (last.state in OUT and last.moves < facts.moves)
    return last.occurrence + 1 if is_new else last.occurrence


def _planned(
    facts: MeetupFacts, person: InvitedPerson, what: str, due: datetime, occurrence: int = 1
) -> PlannedMail:
    if facts.resumed_at and due < facts.resumed_at:
        due = facts.resumed_at
    context = {
        "starts": facts.starts_at.isoformat(),
        "edition": str(facts.edition),
        "moves": str(facts.moves),
    }
    if what in ("invitation", "reminder"):
        # A cap of nudges a day moves no mail past the day of its meetup.
        context["due"] = facts.starts_at.isoformat()
    message = {"changed": "meetup_changed", "canceled": "meetup_canceled"}.get(what, f"meetup_{what}")
    held = facts.is_paused
    return PlannedMail(
        step_of(what, person.number),
        None if held else due,
        f"member.{message}",
        person.profile,
        occurrence,
        context=context,
    )


def step_of(what: str, number: int) -> str:
    """Return the step of a message: what it is, and the number of the invited person."""
    return f"{what}-{number}"


def parts_of_step(step: str) -> tuple[str, int]:
    """Return what a step is, and the number of the invited person. Raises ValueError for another step."""
    what, _, number = step.rpartition("-")
    return what, int(number)


def over_because(facts: MeetupFacts, what: str, at: datetime) -> str:
    """Return why a message comes too late at an instant: the meetup has begun, or is over. Empty if it does not."""
    if what == "resources":
        return ""
    if at >= facts.ends_at:
        return "the meetup is over"
    return "the meetup has begun" if what == "reminder" and at >= facts.starts_at else ""
