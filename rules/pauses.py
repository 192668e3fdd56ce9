"""Pauses: when a lifecycle is paused, and how a pause moves what is planned (T3, ONB5, ENG11).

A pause moves mail and deadlines by its length in calendar days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    counting = counting or calendar
    due = calendar.send_at(day)
    for since, until in finished_pauses:
        if since > due:
            break
        day += counting.date_of(until) - counting.date_of(since)
        due = calendar.send_at(day)
        if due <= until:
            due = calendar.next_send_after(until)
            day = max(day, calendar.date_of(due))
    return due


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
    closes = calendar.instant(day, calendar.hours.close_of_business)
    for pause in pauses:
        if pause.until is None or pause.since >= closes:
            break
        day += calendar.date_of(pause.until) - calendar.date_of(pause.since)
        while (closes := calendar.instant(day, calendar.hours.close_of_business)) <= pause.until:
            day += _DAY
    return day, closes


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
