"""Fixtures of the room: the command on a prepared database; and what this machine cannot run."""

from __future__ import annotations

import os

import pytest

from tests.support.cli import cli
from tests.support.servers.debian_server import missing

__all__ = ["cli"]

_LACKS = missing()
_LEFT_OUT = bool(_LACKS) and os.environ.get("CI") != "true"

collect_ignore = ["test_debian_mail_servers.py"] if _LEFT_OUT else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that need more than this machine has, and what it lacks."""
    if _LEFT_OUT:
        terminalreporter.write_line(
            f"Not run: bounces through Postfix and Dovecot; missing: {', '.join(_LACKS)}."
        )
