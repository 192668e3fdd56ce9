"""The messages of an engagement over its life, and what pauses and new ends did to each (ENG1–ENG9, ENG11).

The agenda of an engagement cannot be computed from the latest facts alone. A message that an act dropped and a later
act brought back needs a key of its own, because a key is never sent twice (MAIL1). So `mail_histories` follows each
message through the moments of the acts.

A plan is made on each act, and acts add messages. So a message is looked at closely only while it can come due: before
that it is either on the agenda or not, and after it was sent only the last moment counts.
"""

# long: every message of an engagement, in the order of its life

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise

from rules.calendar import Calendar
from rules.engagement.curriculum import Curriculum, PlannedStep
from rules.engagement.dates import end_changes, finished_pauses, held_since, pulse_day, start_day
from rules.engagement.facts import GRADUATION, ROLES, EngagementFacts
from rules.engagement.moments import Moment, moments_of
from rules.pauses import merge_pauses
from rules.program import CurriculumPolicy, EngagementPolicy

DraftKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as the facts at one instant call for it."""

    role: str
    """Who reads it: `mentor` or `mentee`."""
    name: str
    """The message's name without its audience, such as `pulse`."""
    due: datetime
    context: dict[str, str]
    occurrence: int = 1
    numbered: bool = False
    """Whether the occurrence is shown to the reader, as in the third pulse."""
    scheduled: bool = True
    """Whether it waits for the send time (T4), rather than going out at once."""
    place: int | None = None
    """The number that the reader sees, where that is not the occurrence."""
    about: str = ""
    """What one of several messages of a name is about: the step of a curriculum. Its place may change, its id does
    not."""

    @property
    def key(self) -> DraftKey:
        return self.role, f"{self.name}.{self.about}" if self.about else self.name, self.occurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleMessage:
    """A message that some moments call for: when it is due, and what it says."""

    role: str
    name: str
    due: Callable[[Moment], datetime | None]
    """The due instant by a moment; None where that does not call for the message."""
    context: dict[str, str] = field(default_factory=dict)
    occurrence: int = 1
    numbered: bool = False
    scheduled: bool = True
    asks_about_end: bool = False
    """Whether each new planned end asks again."""
    first: int = 0
    """The first moment that may call for it, by number."""
    not_before: datetime | None = None
    """An instant before which it is due by no moment, if one is known."""
    called_for: Callable[[int], bool] | None = None
    """Whether the moment of a number calls for it. Known without its due instant, with `not_before`."""
    changes: Sequence[int] = ()
    """The moments at which `called_for` changes, by number."""
    about: str = ""
    """As of the draft."""
    place: int | None = None
    """The number that the reader sees, where that is not the occurrence."""

    def draft(self, due: datetime) -> Draft:
        """Return the message as it is due at an instant."""
        named = (self.role, self.name, due, self.context, self.occurrence, self.numbered, self.scheduled)
        return Draft(*named, self.place, self.about)


@dataclass(slots=True)
class MailHistory:
    """What happened to one message so far."""

    draft: Draft
    planned: bool = False
    """Whether it is on the agenda now."""
    sent: bool = False
    times_dropped: int = 0
    """How often it left the agenda before it was sent."""
    repeated: int = 0
    """How often it was sent and came back for another end."""
    added_late_at: datetime | None = None
    """When it came onto the agenda, if its due instant had passed by then."""
    ends: int = 0
    """For a message about a planned end: the place of that end among all ends."""
    not_before: datetime | None = None
    """As of the message; where it has been looked at, its due instant then."""
    first_planned: int | None = None
    """The number of the moment that put it onto the agenda first."""


