"""`throughline audit`: the dossier of an engagement, and its offline check (CPE11)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from database.dossier import export
from database.verifier import verify
from worker.console import Failure, run
from worker.services import database_ready, read_settings

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
def verify_dossier(file: Annotated[Path, typer.Argument(help="A dossier.")]) -> None:
    """Check a dossier offline: nothing changed, removed, swapped or forked since it was written."""
    if not file.is_file():
        raise Failure(f"{file}: there is no such file")
    found = verify(file)
    if found:
        raise Failure(*found)
    typer.echo(f"{file}: every record and letter is as it was written")
