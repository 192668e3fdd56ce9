"""Mail that comes back through a relay, in the timeline of a rehearsal (MAIL10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from worker.assembly import load_programs

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = """
program = "asis-global"
start = 2035-03-05T10:00:00
until = "P30D"

[[members]]
member = "ana"
name = "Ana Vega"
email = "ana@example.org"
standing = "good"
time_zone = "America/Bogota"
country = "CO"

[[events]]
at = "P0D"
type = "profile.created"
data = { profile = "p-ana", member = "ana", role = "mentee" }

[[events]]
at = "P10D"
type = "mail.bounced"
data = { delivery = "onboarding/p-ana/check-in/1", kind = "refused", reason = "policy (550 5.7.1)" }
"""


@pytest.mark.rule("MAIL10")
async def test_refusal_by_report_is_in_the_timeline_and_the_next_mail_goes_out(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    programs = load_programs(ROOT / "programs")
    rows = await rehearse(
        read_scenario(file, programs), programs, ROOT / "templates" / "mail", ROOT / "programs"
    )
    (came_back,) = [row for row in rows if row["kind"] == "came_back"]
    assert came_back == {
        "at": "2035-03-15T10:00:00-04:00",
        "kind": "came_back",
        "message": "mentee.checkin",
        "to": "p-ana",
        "workflow": "onboarding/p-ana",
        "class": "refused",
        "reason": "policy (550 5.7.1)",
    }
    assert [row["task"] for row in rows if row["kind"] == "task"] == ["mail_failed"]
    assert [row["decision"] for row in rows if row["kind"] == "mail"] == ["sent", "sent"]
