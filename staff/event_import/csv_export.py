"""An export of members or profiles as CSV, as spreadsheets and databases write it: each row as an event.

A row that cannot be read is named by its line, and keeps no other from being read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from rules.validation import quote
from staff.event_import.export_differences import FIXED_FIELDS, MEMBER_FIELDS, PROFILE_FIELDS

SOURCE: Final = "/export"
"""The source of rows: a CSV names none."""

MOST_LINES_OF_A_ROW: Final = 20
"""A quote that is not closed must not swallow the rest of a file."""

_LISTS: Final = ("languages", "areas", "interests")
_NUMBERS: Final = ("birth_year", "years_management", "mentees_at_a_time")
_FIELDS: Final = (*("type", "time", "profile"), *FIXED_FIELDS, *MEMBER_FIELDS, *PROFILE_FIELDS)
_DELIMITERS: Final = (",", ";", "\t")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BROKEN_CELL = re.compile(r"#N/[AD]|#[¡¿]?[A-ZÁÉÍÓÚÑ/0]+[!?]")
"""What a spreadsheet shows for a formula that failed: #REF!, #N/A, #¿NOMBRE?."""

_QUOTE_OPEN: Final = "unexpected end of data"
"""The text of the library's error for a field that goes on in the next line; it has no class of its own."""


class ExportRefused(Exception):
    """A file of which no row can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class CsvExport:
    """The rows of a CSV file."""

    events: tuple[tuple[str, Mapping[str, Any]], ...]
    """Each with its place, `line 7: `, as an event that is not checked yet."""
    mistakes: tuple[str, ...]
    """A line for each row that cannot be read."""
    unused: tuple[str, ...]
    """Columns that no field has."""


def read_csv(content: bytes, columns: Mapping[str, str] | None = None) -> CsvExport:
    """Return the rows of a file in UTF-8, with a line of names at its top.

    `columns` says under which name a field stands in the file. Columns are separated by commas, semicolons or tabs,
    entries of a list by semicolons or bars. An empty cell is no value. Raises ExportRefused.
    """
    if content.startswith(_UTF16):
        raise ExportRefused("is UTF-16: save it as CSV UTF-8")
    # Lines that are no UTF-8 are named one by one, below.
    text = content.decode("utf-8-sig", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    if not text.strip():
        raise ExportRefused("is empty")
    delimiter = max(_DELIMITERS, key=lines[0].count)
    rows = _rows(lines, delimiter)
    first = next(rows)
    if isinstance(first[1], str):
        raise ExportRefused(f"line 1: {first[1]}")
    fields, unused = _header(first[1], columns or {})
    events, mistakes = [], []
    for number, row in rows:
        where = f"line {number}: "
        if isinstance(row, str):
            mistakes.append(where + row)
        elif any(cell.strip() for cell in row):
            event = _event(fields, row)
            if isinstance(event, str):
                mistakes.append(where + event)
            else:
                events.append((where, event))
    return CsvExport(tuple(events), tuple(mistakes), tuple(unused))


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each row with the number of its first line, or why it cannot be read."""
    at = 0
    while at < len(lines):
        row, length = _row(lines, at, delimiter)
        yield at + 1, row
        at += length


def _row(lines: Sequence[str], at: int, delimiter: str) -> tuple[list[str] | str, int]:
    """Return the row that begins at a line, or why it cannot be read, and how many lines it takes."""
    for length in range(1, MOST_LINES_OF_A_ROW + 1):
        some = lines[at : at + length]
        try:
            row = next(csv.reader(some, delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            if _QUOTE_OPEN not in str(error):
                return f"is no CSV: {error}", 1
            if at + length >= len(lines):
                break
            continue
        if any("\udc80" <= character <= "\udcff" for line in some for character in line):
            return "is not UTF-8: save the file as CSV UTF-8", length
        return row, length
    return "a quote is opened and not closed", 1


def _header(names: Sequence[str], columns: Mapping[str, str]) -> tuple[list[str | None], list[str]]:
    """Return the field of each column, None for one that is not used, and the names of those. Raises ExportRefused."""
    given = [name.strip() for name in names]
    if twice := sorted({name for name in given if name and given.count(name) > 1}):
        raise ExportRefused(f"line 1: the column {quote(twice[0])} is there twice")
    renamed = {header: field for field, header in columns.items()}
    if missing := sorted(renamed.keys() - set(given)):
        raise ExportRefused(f"line 1: there is no column {quote(missing[0])}")
    if unknown := sorted(renamed[each] for each in renamed if renamed[each] not in _FIELDS):
        raise ExportRefused(f"there is no field {quote(unknown[0])}: it is one of {', '.join(_FIELDS)}")
    fields = [renamed.get(name) or (name.lower() if name.lower() in _FIELDS else None) for name in given]
    for field in {field for field in fields if field}:
        if fields.count(field) > 1:
            raise ExportRefused(f"line 1: two columns are {field}")
    unused = [name for name, field in zip(given, fields, strict=True) if field is None and name]
    for name in unused:
        near = get_close_matches(name.lower(), set(_FIELDS) - set(fields), 1, 0.75)
        if near:
            raise ExportRefused(f"line 1: the column {quote(name)} is no field; did you mean {near[0]}?")
    if "member" not in fields and "profile" not in fields:
        raise ExportRefused("line 1: there is neither a column member nor a column profile")
    return fields, unused


def _event(fields: Sequence[str | None], row: Sequence[str]) -> dict[str, Any] | str:
    """Return a row as an event, or what is wrong with it."""
    if len(row) != len(fields):
        return f"has {len(row)} cells, and line 1 has {len(fields)}"
    data: dict[str, Any] = {}
    for field, cell in zip(fields, row, strict=True):
        if field is None:
            continue
        text = cell.strip()
        if text.startswith("=") or _BROKEN_CELL.fullmatch(text):
            return f"{field}: is a formula, or the error of one: {quote(text)}"
        data[field] = _value(field, text)
    type, time = data.pop("type", None), data.pop("time", None)
    event = {
        "specversion": "1.0",
        "id": "row",  # a difference is named by its content
        "source": SOURCE,
        "type": type or ("profile.created" if "profile" in fields else "member.updated"),
        "data": data,
    }
    return {**event, "time": time} if time else event


def _value(field: str, text: str) -> Any:
    if not text:
        return None
    if field in _LISTS:
        return [entry for each in re.split("[;|]", text) if (entry := each.strip())]
    if field in _NUMBERS and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    if field == "certifications":
        names = ("code", "cycle_start", "cycle_end")
        entries = (each.split() for each in re.split("[;|]", text))
        return [dict(zip(names, entry, strict=False)) for entry in entries if entry]
    return text
