"""The messages of an engagement over its life, with what pauses and new ends did to each (ENG1–ENG9, ENG11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from rules.calendar import Calendar
from rules.engagement.dates import EndChange, end_changes, pulse_day, start_day
from rules.engagement.facts import ROLES, EngagementFacts, NewEnd
from rules.pauses import Pause, close_at, merge_pauses, send_at
from rules.program import EngagementPolicy


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as the facts alone would have it; `scheduled` is what goes by T4, `end` the end it asks about."""

    role: str
    what: str
    due: datetime
    context: dict[str, str]
    occurrence: int = 1
    numbered: bool = False
    scheduled: bool = True
    end: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.role, self.what, self.occurrence


@dataclass(slots=True)
class MailHistory:
    """What happened to one message so far."""

    draft: Draft
    planned: bool = True
    """Whether it is on the agenda now."""
    sent: bool = False
    times_dropped: int = 0
    """How often it left the agenda before it was sent."""
    repeated: int = 0
    """How often it was sent and came back for another end."""
    brought_in: datetime | None = None
    """When it came onto the agenda, if its due instant had passed by then."""


class MessagePlan:
    """What the facts come to, as if a pause that is open had not begun."""

    def __init__(
        self,
        facts: EngagementFacts,
        policy: EngagementPolicy,
        program: Calendar,
        calendars: dict[str, Calendar],
    ) -> None:
        self.facts, self.policy, self.program, self.calendars = facts, policy, program, calendars
        self.start = start_day(facts, program)
        self.paused = [pause for pause in facts.pauses if pause.until is not None]
        self.pauses = merge_pauses(self.paused)
        self.ends = end_changes(facts, policy, program)
        self.closes = self.ends[-1].closes
        open_since = [
            pause.since for pause in facts.pauses if pause.until is None and pause.since < self.closes
        ]
        self.held_since = min(open_since, default=None)

    def at(self, facts: EngagementFacts) -> MessagePlan:
        """The same for other facts."""
        return MessagePlan(facts, self.policy, self.program, self.calendars)

    def send_at(self, calendar: Calendar, day: date, moves_from: datetime | None = None) -> datetime:
        """When mail of a day goes out on a calendar, moved by the pauses, or by those from an instant on."""
        due = send_at(
            day,
            merge_pauses(self.paused, since=moves_from) if moves_from else self.pauses,
            calendar,
            self.program,
        )
        assert due is not None
        return due

    def before_the_end(self, day: date) -> datetime:
        """When something of a day opens for staff: on a business day, or if that comes after the end, on the day."""
        due = self.send_at(self.program, day)
        if due < self.closes:
            return due
        morning = self.program.instant(self.moved(day), self.program.hours.send_time)
        return max([morning, *(p.until for p in self.pauses if p.until and p.until < self.closes)])

    def moved(self, day: date) -> date:
        """A day moved by the pauses."""
        return close_at(day, self.pauses, self.program)[0]

    def pulse(self, number: int) -> date:
        """The day of a pulse before pauses; 0 is a month before the first."""
        return pulse_day(self.policy, self.start, number)

    def drafts(self) -> Iterator[Draft]:
        """Every message to the two, whatever their answers."""
        yield from self._both("match", self.facts.started_at, scheduled=False, ends=self.ends[0].day)
        for number, (before, end) in enumerate(self._extensions(), start=1):
            due = self._at_once(end.set_at)
            yield from self._both("extended", due, number, scheduled=False, ends=before.day, new_end=end.day)
        for role in ROLES:
            yield from self._discovery(role)
            yield from self._pulses(role)
            yield from self._wrap_up(role)
        yield from self._both("completed", self.closes, scheduled=False, ends=self.ends[-1].day)

    def wanted(
        self, histories: dict[tuple[str, str, int], MailHistory], at: datetime
    ) -> Iterator[tuple[tuple[str, str, int], tuple[Draft, datetime | None]]]:
        """The messages that the facts ask for at an instant, by key, after what became of them before.

        One that comes in when its hour is past goes out on the next occasion; none goes out after the end.
        """
        for draft in () if self.facts.suspended else self.drafts():
            history = histories.get(draft.key)
            brought_in = history.brought_in if history else None
            if (
                draft.scheduled
                and draft.due <= at
                and (history is None or not (history.planned or history.sent))
            ):
                brought_in = at
            if brought_in:
                draft = self._postponed(draft, brought_in)
            if draft.due < self.closes or draft.what == "completed":
                yield draft.key, (draft, brought_in)

    def _postponed(self, draft: Draft, brought_in: datetime) -> Draft:
        calendar = self.calendars[draft.role]
        day = calendar.date_of(calendar.next_send_after(brought_in))
        return replace(draft, due=self.send_at(calendar, day, brought_in))

    def _extensions(self) -> list[tuple[EndChange, EndChange]]:
        return [(before, end) for before, end in pairwise(self.ends) if end.extension]

    def _both(
        self, what: str, due: datetime, occurrence: int = 1, *, scheduled: bool, **days: date
    ) -> Iterator[Draft]:
        for role in ROLES:
            yield Draft(role, what, due, self._days(**days), occurrence, scheduled=scheduled)

    def _days(self, **days: date) -> dict[str, str]:
        return {name: day.isoformat() for name, day in {"started": self.start, **days}.items()}

    def _at_once(self, at: datetime) -> datetime:
        for pause in self.pauses:
            if pause.until and pause.since <= at < pause.until:
                return pause.until
        return at

    def _discovery(self, role: str) -> Iterator[Draft]:
        for number in range(1, self.policy.discovery_repeats + 2):
            day = self.start + timedelta(days=number * self.policy.discovery_days)
            if self.moved(day) < self.ends[-1].day:
                due = self.send_at(self.calendars[role], day)
                yield Draft(role, "discovery", due, self._days(), number, numbered=True)

    def _pulses(self, role: str) -> Iterator[Draft]:
        number = 1
        while self.moved(self.pulse(number)) < self.ends[-1].day:
            due = self.send_at(self.calendars[role], self.pulse(number))
            context = {"since": self.moved(self.pulse(number - 1)).isoformat()}
            yield Draft(role, "pulse", due, context, number, numbered=True)
            number += 1

    def _wrap_up(self, role: str) -> Iterator[Draft]:
        end = self.ends[-1]
        day = end.given - timedelta(days=self.policy.wrap_up_days)
        due = self.send_at(self.calendars[role], day, end.moves_from)
        if day >= self.start and due > end.set_at:
            yield Draft(role, "wrap_up", due, self._days(ends=end.day), end=len(self.ends))