class MessagePlan:
    """The messages that the facts call for, as if an open pause had not begun."""

    def __init__(
        self,
        facts: EngagementFacts,
        policy: EngagementPolicy,
        program: Calendar,
        calendars: dict[str, Calendar],
        curriculum: CurriculumPolicy | None = None,
    ) -> None:
        self.facts, self.policy, self.program, self.calendars = facts, policy, program, calendars
        self.start = start_day(facts, program)
        self.finished_pauses = finished_pauses(facts.pauses, program)
        self.pauses = merge_pauses(pause for pause in facts.pauses if pause.until is not None)
        self.ends = end_changes(facts, policy, program)
        self.closes = self.ends[-1].closes
        self.held_since = held_since(facts, self.closes)
        self.moments = moments_of(facts, policy, program)
        self.instants = [moment.at for moment in self.moments]
        has_steps = curriculum and facts.curriculum
        self.curriculum = (
            Curriculum(facts, curriculum, program, calendars) if curriculum and has_steps else None
        )

    def send_at(self, calendar: Calendar, day: date) -> datetime:
        """Return when mail of a day goes out on a calendar, moved by the pauses."""
        return self.finished_pauses.send_after(day, calendar)

    def open_task_at(self, day: date) -> datetime:
        """Return when a staff task of a day opens.

        That is at the send time of the next business day or, where that comes after the end, of the day itself.
        """
        due = self.send_at(self.program, day)
        if due < self.closes:
            return due
        morning = self.program.instant(self.moved(day), self.program.hours.send_time)
        return max([morning, *(until for until in self.finished_pauses.until if until < self.closes)])

    def moved(self, day: date) -> date:
        """Return a day moved by the pauses."""
        return self.finished_pauses.close_at(day)[0]

    def pulse(self, number: int) -> date:
        """Return the day of a pulse before pauses move it; number 0 is a month before the first one."""
        return pulse_day(self.policy, self.start, number)

    def possible_messages(self) -> Iterator[PossibleMessage]:
        """Yield every message to the two parties, whatever they have answered."""
        meet_by = self.start + timedelta(days=self.policy.discovery_days)
        match = self._context(ends=self.ends[0].day, meet_by=meet_by)
        completed = self._context(ends=self.ends[-1].day)
        for role in ROLES:
            yield PossibleMessage(
                role=role,
                name="match",
                due=partial(self._matched_at, role),
                context=match,
                scheduled=False,
            )
        yield from self._extended()
        for role in ROLES:
            yield from self._discovery(role)
            yield from self._pulses(role)
            yield self._wrap_up(role)
            yield from self._steps(role)
        for role in ROLES:
            yield PossibleMessage(
                role=role,
                name="completed",
                due=partial(self._completed_at, role),
                context=completed,
                scheduled=False,
            )

    def _context(self, **days: date) -> dict[str, str]:
        return {name: day.isoformat() for name, day in {"started": self.start, **days}.items()}

    def _matched_at(self, role: str, _moment: Moment) -> datetime:
        at = self.facts.mailed_at
        if not self.facts.cohort:
            return at
        # Time alone starts a cohort: on a weekend or holiday the mail waits for the reader's business day (T4, COH3).
        return max(at, self.calendars[role].send_at(self.start))

    def _completed_at(self, role: str, moment: Moment) -> datetime:
        # Time alone ends it, so the check-in waits for the reader's morning (T4, ENG9).
        return self.calendars[role].next_send_after(moment.end.closes - timedelta(microseconds=1))

    def _extended(self) -> Iterator[PossibleMessage]:
        """Yield the notice of each extension, which the moment of the extension calls for first."""
        first = {moment.ends: number for number, moment in reversed(list(enumerate(self.moments)))}
        extensions = [
            (number, before, end)
            for number, (before, end) in enumerate(pairwise(self.ends), start=2)
            if end.extension and number in first
        ]
        for occurrence, (number, before, end) in enumerate(extensions, start=1):
            for role in ROLES:
                yield PossibleMessage(
                    role=role,
                    name="extended",
                    due=partial(self._after_any_pause, end.set_at),
                    context=self._context(ends=before.day, new_end=end.day),
                    occurrence=occurrence,
                    scheduled=False,
                    first=first[number],
                )

    @staticmethod
    def _after_any_pause(at: datetime, moment: Moment) -> datetime:
        """Return the instant, or the end of the pause that it lies in."""
        return moment.pauses.end_of_pause_at(at) or at

    def _while_open(self, role: str, day: date, moment: Moment) -> datetime | None:
        """Return when mail of a day goes out, if that day comes before the end."""
        if moment.pauses.close_at(day)[0] >= moment.end.day:
            return None
        return moment.pauses.send_after(day, self.calendars[role])

    def _discovery(self, role: str) -> Iterator[PossibleMessage]:
        for number in range(1, self.policy.discovery_repeats + 2):
            base = self.discovery_base(self.calendars[role])
            day = base + timedelta(days=number * self.policy.discovery_days)
            yield PossibleMessage(
                role=role,
                name="discovery",
                due=partial(self._while_open, role, day),
                context=self._context(),
                occurrence=number,
                numbered=True,
            )

    def discovery_base(self, calendar: Calendar) -> date:
        """Return the day from which the discovery questions count: the first day.

        Where the engine heard of the acceptance after the day of the first question, that is asked at once (T9).
        """
        days = timedelta(days=self.policy.discovery_days)
        heard_on = calendar.date_of(self.facts.mailed_at)
        first_asked = calendar.date_of(calendar.send_at(self.start + days))
        return heard_on - days if heard_on > first_asked else self.start

    @property
    def first_pulse(self) -> int:
        """The first pulse that is asked: those that were due before the engine heard of the acceptance are not (T9)."""
        heard_on, number = self.program.date_of(self.facts.mailed_at), 1
        while self.pulse(number) < heard_on:
            number += 1
        return number

    def _pulses(self, role: str) -> Iterator[PossibleMessage]:
        calendar = self.calendars[role]
        before_end, in_time = self._last_pulses(calendar)
        changes = [0, *(number for number, (was, is_) in enumerate(pairwise(in_time), 1) if was != is_)]
        for number in range(self.first_pulse, max(before_end) + 1):
            day = self.pulse(number)
            yield PossibleMessage(
                role=role,
                name="pulse",
                due=partial(self._while_open, role, day),
                context={"since": self.moved(self.pulse(number - 1)).isoformat()},
                occurrence=number,
                numbered=True,
                not_before=calendar.send_at(day),
                called_for=partial(_reaches, in_time, number),
                changes=changes,
            )

    def _last_pulses(self, calendar: Calendar) -> tuple[list[int], list[int]]:
        """Return for each moment the last pulse whose day comes before the end, and the last that also goes out then.

        Pauses and business days keep the order of the pulses: all before the last one are in time, too.
        """
        before_end, in_time, last = list[int](), list[int](), 0
        for moment in self.moments:
            pauses, end = moment.pauses, moment.end
            while pauses.close_at(self.pulse(last + 1))[0] < end.day:
                last += 1
            while last and pauses.close_at(self.pulse(last))[0] >= end.day:
                last -= 1
            sent = last
            while sent and pauses.send_after(self.pulse(sent), calendar) >= end.closes:
                sent -= 1
            before_end.append(last)
            in_time.append(0 if moment.suspended else sent)
        return before_end, in_time

    def _steps(self, role: str) -> Iterator[PossibleMessage]:
        """Yield the mail of each step of the curriculum; none of one whose mail was decided by another version."""
        if self.curriculum is None:
            return
        for planned in self.curriculum.sequence(role):
            if not self.curriculum.is_mailed(planned):
                yield PossibleMessage(
                    role=role,
                    name="curriculum",
                    due=partial(_opens, self.curriculum, planned),
                    context={"step": planned.step.id},
                    about=planned.step.id,
                    place=planned.place,
                )

    def _wrap_up(self, role: str) -> PossibleMessage:
        return PossibleMessage(
            role=role,
            name=GRADUATION if self.facts.cohort else "wrap_up",  # COH3
            due=partial(self._wrap_up_at, role),
            context=self._context(ends=self.ends[-1].day),
            asks_about_end=True,
        )

    def _wrap_up_at(self, role: str, moment: Moment) -> datetime | None:
        end = moment.end
        day = end.given - timedelta(days=self.policy.wrap_up_days)
        due = moment.pauses.send_after(day, self.calendars[role], end.moves_from)
        return due if day >= self.start and due > end.set_at else None


