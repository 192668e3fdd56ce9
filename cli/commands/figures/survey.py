"""`throughline survey`: the answers of mentors and mentees (SUR1, SUR3)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from sqlalchemy import select

from cli.groups import command_group
from cli.output import Json, print_json_lines, print_table
from cli.runner import run
from database.models import Survey
from rules.program import Program
from staff.figures import SurveyResult, results_of
from worker.connections import database_ready, read_programs, read_settings

app = command_group("Count the answers to surveys.")

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet runs as a formula, also in full width, and behind blanks."""


@app.command()
def results(
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    as_json: Json = False,
) -> None:
    """Print the counts and averages of every question.

    Answers in free text are listed under their question. They are for staff only.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv cannot be combined with --json")

    async def read() -> list[Survey]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            answered = select(Survey).where(Survey.answered_at.is_not(None)).order_by(Survey.workflow)
            return list(await session.scalars(answered))

    found = [_row(each) for each in summary(run(read()), read_programs(read_settings()))]
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(HEAD)
        writer.writerows([for_spreadsheet(str(cell)) for cell in row] for row in found)
        return
    if as_json:
        print_json_lines(dict(zip(HEAD, row, strict=True)) for row in found)
        return
    print_table(
        ("program", "role", "question", "answers", "result"),
        ((row[0], row[1], row[3], row[4], row[5]) for row in found),
        none="There is no answer yet.",
    )


HEAD = ("program", "role", "question", "words", "answers", "result")


def _row(each: SurveyResult) -> tuple[object, ...]:
    return (each.program, each.role, each.question, each.words, each.answers, each.result)


def summary(surveys: list[Survey], programs: Mapping[str, Program]) -> list[SurveyResult]:
    """Return the result of each answered question of each program."""
    return [
        result
        for name, program in programs.items()
        for result in results_of(program, [(s.role, s.answers) for s in surveys if s.program == name])
    ]


def for_spreadsheet(text: str) -> str:
    """Quote a cell that a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
