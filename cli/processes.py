"""`throughline worker`, `gateway`, `demo`, `up` and `db upgrade`: the processes, and what they need."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from cli.output import working
from cli.runner import run
from worker.connections import database_trouble, open_database, read_settings
from worker.errors import Failure
from worker.log_setup import set_up_logging
from worker.processes import run_gateway, run_worker

database_app = typer.Typer(help="The database.", no_args_is_help=True)

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="The port of the pages.")]


@database_app.callback()
def _group() -> None:
    """The database."""


@database_app.command()
def upgrade() -> None:
    """Bring the database to the schema of this version: all migrations that are missing."""
    settings = read_settings()

    async def migrate() -> None:
        database = open_database(settings)
        try:
            with working("upgrading the database"):
                await database.upgrade()
                await database.check()
        except SQLAlchemyError as error:
            raise Failure(f"the database could not be upgraded: {database_trouble(error)}") from None
        finally:
            await database.close()

    run(migrate())
    typer.echo("The database has the schema of this version.")


def worker() -> None:
    """Run a worker: workflows, plans and deliveries, until SIGTERM. Settings: THROUGHLINE_… and TEMPORAL_…"""
    set_up_logging(logging.INFO)
    run(run_worker(read_settings()))


def gateway() -> None:
    """Run a gateway: events in, personal links, health, until SIGTERM. Settings: THROUGHLINE_… and TEMPORAL_…"""
    set_up_logging(logging.INFO)
    run(run_gateway(read_settings()))


def demo(
    script: Annotated[
        bool, typer.Option("--script", help="Tell the story in the terminal, and end; no page.")
    ] = False,
    port: Port = None,
) -> None:
    """The whole program on embedded parts: sample members, a clock to advance, and the mail to read."""
    from embedded.demo import run as played

    raise typer.Exit(run(played.demo(script=script, port=port)))


def up(
    data: Annotated[Path, typer.Option(help="The folder that keeps everything.")] = Path("var"),
    port: Port = None,
) -> None:
    """The whole program on embedded parts in real time; it survives restarts."""
    from embedded import up as standing

    raise typer.Exit(run(standing.up(data=data, port=port)))
