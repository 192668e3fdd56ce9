"""Schemas of TOML files: frozen dataclasses that validate a file and describe it (COH5).

A dataclass decorated with `table` is the schema of a table: each of its fields carries its validator, the ids of the
rules that it serves, and a line about it. `program show` prints the same fields.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, dataclass_transform

from rules.validation import Issue, Issues, ValidationError, Validator, list_of, mapping, nearest

T = TypeVar("T")

LARGEST_FILE = 256 * 1024
LONGEST_FILE_LINE = 4_000
MOST_MISTAKES = 100
_UNKNOWN_KEYS_LISTED = 10
_DEEPEST_TEXT = 8
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Mistake(NamedTuple):
    """One thing that is wrong in a file; as text it is one line, `file: key: reason` (COH5).

    `key` is dotted, with positions counted from 0 (`survey.mentor[0].text`), `line 3` for what is no TOML, and
    `the file` for what is wrong with all of it.
    """

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}"


class ProgramError(ValueError):
    """A program file or a catalogue is refused.

    `mistakes` holds all that was found wrong with it; as text, each has a line (COH5).
    """

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))


class Setting(NamedTuple):
    """One value of a file as people read it: where it stands, what it serves, what it means."""

    section: str
    key: str
    value: str
    rules: tuple[str, ...]
    about: str


def field(
    read: Validator[T],
    *rules: str,
    about: str,
    default: Any = MISSING,
    show: Callable[[Any], str] | None = None,
) -> T:
    """Declare a field read from the key of its name; with a default, the key is optional."""
    metadata = {"read": read, "rules": rules, "about": about, "show": show or shown}
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


def nested(table: type[Any], *, becomes: Callable[[Any], T] | None = None, default: Any = MISSING) -> T:
    """Declare a field read from the table of its name; `becomes` converts the table into another value.

    With a default, the table is optional.
    """
    read = table_validator(table)
    made = read if becomes is None else lambda value: becomes(read(value))
    field: T = dataclasses.field(default=default, metadata={"read": made, "of": table})
    return field


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, nested))
def table(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose fields are the keys of a table.

    A method `conflicts() -> Iterator[Issue]` may report values that are valid alone and contradict each other.
    """
    return dataclass(frozen=True, kw_only=True, slots=True)(cls)


def table_validator(table: type[T]) -> Validator[T]:
    """Return a validator of a table; unknown and missing keys are issues."""

    def read(value: object) -> T:
        given = mapping(value)
        keys = {field.name: field for field in _keys(table)}
        faults = Issues()
        values: dict[str, object] = {}
        for name, field in keys.items():
            if name in given:
                values[name] = faults.read(name, field.metadata["read"], given[name])
            elif field.default is MISSING:
                faults.add("is missing", name)
        unknown = [key for key in given if key not in keys]
        for key in unknown[:_UNKNOWN_KEYS_LISTED]:
            faults.add(f"is no key of this table{nearest(key, keys)}", key)
        if len(unknown) > _UNKNOWN_KEYS_LISTED:
            faults.add(f"has {len(unknown) - _UNKNOWN_KEYS_LISTED} more unknown keys")
        faults.settle()
        made = table(**values)
        faults.found += getattr(made, "conflicts", tuple)()
        faults.settle()
        return made

    return read


def tuple_of(read: Validator[T], *, least: int = 0, most: int = 50) -> Validator[tuple[T, ...]]:
    """Return a validator of a list without duplicates; its value is a tuple."""
    read_list = list_of(read, least=least, most=most)

    def read_tuple(value: object) -> tuple[T, ...]:
        kept: list[T] = []
        faults = Issues()
        for position, each in enumerate(read_list(value)):
            if each in kept:
                faults.add("is there twice", position)
            kept.append(each)
        faults.settle()
        return tuple(kept)

    return read_tuple


def texts(read: Validator[str]) -> Validator[Mapping[str, str]]:
    """Return a validator of a text in each language: a table from a language's code to the text."""

    def read_texts(value: object) -> Mapping[str, str]:
        faults = Issues()
        kept = {language: faults.read(language, read, text) for language, text in mapping(value).items()}
        faults.settle()
        return MappingProxyType({language: text for language, text in kept.items() if text is not None})

    return read_texts


def in_language(named: Mapping[str, str], language: str) -> str:
    """Return the text in a language, else in the first one of the file (MAIL5)."""
    return named.get(language) or next(iter(named.values()))


def settings(made: object, name: str) -> list[Setting]:
    """Return every value of a table and of its inner tables, under the table's name, in the order of the schema.

    An optional table that the file does not have yields nothing.
    """
    found: list[Setting] = []
    for field in _keys(type(made)):
        value, metadata = getattr(made, field.name), field.metadata
        if (table := metadata.get("of")) and value is None:
            continue
        if table:
            found += [setting for inner in _keys(table) for setting in _settings(value, field.name, inner)]
        elif isinstance(value, Mapping):
            found += [
                Setting(field.name, key, metadata["show"](each), metadata["rules"], metadata["about"])
                for key, each in value.items()
            ]
        else:
            found += _settings(made, name, field)
    return found


