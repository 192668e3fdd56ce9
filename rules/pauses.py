"""Pauses: when a lifecycle is paused, and how a pause moves what is planned (T3, ONB5, ENG11).

A pause moves mail and deadlines by its length in calendar days.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from rules.calendar import Calendar, add_months

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch of time in which nothing is mailed."""

    since: datetime
    until: datetime | None = None
    """The end of the pause; None while it is open."""
    cause: str = "staff"
    """`staff`, or the reason for which the engine itself pauses: `standing` or `misconduct`."""


def begin_pause(pauses: Sequence[Pause], cause: str, at: datetime) -> list[Pause]:
    """Return the pauses with a new open one; unchanged if one of the same cause is open."""
    if any(pause.cause == cause and pause.until is None for pause in pauses):
        return list(pauses)
    return [*pauses, Pause(at, None, cause)]


def end_pause(pauses: Sequence[Pause], cause: str, at: datetime) -> list[Pause]:
    """Return the pauses with the open one of this cause closed."""
    return [
        replace(pause, until=max(at, pause.since)) if pause.cause == cause and pause.until is None else pause
        for pause in pauses
    ]


def end_open_pauses(pauses: Sequence[Pause], at: datetime) -> list[Pause]:
    """Return the pauses with every open one closed, whatever its cause."""
    return [replace(pause, until=max(at, pause.since)) if pause.until is None else pause for pause in pauses]


def is_paused(pauses: Iterable[Pause], at: datetime) -> bool:
    """Return whether an instant lies inside a pause."""
    return any(pause.since <= at and (pause.until is None or at < pause.until) for pause in pauses)


def merge_pauses(pauses: Iterable[Pause], since: datetime | None = None) -> list[Pause]:
    """Join overlapping pauses, in order of time, and cut off everything before `since`."""
    merged: list[Pause] = []
    for pause in sorted(pauses, key=lambda pause: pause.since):
        start = max(pause.since, since) if since else pause.since
        if pause.until is not None and pause.until <= start:
            continue
        last = merged[-1] if merged else None
        if last and (last.until is None or start <= last.until):
            if last.until is not None and (pause.until is None or pause.until > last.until):
                merged[-1] = replace(last, until=pause.until)
        else:
            merged.append(replace(pause, since=start))
    return merged


def send_at(
    day: date, pauses: Sequence[Pause], calendar: Calendar, counting: Calendar | None = None
) -> datetime | None:
    """Return the instant of mail planned for a local day, moved by each pause that begins before it goes out (T4).

    The result never lies inside a pause; it is None while a pause is open. `pauses` must be merged and in order
    (`merge_pauses`). `calendar` is the recipient's; `counting` is the calendar in which paused days are counted,
    where that is another one.
    """
    due = send_after(day, finished(pauses), calendar, counting)
    held = any(pause.until is None and pause.since <= due for pause in pauses)
    return None if held else due


def send_after(
    day: date,
    finished_pauses: Sequence[tuple[datetime, datetime]],
    calendar: Calendar,
    counting: Calendar | None = None,
) -> datetime:
    """Return what `send_at` returns where no pause is open. Pauses are pairs of their first and last instants."""
    return FinishedPauses(finished_pauses, counting or calendar).send_after(day, calendar)


def finished(pauses: Iterable[Pause]) -> list[tuple[datetime, datetime]]:
    """Return the first and last instants of the pauses that are over."""
    return [(pause.since, pause.until) for pause in pauses if pause.until is not None]


def after_pause(
    due: datetime | None, pauses: Sequence[Pause], calendar: Calendar | None = None
) -> datetime | None:
    """Return when mail goes out that was due before the last pause but not sent yet when that pause began (T8).

    That is the end of the pause or, with the recipient's `calendar`, the next send time after it (T4). None if no
    pause began after `due`. `pauses` as for `send_at`.
    """
    last = pauses[-1] if pauses else None
    if due is None or last is None or last.until is None or last.since <= due:
        return None
    return calendar.next_send_after(last.until) if calendar else last.until


def close_at(day: date, pauses: Sequence[Pause], calendar: Calendar) -> tuple[date, datetime]:
    """Return the day and the instant of a close of business, moved by each pause that begins before it.

    The instant never lies inside a finished pause; an open pause moves nothing yet. `pauses` as for `send_at`.
    """
    return FinishedPauses(finished(pauses), calendar).close_at(day)


