"""The bundled program with changed settings, as a file of another version."""

from __future__ import annotations

import re
from pathlib import Path

from rules.program import Program, load_program

BUNDLED = Path(__file__).resolve().parents[3] / "programs" / "asis-global.toml"


def changed_text(**settings: str) -> str:
    """The text of the bundled program with other values, in TOML, of keys that it has once."""
    text = BUNDLED.read_text()
    for key, value in settings.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    return text


def changed_folder(folder: Path, **settings: str) -> Path:
    """A program folder with the changed program."""
    folder.mkdir(exist_ok=True)
    (folder / BUNDLED.name).write_text(changed_text(**settings))
    return folder


def changed_program(folder: Path, **settings: str) -> Program:
    """The changed program."""
    return load_program(changed_folder(folder, **settings) / BUNDLED.name)
