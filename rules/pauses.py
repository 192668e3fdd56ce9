"""What a pause does to what is planned: it moves by the pause's length in calendar days (ONB5, ENG11)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from rules.agenda import Pause
from rules.calendar import Calendar

_DAY = timedelta(days=1)


def send_at(
    day: date, pauses: Sequence[Pause], calendar: Calendar, dates: Calendar | None = None
) -> datetime | None:
    """The instant of a mail planned for a local day, moved by the pauses that began before it went out (T4).

    `calendar` is the recipient's; `dates` is the one whose days are counted, where that is another. `pauses`
    are in order and apart, as `united` gives them. None while one is open, and never inside one.
    """
    dates = dates or calendar
    due = calendar.send_at(day)
    for pause in pauses:
        if pause.since > due:
            break
        if pause.until is None:
            return None
        day += dates.date_of(pause.until) - dates.date_of(pause.since)
        due = calendar.send_at(day)
        if due <= pause.until:
            due = calendar.next_send_after(pause.until)
            day = max(day, calendar.date_of(due))
    return due


def after_pause(
    due: datetime | None, pauses: Sequence[Pause], calendar: Calendar | None = None
) -> datetime | None:
    """When mail that was due before a pause goes out if that found it still waiting; None if no pause began since.

    At the resume, or with the recipient's `calendar` at the next hour of scheduled mail (T4, T8). `pauses` as for
    `send_at`.
    """
    last = pauses[-1] if pauses else None
    if due is None or last is None or last.until is None or last.since <= due:
        return None
    return calendar.next_send_after(last.until) if calendar else last.until


def close_at(day: date, pauses: Sequence[Pause], calendar: Calendar) -> tuple[date, datetime]:
    """A local day that ends something at close of business, moved by the pauses that began before that.

    The day, and the instant at which it closes: never inside a pause that is over. One that is open moves
    nothing yet. `pauses` as for `send_at`.
    """
    closes = calendar.instant(day, calendar.hours.close_of_business)
    for pause in pauses:
        if pause.until is None or pause.since >= closes:
            break
        day += calendar.date_of(pause.until) - calendar.date_of(pause.since)
        while (closes := calendar.instant(day, calendar.hours.close_of_business)) <= pause.until:
            day += _DAY
    return day, closes
