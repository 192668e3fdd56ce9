"""`throughline survey`: what mentors and mentees answered (SUR1, SUR3)."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import Annotated

import typer
from sqlalchemy import select

from cli.output import Json, print_json_lines, print_table
from cli.runner import run
from database.models import Survey
from rules.program import Program, Question
from worker.connections import database_ready, read_programs, read_settings

app = typer.Typer(help="What mentors and mentees answered.", no_args_is_help=True)

Row = tuple[str, str, str, int, str]


@app.command()
def results(
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, for a spreadsheet.")] = False,
    as_json: Json = False,
) -> None:
    """Counts and averages of every question; what was written freely is for staff, under its question."""
    if as_csv and as_json:
        raise typer.BadParameter("either --csv or --json")

    async def read() -> list[Survey]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            answered = select(Survey).where(Survey.answered_at.is_not(None)).order_by(Survey.workflow)
            return list(await session.scalars(answered))

    rows = summary(run(read()), read_programs(read_settings()))
    head = ("program", "role", "question", "answers", "result")
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(head)
        writer.writerows([*row[:4], _harmless(row[4])] for row in rows)
        return
    if as_json:
        print_json_lines(dict(zip(head, row, strict=True)) for row in rows)
        return
    print_table(head, rows, none="No answer yet.")


def summary(surveys: list[Survey], programs: dict[str, Program]) -> list[Row]:
    """A line for each question that somebody answered: how many did, and what."""
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


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
