"""Arguments that several commands read the same way."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from rules.messages import CATALOGUE
from rules.program import Program
from worker.errors import Failure


def refuse_unknown_message(message: str) -> None:
    """Raise BadParameter for a message name that is not in the catalogue; an empty one passes."""
    if message and message not in CATALOGUE:
        raise typer.BadParameter(f"no message {message}; there are {', '.join(sorted(CATALOGUE))}")


def program_named(programs: Mapping[str, Program], name: str) -> Program:
    """Return the program of a name, or the first. Raises Failure for one that is not loaded."""
    if name and name not in programs:
        raise Failure(f"there is no program {name}: it is one of {', '.join(programs)}")
    return programs[name] if name else next(iter(programs.values()))
