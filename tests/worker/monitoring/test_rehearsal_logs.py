"""Months of a program with faults, logged at the finest level: the log has no name and no address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import environment

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import logging
from cli.commands import rehearse
from cli.main import main
from worker.log_setup import set_up_logging
rehearse.set_up_logging = lambda level: set_up_logging(logging.DEBUG)
main()
"""

SCENARIO = """
program = "asis-global"
start = 2032-03-08T10:00:00
until = "P2M"
[[members]]
member = "m-1"
name = "Ximena Quintanilla"
email = "x.quintanilla@example.org"
standing = "good"
[[members]]
member = "m-2"
name = "Baltasar Echeverría"
email = "b.echeverria@example.org"
standing = "good"
[[events]]
at = "P0D"
type = "profile.created"
data = { profile = "p-1", member = "m-1", role = "mentor" }
[[events]]
at = "P0D"
type = "profile.created"
data = { profile = "p-2", member = "m-2", role = "mentee" }
[[events]]
at = "P1D"
type = "request.created"
data = { request = "r-1", mentee = "p-2", mentor = "p-1", message = "Ximena, would you?" }
[[events]]
at = "P2D"
type = "request.accepted"
data = { request = "r-1" }
[[events]]
at = "P9D"
type = "engagement.misconduct_reported"
data = { engagement = "r-1", by = "p-2", text = "Quintanilla shouted" }
[[faults]]
at = "P1D"
kind = "smtp_5xx_recipient"
for = "PT6H"
[[faults]]
at = "P2D"
kind = "database_down"
for = "PT20M"
[[faults]]
at = "P3D"
kind = "worker_killed"
for = "PT2H"
"""


@pytest.mark.rule("MEM6")
def test_log_of_months_with_faults_names_nobody(tmp_path: Path) -> None:
    scenario = tmp_path / "life.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "rehearse", scenario, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "Ximena" in ended.stdout, "the timeline itself has subjects"
    log = ended.stderr.lower()
    assert "activity_failed" in log
    hidden = ("ximena", "quintanilla", "baltasar", "echeverr", "shouted", "@example.org")
    assert [word for word in hidden if word in log] == []
