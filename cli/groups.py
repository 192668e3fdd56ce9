"""Groups of commands: loaded when they are needed, listed with their sentences whole, never ending in a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from cli.output import print_errors
from cli.runner import Interrupted
from worker.connection_file import FOLDER
from worker.errors import Failure

Command = Any
"""A command of the library under Typer, which Typer does not export."""


class CommandGroup(TyperGroup):
    """A group whose `--help` shows the first paragraph of each command whole, wrapped to the width."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, by heading."""
        sections = self.sections()
        width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), words) for name, words in rows])

    def sections(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Return the rows of `--help` by their heading: names of commands and what they do."""
        shown = {name: each for name, each in self.commands.items() if not each.hidden}
        return {"Commands": [(name, first_paragraph(each.help or "")) for name, each in shown.items()]}


def command_group(summary: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(
        help=summary, cls=CommandGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a help text in one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command of `throughline` that is imported when it is called."""

    name: str
    place: str
    """A module of `cli/commands/` and what it defines there: a function, or a `typer.Typer` with commands."""
    summary: str
    """The first paragraph of its help, which `throughline --help` prints without importing it."""

    def load(self) -> Command:
        """Import the command. This takes a second or more where it brings in the database and Temporal."""
        module, _, name = self.place.partition(":")
        found = getattr(import_module(f"cli.commands.{module}"), name)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = self.name
            return group
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(self.name)(found)
        return typer.main.get_command(single)


class _Commands(Mapping[str, Command]):
    """The commands by name; reading one imports it."""

    def __init__(self, commands: Sequence[LazyCommand]) -> None:
        self._lazy = {command.name: command for command in commands}
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = self._lazy[name].load()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lazy)

    def __len__(self) -> int:
        return len(self._lazy)


class TopGroup(CommandGroup):
    """The group behind `throughline`. It turns errors into lines on standard error and an exit status."""

    panels: ClassVar[Mapping[str, Sequence[LazyCommand]]]
    """The commands by the heading of their panel in `--help`. A subclass sets it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._all = [command for panel in self.panels.values() for command in panel]
        self.commands = cast(dict[str, Command], _Commands(self._all))

    def sections(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Return the rows of `--help` by panel. No command is imported for it."""
        return {
            heading: [(command.name, command.summary) for command in panel]
            for heading, panel in self.panels.items()
        }

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete a command's name. No command is imported for it: the process only completes, and ends."""
        self.commands = {each.name: TyperCommand(each.name, help=each.summary) for each in self._all}
        return super().shell_complete(ctx, incomplete)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command. `--data` may stand anywhere, before and behind the name of a command."""
        folder, rest = data_folder(args)
        if folder is not None:
            before = os.environ.get(FOLDER)
            os.environ[FOLDER] = folder
            ctx.call_on_close(lambda: _restore(FOLDER, before))
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: Any) -> Any:
        """Invoke a command. Raises typer.Exit for every error but wrong usage."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Interrupted as interrupted:
            raise typer.Exit(interrupted.status) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if os.environ.get("THROUGHLINE_TRACEBACK") or (lines := failure_lines(error)) is None:
                raise
            print_errors(*lines)
            raise typer.Exit(1) from None


def data_folder(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the folder that `--data` names among the words of a command, and the other words."""
    folder, rest, words = None, [], iter(args)
    for word in words:
        if word == "--":
            rest.append(word)
            break
        if word.startswith("--data="):
            folder = word.partition("=")[2]
        elif word == "--data" and (value := next(words, None)) is not None:
            folder = value
        else:
            rest.append(word)
    return folder, [*rest, *words]


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def failure_lines(error: Exception) -> Sequence[str] | None:
    """Return what an error says to the person at the terminal; None for wrong usage, which Typer prints."""
    if isinstance(error, Failure):
        return error.lines
    if isinstance(error, OSError):
        words = str(error) or type(error).__name__
        return [f"{error.filename}: {error.strerror}" if error.filename else words]
    if hasattr(error, "exit_code"):
        return None
    return _lines_of_library(error) or [
        f"this is a bug: {type(error).__name__}: {' '.join(str(error).split())} "
        "(THROUGHLINE_TRACEBACK=1 shows where it happened)"
    ]


def _lines_of_library(error: Exception) -> Sequence[str]:
    """Return the lines of an error from a part that is imported only here; none for one that nobody expects."""
    from sqlalchemy.exc import SQLAlchemyError

    from embedded.scenario import ScenarioError
    from rules.program.toml_schema import ProgramError
    from worker.connections import database_trouble

    if isinstance(error, ScenarioError | ProgramError):
        return [str(mistake) for mistake in error.mistakes]
    if isinstance(error, SQLAlchemyError):
        return [f"the database failed: {database_trouble(error)}"]
    return []
