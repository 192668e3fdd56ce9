"""The page for those who connect a member database: every command and program on it, run beside `throughline up`."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.events import EVENT_TYPES, description
from tests.support.cli import ROOT
from tests.support.servers.newcomer import Newcomer, blocks_of, newcomer

PAGE = (ROOT / "docs" / "connect.md").read_text("utf-8")
BLOCKS = blocks_of(PAGE)
PROGRAMS = {"python": "send.py", "js": "send.mjs"}


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """`throughline up` that is ready."""
    with newcomer(tmp_path_factory.mktemp("newcomer")) as made:
        yield made


def test_each_command_of_the_page_works_in_its_order(beside: Newcomer) -> None:
    ran = []
    for language, block in BLOCKS:
        if name := PROGRAMS.get(language):
            (beside.folder / name).write_text(block, "utf-8")
            continue
        for command in block.splitlines() if language == "sh" else ():
            if command != "throughline up":
                beside.follow(command)
                ran.append(command)
    assert {"python3 send.py", "node send.mjs", "python3 send_binary.py"} <= set(ran)
    assert "throughline event send first.json" in ran


def test_page_names_every_type_of_event_with_its_fields() -> None:
    """`throughline event types --markdown` prints the fields and an example of each: the page docs/events.md."""
    assert description.summary() in PAGE
    assert all(f"[`{name}`](events.md#{name.replace('.', '')})" in PAGE for name in EVENT_TYPES)


def test_connection_file_is_for_its_owner_alone(beside: Newcomer) -> None:
    file = beside.folder / "var" / "connection.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text())["TEMPORAL_ADDRESS"].startswith("127.0.0.1:")


@pytest.mark.parametrize("place", ["before", "behind", "variable"])
def test_folder_can_be_named_from_anywhere(beside: Newcomer, tmp_path: Path, place: str) -> None:
    beside.run("throughline event example member.updated | throughline event send -")
    folder = beside.folder / "var"
    command, settings = {
        "before": (f"throughline --data {folder} task list", {}),
        "behind": (f"throughline task list --data={folder}", {}),
        "variable": ("throughline task list", {"THROUGHLINE_DATA": folder}),
    }[place]
    done = Newcomer(tmp_path, beside.process).run(command, **settings)
    assert done.returncode == 0, done.stderr


def test_nothing_falls_back_to_another_server(beside: Newcomer, tmp_path: Path) -> None:
    """The last test of the module: it stops the servers."""
    elsewhere = Newcomer(tmp_path, beside.process)
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
