"""`throughline survey`: the answers of mentors and mentees (SUR1, SUR3)."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import asdict, astuple, dataclass, fields
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

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet runs as a formula, also in full width, and behind blanks."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answers to one question."""

    program: str
    role: str
    question: str
    """The id of the question."""
    words: str
    """The question as it is asked, in the program's first language; its id where the program has it no more."""
    answers: int
    result: str
    """The average, the counts by the words of the answers, or the texts."""


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

    found = summary(run(read()), read_programs(read_settings()))
    head = [field.name for field in fields(Result)]
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(head)
        writer.writerows([_for_spreadsheet(str(cell)) for cell in astuple(row)] for row in found)
        return
    if as_json:
        print_json_lines(map(asdict, found))
        return
    print_table(
        ("program", "role", "question", "answers", "result"),
        ((each.program, each.role, each.words, each.answers, each.result) for each in found),
        none="There is no answer yet.",
    )


def summary(surveys: list[Survey], programs: dict[str, Program]) -> list[Result]:
    """Return the result of each answered question: how many answered, and what."""
    found: list[Result] = []
    for name, program in programs.items():
        for role in ("mentor", "mentee"):
            answers = [each.answers for each in surveys if each.program == name and each.role == role]
            questions = {question.id: question for question in program.survey.questions(role)}
            for key in [*questions, *sorted({key for given in answers for key in given} - questions.keys())]:
                values = [given[key] for given in answers if given.get(key) not in (None, "")]
                if values:
                    question, language = questions.get(key), program.languages[0]
                    words = question.text_in(language) if question else key
                    result = _result(question, values, language)
                    found.append(Result(name, role, key, words, len(values), result))
    return found


def _result(question: Question | None, values: list[object], language: str) -> str:
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return f"average {sum(numbers) / len(numbers):.1f}"
    if question is not None and question.kind == "text":
        return " | ".join(str(value) for value in values)
    choices = {each.id: each.text_in(language) for each in question.choices} if question else {}

    def words(value: object) -> str:
        answer = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        return choices.get(answer, answer)

    return ", ".join(f"{answer}: {count}" for answer, count in Counter(map(words, values)).most_common())


def _for_spreadsheet(text: str) -> str:
    """Quote a cell that a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
