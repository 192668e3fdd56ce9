"""The messages of an engagement over its life, and what pauses and new ends did to each (ENG1–ENG9, ENG11).

The agenda of an engagement cannot be computed from the latest facts alone. A message that an act dropped and a later
act brought back needs a key of its own, because a key is never sent twice (MAIL1). So `mail_histories` replays the
acts: it drafts the messages after each act and records what that act did to each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from rules.calendar import Calendar
from rules.engagement.dates import EndChange, end_changes, pulse_day, start_day
from rules.engagement.facts import ROLES, EngagementFacts, NewEnd
from rules.pauses import Pause, close_at, finished, merge_pauses, send_after
from rules.program import EngagementPolicy

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
    end: int = 0
    """For a message about a planned end: the place of that end among all ends. A new end asks again."""

    @property
    def key(self) -> DraftKey:
        return self.role, self.name, self.occurrence


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
    added_late_at: datetime | None = None
    """When it came onto the agenda, if its due instant had passed by then."""


class MessagePlan:
    """The messages that one state of the facts calls for, as if an open pause had not begun."""

    def __init__(
        self,
        facts: EngagementFacts,
        policy: EngagementPolicy,
        program: Calendar,
        calendars: dict[str, Calendar],
    ) -> None:
        self.facts, self.policy, self.program, self.calendars = facts, policy, program, calendars
        self.start = start_day(facts, program)
        self.finished_pauses = [pause for pause in facts.pauses if pause.until is not None]
        self.pauses = merge_pauses(self.finished_pauses)
        self.ends = end_changes(facts, policy, program)
        self.closes = self.ends[-1].closes
        open_since = [
            pause.since for pause in facts.pauses if pause.until is None and pause.since < self.closes
        ]
        self.held_since = min(open_since, default=None)

    def with_facts(self, facts: EngagementFacts) -> MessagePlan:
        """Return the plan of other facts under the same policy and calendars."""
        return MessagePlan(facts, self.policy, self.program, self.calendars)

    def send_at(self, calendar: Calendar, day: date, moves_from: datetime | None = None) -> datetime:
        """Return when mail of a day goes out on a calendar, moved by all pauses or by those after `moves_from`."""
        pauses = merge_pauses(self.finished_pauses, since=moves_from) if moves_from else self.pauses
        return send_after(day, finished(pauses), calendar, self.program)

    def open_task_at(self, day: date) -> datetime:
        """Return when a staff task of a day opens.

        That is at the send time of the next business day or, where that comes after the end, of the day itself.
        """
        due = self.send_at(self.program, day)
        if due < self.closes:
            return due
        morning = self.program.instant(self.moved(day), self.program.hours.send_time)
        return max([morning, *(until for _, until in finished(self.pauses) if until < self.closes)])

    def moved(self, day: date) -> date:
        """Return a day moved by the pauses."""
        return close_at(day, self.pauses, self.program)[0]

    def pulse(self, number: int) -> date:
        """Return the day of a pulse before pauses move it; number 0 is a month before the first one."""
        return pulse_day(self.policy, self.start, number)

    def drafts(self) -> Iterator[Draft]:
        """Yield every message to the two parties, whatever they have answered."""
        yield from self._to_both("match", self.facts.started_at, ends=self.ends[0].day)
        for number, (before, end) in enumerate(self._extensions(), start=1):
            due = self._after_any_pause(end.set_at)
            yield from self._to_both("extended", due, number, ends=before.day, new_end=end.day)
        for role in ROLES:
            yield from self._discovery(role)
            yield from self._pulses(role)
            yield from self._wrap_up(role)
        for role in ROLES:
            # Time alone ends it, so the check-in waits for the reader's morning (T4, ENG9).
            due = self.calendars[role].next_send_after(self.closes - timedelta(microseconds=1))
            yield Draft(role, "completed", due, self._context(ends=self.ends[-1].day))

    def drafts_at(
        self, histories: dict[DraftKey, MailHistory], at: datetime
    ) -> Iterator[tuple[Draft, datetime | None]]:
        """Yield the drafts of an instant, each with when it was added late, given the histories until then.

        A draft that is added after its due instant moves to the next send time. None goes out after the end.
        """
        for draft in () if self.facts.suspended else self.drafts():
            history = histories.get(draft.key)
            added_late_at = history.added_late_at if history else None
            on_record = history is not None and (history.planned or history.sent)
            if draft.scheduled and draft.due <= at and not on_record:
                added_late_at = at
            if added_late_at:
                draft = self._postponed(draft, added_late_at)
            if draft.due < self.closes or draft.name == "completed":
                yield draft, added_late_at

    def _postponed(self, draft: Draft, added_late_at: datetime) -> Draft:
        calendar = self.calendars[draft.role]
        day = calendar.date_of(calendar.next_send_after(added_late_at))
        return replace(draft, due=self.send_at(calendar, day, added_late_at))

    def _extensions(self) -> list[tuple[EndChange, EndChange]]:
        """Return each extension with the planned end before it."""
        return [(before, end) for before, end in pairwise(self.ends) if end.extension]

    def _to_both(self, name: str, due: datetime, occurrence: int = 1, **days: date) -> Iterator[Draft]:
        for role in ROLES:
            yield Draft(role, name, due, self._context(**days), occurrence, scheduled=False)

    def _context(self, **days: date) -> dict[str, str]:
        return {name: day.isoformat() for name, day in {"started": self.start, **days}.items()}

    def _after_any_pause(self, at: datetime) -> datetime:
        """Return the instant, or the end of the pause that it lies in."""
        return next((until for since, until in finished(self.pauses) if since <= at < until), at)

    def _discovery(self, role: str) -> Iterator[Draft]:
        for number in range(1, self.policy.discovery_repeats + 2):
            day = self.start + timedelta(days=number * self.policy.discovery_days)
            if self.moved(day) < self.ends[-1].day:
                due = self.send_at(self.calendars[role], day)
                yield Draft(role, "discovery", due, self._context(), number, numbered=True)

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
            yield Draft(role, "wrap_up", due, self._context(ends=end.day), end=len(self.ends))


def facts_over_time(facts: EngagementFacts) -> Iterator[tuple[datetime, EngagementFacts]]:
    """Yield the facts at the start and after each act that moves mail, each with the instant of the act."""
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


def mail_histories(plan: MessagePlan) -> dict[DraftKey, MailHistory]:
    """Return the history of every message through all acts, by the key of its draft."""
    histories: dict[DraftKey, MailHistory] = {}
    held = True
    for at, facts in facts_over_time(plan.facts):
        plan_then = plan.with_facts(facts)
        drafts = {draft.key: (draft, added) for draft, added in plan_then.drafts_at(histories, at)}
        for key, history in histories.items():
            history.sent |= history.planned and not held and history.draft.due <= at
            if history.planned and key not in drafts:
                history.planned = False
                history.times_dropped += not history.sent
        for key, (draft, added_late_at) in drafts.items():
            history = histories.setdefault(key, MailHistory(draft))
            if history.sent and history.draft.end != draft.end:
                history.sent, history.repeated = False, history.repeated + 1
            history.draft, history.added_late_at, history.planned = draft, added_late_at, True
        held = plan_then.held_since is not None
    return histories
