"""Commands beside a running demo: they find it, and what `throughline up` left in the folder stays."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.support.cli import COMMAND, environment
from tests.support.limits import PATIENCE
from worker.connection_file import NAME, write_connection


def test_command_finds_the_demo_and_its_file_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    before = write_connection(tmp_path / "var", {"THROUGHLINE_DATABASE": "sqlite:////of/up.db"}).read_text()
    process = subprocess.Popen(
        [COMMAND, "demo"],
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED=1),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while "show onboarding/p-ana" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        connection = json.loads((tmp_path / "var" / NAME).read_text())
        assert connection["THROUGHLINE_DATABASE"].removeprefix("sqlite:///") in said
        done = subprocess.run(
            [COMMAND, "show", "onboarding/p-ana"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        assert "Ana Pérez" in done.stdout
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=2 * PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (tmp_path / "var" / NAME).read_text() == before
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == [NAME, "lock"]
