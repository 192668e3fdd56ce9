"""`docs/take-over.md`: each command on the page, as an association takes its program over."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import COMMAND, ROOT, environment
from tests.support.limits import PATIENCE

PAGE = (ROOT / "docs" / "take-over.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = ("history.jsonl", "members.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an association, with the files of the page."""
    folder = tmp_path_factory.mktemp("association")
    written = [block for language, block in BLOCKS if language == "jsonl"]
    for name, block in zip(FILES, written, strict=True):
        (folder / name).write_text(block, "utf-8")
    return folder


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the page in the folder."""
    return subprocess.run(
        [COMMAND, *command.split()[1:]],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=8 * PATIENCE,
    )


@pytest.mark.rule("T10")
def test_each_command_of_the_take_over_page_works(folder: Path) -> None:
    process, said = None, dict[str, str]()
    try:
        for command in "".join(block for language, block in BLOCKS if language == "sh").splitlines():
            if command == "throughline up":
                process = subprocess.Popen(
                    [COMMAND, "up", "--port", "0"],
                    cwd=folder,
                    env=environment(PYTHONUNBUFFERED=1),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                assert process.stdout is not None
                for line in process.stdout:
                    if "Ready." in line:
                        break
                continue
            done = run(folder, command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            said[command] = done.stdout
        _again_and_differently(folder)
    finally:
        if process:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
    played = said["throughline event import history.jsonl --dry-run"]
    imported = said["throughline event import history.jsonl"]
    assert "7 events: 7 applied, 0 refused, 0 waiting." in played
    assert "7 events: 7 applied, 0 refused, 0 waiting." in imported
    for summary in (played, imported):
        assert re.search(r"onboarding +1 matched, 1 welcomed", summary)
        assert re.search(r"engagement +1 completed", summary)
        assert "Nothing goes out in the next 14 days." in summary
    assert "completed" in said["throughline show engagement/r-old"]
    differing = said["throughline event import members.jsonl --differences"]
    assert re.search(r"member/rosa +member.updated +email", differing)
    assert re.search(r"profile/p-noor +profile.updated +mentees_at_a_time", differing)
    assert "2 sent, 1 unchanged" in differing
    assert said["throughline event import members.jsonl --differences --dry-run"] == differing.replace(
        "2 sent", "2 would be sent"
    )


def _again_and_differently(folder: Path) -> None:
    """A second import knows every event; the same night again differs in nothing."""
    again = run(folder, "throughline event import history.jsonl")
    assert again.returncode == 0, again.stderr
    assert "7 events: 7 applied, 0 refused, 0 waiting, 7 known before." in again.stdout
    for _ in range(100):
        night = run(folder, "throughline event import members.jsonl --differences")
        assert night.returncode == 0, night.stderr
        if "0 sent, 3 unchanged" in night.stdout:
            return
    raise AssertionError(night.stdout)
