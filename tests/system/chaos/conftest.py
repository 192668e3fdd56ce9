"""What this machine cannot run: the clock of another process is moved by code for one kind of processor."""

from __future__ import annotations

import platform

import pytest

_LEFT_OUT = (platform.system(), platform.machine()) != ("Linux", "x86_64")

collect_ignore = ["test_chaos.py"] if _LEFT_OUT else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the test that needs another machine."""
    if _LEFT_OUT:
        terminalreporter.write_line("Not run: chaos; it moves a process's clock on Linux with x86-64 only.")
