"""The command `throughline`. Each subcommand is a module of `cli/commands/`."""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cli import runner
from cli.groups import LazyCommand, TopGroup

_HELP = """Know what a mentoring program owes to whom and when, and send it."""


class Commands(TopGroup):
    """The commands, by their panel in `throughline --help`."""

    panels: ClassVar[Mapping[str, Sequence[LazyCommand]]] = {
        "Try it on this machine": (
            LazyCommand("demo", "processes:demo", "Run a program with sample members and a clock to move."),
            LazyCommand("up", "processes:up", "Run a program in real time; its data survives restarts."),
            LazyCommand("rehearse", "rehearse:rehearse_command", "Play a scenario file, months in seconds."),
        ),
        "Look up": (
            LazyCommand("show", "show:show", "Show the state, schedule and history of a target."),
            LazyCommand("why", "show:why", "Explain every decision about messages to a member."),
            LazyCommand("member", "members:app", "Export what is held about a member."),
            LazyCommand("figures", "figures:print_figures", "Print the figures of a program over a period."),
            LazyCommand("survey", "figures:survey_app", "Count the answers to surveys."),
            LazyCommand(
                "report",
                "reports_and_feedback:report_app",
                "Read reports of misconduct. Each reading is on record.",
            ),
            LazyCommand(
                "feedback", "reports_and_feedback:feedback_app", "Read feedback. Each reading is on record."
            ),
        ),
        "Act": (
            LazyCommand("task", "tasks:app", "List and close tasks for staff."),
            LazyCommand(
                "staff",
                "staff:app",
                "Act on a running onboarding, request, engagement, claim or survey; manage staff accounts.",
            ),
            LazyCommand(
                "cohort", "cohorts:app", "Show cohorts, pair their members, and decide on the pairs."
            ),
            LazyCommand(
                "meetup", "meetups:app", "Show meetups and who comes; schedule, change and cancel them."
            ),
            LazyCommand(
                "mail", "mail:app", "List, preview and resend messages; manage suppressed addresses."
            ),
            LazyCommand("erase", "member_erasure:erase", "Erase a member for good: nobody can undo it."),
            LazyCommand("audit", "audit:app", "Export and verify the evidence of an engagement."),
            LazyCommand(
                "badge", "badges:app", "Check and export digital badges, and rotate the keys that sign them."
            ),
        ),
        "Run in production": (
            LazyCommand("worker", "processes:worker", "Run a worker: workflows, planning and delivery."),
            LazyCommand(
                "gateway", "processes:gateway", "Run a gateway: events, personal links and health checks."
            ),
            LazyCommand(
                "event",
                "events:app",
                "Send events, as other systems do, import history, and list their types.",
            ),
            LazyCommand(
                "webhook",
                "webhooks:app",
                "Send events to other systems: their endpoints, deliveries and secrets.",
            ),
            LazyCommand(
                "program", "program:app", "Check and print program files; move what runs to a version."
            ),
            LazyCommand("db", "processes:database_app", "Migrate the database."),
            LazyCommand("config", "configuration:config_app", "Check the settings of a deployment."),
            LazyCommand(
                "version",
                "rollout:version_app",
                "Show which version of the workers has the work, and give it to another one.",
            ),
            LazyCommand(
                "replay", "rollout:replay", "Replay workflows of the Temporal service under this code."
            ),
        ),
    }


app = typer.Typer(
    name="throughline",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"throughline {version('throughline')}")
        raise typer.Exit


@app.callback(help=_HELP)
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    data: Annotated[
        Path,
        typer.Option(
            envvar="THROUGHLINE_DATA",
            help="The data folder of throughline up or demo: a command finds what runs there by its connection.json.",
        ),
    ] = Path("var"),
) -> None:
    pass


def _log_warnings() -> None:
    """Set up logging, unless the command has done so. Its libraries load slowly, so `--help` does without."""
    import structlog

    from worker.log_setup import set_up_logging

    if not structlog.is_configured():
        set_up_logging()


def main() -> None:
    """Run the console script. It exits with the command's status: 0 done, 1 failed, 2 wrong usage."""
    # Zones come from the locked package `tzdata` alone, so that every machine computes the same dates.
    zoneinfo.reset_tzpath(to=())
    runner.before_work.append(_log_warnings)
    status = 1
    try:
        app()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has closed the pipe.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    runner.leave(status)
