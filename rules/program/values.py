"""Readers of single values of a program file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from types import MappingProxyType
from typing import Any

from rules.holiday_data import known_country
from rules.messages import MessageClass
from rules.program.toml_schema import tuple_of
from rules.validation import (
    Issue,
    Issues,
    ValidationError,
    Validator,
    choice,
    day,
    integer,
    kind_of,
    link,
    mapping,
    matching,
    nearest,
    quote,
    single_line,
    text_of,
)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

NEEDED_RESOURCES = (
    "directory",
    "profile",
    "membership",
    "library",
    "community",
    "video",
    "tip_sheet",
    "first_meeting_questions",
    "smart_goals",
    "oskar",
)
"""The names by which the bundled mails link to what every program has (MEE2); a program's own texts may use more."""

MOST_CHECKED = 50
DAYS = integer(0, 730)
LANGUAGE = matching(re.compile(r"[a-z]{2,3}"), "a language's code in lower case, like es")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
QUESTION_ID = matching(NAME, "an id like goals_met: lower case letters, digits and _")


def ascending(least: int, most: int) -> Validator[tuple[int, ...]]:
    read_list = tuple_of(integer(least, most), least=1)

    def read(value: object) -> tuple[int, ...]:
        numbers = read_list(value)
        if list(numbers) != sorted(numbers):
            raise ValidationError("must be in ascending order")
        return numbers

    return read


def weekdays(value: object) -> frozenset[int]:
    names = tuple_of(choice(*WEEKDAYS), least=1, most=7)(value)
    return frozenset(WEEKDAYS.index(name) for name in names)


def weekdays_shown(days: frozenset[int] | None) -> str:
    if days is None:
        return "of each country"
    return ", ".join(WEEKDAYS[day] for day in sorted(days))


def closing_days(value: object) -> frozenset[date]:
    return frozenset(tuple_of(day, most=1000)(value))


_EVERY_YEAR = re.compile(r"[0-9]{2}-[0-9]{2}")


def holiday_day(value: object) -> str:
    """A day of one year, or, as the text `12-24`, of every year."""
    if isinstance(value, str) and _EVERY_YEAR.fullmatch(value):
        try:
            date.fromisoformat(f"2000-{value}")
        except ValueError:
            raise ValidationError(f"must be a day like 12-24, not {quote(value)}") from None
        return value
    return day(value).isoformat()


def holiday(value: object) -> str:
    """A day as `holiday_day` takes it, or the name of a holiday."""
    if isinstance(value, str) and not value[:1].isdigit():
        return single_line()(value)
    return holiday_day(value)


def time_of_day(value: object) -> time:
    if not isinstance(value, time):
        raise ValidationError(f"must be a time like 09:00:00, without quotes, not {kind_of(value)}")
    if value.second or value.microsecond:
        raise ValidationError(f"must be on a full minute, not {value.isoformat()}")
    return value


def country_value(value: object) -> str:
    code = text_of(value)
    if not (len(code) == 2 and code.isupper() and known_country(code)):
        raise ValidationError(
            "must be the code of a country with known holidays, of two capital letters, like CO,"
            f" not {quote(code)}"
        )
    return code


def resources(value: object) -> Mapping[str, str]:
    given, faults = mapping(value), Issues()
    if len(given) > MOST_CHECKED:
        raise ValidationError(f"must have at most {MOST_CHECKED} entries")
    others = [name for name in given if name not in NEEDED_RESOURCES]
    for name in NEEDED_RESOURCES:
        if name not in given:
            faults.add(f"is missing{nearest(name, others)}", name)
    links: dict[str, str] = {}
    for name, address in given.items():
        if not NAME.fullmatch(name):
            faults.add("must be named by lower case letters, digits and _", name)
        links[name] = faults.read(name, link, address) or ""
    faults.settle()
    return MappingProxyType(links)


def by_class(read: Validator[Any]) -> Validator[Mapping[str, Any]]:
    def read_classes(value: object) -> Mapping[str, Any]:
        given, faults = mapping(value), Issues()
        kept = {}
        classes = [each.value for each in MessageClass]
        for name in classes:
            if name in given:
                kept[name] = faults.read(name, read, given[name])
            else:
                faults.add("is missing", name)
        for name in list(given)[:MOST_CHECKED]:
            if name not in classes:
                faults.add(f"is no class of messages{nearest(name, classes)}", name)
        faults.settle()
        return MappingProxyType(kept)

    return read_classes


def caps(value: object) -> Mapping[str, int]:
    faults = Issues()
    caps = {
        name: faults.read(name, integer(0, 1000), each)
        for name, each in list(mapping(value).items())[:MOST_CHECKED]
    }
    faults.settle()
    return MappingProxyType({name: cap for name, cap in caps.items() if cap is not None})


def reminders_end_before(days: tuple[int, ...], limit: int, key: str) -> Iterator[Issue]:
    if days[-1] >= limit:
        yield Issue(("reminder_days",), f"the last reminder must come before {key}, which is {limit}")
