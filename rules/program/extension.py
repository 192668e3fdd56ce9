"""A program file that extends another one of its folder, and the two as one content (COH5).

`extends = "asis-global"` takes over that file: tables are merged key by key, and everything else that both have, lists
included, is that of the extending file. What comes out is written as one file that needs no other: lifecycles go on by
it, whatever becomes of the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from rules.program.toml_schema import Mistake, ProgramError, content_of, read_text
from rules.validation import ValidationError, identifier

MOST_FILES = 4
"""The most files of a program, with its own: to read one is to read all."""

_KEY = "extends"


@dataclass(frozen=True, slots=True)
class LayeredFile:
    """A program file with the files that it extends, merged."""

    text: str
    """The text of the file itself; of one that extends others, the merged content as TOML."""
    content: Mapping[str, Any]
    layers: Sequence[tuple[str, Mapping[str, Any]]]
    """The path and the content of each file, the extending one first."""

    @classmethod
    def alone(cls, text: str, file: str) -> LayeredFile:
        """Return a text that extends no other. Raises ProgramError if it is no TOML."""
        content = content_of(text, file)
        return cls(text, content, [(file, content)])

    def file_of(self, path: Sequence[str | int]) -> str:
        """Return the file that a value comes from; for what no file has, the first one."""
        for file, content in self.layers:
            if _has(content, path):
                return file
        return self.layers[0][0]


def read_layers(path: Path) -> LayeredFile:
    """Read a program file and all that it extends. Raises ProgramError, naming the file and the key."""
    text = read_text(path)
    content = content_of(text, str(path))
    layers: list[tuple[Path, Mapping[str, Any]]] = [(path, content)]
    while _KEY in layers[-1][1]:
        layers.append(_extended(layers))
    if len(layers) == 1:
        return LayeredFile(text, content, [(str(path), content)])
    if "id" not in content:
        raise _refused(path, "id", "is missing: each program has its own")
    try:
        merged = _merged([each for _, each in layers])
        named = [(str(file), _without_extends(each)) for file, each in layers]
        return LayeredFile("".join(_lines(merged)), merged, named)
    except RecursionError:
        raise _refused(path, "the file", "holds tables too deep to be read") from None


def _extended(layers: Sequence[tuple[Path, Mapping[str, Any]]]) -> tuple[Path, Mapping[str, Any]]:
    """Return the file that the last one extends. Raises ProgramError for a circle, and for too many files."""
    path, content = layers[-1]
    try:
        other = path.with_name(f"{identifier(content[_KEY])}.toml")
    except ValidationError as wrong:
        raise _refused(path, _KEY, str(wrong)) from None
    if any(other == file for file, _ in layers):
        raise _refused(path, _KEY, f"must name no file that extends this one, unlike {other.name}")
    if len(layers) == MOST_FILES:
        raise _refused(path, _KEY, f"must not go on: a program is at most {MOST_FILES} files")
    if not other.is_file():
        raise _refused(path, _KEY, f"must name a program file beside this one: there is no {other.name}")
    return other, content_of(read_text(other), str(other))


def _merged(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the contents as one; the first ones win."""
    made: dict[str, Any] = {}
    for content in reversed(contents):
        made = _over(made, _without_extends(content))
    return made


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one, in the order of the lower one; the upper one wins."""
    made = {**below}
    for key, value in above.items():
        under = made.get(key)
        made[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return made


def _without_extends(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != _KEY}


def _has(content: object, path: Sequence[str | int]) -> bool:
    """Return whether a content has a value at a path."""
    for step in path:
        if isinstance(content, Mapping) and step in content:
            content = content[str(step)]
        elif isinstance(content, list) and isinstance(step, int) and step < len(content):
            content = content[step]
        else:
            return False
    return True


def _lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of a table as TOML: its values first, then the tables in it."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict) or _is_tables(value)}
    for key, value in table.items():
        if key not in inner:
            yield f"{_text(key)} = {''.join(_value(value))}\n"
    for key, value in inner.items():
        name = ".".join(map(_text, (*path, key)))
        for each in value if isinstance(value, list) else [value]:
            yield f"\n[[{name}]]\n" if isinstance(value, list) else f"\n[{name}]\n"
            yield from _lines(each, (*path, key))


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _value(value: object) -> Iterator[str]:
    """Yield the parts of a value; a list has a line for each item, since a line of a file has a longest length."""
    if isinstance(value, str):
        yield _text(value)
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, date | datetime | time):
        yield value.isoformat()
    elif isinstance(value, list):
        yield "["
        for each in value:
            yield f"\n    {''.join(_value(each))},"
        yield "\n]" if value else "]"
    elif isinstance(value, Mapping):
        yield "{"
        yield ", ".join(f"{_text(key)} = {''.join(_value(each))}" for key, each in value.items())
        yield "}"
    else:
        yield str(value)


def _text(text: str) -> str:
    """Return a text in quotes. JSON's escapes are TOML's, which escapes DEL too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refused(path: Path, key: str, reason: str) -> ProgramError:
    return ProgramError((Mistake(str(path), key, reason),))
