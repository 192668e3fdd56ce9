"""The connection file of a data folder: how a command reaches what `throughline up` or `demo` runs there.

It holds settings by the names of their environment variables, `THROUGHLINE_…` and `TEMPORAL_…`, secrets among them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from worker.errors import Failure

NAME: Final = "connection.json"
LOCK: Final = "lock"
"""The file that a running `up` or `demo` keeps locked, its servers too."""

FOLDER: Final = "THROUGHLINE_DATA"
DEFAULT_FOLDER: Final = Path("var")

NAMING_SERVERS: Final = (
    "THROUGHLINE_DATABASE",
    "THROUGHLINE_GATEWAY_URL",
    "TEMPORAL_ADDRESS",
    "TEMPORAL_PROFILE",
)
"""Settings that name another deployment: beside one of them, a file that nobody asked for is not used at all."""


@dataclass(frozen=True, slots=True)
class ConnectionFile:
    """A connection file and its settings, by the names of their variables."""

    file: Path
    settings: Mapping[str, str]

    @property
    def is_running(self) -> bool:
        """Whether the processes that wrote it still run: one of them holds the lock of the folder."""
        try:
            descriptor = os.open(self.file.parent / LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def command_for(folder: Path) -> str:
    """Return the command that reaches a folder from the working directory."""
    if folder == DEFAULT_FOLDER.resolve():
        return "throughline"
    return f"throughline --data {shlex.quote(str(folder))}"


def write_connection(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write the connection file of a folder, for its owner alone; return its path."""
    file = folder / NAME
    half = file.with_suffix(".part")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as writing:
        json.dump(dict(settings), writing, indent=1)
        writing.write("\n")
    half.replace(file)
    return file


def find_connection() -> ConnectionFile | None:
    """Return the connection of the folder that `THROUGHLINE_DATA` names, else of `var`.

    Raises Failure if the named folder has none, or one that cannot be read. That of `var` is passed over where other
    settings name a server.
    """
    named = os.environ.get(FOLDER) or dotenv().get(FOLDER)
    if not named and any(os.environ.get(name) or dotenv().get(name) for name in NAMING_SERVERS):
        return None
    file = (Path(named).expanduser() if named else DEFAULT_FOLDER) / NAME
    try:
        settings = json.loads(file.read_text("utf-8"))
        return ConnectionFile(file, {str(name): str(value) for name, value in settings.items()})
    except FileNotFoundError:
        if named:
            raise Failure(f"{file} is missing: neither throughline up nor demo has run there") from None
        return None
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None
    except (ValueError, AttributeError):
        raise Failure(f"{file} cannot be read: the next throughline up writes it again") from None


@cache
def _dotenv(folder: str) -> Mapping[str, str]:
    # Imported when called: the names of this module are loaded with every `--help`.
    from dotenv import dotenv_values

    values: Mapping[str, Any] = dotenv_values(Path(folder) / ".env")
    return {name: value for name, value in values.items() if value}


def dotenv() -> Mapping[str, str]:
    """Return the variables of the file `.env` in the working directory. Raises Failure if it is no text."""
    try:
        return _dotenv(os.getcwd())
    except UnicodeDecodeError:
        raise Failure(".env: is not UTF-8 text") from None


def dotenv_and_environment() -> Mapping[str, str]:
    """Return the variables of the environment, then of `.env`. Raises Failure for a file that is no text."""
    return {**dotenv(), **os.environ}


def temporal_variables() -> Mapping[str, str]:
    """Return Temporal's variables: of the environment, then `.env`, then the connection file.

    Raises Failure for a connection file whose server has stopped.
    """
    given = dotenv_and_environment()
    if given.get("TEMPORAL_ADDRESS") or given.get("TEMPORAL_PROFILE"):
        return given
    connection = find_connection()
    if connection is None:
        return given
    if not connection.is_running:
        folder = connection.file.parent
        raise Failure(
            f"no Temporal server runs in {folder}: start throughline up --data {folder}, or set TEMPORAL_ADDRESS"
        )
    stored = {name: value for name, value in connection.settings.items() if name.startswith("TEMPORAL_")}
    return {**stored, **given}
