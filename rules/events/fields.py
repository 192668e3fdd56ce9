"""The fields that several types of events have: each with its validator and its JSON schema."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from rules.events.schema import OneOf, Shape
from rules.mail_address import LONGEST_ADDRESS
from rules.text import LONGEST_TEXT
from rules.validation import (
    CODE,
    COUNTRY,
    IDENTIFIER,
    LANGUAGE,
    LONGEST_LINE,
    LONGEST_LINK,
    Validator,
    certification_code,
    country_code,
    day,
    email_as_given,
    identifier,
    integer,
    language_code,
    link,
    list_of,
    matching,
    multi_line,
    single_line,
    without_repeats,
    zone_name,
)


def pattern(expression: re.Pattern[str]) -> str:
    """Return an expression as a JSON schema has it: anchored at both ends."""
    inner = expression.pattern
    return f"^(?:{inner})$" if "|" in inner else f"^{inner}$"


def whole_number(least: int, most: int) -> Shape:
    """A whole number within limits, both included."""
    return Shape(integer(least, most), {"type": "integer", "minimum": least, "maximum": most})


def line(most: int = LONGEST_LINE) -> Shape:
    """Text on one line, with something to see on it."""
    return Shape(single_line(most), {"type": "string", "minLength": 1, "maxLength": most})


def text(*, blank: bool = True) -> Shape:
    """Free text of several lines; with `blank` false there has to be something to see."""
    least: dict[str, Any] = {} if blank else {"minLength": 1}
    return Shape(multi_line(blank=blank), {"type": "string", **least, "maxLength": LONGEST_TEXT})


def words(expression: re.Pattern[str], reason: str) -> Shape:
    """Text of a form; the reason names it, after "must be"."""
    return Shape(matching(expression, reason), {"type": "string", "pattern": pattern(expression)})


def iso(read: Validator[Any]) -> Validator[str]:
    """Read a date or a time into ISO 8601 text."""
    return lambda value: str(read(value).isoformat())


def short_list(read: Validator[str], item: dict[str, Any], *, least: int = 0, most: int = 50) -> Shape:
    """A list of short texts without repeats; a single text stands for a list of one."""
    schema: dict[str, Any] = {"type": "array", "items": item, "maxItems": most}
    if least:
        schema["minItems"] = least
    return Shape(without_repeats(list_of(read, least=least, most=most, alone=True)), schema)


def _lines(value: object) -> str:
    if isinstance(value, list | tuple):
        value = "\n".join(list_of(multi_line())(value))
    return multi_line()(value)


_ID = Shape(identifier, {"type": "string", "pattern": pattern(IDENTIFIER)})
_LINE = {"type": "string", "minLength": 1, "maxLength": LONGEST_LINE}

Id = Annotated[str, _ID]
By = Annotated[str, _ID, Field(description="The profile of the party who acts.")]

Role = Annotated[Literal["mentor", "mentee"], OneOf()]
Name = Annotated[str, line()]
Day = Annotated[str, Shape(iso(day), {"type": "string", "format": "date"})]
Months = Annotated[int, whole_number(1, 120)]
Text = Annotated[str, text()]
NeededText = Annotated[str, text(blank=False)]
Link = Annotated[
    str, Shape(link, {"type": "string", "format": "uri", "pattern": "^https://", "maxLength": LONGEST_LINK})
]
Email = Annotated[
    str, Shape(email_as_given, {"type": "string", "format": "email", "maxLength": LONGEST_ADDRESS})
]

ZoneName = Annotated[str, Shape(zone_name, {"type": "string"})]
CountryCode = Annotated[str, Shape(country_code, {"type": "string", "pattern": pattern(COUNTRY)})]
CertificationCode = Annotated[str, Shape(certification_code, {"type": "string", "pattern": pattern(CODE)})]
Languages = Annotated[
    list[str], short_list(language_code, {"type": "string", "pattern": pattern(LANGUAGE)}, most=20)
]
Topics = Annotated[list[str], short_list(single_line(), _LINE)]
DomainIds = Annotated[list[str], short_list(single_line(), _LINE, least=1, most=20)]
Goals = Annotated[str, Shape(_lines, {"type": "string", "maxLength": LONGEST_TEXT})]
