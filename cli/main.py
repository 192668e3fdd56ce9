"""The command `throughline`: what each of its subcommands does stands in the modules `commands_…`."""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer
from sqlalchemy.exc import SQLAlchemyError
from typer.core import TyperGroup

from cli import audit, events, mail, processes, program, rehearse, show, staff, survey, tasks
from cli.output import complain
from cli.runner import Interrupted, leave
from embedded.scenario import ScenarioError
from rules.program.toml_schema import ProgramError
from worker.connections import database_trouble
from worker.errors import Failure
from worker.log_setup import set_up_logging


class Commands(TyperGroup):
    """Turns what goes wrong into lines on standard error and an exit status, never into a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Invoke a subcommand."""
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
            complain(*lines)
            raise typer.Exit(1) from None


def failure_lines(error: Exception) -> Sequence[str] | None:
    """What an error says to whoever gave the command; None for wrong usage, which is told elsewhere."""
    if isinstance(error, Failure):
        return error.lines
    if isinstance(error, ScenarioError):
        return error.mistakes
    if isinstance(error, ProgramError):
        return [str(mistake) for mistake in error.mistakes]
    if isinstance(error, SQLAlchemyError):
        return [f"the database failed: {database_trouble(error)}"]
    if isinstance(error, OSError):
        return [f"{error.filename}: {error.strerror}" if error.filename else str(error)]
    if hasattr(error, "exit_code"):
        return None
    words = " ".join(str(error).split())
    return [f"this should not happen: {type(error).__name__}: {words} (THROUGHLINE_TRACEBACK=1 shows where)"]


app = typer.Typer(
    name="throughline",
    help="Knows what a mentoring program owes whom and when, and sends it.",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("rehearse")(rehearse.rehearse_command)
app.add_typer(events.app, name="event")
app.add_typer(staff.app, name="staff")
app.command("show")(show.show)
app.command("why")(show.why)
app.add_typer(tasks.app, name="task")
app.add_typer(program.app, name="program")
app.add_typer(mail.app, name="mail")
app.add_typer(audit.app, name="audit")
app.add_typer(survey.app, name="survey")
app.add_typer(processes.database_app, name="db")
app.command("worker")(processes.worker)
app.command("gateway")(processes.gateway)
app.command("demo")(processes.demo)
app.command("up")(processes.up)


def main() -> None:
    """The console script. Leaves with the command's status: 0 done, 1 failed, 2 wrong usage."""
    # Zones come from the locked package alone, so that every machine knows the same ones.
    zoneinfo.reset_tzpath(to=())
    set_up_logging()
    status = 1
    try:
        app()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    leave(status)
