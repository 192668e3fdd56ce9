"""What this machine cannot run: a file system of one process alone needs Linux and the right to mount."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def _can_mount() -> bool:
    if not (command := shutil.which("unshare")):
        return False
    alone = [command, "--mount", *(["--user", "--map-root-user"] if os.geteuid() else []), "true"]
    return subprocess.run(alone, capture_output=True).returncode == 0


_LEFT_OUT = os.environ.get("CI") != "true" and not _can_mount()

collect_ignore = ["test_full_disk.py"] if _LEFT_OUT else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the test that needs more than this machine has."""
    if _LEFT_OUT:
        terminalreporter.write_line("Not run: readiness on a full disk; this user may not mount one.")
