"""Public holidays and weekends by country, from the `holidays` package and a program's own changes (T1).

Everything here is cached: a year of a country with many subdivisions takes the package up to 40 ms, a look-up none.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from threading import Lock

import holidays
from holidays.registry import EntityLoader

_one_at_a_time = Lock()
_YEARS_OF_NAMES = range(2024, 2032)


@dataclass(frozen=True, slots=True)
class HolidayChange:
    """Holidays that a program file strikes or adds in a country, or in one part of it (T1)."""

    country: str
    subdivision: str | None
    """The part of the country, as the data name it; None for all of it."""
    strike: frozenset[str]
    """What is a work day there: holidays by name, days as `2027-03-02` or, for every year, as `03-02`."""
    add: frozenset[str]
    """What is a holiday there: days as in `strike`."""

    def concerns(self, country: str, subdivision: str | None) -> bool:
        """Return whether the change counts for a place."""
        return self.country == country and self.subdivision in (None, subdivision)


def known_country(code: str) -> bool:
    """Return whether there are holiday data for the ISO 3166-1 code, in upper or lower case."""
    return country_code(code) is not None


def known_subdivision(country: str, code: str) -> bool:
    """Return whether the country's holiday data have the ISO 3166-2 code, with or without the country in front."""
    known = country_code(country)
    return known is not None and subdivision_code(known, code) is not None


def known_holiday(country: str, subdivision: str | None, name: str) -> bool:
    """Return whether the data have a holiday of that name there, or in some part of a whole country."""
    parts = (subdivision,) if subdivision else (None, *_subdivisions(country))
    return any(
        _is_struck(each, {name})
        for part in parts
        for year in _YEARS_OF_NAMES
        for named in _days(country, part, year).values()
        for each in _names(named)
    )


def country_code(text: str | None) -> str | None:
    """Return the code of a country with holiday data, in upper case; None for any other text."""
    code = (text or "").strip().upper()
    return code if code in _country_codes() else None


@lru_cache(maxsize=4096)
def subdivision_code(country: str, text: str | None) -> str | None:
    """Return the code of a subdivision as the data spell it; None for one that the country does not have."""
    given = re.sub(rf"^{country}-", "", (text or "").strip(), flags=re.IGNORECASE)
    for code in (given, given.upper()):
        if code and _has_subdivision(country, code):
            return code
    return None


@cache
def weekend(country: str) -> frozenset[int]:
    """Return the weekdays of a country's weekend, 0 for Monday (T1). Raises ValueError without data."""
    return frozenset(_library(country, None, None).weekend)


@lru_cache(maxsize=4096)
def public_holidays(
    country: str, subdivision: str | None, year: int, changes: tuple[HolidayChange, ...] = ()
) -> frozenset[date]:
    """Return the public holidays of a year, observed ones included; none for a year without data (T1).

    Without a subdivision they are those that at least half of the country's subdivisions have. Raises ValueError for
    a country or subdivision without holiday data.
    """
    subdivisions = () if subdivision else _subdivisions(country)
    if not subdivisions:
        return frozenset(_changed(country, subdivision, year, changes))
    shared = Counter(day for part in subdivisions for day in _changed(country, part, year, changes))
    return frozenset(day for day, count in shared.items() if 2 * count >= len(subdivisions))


def _changed(
    country: str, subdivision: str | None, year: int, changes: tuple[HolidayChange, ...]
) -> Iterator[date]:
    """Yield the holidays of one place and year after the changes of a program file."""
    here = [change for change in changes if change.concerns(country, subdivision)]
    struck = frozenset[str]().union(*(change.strike for change in here))
    added = {day for change in here for text in change.add if (day := _day_of(text, year))}
    for day, named in _days(country, subdivision, year).items():
        is_struck = not struck.isdisjoint((day.isoformat(), f"{day:%m-%d}")) or all(
            _is_struck(name, struck) for name in _names(named)
        )
        if day not in added and not is_struck:
            yield day
    yield from added


def _is_struck(name: str, struck: Collection[str]) -> bool:
    """Return whether a holiday is struck; its observed day, as in `Christmas Eve (observed)`, goes with it."""
    return name in struck or name.partition(" (")[0] in struck


def _day_of(text: str, year: int) -> date | None:
    """Return the day of a year that a text names; None for one of another year, or 29 February in a common year."""
    try:
        day = date.fromisoformat(text if len(text) > len("MM-DD") else f"{year:04}-{text}")
    except ValueError:
        return None
    return day if day.year == year else None


def _names(named: str) -> set[str]:
    """Return the names of the holidays that fall on one day."""
    return {name.strip() for name in named.split(holidays.HOLIDAY_NAME_DELIMITER)}


@lru_cache(maxsize=8192)
def _days(country: str, subdivision: str | None, year: int) -> dict[date, str]:
    return dict(_library(country, subdivision, year))


@cache
def _subdivisions(country: str) -> tuple[str, ...]:
    return tuple(_library(country, None, None).subdivisions)


def _library(country: str, subdivision: str | None, year: int | None) -> holidays.HolidayBase:
    # The library warns about years that it knows only in part and about old codes. Warning filters are global, so
    # only one thread at a time may change them.
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return holidays.country_holidays(country, subdiv=subdivision, years=year)
        except NotImplementedError as unknown:
            raise ValueError(f"no holiday data: {unknown}") from None


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(EntityLoader.get_country_codes())


def _has_subdivision(country: str, code: str) -> bool:
    try:
        _library(country, code, None)
    except ValueError:
        return False
    return True