def steps_between(facts: EngagementFacts) -> Iterator[tuple[datetime, EngagementFacts]]:
    """The facts at first and after each act that moves mail, with its instant."""
    pauses: list[Pause] = []
    new_ends: list[NewEnd] = []
    at = facts.started_at
    for act in ("start", *facts.acts):
        if act == "end":
            new_ends.append(facts.new_ends[len(new_ends)])
            at = new_ends[-1].at
        elif act == "pause":
            pauses.append(replace(facts.pauses[len(pauses)], until=None))
            at = pauses[-1].since
        elif act == "resume":
            at = max(pause.until for pause in facts.pauses[: len(pauses)] if pause.until)
            pauses = facts.pauses[: len(pauses)]
        yield at, replace(facts, pauses=list(pauses), new_ends=list(new_ends))


def mail_histories(plan: MessagePlan) -> dict[tuple[str, str, int], MailHistory]:
    """What became of every message through all the acts."""
    histories: dict[tuple[str, str, int], MailHistory] = {}
    held = True
    for at, facts in steps_between(plan.facts):
        then = plan.at(facts)
        drafts = dict(then.wanted(histories, at))
        for key, history in histories.items():
            history.sent |= history.planned and not held and history.draft.due <= at
            if history.planned and key not in drafts:
                history.planned = False
                history.times_dropped += not history.sent
        for key, (draft, brought_in) in drafts.items():
            history = histories.setdefault(key, MailHistory(draft))
            if history.sent and history.draft.end != draft.end:
                history.sent, history.repeated = False, history.repeated + 1
            history.draft, history.brought_in, history.planned = draft, brought_in, True
        held = then.held_since is not None
    return histories
