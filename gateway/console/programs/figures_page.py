"""The figures of a program: a table over one or several periods, a plot for some of them, and a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.lists import query_of
from gateway.console.programs.rules_page import chosen_program
from gateway.console.shell import Shell, visit_of
from gateway.console.spreadsheets import csv_file
from rules.calendar import local_in
from rules.program import Program
from staff.figures import (
    EVERYBODY,
    FigureLine,
    PeoplePart,
    Period,
    figure_source,
    figures_of,
    lines,
    parts_of_program,
)

PATH: Final = "/staff/figures"
VIEWS: Final = ("months", "whole", "before")
"""By calendar month, the whole period, or beside the period of the same length before it."""

USUAL_DAYS: Final = 182
MOST_DAYS: Final = 5 * 366
EARLIEST: Final = date(1990, 1, 1)

PLOTTED: Final = (
    *("sign_ups.mentor", "sign_ups.mentee", "requests", "matches", "answered_in_time.percent"),
    *("answer_hours.median", "days_to_match.median", "active", "completed", "credit.ready"),
)
"""The figures that have a plot, by key."""

HEIGHT: Final = 96
BAR: Final = 28
GAP: Final = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a plot; `x`, `y` and `height` are of its rectangle, in the units of the drawing."""

    label: str
    value: float | None
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure over several periods."""

    line: FigureLine
    width: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the page was asked for, with days that are wrong replaced by usual ones."""

    program: Program
    period: Period
    view: str
    is_wrong: bool
    part: PeoplePart = EVERYBODY

    @property
    def periods(self) -> tuple[Period, ...]:
        """The periods to count, in order of time."""
        if self.view == "months":
            return self.period.months()
        if self.view == "before":
            length = self.period.last - self.period.first + timedelta(days=1)
            return (self.period.beginning(self.period.first - length), self.period)
        return (self.period,)


class FigurePages:
    """The page and its file. They are for those who see everybody."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.OVERVIEW)
        routes.get(PATH)(self.show)
        routes.get(f"{PATH}.csv")(self.save)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show the figures of a program."""
        asked, cohorts, partners = await self._with_part(request, self._asked(request))
        found = await self._lines(request, asked)
        labels = [_label(each, asked.view) for each in asked.periods]
        values = {
            "program": asked.program,
            "programs": sorted(self._shell.services.programs),
            "period": asked.period,
            "view": asked.view,
            "views": VIEWS,
            "is_wrong": asked.is_wrong,
            "part": asked.part,
            "cohorts": cohorts,
            "partners": partners,
            "labels": labels,
            "lines": [each for each in found if any(value is not None for value in each.values)],
            "plots": plots(found, labels),
            "number": _number,
        }
        return self._shell.respond(request, "figures.html", values, 422 if asked.is_wrong else 200)

    async def save(self, request: Request) -> Response:
        """Return the figures as a file."""
        asked, _, _ = await self._with_part(request, self._asked(request))
        found = await self._lines(request, asked)
        columns = ["figure", "words", *(f"{each.first} – {each.last}" for each in asked.periods)]
        return csv_file("figures", columns, ((each.key, each.words, *each.values) for each in found))

    def _asked(self, request: Request) -> _Asked:
        program = chosen_program(self._shell, request)
        today = local_in(program.hours.zone, visit_of(request).at).date()
        view = query_of(request, "view", 10)
        view = view if view in VIEWS else VIEWS[0]
        since, until = (query_of(request, name, 10) for name in ("since", "until"))
        usual = Period((today - timedelta(days=USUAL_DAYS)).replace(day=1), today)
        if not since and not until:
            return _Asked(program, usual, view, is_wrong=False)
        try:
            period = Period(date.fromisoformat(since), date.fromisoformat(until))
        except ValueError:
            return _Asked(program, usual, view, is_wrong=True)
        if period.first < EARLIEST or period.last.year > today.year + 1 or _days(period) > MOST_DAYS:
            return _Asked(program, usual, view, is_wrong=True)
        return _Asked(program, period, view, is_wrong=False)

    async def _with_part(self, request: Request, asked: _Asked) -> tuple[_Asked, list[str], list[str]]:
        """Return what was asked with its part, and the cohorts and partners to choose from."""
        async with self._shell.database.reading() as session:
            cohorts, partners = await parts_of_program(session, asked.program)
        cohort, partner = (query_of(request, name, 64) for name in ("cohort", "partner"))
        part = PeoplePart(cohort if cohort in cohorts else "", partner if partner in partners else "")
        return replace(asked, part=part), cohorts, partners

    async def _lines(self, request: Request, asked: _Asked) -> tuple[FigureLine, ...]:
        now = visit_of(request).at
        async with self._shell.database.reading() as session:
            source = await figure_source(session, asked.program, asked.part)
        # Thousands of requests are counted in business hours: not on the event loop.
        return await asyncio.to_thread(lambda: lines(figures_of(source, asked.periods, now)))


def plots(found: Sequence[FigureLine], labels: Sequence[str]) -> list[Plot]:
    """Return the plots of those figures that have one and a value above zero; none for a single period."""
    if len(labels) < 2:
        return []
    by_key = {each.key: each for each in found}
    wanted = [by_key[key] for key in PLOTTED if key in by_key and any(by_key[key].values)]
    return [Plot(each, len(labels) * (BAR + GAP) + GAP, _bars(each, labels)) for each in wanted]


def _bars(line: FigureLine, labels: Sequence[str]) -> tuple[Bar, ...]:
    most = max(value or 0 for value in line.values)
    heights = [round(HEIGHT * (value or 0) / most, 1) for value in line.values]
    return tuple(
        Bar(label, value, GAP + place * (BAR + GAP), round(HEIGHT - height, 1), height)
        for place, (label, value, height) in enumerate(zip(labels, line.values, heights, strict=True))
    )


def _label(period: Period, view: str) -> str:
    if view != "months":
        return f"{period.first} – {period.last}"
    is_whole = period.first.day == 1 and (period.last + timedelta(days=1)).day == 1
    return f"{period.first:%Y-%m}" + ("" if is_whole else f" ({period.first.day}–{period.last.day})")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _days(period: Period) -> int:
    return (period.last - period.first).days
