"""What all commands share: how they fail, how they end, and how they show things."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys instead of showing them, or that it cannot show."""

PATIENCE: Final = 2.0
"""Seconds after which something that is not done yet shows that it is under way."""

TIME_TO_LEAVE: Final = 10
"""Seconds in which an interrupted command takes down what it put up; then it is ended all the same."""

Result = TypeVar("Result")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Actor = Annotated[
    str,
    typer.Option(
        help="Who does it, for the audit record; by default, your login name.",
        callback=lambda name: name or getpass.getuser(),
    ),
]


class Failure(Exception):
    """What was asked for failed; `lines` say why, for whoever asked."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Interrupted(Exception):
    """The command was told to stop by a signal; `status` is what it exits with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def plain(text: str) -> str:
    """Text of others as a terminal shows it: what it would obey stands there by its code, as in JSON."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def complain(*lines: str) -> None:
    """Say on standard error what is wrong."""
    for line in lines:
        typer.echo(plain(line), err=True)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work to its end. Raises Interrupted after SIGINT or SIGTERM, when all is taken down."""
    stopped = 0

    async def watched() -> Result:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            nonlocal stopped
            if stopped:
                leave(stopped)
            stopped = 128 + number
            task.cancel()
            loop.call_later(TIME_TO_LEAVE, leave, stopped)

        with suppress(ValueError, RuntimeError, NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, number)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise Interrupted(stopped or 130) from None


def leave(status: int) -> None:
    """End this process now, with the servers that it started."""
    for child in _children():
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Temporal's core may abort the interpreter while it is taken down.
    os._exit(status)


def _children() -> list[int]:
    """The processes that this one started and that still run."""
    own = str(os.getpid())
    if Path("/proc/self/stat").exists():
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if file.read_text().rpartition(")")[2].split()[1] == own:
                    found.append(int(file.parent.name))
        return found
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=5)
        pairs = (line.split() for line in listed.stdout.splitlines())
        return [int(pid) for pid, parent in pairs if parent == own]
    return []


def set_up_logging(level: int = logging.WARNING) -> None:
    """Log to standard error; tracebacks are plain, without the values of variables, which may be personal data.

    Temporal's core never writes by itself, since it would write to standard output.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    sdk = logging.getLogger("temporalio")
    sdk.propagate = False
    sdk.handlers = [_ToStructlog() if level <= logging.INFO else logging.NullHandler()]
    core = LoggingConfig(
        TelemetryFilter(core_level="ERROR", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")),
    )
    with suppress(RuntimeError):
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core)))


class _ToStructlog(logging.Handler):
    """Passes the records of the standard library's loggers on, without their extras."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is under way, once it takes longer than two seconds.

    The block may call what it gets with words on how far it is.
    """
    console = Console(stderr=True)
    status = console.status(escape(what))
    shown_at: float | None = None
    lock = threading.Lock()

    def show(words: str) -> None:
        nonlocal shown_at
        if console.is_terminal:
            status.update(escape(words))
            if shown_at is None:
                status.start()
        elif shown_at is None or monotonic() - shown_at > 10:
            complain(words)
        else:
            return
        shown_at = monotonic()

    def begin() -> None:
        with lock:
            if shown_at is None:
                show(f"{what} …")

    def tell(words: str) -> None:
        with lock:
            if shown_at is not None:
                show(f"{what}: {words}")

    timer = threading.Timer(PATIENCE, begin)
    timer.daemon = True
    timer.start()
    try:
        yield tell
    finally:
        timer.cancel()
        with lock:
            status.stop()


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    typer.echo(plain(json.dumps(value, ensure_ascii=False, default=_told)))


def print_json_lines(values: Iterable[object]) -> None:
    """Print a line of JSON for each value."""
    for value in values:
        print_json(value)


def _told(value: object) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, none: str = ""
) -> None:
    """Print rows under their column names, or the words for none."""
    table = Table(*columns, title=title and escape(title), title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape("" if cell is None else plain(str(cell))) for cell in row))
    if table.row_count or not none:
        _console().print(table)
    else:
        typer.echo(none)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names with their values, one a line; without those that have none."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, "", []):
            table.add_row(escape(name), escape(plain(str(value))))
    _console().print(table)


def _console() -> Console:
    """Standard output; where it is no terminal, wide enough not to cut what somebody looks for."""
    wide = None if sys.stdout.isatty() else 200
    return Console(width=wide, highlight=False)


def local(at: datetime | None, zone: str) -> str:
    """An instant as the clock of a zone shows it: `Mon 2028-03-13 09:00 EDT`; nothing for none."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}" if at else ""


def local_iso(at: datetime | None, zone: str) -> str | None:
    """An instant in ISO 8601 with the offset of a zone, to the second."""
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds") if at else None


def numbered(message: str, number: int | None) -> str:
    """A message's name with its number, if it has one."""
    return message if number is None else f"{message} {number}"
