"""What people answered to each question of a survey, in the words of the questions (SUR1, SUR3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rules.program import Program, Question


@dataclass(frozen=True, slots=True)
class SurveyResult:
    """The answers to one question."""

    program: str
    role: str
    question: str
    """The id of the question."""
    words: str
    """The question as it is asked, in the program's first language; its id where the program has it no more."""
    answers: int
    average: float | None = None
    """Of ratings."""
    counts: tuple[tuple[str, int], ...] = ()
    """Of choices: the words of each answer with its count, the most frequent first."""
    texts: tuple[str, ...] = ()
    """Of free text, which is for staff only."""

    @property
    def result(self) -> str:
        """The answers in one line."""
        if self.average is not None:
            return f"average {self.average:.1f}"
        return " | ".join(self.texts) or ", ".join(f"{answer}: {count}" for answer, count in self.counts)


def results_of(
    program: Program, answers: Iterable[tuple[str, Mapping[str, Any]]]
) -> tuple[SurveyResult, ...]:
    """Return the result of each answered question of a program: `answers` are of its surveys, each with the role."""
    given = list(answers)
    found: list[SurveyResult] = []
    for role in ("mentor", "mentee"):
        mine = [each for of, each in given if of == role]
        questions = {question.id: question for question in program.survey.questions(role)}
        for key in [*questions, *sorted({key for each in mine for key in each} - questions.keys())]:
            values = [each[key] for each in mine if each.get(key) not in (None, "")]
            if values:
                found.append(_result(program, role, key, questions.get(key), values))
    return tuple(found)


def _result(
    program: Program, role: str, key: str, question: Question | None, values: list[Any]
) -> SurveyResult:
    language = program.languages[0]
    words = question.text_in(language) if question else key
    head = (program.id, role, key, words, len(values))
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return SurveyResult(*head, average=sum(numbers) / len(numbers))
    if question is not None and question.kind == "text":
        return SurveyResult(*head, texts=tuple(str(value) for value in values))
    choices = {each.id: each.text_in(language) for each in question.choices} if question else {}

    def spoken(value: object) -> str:
        answer = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        return choices.get(answer, answer)

    return SurveyResult(*head, counts=tuple(Counter(map(spoken, values)).most_common()))
