"""`throughline worker`, `gateway`, `demo` and `up`: the processes; `throughline db upgrade`: the schema they need."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from cli.groups import command_group
from cli.output import working
from cli.runner import run
from database import environment
from database.environment import Deployment
from database.schema_upgrade import SchemaLockedError
from worker.assembly import versions_of
from worker.connections import (
    database_ready,
    database_trouble,
    links_of,
    open_database,
    read_programs,
    read_settings,
)
from worker.errors import Failure
from worker.log_setup import redact_output, set_up_logging
from worker.monitoring.metrics import free_address
from worker.processes import run_gateway, run_worker
from worker.settings import Settings

database_app = command_group("Migrate the database.")

Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The port of the web pages; by default, a free one.")
]


Data = Annotated[
    Path,
    typer.Option(envvar="THROUGHLINE_DATA", help="The folder for all data, and for the connection file."),
]


@database_app.command()
def upgrade() -> None:
    """Migrate the database to the schema of this version."""
    settings = read_settings()

    async def migrate() -> None:
        database = open_database(settings)
        try:
            with working("Upgrading the database"):
                await database.upgrade()
                await database.check()
        except SchemaLockedError as locked:
            raise Failure(
                f"the database is not upgraded: {locked}",
                "Repeat it, or end that process first (docs/upgrading.md).",
            ) from None
        except SQLAlchemyError as error:
            raise Failure(f"the database could not be upgraded: {database_trouble(error)}") from None
        finally:
            await database.close()

    run(migrate())
    typer.echo("The database has the schema of this version.")


@database_app.command()
def adopt() -> None:
    """Make a database this environment's, with its production flag and keys.

    For a database that was another environment's, or whose keys are lost: links in mails that are out end.
    """
    settings = read_settings()

    async def write() -> None:
        links, programs = links_of(settings), read_programs(settings)
        process = Deployment(settings.environment, settings.production, links.keys, versions_of(programs))
        async with database_ready(settings) as database, database.begin() as session:
            await environment.adopt(session, process)

    run(write())
    typer.echo(f"The database belongs to environment {settings.environment!r}.")


def worker() -> None:
    """Run a worker: workflows, planning and delivery.

    It runs until SIGTERM. Settings are environment variables: THROUGHLINE_… and TEMPORAL_…
    """
    settings = read_settings()
    run(run_worker(settings, _prepare_process(settings)))


def gateway() -> None:
    """Run a gateway: events, personal links and health checks.

    It runs until SIGTERM. Settings are environment variables: THROUGHLINE_… and TEMPORAL_…
    """
    settings = read_settings()
    run(run_gateway(settings, _prepare_process(settings)))


def _prepare_process(settings: Settings) -> str:
    """Set up the log of a process; return where Temporal's core serves its metrics, empty without a health port."""
    address = free_address() if settings.health_port is not None else ""
    set_up_logging(logging.INFO, json=settings.log_format == "json", metrics_address=address)
    redact_output()
    return address


def demo(
    script: Annotated[
        bool, typer.Option("--script", help="Play a story in the terminal, without a web page, and exit.")
    ] = False,
    program: Annotated[
        str, typer.Option(help="asis-global, asis-laac or mentors4u-colombia.", metavar="PROGRAM")
    ] = "asis-global",
    port: Port = None,
    data: Data = Path("var"),
) -> None:
    """Run a program with sample members and a clock to move.

    All parts run on this machine. A web page shows the mail, what happened and what comes. No mail leaves the
    machine, and nothing is kept.
    """
    from embedded.demo.cohorts.cohort_casts import CASTS
    from embedded.demo.run import demo as run_demo

    if program not in CASTS:
        raise typer.BadParameter(f"the demo has no program {program}; there are {', '.join(CASTS)}")
    raise typer.Exit(run(run_demo(script=script, port=port, data=data, program=program)))


def up(
    data: Data = Path("var"),
    port: Port = None,
    temporal_ui: Annotated[
        bool, typer.Option("--temporal-ui", help="Serve Temporal's own pages on this machine, too.")
    ] = False,
) -> None:
    """Run a program in real time; its data survives restarts.

    All parts run on this machine. A web page shows the mail, and no mail leaves the machine.
    """
    from embedded.up import up as run_up

    raise typer.Exit(run(run_up(data=data, port=port, ui=temporal_ui)))
