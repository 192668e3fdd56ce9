"""`throughline program`: check and print program files (COH5)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.groups import command_group
from cli.output import Json, print_json, print_json_lines, print_table, working
from cli.runner import run
from mail.context import program_context
from rules.program import Program, load_program
from worker.connections import composers, read_programs, read_settings
from worker.errors import Failure

app = command_group("Check and print program files.")


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
    """Print each setting of a program: its value, the rules that it serves, and what it means."""
    settings = _found(which).describe()
    if as_json:
        print_json_lines(setting._asdict() for setting in settings)
        return
    print_table(
        ("section", "key", "value", "rules", "meaning"),
        ((s.section, s.key, s.value, " ".join(s.rules), s.about) for s in settings),
    )


def _found(which: str) -> Program:
    if which.endswith(".toml") or "/" in which:
        return load_program(Path(which))
    programs = read_programs(read_settings())
    if which and which not in programs:
        raise Failure(f"there is no program {which}: it is one of {', '.join(programs)}, or a file")
    return programs[which] if which else next(iter(programs.values()))
