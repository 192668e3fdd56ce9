"""What a command prints: tables, facts, JSON Lines, errors, and a sign of progress."""

from __future__ import annotations

import getpass
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rules.text import for_terminal
from staff.formatting import local_iso

if TYPE_CHECKING:
    from rich.console import Console

    from staff.views import OpenEvent

# Rich is imported where something is drawn: loading it takes a third of the time of `throughline --help`.

PROGRESS_AFTER: Final = 2.0
"""Seconds after which a command that still works says so."""

PROGRESS_INTERVAL: Final = 10.0
"""Seconds between two lines of progress where standard error is not a terminal."""

WIDTH_OF_FILES: Final = 200
"""Columns of a table that does not go to a terminal, so that `grep` finds whole ids."""

LONGEST_WHOLE_WORD: Final = 140
"""Columns up to which a word, such as the id of a claim, is never broken."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of a table.")]
Actor = Annotated[
    str,
    typer.Option(
        help="The person who acts, for the audit record; by default, your login name.",
        callback=lambda name: name or getpass.getuser(),
    ),
]


def print_errors(*lines: str) -> None:
    """Print lines on standard error."""
    for line in lines:
        typer.echo(for_terminal(line), err=True)


def print_lines(*lines: str) -> None:
    """Print lines on standard output, safe for a terminal."""
    for line in lines:
        typer.echo(for_terminal(line))


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that work goes on, once it takes longer than two seconds.

    The block gets a function that shows how far the work has come.
    """
    from rich.console import Console
    from rich.markup import escape

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
        elif shown_at is None or monotonic() - shown_at > PROGRESS_INTERVAL:
            print_errors(words)
        else:
            return
        shown_at = monotonic()

    def begin() -> None:
        with lock:
            if shown_at is None:
                show(f"{what} …")

    def update(words: str) -> None:
        with lock:
            if shown_at is not None:
                show(f"{what}: {words}")

    timer = threading.Timer(PROGRESS_AFTER, begin)
    timer.daemon = True
    timer.start()
    try:
        yield update
    finally:
        timer.cancel()
        with lock:
            status.stop()


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    typer.echo(for_terminal(json.dumps(value, ensure_ascii=False, default=_json_of)))


def print_json_lines(values: Iterable[object]) -> None:
    """Print a line of JSON for each value."""
    for value in values:
        print_json(value)


def _json_of(value: object) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def event_row(each: OpenEvent) -> dict[str, object]:
    """Return an event that is not applied, as JSON shows it."""
    return {
        "number": each.number,
        "event": each.type,
        "id": each.id,
        "source": each.source,
        "subject": each.subject,
        "state": each.state,
        "at": local_iso(each.at, each.zone),
        "why": each.why,
        "until": local_iso(each.held_until, each.zone),
        "ignored": each.ignored,
    }


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, none: str = ""
) -> None:
    """Print rows under the names of their columns. Where there are no rows, print `none` instead, if given."""
    from rich.markup import escape
    from rich.table import Table

    cells = [["" if cell is None else for_terminal(str(cell)) for cell in row] for row in rows]
    if not cells and none:
        typer.echo(none)
        return
    table = Table(title=title and escape(title), title_justify="left", box=None, pad_edge=False)
    needed = 0
    for place, name in enumerate(columns):
        longest = max((longest_word(row[place]) for row in cells), default=0)
        least = max(len(name), min(longest, LONGEST_WHOLE_WORD))
        needed += least + 2
        table.add_column(escape(name), min_width=least, overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console = _console()
    # Wider than a narrow terminal rather than an id that is cut: the next command needs it whole.
    console.width = max(console.width, needed)
    console.print(table)


def longest_word(text: str) -> int:
    """Return the columns of the longest word of a text, such as an id."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split()), default=0)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names with their values, one per line. A name without a value is left out."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, "", []):
            table.add_row(escape(name), escape(for_terminal(str(value))))
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES, highlight=False)
