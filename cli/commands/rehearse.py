"""`throughline rehearse`: play a scenario and print its dated timeline."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli.output import Json, print_errors, print_json_lines, print_table, working
from cli.runner import run
from embedded.progress import ClockStalled
from embedded.rehearsal import rehearse
from embedded.scenario import Scenario, ScenarioError, read_scenario
from embedded.stack import WorkflowFailed
from rules.program import Program, load_program
from rules.program.toml_schema import ProgramError
from staff.formatting import numbered
from worker.connections import read_programs, read_settings
from worker.errors import Failure
from worker.log_setup import set_up_logging


def rehearse_command(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a TOML file.", metavar="SCENARIO.toml")],
    as_json: Json = False,
    program: Annotated[
        Path | None,
        typer.Option(help="Use this program file instead of the program that the scenario names."),
    ] = None,
    mail_dir: Annotated[
        Path | None, typer.Option(help="Keep each accepted message in this folder, as an .eml file.")
    ] = None,
    events_out: Annotated[
        Path | None,
        typer.Option(help="Write the events that an endpoint would get to this file, as JSON Lines."),
    ] = None,
) -> None:
    """Play a scenario file, months in seconds.

    The real workflows, templates and database run on this machine, on a clock that skips. Prints a dated timeline, in
    the time zone of the program.
    """
    settings = read_settings()
    programs, played = _read(scenario, program, read_programs(settings))
    if mail_dir is not None:
        try:
            mail_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"{mail_dir}: {error.strerror}") from None
    if events_out is not None:
        # A file that cannot be written is said before months are played.
        events_out.touch()
    print_errors(*played.ignored)
    # The faults of a scenario make activities fail on purpose: warnings about it would only be noise.
    set_up_logging(logging.ERROR if played.faults else logging.WARNING)
    zone = ZoneInfo(programs[played.program].hours.zone)
    folder = program.parent if program else settings.programs

    async def play() -> list[dict[str, Any]]:
        with working(f"Rehearsing {scenario.name}") as update:

            def progress(at: datetime) -> None:
                update(f"{at.astimezone(zone):%Y-%m-%d}, until {played.until.astimezone(zone):%Y-%m-%d}")

            mail = settings.templates / "mail"
            return await rehearse(
                played,
                programs,
                mail,
                folder,
                mail_dir=mail_dir,
                events_file=events_out,
                progress=progress,
            )

    try:
        rows = run(play())
    except ScenarioError as error:
        raise Failure(*(f"{scenario}: {mistake}" for mistake in error.mistakes)) from None
    except WorkflowFailed as error:
        raise Failure(f"a workflow failed: {_one_line(str(error))}") from None
    except ClockStalled as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json_lines(rows)
    else:
        _print(rows)


def _read(
    scenario: Path, program: Path | None, bundled: dict[str, Program]
) -> tuple[dict[str, Program], Scenario]:
    """Read the programs and the scenario. Raises Failure with the mistakes of both files."""
    mistakes: list[str] = []
    programs, default = bundled, None
    if program is not None:
        try:
            own = load_program(program)
            programs, default = {own.id: own, **{k: v for k, v in bundled.items() if k != own.id}}, own.id
        except ProgramError as error:
            mistakes += map(str, error.mistakes)
            default = next(iter(bundled))
    try:
        played = read_scenario(scenario, programs, default)
    except ScenarioError as error:
        mistakes += error.mistakes
    if mistakes:
        raise Failure(*mistakes)
    return programs, played


def _print(rows: Sequence[dict[str, Any]]) -> None:
    end = rows[-1]
    print_table(
        ("when", "what", "whom", "subject"), (_shown(row) for row in rows[:-1]), none="Nothing happened."
    )
    mails, left = end["mails"], end["workflows_open"]
    typer.echo(
        f"\nUntil {_when(end)}: {mails} {'mail' if mails == 1 else 'mails'} sent, "
        f"{left} {'lifecycle' if left == 1 else 'lifecycles'} still open."
    )


def _when(row: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(row['at']):%a %Y-%m-%d %H:%M}"


def _shown(row: dict[str, Any]) -> tuple[str, str, str, str]:
    reason = row.get("reason") or ""
    match row["kind"]:
        case "mail":
            what = numbered(row["message"], row["number"])
            subject = row["subject"] or ""
            if row["decision"] != "sent":
                what = f"{what}: {row['decision']}"
                subject = reason or subject
            return _when(row), what, row["to"], subject
        case "came_back":
            return _when(row), f"{row['message']}: came back ({row['class']})", row["to"], reason
        case "state":
            return _when(row), f"now {row['state']}", row["subject"], reason
        case "task":
            return _when(row), f"task {row['task']}", row["subject"], ""
        case "credit":
            credits = f"{row.get('earned')} earned, {row.get('countable')} countable"
            return _when(row), f"credit {row.get('status')}", row["claim"], credits
        case "pair":
            return _when(row), f"pair {row['mentor']}, fit {row['fit']}", row["mentee"], row["why"] or ""
        case _:
            return _when(row), f"refused {row.get('event')}", row["subject"], reason


def _one_line(text: str) -> str:
    return " ".join(text.split())