def _opens(curriculum: Curriculum, planned: PlannedStep, moment: Moment) -> datetime:
    return curriculum.opens(planned, moment.pauses)


def _reaches(last: list[int], number: int, moment: int) -> bool:
    return number <= last[moment]


def mail_histories(plan: MessagePlan) -> dict[DraftKey, MailHistory]:
    """Return the history of every message through all acts, by the key of its draft, in order of first moments."""
    histories = [_history(message, plan) for message in plan.possible_messages()]
    on_record = [
        (history.first_planned, history) for history in histories if history.first_planned is not None
    ]
    return {history.draft.key: history for _, history in sorted(on_record, key=lambda each: each[0])}


def _history(message: PossibleMessage, plan: MessagePlan) -> MailHistory:
    """Return what happened to one message through all moments."""
    due = plan.closes
    history = MailHistory(message.draft(due), not_before=message.not_before)
    for number in _numbers(message, history, plan):
        moment = plan.moments[number]
        if history.planned and due <= moment.at and not plan.moments[number - 1].held:
            history.sent = True
        found = None if moment.suspended else _due(message, history, number, plan)
        if found is None:
            history.times_dropped += history.planned and not history.sent
            history.planned = False
            continue
        due = found
        if message.asks_about_end and history.sent and history.ends != moment.ends:
            history.sent, history.repeated = False, history.repeated + 1
        history.planned, history.ends = True, moment.ends
        if history.first_planned is None:
            history.first_planned = number
    history.draft = message.draft(due)
    return history


