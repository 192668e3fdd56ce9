"""Events about surveys."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rules.events.data.engagements import EngagementEvent
from rules.events.fields import By, pattern
from rules.events.schema import Shape
from rules.text import LONGEST_TEXT
from rules.validation import (
    Issues,
    ValidationError,
    integer,
    kind_of,
    mapping,
    multi_line,
)

MOST_ANSWERS = 100
_BEST_RATING = 1000
_QUESTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def _answers(value: object) -> dict[str, str | int | bool]:
    given = mapping(value)
    if len(given) > MOST_ANSWERS:
        raise ValidationError(f"must have at most {MOST_ANSWERS} answers, not {len(given)}")
    if not all(_QUESTION.fullmatch(question) for question in given):
        raise ValidationError("must have ids of questions as keys, like goals_met")
    faults = Issues()
    answers = {
        question: faults.read(question, _answer, answer)
        for question, answer in given.items()
        if answer is not None
    }
    faults.settle()
    return {question: answer for question, answer in answers.items() if answer is not None}


def _answer(value: object) -> str | int | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return integer(0, _BEST_RATING)(value)
    if isinstance(value, str):
        return multi_line()(value)
    raise ValidationError(f"must be true or false, a whole number or text, not {kind_of(value)}")


_ANSWERS = {
    "type": "object",
    "maxProperties": MOST_ANSWERS,
    "propertyNames": {"pattern": pattern(_QUESTION)},
    "additionalProperties": {
        "anyOf": [
            {"type": "boolean"},
            {"type": "integer", "minimum": 0, "maximum": _BEST_RATING},
            {"type": "string", "maxLength": LONGEST_TEXT},
        ]
    },
}


class SurveyAnswered(EngagementEvent):
    """A party answers the survey after an engagement."""

    event_type = "survey.answered"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "by": "p-ana",
        "answers": {"goals_met": "yes", "rating": 5, "extend": False},
    }

    by: By
    answers: Annotated[dict[str, str | int | bool], Shape(_answers, _ANSWERS)] = Field(
        description="An answer to each question, by its id."
    )
