"""A folder in which `throughline up` runs, as somebody has it who follows a page of the documentation."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

from tests.support.cli import COMMAND, ROOT, environment
from tests.support.limits import PATIENCE

EXAMPLES = ROOT / "docs" / "examples"


def blocks_of(page: str) -> list[tuple[str, str]]:
    """The blocks of code of a page: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@dataclass
class Newcomer:
    """A folder, and the `throughline up` that runs in it."""

    folder: Path
    process: subprocess.Popen[str]

    def run(self, command: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command line of a shell in the folder."""
        path = f"{COMMAND.parent}:{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env={**environment(**settings), "PATH": path},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )

    def follow(self, command: str) -> str:
        """Run a command of a page; return what it says.

        `show` is repeated: a stored event is applied a moment later.
        """
        done = self.run(command)
        if command.startswith("throughline show"):
            for _ in range(100):
                if done.returncode == 0:
                    break
                done = self.run(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def stop(self) -> None:
        """Stop `throughline up` as Ctrl-C does, and wait for its end."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE)


@contextmanager
def newcomer(folder: Path) -> Iterator[Newcomer]:
    """`throughline up` that is ready, with the examples, and Node from a package in place of the system's."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "node").symlink_to(compute_driver_executable()[0])
    process = subprocess.Popen(
        [COMMAND, "up", "--port", "0"],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED=1),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while "Ready." not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert "throughline event example member.updated | throughline event send -" in said
    yield Newcomer(folder, process)
    if process.poll() is None:
        process.kill()
        process.communicate()