def _numbers(message: PossibleMessage, history: MailHistory, plan: MessagePlan) -> Iterator[int]:
    """Yield the numbers of the moments that matter to a message.

    While it cannot come due these are the ones that call for it or no longer do: pauses move it only later. Once it was
    sent, only the last moment matters.
    """
    number, last = message.first, len(plan.moments) - 1
    while number < last:
        if history.not_before:
            near = max(bisect_left(plan.instants, history.not_before) - 1, number)
            changes = message.changes
            yield from changes[bisect_left(changes, number) : bisect_left(changes, min(near, last))]
            number = near
        if number < last:
            yield number
        if history.sent and not message.asks_about_end:
            break
        number += 1
    yield last


def _due(message: PossibleMessage, history: MailHistory, number: int, plan: MessagePlan) -> datetime | None:
    """Return when a message is due by a moment, and record if that added it late; None if it is not called for.

    One that is added after its due instant moves to the next send time. None goes out after the end. Of a message that
    cannot be due before the next moment, an instant that is early enough is returned.
    """
    moment = plan.moments[number]
    next_at = plan.instants[number + 1] if number + 1 < len(plan.instants) else None
    if message.called_for and history.not_before and next_at and history.not_before > next_at:
        return history.not_before if message.called_for(number) else None
    due = message.due(moment)
    if due is None:
        return None
    added_late_at, on_record = history.added_late_at, history.planned or history.sent
    if message.scheduled and due <= moment.at and not on_record:
        added_late_at = moment.at
    if added_late_at:
        calendar = plan.calendars[message.role]
        day = calendar.date_of(calendar.next_send_after(added_late_at))
        due = moment.pauses.send_after(day, calendar, added_late_at)
    if due < moment.end.closes or message.name == "completed":
        history.added_late_at = added_late_at
        if message.called_for:
            history.not_before = None if added_late_at else due
        return due
    return None
