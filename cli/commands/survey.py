"""`throughline survey`: the answers of mentors and mentees (SUR1, SUR3)."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import Annotated

import typer
from sqlalchemy import select

from cli.groups import command_group
from cli.output import Json, print_json_lines, print_table
from cli.runner import run
from database.models import Survey
from rules.program import Program, Question
from worker.connections import database_ready, read_programs, read_settings

app = command_group("Count the answers to surveys.")

Row = tuple[str, str, str, int, str]


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

    rows = summary(run(read()), read_programs(read_settings()))
    head = ("program", "role", "question", "answers", "result")
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(head)
        writer.writerows([*row[:4], _for_spreadsheet(row[4])] for row in rows)
        return
    if as_json:
        print_json_lines(dict(zip(head, row, strict=True)) for row in rows)
        return
    print_table(head, rows, none="There is no answer yet.")


def summary(surveys: list[Survey], programs: dict[str, Program]) -> list[Row]:
    """Return a row for each answered question: how many answered, and what."""
    rows: list[Row] = []
    for name, program in programs.items():
        for role in ("mentor", "mentee"):
            answers = [each.answers for each in surveys if each.program == name and each.role == role]
            questions = {question.id: question for question in program.survey.questions(role)}
            for key in [*questions, *sorted({key for given in answers for key in given} - questions.keys())]:
                values = [given[key] for given in answers if given.get(key) not in (None, "")]
                if values:
                    rows.append((name, role, key, len(values), _result(questions.get(key), values)))
    return rows


def _result(question: Question | None, values: list[object]) -> str:
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return f"average {sum(numbers) / len(numbers):.1f}"
    if question is not None and question.kind == "text":
        return " | ".join(str(value) for value in values)
    return ", ".join(f"{value}: {count}" for value, count in Counter(map(str, values)).most_common())


def _for_spreadsheet(text: str) -> str:
    """Quote a cell that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
