"""A program with a limit of nudges a day, and a send window, played through the real parts (MAIL11, T4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from rules.agenda import send_offset
from worker.assembly import load_programs

PROGRAMS, TEMPLATES = Path("programs"), Path("templates/mail")

SCENARIO = """
program = "asis-global"
start   = 2028-03-06T10:00:00
until   = "P70D"

[[members]]
member = "ana"
name = "Ana Pérez"
email = "ana@example.org"
standing = "good"
time_zone = "America/Bogota"
country = "CO"

[[events]]
at   = "P0D"
type = "profile.created"
data = { profile = "p-one", member = "ana", role = "mentee" }

[[events]]
at   = "PT1M"
type = "profile.created"
data = { profile = "p-two", member = "ana", role = "mentee" }

[[events]]
at   = "P15DT1H"
type = "staff.cancel"
data = { target = "onboarding/p-two", actor = "lina", reason = "moved on" }
"""


async def check_ins(folder: Path, cap: int | None, window: int = 0) -> list[tuple[str, str, str]]:
    """The local time, the profile and the decision of each check-in of one person's two onboardings."""
    (folder / "scenario.toml").write_text(SCENARIO, "utf-8")
    programs = load_programs(PROGRAMS)
    program = programs["asis-global"]
    programs["asis-global"] = replace(
        program,
        mail=replace(program.mail, nudges_per_day=cap),
        hours=replace(program.hours, send_window=window),
    )
    scenario = read_scenario(folder / "scenario.toml", programs)
    with capture_logs():
        rows: Any = await rehearse(scenario, programs, TEMPLATES, PROGRAMS, mail_dir=folder / "mail")
    assert rows[-1]["workflows_open"] == 0
    assert not [row for row in rows if row["kind"] == "task" and row["task"].startswith("mail")]
    return [
        (row["at"][:19], row["to"], row["decision"])
        for row in rows
        if row["kind"] == "mail" and row["message"] == "mentee.checkin"
    ]


@pytest.mark.rule("MAIL11", "T4", "MAIL4")
async def test_second_onboarding_waits_a_morning_and_may_be_cancelled(tmp_path: Path) -> None:
    """The second check-ins fall on Monday 3 April, so both are due on that morning; staff cancel one that waits."""
    found = await check_ins(tmp_path, 1)
    sent = [(at[:10], to) for at, to, decision in found if decision == "sent"]
    assert sent[:2] == [("2028-03-13", "p-one"), ("2028-03-14", "p-two")]
    assert len({day for day, _ in sent}) == len(sent)
    assert [to for _, to in sent].count("p-one") == 4
    assert {decision for _, to, decision in found if to == "p-two"} == {"sent", "cancelled"}


@pytest.mark.rule("MAIL11")
async def test_without_a_limit_both_go_on_one_morning(tmp_path: Path) -> None:
    sent = [(at[:10], to) for at, to, decision in await check_ins(tmp_path, None) if decision == "sent"]
    assert sorted(sent[:2]) == [("2028-03-13", "p-one"), ("2028-03-13", "p-two")]


@pytest.mark.rule("MAIL11", "T4", "ONB2")
async def test_person_gets_mail_of_each_morning_at_the_same_minute(tmp_path: Path) -> None:
    """The one that waits for another morning leaves at that minute too."""
    sent = [at for at, _, decision in await check_ins(tmp_path, 1, 60) if decision == "sent"]
    minute, second = divmod(send_offset("ana", 60).seconds, 60)
    assert len(sent) >= 5
    assert {at[14:] for at in sent} == {f"{minute:02}:{second:02}"}
