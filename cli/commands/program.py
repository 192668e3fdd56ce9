"""`throughline program`: check and print program files, and move what runs by them (COH5)."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import program_move, trial_commands
from cli.groups import command_group
from cli.output import Json, print_json, print_json_lines, print_table, working
from cli.runner import run
from database.program_versions import KeptVersion, kept_versions
from lifecycles.registry import LIFECYCLES
from mail.context import program_context
from rules.program import Program, load_program, version_label
from rules.program.toml_schema import Setting
from worker.connections import composers, database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("Check and print program files; move what runs to a version.")
program_move.register(app)
trial_commands.register(app)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A program file.")],
    as_json: Json = False,
) -> None:
    """Check a program file, and render every message with it.

    All mistakes are printed at once, one per line.
    """
    settings = read_settings()
    program = load_program(file)

    async def missing() -> list[str]:
        with working(f"Rendering the messages of {program.id}"):
            return composers(settings, file.parent)(program).missing(program_context(program))

    if problems := run(missing()):
        raise Failure(*(f"{file}: {problem}" for problem in problems))
    if as_json:
        print_json(
            {
                "program": program.id,
                "policy_version": program.policy_version,
                "fingerprint": program.fingerprint,
            }
        )
    else:
        typer.echo(
            f"{file}: {program.id} ({program.name}), policy version {program.policy_version}, is valid, and "
            "every message can be rendered."
        )


@app.command()
def show(
    which: Annotated[
        str,
        typer.Argument(help="A program's id, or a program file; by default, the first.", metavar="[ID|FILE]"),
    ] = "",
    as_json: Json = False,
) -> None:
    """Print each setting of a program: its value, the rules that it serves, and what it means.

    The version is the fingerprint of the file's content: lifecycles go on by the one that they began with.
    """
    program = _found(which)
    settings = [*program.describe(), _version(program)]
    if as_json:
        print_json_lines(setting._asdict() for setting in settings)
        return
    print_table(
        ("section", "key", "value", "rules", "meaning"),
        ((s.section, s.key, s.value, " ".join(s.rules), s.about) for s in settings),
    )


@app.command()
def versions(
    which: Annotated[str, typer.Argument(help="A program's id; by default, all.", metavar="[ID]")] = "",
    as_json: Json = False,
) -> None:
    """List the versions of program files that workers have started with.

    Each lifecycle goes on by the version that it began with, until staff move it. The list counts those that run and
    those that are over.
    """
    programs = read_programs(read_settings())

    async def read() -> list[KeptVersion]:
        tables = [entry.table for entry in LIFECYCLES.values()]
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await kept_versions(session, tables)

    found = [each for each in run(read()) if which in ("", each.program)]
    if which and not found:
        raise Failure(f"no worker has started with a program {which}")
    newest = {program.fingerprint for program in programs.values()}
    if as_json:
        print_json_lines(
            {
                "program": each.program,
                "policy_version": each.policy_version,
                "fingerprint": each.fingerprint,
                "first_seen": each.first_seen_at.isoformat(),
                "newest": each.fingerprint in newest,
                "running": each.running,
                "over": each.over,
            }
            for each in found
        )
        return
    print_table(
        ("program", "version", "first seen (UTC)", "running", "over", ""),
        (
            (
                each.program,
                version_label(each.policy_version, each.fingerprint),
                f"{each.first_seen_at.astimezone(UTC):%Y-%m-%d %H:%M}",
                each.running,
                each.over,
                "in the program folder now" if each.fingerprint in newest else "",
            )
            for each in found
        ),
        none="No worker has started yet.",
    )


def _version(program: Program) -> Setting:
    about = "the version of this file: a SHA-256 of its content, whatever its layout"
    return Setting("program", "fingerprint", program.fingerprint, ("CPE12",), about)


def _found(which: str) -> Program:
    if which.endswith(".toml") or "/" in which:
        return load_program(Path(which))
    programs = read_programs(read_settings())
    if which and which not in programs:
        raise Failure(f"there is no program {which}: it is one of {', '.join(programs)}, or a file")
    return programs[which] if which else next(iter(programs.values()))