class FinishedPauses:
    """Pauses that are over, merged and in order, and how far they move a day.

    `counting` is the calendar in which paused days are counted. A pause that is over before a day's instant comes
    moves the day by its length, whatever moves it further. The lengths of such pauses are added up beforehand, so
    that a day costs as little after many pauses as after one.
    """

    def __init__(self, pauses: Iterable[tuple[datetime, datetime]], counting: Calendar) -> None:
        self._counting = counting
        self.since: list[datetime] = []
        self.until: list[datetime] = []
        self._begun_on: list[date] = []
        self._days_before = [0]
        self._add(pauses)

    def and_later(self, pauses: Iterable[tuple[datetime, datetime]]) -> FinishedPauses:
        """Return these pauses and others that begin after the last of them ended."""
        longer = copy(self)
        longer.since, longer.until = [*self.since], [*self.until]
        longer._begun_on, longer._days_before = [*self._begun_on], [*self._days_before]
        longer._add(pauses)
        return longer

    def _add(self, pauses: Iterable[tuple[datetime, datetime]]) -> None:
        for since, until in pauses:
            begun_on = self._counting.date_of(since)
            days = (self._counting.date_of(until) - begun_on).days
            self.since.append(since)
            self.until.append(until)
            self._begun_on.append(begun_on)
            self._days_before.append(self._days_before[-1] + days)

    def send_after(self, day: date, calendar: Calendar, moves_from: datetime | None = None) -> datetime:
        """Return when mail of a day goes out on a calendar, moved by the pauses, or by what of them is later (T4)."""
        first, due = self._first(moves_from), calendar.send_at(day)
        over = bisect_left(self.until, due, lo=first)
        if over > first:
            day += self._length(first, over, moves_from)
            due = calendar.send_at(day)
        for number in range(over, len(self.until)):
            if self._since(number, moves_from) > due:
                break
            day += self._length(number, number + 1, moves_from)
            due = calendar.send_at(day)
            if due <= self.until[number]:
                due = calendar.next_send_after(self.until[number])
                day = max(day, calendar.date_of(due))
        return due

    def close_at(self, day: date, moves_from: datetime | None = None) -> tuple[date, datetime]:
        """Return the day and the instant of a close of business, moved by the pauses, or by what of them is later."""
        first, closes = self._first(moves_from), self._closes(day)
        over = bisect_left(self.until, closes, lo=first)
        if over > first:
            day += self._length(first, over, moves_from)
            closes = self._closes(day)
        for number in range(over, len(self.until)):
            if self._since(number, moves_from) >= closes:
                break
            day += self._length(number, number + 1, moves_from)
            while (closes := self._closes(day)) <= self.until[number]:
                day += _DAY
        return day, closes

    def end_of_pause_at(self, at: datetime) -> datetime | None:
        """Return when the pause ends that an instant lies in; None outside of pauses."""
        number = bisect_right(self.since, at) - 1
        return self.until[number] if number >= 0 and at < self.until[number] else None

    def _closes(self, day: date) -> datetime:
        return self._counting.instant(day, self._counting.hours.close_of_business)

    def _first(self, moves_from: datetime | None) -> int:
        return bisect_right(self.until, moves_from) if moves_from else 0

    def _since(self, number: int, moves_from: datetime | None) -> datetime:
        return max(self.since[number], moves_from) if moves_from else self.since[number]

    def _length(self, first: int, after: int, moves_from: datetime | None) -> timedelta:
        """Return the length in days of some pauses; only what lies after `moves_from` counts."""
        days = self._days_before[after] - self._days_before[first]
        if moves_from and self.since[first] < moves_from:
            days -= (self._counting.date_of(moves_from) - self._begun_on[first]).days
        return timedelta(days=days)


def days_paused(pauses: Sequence[Pause], calendar: Calendar, before: datetime | None = None) -> int:
    """Return the number of paused calendar days, by the calendar's local dates (ENG11).

    A pause covers the day on which it begins, but not the day on which it ends; a day inside several pauses counts
    once. Without `before`, open pauses do not count. With `before`, only days before its local date count, and an
    open pause counts up to that date.
    """
    return len(_paused_days(pauses, calendar, before))


def reached_on(
    start: date, months: int, pauses: Sequence[Pause], calendar: Calendar, before: datetime | None = None
) -> date:
    """Return the date on which a number of unpaused calendar months is reached (T3, ENG11, CPE1).

    Each paused day before that date moves it by one day; a pause that begins on it or later does not.
    `before` as for `days_paused`.
    """
    reached = add_months(start, months)
    for paused in sorted(_paused_days(pauses, calendar, before)):
        if start.toordinal() <= paused < reached.toordinal():
            reached += _DAY
    return reached


def _paused_days(pauses: Sequence[Pause], calendar: Calendar, before: datetime | None) -> set[int]:
    """Return the paused days as proleptic Gregorian ordinals."""
    limit = [] if before is None else [calendar.date_of(before)]
    days: set[int] = set()
    for pause in pauses:
        ends = limit if pause.until is None else [*limit, calendar.date_of(pause.until)]
        if ends:
            days.update(range(calendar.date_of(pause.since).toordinal(), min(ends).toordinal()))
    return days
