"""The page for those who connect a member database: every command and program on it, run beside `throughline up`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from rules.events import EVENT_TYPES, description
from tests.support.cli import COMMAND, ROOT, environment
from tests.support.limits import PATIENCE

PAGE = (ROOT / "docs" / "connect.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = {"python": "send.py", "js": "send.mjs"}


@dataclass
class Beside:
    """A directory in which `throughline up` runs, as a newcomer has it."""

    folder: Path
    process: subprocess.Popen[str]

    def run(self, command: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command line of a shell in the directory."""
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

    def stop(self) -> None:
        """Stop `throughline up` as Ctrl-C does, and wait for its end."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """`throughline up` that is ready, and Node from a package in place of the system's."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(ROOT / "docs" / "examples", folder, dirs_exist_ok=True)
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
    yield Beside(folder, process)
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_each_command_of_the_page_works_in_its_order(beside: Beside) -> None:
    ran = []
    for language, block in BLOCKS:
        if name := PROGRAMS.get(language):
            (beside.folder / name).write_text(block, "utf-8")
            continue
        for command in block.splitlines() if language == "sh" else ():
            if command == "throughline up":
                continue
            done = beside.run(command)
            if command.startswith("throughline show"):
                # An event that is stored is applied a moment later.
                for _ in range(100):
                    if done.returncode == 0:
                        break
                    done = beside.run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            ran.append(command)
    assert {"python3 send.py", "node send.mjs", "python3 send_binary.py"} <= set(ran)
    assert "throughline event send first.json" in ran


def test_page_names_every_type_of_event_with_its_fields() -> None:
    """`throughline event types --markdown` prints the fields and an example of each: the page docs/events.md."""
    assert description.summary() in PAGE
    assert all(f"[`{name}`](events.md#{name.replace('.', '')})" in PAGE for name in EVENT_TYPES)


def test_connection_file_is_for_its_owner_alone(beside: Beside) -> None:
    file = beside.folder / "var" / "connection.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text())["TEMPORAL_ADDRESS"].startswith("127.0.0.1:")


@pytest.mark.parametrize("place", ["before", "behind", "variable"])
def test_folder_can_be_named_from_anywhere(beside: Beside, tmp_path: Path, place: str) -> None:
    beside.run("throughline event example member.updated | throughline event send -")
    folder = beside.folder / "var"
    command, settings = {
        "before": (f"throughline --data {folder} task list", {}),
        "behind": (f"throughline task list --data={folder}", {}),
        "variable": ("throughline task list", {"THROUGHLINE_DATA": folder}),
    }[place]
    done = Beside(tmp_path, beside.process).run(command, **settings)
    assert done.returncode == 0, done.stderr


def test_nothing_falls_back_to_another_server(beside: Beside, tmp_path: Path) -> None:
    """The last test of the module: it stops the servers."""
    elsewhere = Beside(tmp_path, beside.process)
    act = "throughline staff cancel onboarding/p-1 --reason moved"
    database = f"sqlite:///{beside.folder / 'var' / 'throughline.db'}"
    unnamed = elsewhere.run(act, THROUGHLINE_DATABASE=database)
    assert unnamed.returncode == 1
    assert "no Temporal server is named: set TEMPORAL_ADDRESS" in unnamed.stderr
    missing = elsewhere.run(f"{act} --data nowhere")
    assert "nowhere/connection.json is missing" in missing.stderr

    (tmp_path / ".env").write_text("TEMPORAL_ADDRESS=127.0.0.1:9\n")
    named = elsewhere.run(act, THROUGHLINE_DATABASE=database)
    assert "Temporal cannot be reached at 127.0.0.1:9" in named.stderr

    beside.stop()
    stopped = beside.run(act)
    assert stopped.returncode == 1
    assert "no Temporal server runs in var: start throughline up --data var" in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
