"""Files of events: CloudEvents as JSON or JSON Lines, read and checked whole before anything is done with them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cli.output import print_errors
from gateway.strict_json import NotJson, parse
from rules.events import Envelope, FieldError, read_event, refused_at_the_door
from staff.event_import.csv_export import ExportRefused, read_csv
from worker.errors import Failure

SOURCE: Final = "/throughline/cli"
"""The source of events that name none."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """The events of a file, in its order, each with its place there; and what could not be read."""

    name: str
    events: list[tuple[str, Any]] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    """A line for each line of the file that is no JSON."""

    def completed(self) -> EventFile:
        """Return it with the version, id and source that an event may leave out."""
        return EventFile(
            self.name, [(where, _completed(event)) for where, event in self.events], self.mistakes
        )

    def checked_one_by_one(self) -> tuple[list[tuple[str, Envelope]], list[str]]:
        """Return the events that have no mistake, each with its place, and a line for each mistake of the others."""
        mistakes, checked = [*self.mistakes], []
        for where, event in self.events:
            envelope, errors = _read(event)
            if envelope is not None:
                checked.append((where, envelope))
            mistakes += [
                f"{self.name}: {where}{dotted(error.pointer) or 'event'}: {error.reason}" for error in errors
            ]
        return checked, mistakes

    def checked(self) -> list[Envelope]:
        """Return the validated events. Raises Failure with a line for each mistake of the file, or if it is empty."""
        checked, mistakes = self.checked_one_by_one()
        if mistakes:
            raise Failure(*mistakes)
        if not checked:
            raise Failure(f"{self.name}: contains no event")
        return [envelope for _, envelope in checked]


def read_export_file(path: str, columns: Mapping[str, str]) -> EventFile:
    """Read an export: CSV if the name ends in .csv, else what `read_event_file` reads. Raises Failure.

    `columns` says under which name a field stands in a CSV file.
    """
    if not path.lower().endswith(".csv"):
        if columns:
            raise Failure(f"{path}: only a CSV file has columns")
        return read_event_file(path)
    try:
        found = read_csv(Path(path).read_bytes(), columns)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except ExportRefused as refused:
        raise Failure(f"{path}: {refused}") from None
    if found.unused:
        print_errors(f"{path}: not used: {', '.join(found.unused)}")
    return EventFile(path, list(found.events), [f"{path}: {mistake}" for mistake in found.mistakes])


def read_event_file(path: str) -> EventFile:
    """Read a JSON object, a list of objects, or one object per line; `-` reads standard input. Raises Failure."""
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    found = EventFile("standard input" if path == "-" else path)
    try:
        whole = parse(content)
    except NotJson as wrong:
        lines = content.strip().splitlines()
        if len(lines) < 2 or not lines[0].rstrip().endswith(b"}"):
            raise Failure(f"{path}: {wrong}") from None
        _read_lines(found, content)
        return found
    if isinstance(whole, list):
        found.events.extend((f"event {number}: ", event) for number, event in enumerate(whole, 1))
    else:
        found.events.append(("", whole))
    return found


def dotted(pointer: str) -> str:
    """Return a JSON pointer as people write a field: `data.email`."""
    return pointer.lstrip("/").replace("/", ".")


def _read_lines(found: EventFile, content: bytes) -> None:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                found.events.append((f"line {number}: ", parse(line)))
            except NotJson as wrong:
                found.mistakes.append(f"{found.name}: line {number}: {str(wrong).replace(', line 1', '')}")


def _completed(event: Any) -> Any:
    if not isinstance(event, Mapping):
        return event
    return {"specversion": "1.0", "id": str(uuid4()), "source": SOURCE, **event}


def _read(event: Any) -> tuple[Envelope | None, list[FieldError]]:
    envelope, errors = read_event(event)
    if envelope is not None and (refused := refused_at_the_door(envelope.type)):
        return None, [refused]
    return envelope, errors
