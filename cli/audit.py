"""`throughline audit`: the dossier of an engagement, and its offline check (CPE11)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from cli.output import Json, print_json_lines, print_table
from cli.runner import run
from database.models import Checkpoint
from evidence.dossier import export
from evidence.verifier import examine, hash_in
from staff.formatting import local, local_iso
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

app = typer.Typer(help="Evidence that can be checked without us.", no_args_is_help=True)


@app.command("export")
def export_dossier(
    engagement: Annotated[str, typer.Argument(help="The engagement's id, with or without engagement/.")],
    out: Annotated[Path | None, typer.Option(help="Where to; dossier-ID.zip unless told.")] = None,
) -> None:
    """Write the dossier of an engagement: its records, letters, versions, and a verifier of its own."""
    name = engagement.removeprefix("engagement/")

    async def read() -> bytes:
        async with database_ready(read_settings()) as database, database.reading() as session:
            try:
                return await export(session, name)
            except LookupError as error:
                raise Failure(str(error)) from None

    content = run(read())
    file = out or Path(f"dossier-{name}.zip")
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}") from None
    typer.echo(f"{file}: {len(content):,} bytes. Check it with: throughline audit verify {file}")


@app.command("verify")
def verify_dossier(
    file: Annotated[Path, typer.Argument(help="A dossier.")],
    checkpoint: Annotated[
        str, typer.Option(help="The hash of a checkpoint that was mailed, or the mail's text.")
    ] = "",
) -> None:
    """Check a dossier offline: nothing changed, removed, swapped or forked since it was written.

    Held against a checkpoint: nothing made anew since that was taken.
    """
    if not file.is_file():
        raise Failure(f"{file}: there is no such file")
    try:
        wanted = hash_in(checkpoint) if checkpoint else ""
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--checkpoint") from None
    found, covered = examine(file, wanted)
    if found:
        raise Failure(*found)
    typer.echo(f"{file}: every record and letter is as it was written")
    if covered:
        typer.echo(f"{covered[0].upper()}{covered[1:]}.")


@app.command("checkpoints")
def list_checkpoints(as_json: Json = False) -> None:
    """The checkpoints that were taken, the newest last. Times are the program's."""

    async def read() -> list[Checkpoint]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return list(await session.scalars(select(Checkpoint).order_by(Checkpoint.number)))

    zone = next(iter(read_programs(read_settings()).values())).hours.zone
    rows = run(read())
    if as_json:
        print_json_lines(
            {"number": row.number, "at": local_iso(row.at, zone), "chains": row.chains, "hash": row.hash}
            for row in rows
        )
        return
    print_table(
        ("checkpoint", "taken", "chains", "hash"),
        ((row.number, local(row.at, zone), row.chains, row.hash) for row in rows),
        none="No checkpoint was taken yet.",
    )
