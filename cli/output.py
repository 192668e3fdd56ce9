"""What all commands share: how they fail, how they end, and how they show things."""

from __future__ import annotations

import getpass
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.runner import PATIENCE
from rules.text import for_terminal

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Actor = Annotated[
    str,
    typer.Option(
        help="Who does it, for the audit record; by default, your login name.",
        callback=lambda name: name or getpass.getuser(),
    ),
]


def complain(*lines: str) -> None:
    """Say on standard error what is wrong."""
    for line in lines:
        typer.echo(for_terminal(line), err=True)


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
    typer.echo(for_terminal(json.dumps(value, ensure_ascii=False, default=_told)))


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
        table.add_row(*(escape("" if cell is None else for_terminal(str(cell))) for cell in row))
    if table.row_count or not none:
        _console().print(table)
    else:
        typer.echo(none)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names with their values, one a line; without those that have none."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, "", []):
            table.add_row(escape(name), escape(for_terminal(str(value))))
    _console().print(table)


def _console() -> Console:
    """Standard output; where it is no terminal, wide enough not to cut what somebody looks for."""
    wide = None if sys.stdout.isatty() else 200
    return Console(width=wide, highlight=False)
