"""The sentence about the day of a message: its rule, the date's arithmetic, and what moved the day (T1–T5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from rules.due_day.counting import AtOnce, CalendarOwner, Case, Counted
from rules.due_day.derivations import Derivation
from rules.pauses import days_paused

_DAY = timedelta(days=1)
_OFF = {"weekend": "a weekend day for {}", "holiday": "a holiday for {}", "closing": "a closing day"}


def sentence(case: Case, derived: Derivation) -> str:
    """Return the sentence: `ONB2: 42 days after 7 December is Mon 18 January, a holiday for Jo (US), so Tue 19`."""
    if isinstance(derived, AtOnce):
        return f"{derived.rule}: at once, when {derived.event}"
    words = f"{derived.rule}: {_counted(case, derived)}"
    if case.due is None:
        return f"{words}; held until it is resumed"
    if derived.at is not None:
        return words + _from_instant(case, derived.at, case.due)
    day = derived.day + derived.breaks * _DAY
    return words + _broken(derived, day) + _moved(case, day, case.due)


def postponed(words: str, reader: CalendarOwner, due: datetime, cap: int | None) -> str:
    """Return the sentence of a nudge that found no place on its day, with the day that it waits for (MAIL11)."""
    limit = f"at most {cap} nudge{'' if cap == 1 else 's'} a day" if cap else "a limit for each day"
    return f"{words}; MAIL11: {limit} for {reader.label}, so {_full(reader.calendar.date_of(due))}"


def _counted(case: Case, derived: Counted) -> str:
    amount, day = abs(derived.amount), _full(derived.day)
    if derived.at is not None:
        day += f", {case.acting.calendar.hours.close_of_business:%H:%M}"
    if not amount and derived.what:
        return f"{derived.what} is {day}"
    side = "before" if derived.amount < 0 else "after"
    since = f"{derived.since.day} {derived.since:%B}"
    words = f"{amount} {derived.unit}{'' if amount == 1 else 's'} {side} {since} is {day}"
    if derived.unit == "business day" and (holidays := _holidays_between(case.acting, derived)):
        words += f" ({holidays})"
    return words


def _broken(derived: Counted, day: date) -> str:
    if not derived.breaks:
        return ""
    days = f"{derived.breaks} day{'' if derived.breaks == 1 else 's'}"
    return f", moved by {days} of a break to {_full(day)}"


def _holidays_between(acting: CalendarOwner, derived: Counted) -> str:
    days = [derived.since + n * _DAY for n in range(1, (derived.day - derived.since).days)]
    off = [day for day in days if acting.calendar.day_off(day) in ("holiday", "closing")]
    if not off:
        return ""
    named = ", ".join(_full(day) for day in off)
    return f"{named} {'is no business day' if len(off) == 1 else 'are no business days'} for {acting.label}"


def _from_instant(case: Case, at: datetime, due: datetime) -> str:
    """Return what became of a close of business: the mail itself, or the next send time of its reader (T4)."""
    reader = case.recipient
    if due == at:
        return ""
    day = reader.calendar.date_of(due)
    morning = reader.calendar.next_send_after(at - timedelta(microseconds=1))
    if morning <= due <= morning + timedelta(minutes=reader.calendar.hours.send_window):
        return f", so {_full(day)}, {reader.calendar.local(due):%H:%M} for {reader.label}"
    return _otherwise(case, reader.calendar.date_of(at), day)


def _moved(case: Case, day: date, due: datetime) -> str:
    """Return why a message is not on its counted day: no business day, or a pause."""
    reader = case.recipient
    shown = reader.calendar.date_of(due)
    if reader.calendar.business_day_on_or_after(day) == shown:
        return _off_days(reader, day, shown)
    return _otherwise(case, day, shown)


def _otherwise(case: Case, day: date, shown: date) -> str:
    pauses = [pause for pause in getattr(case.facts, "pauses", ()) if pause.until is not None]
    paused = days_paused(pauses, case.counting) if pauses else 0
    calendar, later = case.recipient.calendar, day + timedelta(days=paused)
    if paused and calendar.business_day_on_or_after(later) == shown:
        moved = f", moved by {paused} paused {'day' if paused == 1 else 'days'} to {_full(later)}"
        return moved + _off_days(case.recipient, later, shown)
    return f", moved by a pause to {_full(shown)}" if pauses else f", now {_full(shown)}"


def _off_days(reader: CalendarOwner, day: date, shown: date) -> str:
    """Return which days on the way to the day of a mail are no business days of its reader."""
    if day == shown:
        return ""
    named = list(_named(reader, day, shown))
    return f"{''.join(named)}, so {_short(shown, day)}"


def _named(reader: CalendarOwner, day: date, shown: date) -> Iterator[str]:
    first = reader.calendar.day_off(day)
    yield f", {_OFF.get(first, 'a day that the zone skipped').format(reader.label)}"
    later = day + _DAY
    while later < shown:
        off = reader.calendar.day_off(later)
        if off in ("holiday", "closing"):
            yield f", and {_short(later, day)} {_OFF[off].format(reader.label)}"
        later += _DAY


def _full(day: date) -> str:
    return f"{day:%a} {day.day} {day:%B}"


def _short(day: date, near: date) -> str:
    return f"{day:%a} {day.day}" if (day.year, day.month) == (near.year, near.month) else _full(day)
