"""`throughline figures`: the figures of a program over a period, by month, or against another period."""

from __future__ import annotations

import csv
import sys
from datetime import date, datetime
from typing import Annotated

import typer

from cli.arguments import program_named
from cli.commands.figures.survey import for_spreadsheet
from cli.output import Json, print_json_lines, print_table
from cli.program_time import program_time
from cli.runner import run
from rules.program import Program
from staff.figures import (
    FigureLine,
    Figures,
    PeoplePart,
    Period,
    figure_source,
    figures_of,
    lines,
    parts_of_program,
)
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

_DAY = ["%Y-%m-%d"]


# long: each parameter is an option of the command
def print_figures(
    since: Annotated[datetime, typer.Option(formats=_DAY, help="The first day.")],
    until: Annotated[datetime, typer.Option(formats=_DAY, help="The last day.")],
    by_month: Annotated[bool, typer.Option("--by-month", help="Count each calendar month apart.")] = False,
    against: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="Compare with the period of the same length from this day on."),
    ] = None,
    program: Annotated[str, typer.Option(help="The program; by default, the first.")] = "",
    cohort: Annotated[str, typer.Option(help="Count only the people of this cohort.")] = "",
    partner: Annotated[str, typer.Option(help="Count only the people of this partner.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    as_json: Json = False,
) -> None:
    """Print the figures of a program over a period.

    Days are those of the program's zone. Free text of surveys is not among them: survey results has it.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv cannot be combined with --json")
    if by_month and against:
        raise typer.BadParameter("--by-month cannot be combined with --against")
    try:
        period = Period(since.date(), until.date())
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    periods = period.months() if by_month else (period,)
    if against:
        periods = (period, period.beginning(against.date()))
    chosen = program_named(read_programs(read_settings()), program)
    _print(run(_read(chosen, periods, PeoplePart(cohort, partner))), as_csv, as_json)


async def _read(program: Program, periods: tuple[Period, ...], part: PeoplePart) -> list[Figures]:
    async with database_ready(read_settings()) as database:
        now = await program_time(database)
        async with database.reading() as session:
            cohorts, partners = await parts_of_program(session, program)
            for name, known, what in ((part.cohort, cohorts, "cohort"), (part.partner, partners, "partner")):
                if name and name not in known:
                    listed = ", ".join(known) or "none"
                    raise Failure(f"program {program.id} has no {what} {name}; it has: {listed}")
            source = await figure_source(session, program, part)
    return figures_of(source, periods, now)


def _print(found: list[Figures], as_csv: bool, as_json: bool) -> None:
    rows = lines(found)
    columns = [_named(each.period.first, each.period.last) for each in found]
    if as_json:
        print_json_lines(
            {"first": each.period.first, "last": each.period.last, **{r.key: r.values[place] for r in rows}}
            for place, each in enumerate(found)
        )
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(("figure", "words", *columns))
        writer.writerows(
            (for_spreadsheet(r.key), for_spreadsheet(r.words), *map(_cell, r.values)) for r in rows
        )
    else:
        print_table(("", *columns), ((row.words, *map(_cell, row.values)) for row in _shown(rows)))


def _shown(rows: tuple[FigureLine, ...]) -> list[FigureLine]:
    """Return the figures that say something: those without a value in any period are left out."""
    return [row for row in rows if any(value is not None for value in row.values)]


def _named(first: date, last: date) -> str:
    return f"{first} – {last}"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
