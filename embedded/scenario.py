"""Scenario files: what a rehearsal plays (see docs/rehearse.md). All mistakes of a file are reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from rules.calendar import instant_in
from rules.durations import parse_duration
from rules.events import check_data
from rules.program import Program
from rules.validation import kind_of, quote

FAULTS: Final = (
    "smtp_down",
    "smtp_4xx",
    "smtp_5xx_recipient",
    "smtp_drop_after_data",
    "database_down",
    "worker_killed",
)
"""What can go wrong in a scenario."""

KEYS: Final = frozenset({"program", "start", "until", "members", "events", "faults"})


@dataclass(frozen=True, slots=True)
class ScenarioEvent:
    """An event to play at an instant."""

    at: datetime
    type: str
    data: dict[str, Any]
    time: datetime | None = None
    """When it happened, if the engine hears of it later than that (T9)."""
    history: bool = False
    """Whether it is of before a take-over (T10)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, from an instant until another."""

    since: datetime
    until: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: instants in UTC, events in the order of their instants (equal ones in the file's)."""

    program: str
    start: datetime
    until: datetime
    events: list[ScenarioEvent] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """A line for each key of an event's data that nobody knows: file, key and reason."""


class ScenarioError(ValueError):
    """A scenario file that cannot be played. `mistakes` has a line for each: file, key and reason."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def read_scenario(file: Path, programs: Mapping[str, Program], default: str | None = None) -> Scenario:
    """Read a scenario. `default` is the program to use where `--program` names one.

    Raises ScenarioError, also for a file that cannot be read.
    """
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise ScenarioError([f"{file}: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        raise ScenarioError([f"{file}: not UTF-8 text (byte {error.start})"]) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([f"{file}: {error}"]) from None
    return _Reader(str(file), text, programs).read(table, default)


class _Reader:
    def __init__(self, file: str, text: str, programs: Mapping[str, Program]) -> None:
        self._file = file
        self._lines = text.splitlines()
        self._programs = programs
        self._mistakes: list[str] = []
        self._ignored: list[str] = []
        self._zone = "UTC"

    def read(self, table: dict[str, Any], default: str | None) -> Scenario:
        for key in sorted(table.keys() - KEYS):
            self._wrong(key, f"no such key; a scenario has {', '.join(sorted(KEYS))}")
        program = default or table.get("program")
        if not isinstance(program, str) or program not in self._programs:
            self._wrong(
                "program", f"must be one of {', '.join(sorted(self._programs))}, not {quote(program)}"
            )
            raise ScenarioError(self._mistakes)
        self._zone = self._programs[program].hours.zone
        start = self._moment("start", table.get("start"), None)
        # Where the start is wrong, a substitute lets the rest be checked: all mistakes are reported at once.
        base = start or instant_in(self._zone, date(2100, 1, 4), time(10))
        until = self._moment("until", table.get("until"), base)
        if start and until and until <= start:
            self._wrong("until", "must come after start")
        events, faults = [], []
        for index, member in enumerate(self._list(table, "members")):
            events += self._event(
                f"members[{index}]", {"type": "member.updated", "data": member}, base, start
            )
        for index, item in enumerate(self._list(table, "events")):
            events += self._event(f"events[{index}]", item, base, start)
        for index, item in enumerate(self._list(table, "faults")):
            faults += self._fault(f"faults[{index}]", item, base)
        if self._mistakes or start is None or until is None:
            raise ScenarioError(self._mistakes)
        in_order = _in_order(events)
        return Scenario(program, start, until, in_order, faults, self._ignored)

    def _wrong(self, key: str, reason: str) -> None:
        self._mistakes.append(f"{self._place(key)}: {reason}")

    def _place(self, key: str) -> str:
        return f"{self._file}: {self._line(key)}{key}"

    def _line(self, key: str) -> str:
        """Return the line of a key, as far as the text shows it."""
        head, _, rest = key.partition("[")
        if not rest:
            numbers = [n for n, line in enumerate(self._lines, 1) if line.split("=")[0].strip() == head]
        else:
            wanted = int(rest.split("]")[0])
            starts = [n for n, line in enumerate(self._lines, 1) if line.strip().startswith(f"[[{head}]]")]
            numbers = starts[wanted : wanted + 1] or [
                n for n, line in enumerate(self._lines, 1) if line.split("=")[0].strip() == head
            ]
            leaf = key.rpartition(".")[2]
            inside = self._lines[numbers[0] :] if numbers else []
            for offset, line in enumerate(inside, 1):
                if line.strip().startswith("[["):
                    break
                if line.split("=")[0].strip() == leaf:
                    numbers = [numbers[0] + offset]
                    break
        return f"line {numbers[0]}: " if numbers else ""

    def _list(self, table: dict[str, Any], key: str) -> list[Any]:
        value = table.get(key, [])
        if not isinstance(value, list):
            self._wrong(key, f"must be a list of tables: [[{key}]]")
            return []
        return value

    def _table(self, key: str, item: Any, allowed: set[str]) -> dict[str, Any] | None:
        if not isinstance(item, dict):
            self._wrong(key, "must be a table")
            return None
        for name in sorted(item.keys() - allowed):
            self._wrong(f"{key}.{name}", f"no such key; it has {', '.join(sorted(allowed))}")
        return item

    def _moment(self, key: str, value: Any, start: datetime | None) -> datetime | None:
        """A local date-time of the program's zone, or (with `start`) a duration after the start."""
        if isinstance(value, str) and start is not None:
            try:
                return parse_duration(value).after(start, self._zone)
            except (ValueError, OverflowError) as error:
                self._wrong(key, str(error))
                return None
        if isinstance(value, datetime):
            if value.tzinfo is not None:
                return value.astimezone(UTC)
            return instant_in(self._zone, value.date(), value.time())
        if isinstance(value, date):
            return instant_in(self._zone, value, time(0))
        kinds = "a local date-time" if start is None else "a local date-time or a duration such as P7D"
        self._wrong(key, "is missing" if value is None else f"must be {kinds}, not {kind_of(value)}")
        return None

    def _event(self, key: str, item: Any, base: datetime, start: datetime | None) -> list[ScenarioEvent]:
        event = self._table(key, item, {"at", "type", "data", "time", "history"})
        if event is None:
            return []
        at = self._moment(f"{key}.at", event["at"], base) if "at" in event else base
        if "at" not in event and event.get("type") != "member.updated":
            self._wrong(f"{key}.at", "is missing")
        time = self._moment(f"{key}.time", event["time"], base) if "time" in event else None
        history = event.get("history", False)
        if not isinstance(history, bool):
            self._wrong(f"{key}.history", f"must be true or false, not {kind_of(history)}")
        kind: Any = event.get("type")
        data, errors, ignored = check_data(kind, event.get("data"))
        for error in errors:
            if error.pointer == "/type":
                self._wrong(f"{key}.type", error.reason if "type" in event else "is missing")
            else:
                self._wrong(_within(key, error.pointer), error.reason)
        if start and at and at < start:
            self._wrong(f"{key}.at", "lies before the start")
        if errors or at is None:
            return []
        for pointer in ignored:
            where = _within(key, pointer)
            self._ignored.append(f"{self._place(where)}: ignored, as {kind} has no such field")
        return [ScenarioEvent(at, kind, data, time, bool(history))]

    def _fault(self, key: str, item: Any, start: datetime) -> list[Fault]:
        fault = self._table(key, item, {"at", "kind", "for"})
        if fault is None:
            return []
        kind = fault.get("kind")
        if kind not in FAULTS:
            self._wrong(f"{key}.kind", f"must be one of {', '.join(FAULTS)}, not {quote(kind)}")
        since = self._moment(f"{key}.at", fault.get("at"), start)
        if since is None:
            return []
        until = self._moment(f"{key}.for", fault.get("for"), since)
        if until is None:
            return []
        if until <= since:
            self._wrong(f"{key}.for", "must be longer than nothing")
        return [Fault(since, until, str(kind))]


def _in_order(events: list[ScenarioEvent]) -> list[ScenarioEvent]:
    """Return events in the order of their instants, equal ones in the file's.

    Where one instant tells history, that comes in the order in which it happened, after the people of that instant and
    before the rest (T10).
    """
    taken_over = {event.at for event in events if event.history}

    def place(event: ScenarioEvent) -> tuple[datetime, int, datetime]:
        if event.history:
            return event.at, 1, event.time or event.at
        is_person = event.type.startswith(("member.", "profile.created"))
        return event.at, 2 if event.at in taken_over and not is_person else 0, event.at

    return sorted(events, key=place)


def _within(key: str, pointer: str) -> str:
    """Return the key in the file of a field in the data of an event; the data of a member have no key of their own."""
    path = pointer.removeprefix("/data").replace("/", ".")
    return f"{key}{path}" if key.startswith("members") else f"{key}.data{path}"