def parse(
    table: type[T],
    content: Mapping[str, Any],
    file_of: Callable[[tuple[str | int, ...]], str],
    *,
    texts_at: str,
    also: Callable[[Mapping[str, Any]], Iterator[Issue]] = lambda content: iter(()),
) -> T:
    """Parse a whole content into its table, which has `languages` and a `fingerprint` of the content.

    Tables of texts by language stand at keys named `texts_at`; `also` finds what is wrong across sections. `file_of`
    is the name of the file that a value comes from. Raises ProgramError with every mistake, each under that name.
    """
    faults = Issues()
    made: Any = None
    try:
        made = table_validator(table)(content)
    except ValidationError as wrong:
        faults.found += wrong.faults
    faults.found += texts_missing(content, texts_at)
    faults.found += also(content)
    if faults.found:
        raise ProgramError(_mistakes(faults.found, file_of))
    read: T = dataclasses.replace(made, fingerprint=hashlib.sha256(canonical(content)).hexdigest())
    return read


def content_of(text: str, file: str) -> dict[str, Any]:
    """Return what the text of a file says. Raises ProgramError if it is no TOML, or too large to be read."""
    if len(text) > LARGEST_FILE:
        raise _refused(file, "the file", f"must be at most {LARGEST_FILE} characters long")
    for number, written in enumerate(text.split("\n"), 1):
        # Keys of very many parts take the parser minutes, and stand on one line.
        if len(written) > LONGEST_FILE_LINE:
            raise _refused(file, f"line {number}", f"must be at most {LONGEST_FILE_LINE} characters long")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        where = at[1] if at and at[1] else str(text.count("\n") + (not text.endswith("\n")))
        raise _refused(file, f"line {where}", f"no TOML: {_AT_LINE.sub('', str(error))[:200]}") from None
    except (ValueError, RecursionError):
        raise _refused(file, "the file", "holds tables too deep, or a number too long, to be read") from None


def read_text(path: Path) -> str:
    """Read the text of a file. Raises ProgramError if it cannot be read, is too large or is not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise _refused(str(path), "the file", f"must be at most {LARGEST_FILE} bytes long")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise _refused(str(path), "the file", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise _refused(str(path), f"line {number}", "is not UTF-8") from None


def canonical(content: object) -> bytes:
    """Return the same bytes for the same content, whatever the layout and the comments of the file."""
    return json.dumps(
        content, default=str, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    ).encode()


def shown(value: object) -> str:
    """Return a value on one line, as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, time):
        return value.isoformat("minutes")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(each)}" for key, each in value.items()) or "none"
    if isinstance(value, tuple | list | frozenset):
        each = sorted(value) if isinstance(value, frozenset) else value
        return ", ".join(map(shown, each)) or "none"
    return str(value)


def _keys(table: type[Any]) -> Iterator[dataclasses.Field[Any]]:
    return (field for field in dataclasses.fields(table) if "read" in field.metadata)


def _settings(made: object, name: str, field: dataclasses.Field[Any]) -> Iterator[Setting]:
    value, metadata = getattr(made, field.name), field.metadata
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield Setting(
                name, f"{field.name}.{key}", metadata["show"](each), metadata["rules"], metadata["about"]
            )
    else:
        yield Setting(name, field.name, metadata["show"](value), metadata["rules"], metadata["about"])


def _refused(file: str, key: str, reason: str) -> ProgramError:
    return ProgramError((Mistake(file, key, reason),))


def _dotted(path: tuple[str | int, ...]) -> str:
    dotted = ""
    for step in path[:12]:
        if isinstance(step, int):
            dotted += f"[{step}]"
        else:
            dotted += "." * bool(dotted) + (step if _PLAIN_KEY.fullmatch(step) else json.dumps(step[:80]))
    return dotted or "the file"


def _mistakes(faults: list[Issue], file_of: Callable[[tuple[str | int, ...]], str]) -> tuple[Mistake, ...]:
    mistakes = [
        Mistake(file_of(fault.path), _dotted(fault.path), fault.reason) for fault in faults[:MOST_MISTAKES]
    ]
    if len(faults) > MOST_MISTAKES:
        mistakes.append(Mistake(file_of(()), "the file", f"has {len(faults) - MOST_MISTAKES} more mistakes"))
    return tuple(mistakes)


def texts_missing(content: Mapping[str, Any], key: str) -> Iterator[Issue]:
    """Yield an issue for each table of texts at that key that lacks a language of the file, or has another one."""
    listed = content.get("languages")
    languages = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    pending: deque[tuple[tuple[str | int, ...], object]] = deque([((), content)] if languages else [])
    while pending:
        path, value = pending.popleft()
        if len(path) > _DEEPEST_TEXT:
            continue
        if isinstance(value, list):
            pending += [((*path, position), inner) for position, inner in enumerate(value)]
        elif isinstance(value, dict):
            pending += [((*path, step), inner) for step, inner in value.items()]
            if path and path[-1] == key:
                for language in languages:
                    if language not in value:
                        yield Issue((*path, language), "is missing: every text is needed in every language")
                for language in value:
                    if language not in languages:
                        yield Issue((*path, language), "is none of the file's languages")
