"""`throughline audit`: the dossier of an engagement, its offline verification, and checkpoints (CPE11)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from cli.groups import command_group
from cli.output import Json, print_json_lines, print_table
from cli.runner import run
from database.models import Checkpoint
from evidence.dossier import export
from evidence.verifier import examine, hash_in
from staff.formatting import local, local_iso
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("Export and verify the evidence of an engagement.")


@app.command("export")
def export_dossier(
    engagement: Annotated[str, typer.Argument(help="The id of the engagement, with or without engagement/.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; by default, dossier-ID.zip.")] = None,
    staff: Annotated[
        bool,
        typer.Option(
            "--staff", help="The confidential part: reports of misconduct and pauses. For staff only."
        ),
    ] = False,
) -> None:
    """Write the dossier of an engagement: records, letters, program versions, and a verifier to run without us.

    Nothing in it discloses a report of misconduct. Those are in a dossier of their own, with --staff.
    """
    name = engagement.removeprefix("engagement/")

    async def read() -> bytes:
        async with database_ready(read_settings()) as database, database.reading() as session:
            try:
                return await export(session, name, confidential=staff)
            except LookupError as error:
                raise Failure(str(error)) from None

    content = run(read())
    file = out or Path(f"dossier-{name}{'-staff' if staff else ''}.zip")
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}") from None
    typer.echo(f"{file}: {len(content):,} bytes. Verify it with: throughline audit verify {file}")


@app.command("verify")
def verify_dossier(
    file: Annotated[Path, typer.Argument(help="A dossier.")],
    checkpoint: Annotated[
        str, typer.Option(help="The hash of a mailed checkpoint, or the text of that mail.")
    ] = "",
) -> None:
    """Verify a dossier offline: nothing was changed, removed, reordered or forked since the export.

    With --checkpoint: no record from before that checkpoint was rewritten since.
    """
    if not file.is_file():
        raise Failure(f"{file}: no such file")
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
    """List the checkpoints, the newest last. Times are on the clock of the program."""

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
        none="There is no checkpoint yet.",
    )
