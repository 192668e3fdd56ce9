"""A program with a send window, rehearsed: each person's scheduled mail leaves at their own minute after nine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from rules.send_window import offset
from worker.assembly import load_programs

MINUTES = 60
SCENARIO = """
program = "asis-global"
start = 2035-03-05T10:00:00
until = "P24D"
""" + "".join(
    f"""
[[members]]
member = "{name}"
name = "{name.capitalize()}"
email = "{name}@example.org"
standing = "good"
time_zone = "America/New_York"
country = "US"

[[events]]
at = 2035-03-05T10:00:00
type = "profile.created"
data = {{ profile = "p-{name}", member = "{name}", role = "mentee" }}
"""
    for name in ("ana", "bea")
)


@pytest.mark.rule("T4", "ONB2")
async def test_scheduled_mail_leaves_at_each_persons_own_minute(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    programs = load_programs(Path("programs"))
    bundled = programs["asis-global"]
    spread = replace(bundled, hours=replace(bundled.hours, send_window=MINUTES))
    scenario = read_scenario(file, programs)
    rows = await rehearse(scenario, {**programs, spread.id: spread}, Path("templates/mail"), Path("programs"))
    sent = {
        name: [
            row["at"]
            for row in rows
            if row["kind"] == "mail" and row["decision"] == "sent" and row["to"] == f"p-{name}"
        ]
        for name in ("ana", "bea")
    }
    for name, instants in sent.items():
        minute, second = divmod(int(offset(name, MINUTES).total_seconds()), 60)
        assert [at[11:19] for at in instants] == [f"09:{minute:02}:{second:02}"] * 2
    assert sent["ana"] != sent["bea"]
    tasks = [row["at"] for row in rows if row["kind"] == "task"]
    assert all(at[14:19] == "00:00" for at in tasks)
