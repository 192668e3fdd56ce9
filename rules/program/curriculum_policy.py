"""The `[curriculum]` of a program file: guides, workshops and tasks in sequence, sent along an engagement (COH4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from rules.program.policies import ROLES
from rules.program.toml_schema import field, in_language, table, table_validator, texts, tuple_of
from rules.program.values import holiday_day
from rules.validation import Issue, choice, integer, link, matching, multi_line, single_line

MOST_STEPS = 60
MOST_WEEKS = 104

STEP_ID = matching(
    re.compile(r"[a-z][a-z0-9_]{0,29}"), "an id like good_time: lower case letters, digits and _"
)

WHO = {"mentor": ("mentor",), "mentee": ("mentee",), "both": ROLES}
"""The roles that a step is for, by its `who`."""

_DAY = timedelta(days=1)


@table
class Break:
    """Days in which no step opens. Steps that are due in them, and all later ones, move by their number (COH4)."""

    first: str = field(holiday_day, "COH4", about="the first day: a date, or a day of every year like 12-16")
    last: str = field(
        holiday_day, "COH4", about="the last day, in the same form; it may lie in the next year"
    )

    @property
    def is_yearly(self) -> bool:
        """Whether it comes every year."""
        return len(self.first) == len("12-16")

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for days of two forms, or in the wrong order."""
        if len(self.first) != len(self.last):
            yield Issue(("last",), "must be written like first: both a date, or both a day of every year")
        elif not self.is_yearly and self.last < self.first:
            yield Issue(("last",), f"must not come before first, which is {self.first}")

    def days(self, first_year: int, last_year: int) -> Iterator[tuple[date, date]]:
        """Yield the first day of each break that begins in these years, and the first day after it."""
        if not self.is_yearly:
            yield date.fromisoformat(self.first), date.fromisoformat(self.last) + _DAY
            return
        for year in range(first_year, last_year + 1):
            ends = year if self.first <= self.last else year + 1
            yield _in_year(self.first, year, 1), _in_year(self.last, ends, 0) + _DAY


def _in_year(day: str, year: int, instead: int) -> date:
    """Return a day of every year in one year; 29 February is the day before or after it in a year without."""
    try:
        return date.fromisoformat(f"{year:04}-{day}")
    except ValueError:
        return date(year, 2, 28) + instead * _DAY


@table
class CurriculumStep:
    """One step: a guide to read, a workshop to take part in, or a task to do (COH4)."""

    id: str = field(STEP_ID, "COH4", about="the id by which it is done; it stays when the file changes")
    week: int = field(
        integer(1, MOST_WEEKS), "COH4", about="the week in which it opens; the first begins on the first day"
    )
    kind: str = field(choice("guide", "workshop", "task"), "COH4", about="what it is")
    who: str = field(choice(*WHO), "COH4", about="for whom: mentor, mentee or both")
    title: Mapping[str, str] = field(
        texts(single_line(60)), "COH4", "MAIL5", about="its title in each language"
    )
    text: Mapping[str, str] = field(
        texts(multi_line(2000, blank=False)), "COH4", "MAIL5", about="what it asks for in each language"
    )
    link: str | None = field(link, "COH4", about="where its material is", default=None)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it is for."""
        return WHO[self.who]

    def title_in(self, language: str) -> str:
        """Return the title in a language, else in the program's first."""
        return in_language(self.title, language)

    def text_in(self, language: str) -> str:
        """Return the text in a language, else in the program's first."""
        return in_language(self.text, language)


def _steps_shown(steps: tuple[CurriculumStep, ...]) -> str:
    return ", ".join(f"{step.id} (week {step.week}, {step.kind}, {step.who})" for step in steps)


def _breaks_shown(breaks: tuple[Break, ...]) -> str:
    return ", ".join(f"{each.first} to {each.last}" for each in breaks) or "none"


@table
class CurriculumPolicy:
    """The steps of all pairs of a program, in sequence (COH4). Weeks count from the first day of a pair."""

    steps: tuple[CurriculumStep, ...] = field(
        tuple_of(table_validator(CurriculumStep), least=1, most=MOST_STEPS),
        "COH4",
        about="guides, workshops and tasks, in the order of their weeks",
        show=_steps_shown,
    )
    breaks: tuple[Break, ...] = field(
        tuple_of(table_validator(Break)),
        "COH4",
        about="days in which no step opens",
        default=(),
        show=_breaks_shown,
    )
    late_after_days: int = field(
        integer(1, 365),
        "COH4",
        about="days after its opening on which a step that is not done is late",
        default=14,
    )
    lagging_steps: int = field(
        integer(1, MOST_STEPS),
        "COH4",
        about="late steps of a person that have staff look after the pair",
        default=2,
    )

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for an id that is there twice, and for a week before that of the step above."""
        seen: set[str] = set()
        week = 1
        for position, step in enumerate(self.steps):
            if step.id in seen:
                yield Issue(("steps", position, "id"), f"{step.id} is there twice")
            if step.week < week:
                reason = f"must not be less than {week}, the week of the step before it"
                yield Issue(("steps", position, "week"), reason)
            seen.add(step.id)
            week = step.week

    def step(self, id: str) -> CurriculumStep | None:
        """Return the step of an id; None where there is none."""
        return next((step for step in self.steps if step.id == id), None)

    def place(self, id: str) -> int:
        """Return the place of a step, counted from 1; 0 where there is none."""
        return next((place for place, step in enumerate(self.steps, 1) if step.id == id), 0)

    def steps_for(self, role: str) -> tuple[CurriculumStep, ...]:
        """Return the steps of a role, `mentor` or `mentee`, in order."""
        return tuple(step for step in self.steps if role in step.roles)
