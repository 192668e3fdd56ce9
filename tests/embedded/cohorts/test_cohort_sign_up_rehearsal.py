"""Sign-ups of a cohort program, played on real workflows: who gets which notice, and what does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from worker.assembly import load_programs

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "programs"
SCENARIO = ROOT / "tests" / "scenarios" / "cohort_sign_ups.toml"


@pytest.fixture(scope="module")
async def timeline(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    programs = load_programs(PROGRAMS)
    with capture_logs():
        rows: Any = await rehearse(
            read_scenario(SCENARIO, programs),
            programs,
            ROOT / "templates" / "mail",
            PROGRAMS,
            mail_dir=tmp_path_factory.mktemp("mail"),
        )
    return list(rows)


def mails(timeline: list[dict[str, Any]], message: str) -> list[tuple[str, str, str]]:
    return [
        (row["at"][:16], row["to"], row["subject"])
        for row in timeline
        if row["kind"] == "mail" and row["message"] == message
    ]


@pytest.mark.rule("COH1", "MAIL5")
async def test_sign_up_outside_the_window_gets_the_next_opening_once(timeline: list[dict[str, Any]]) -> None:
    assert mails(timeline, "member.window_closed") == [
        ("2028-03-02T10:00", "early", "La inscripción abre el 21 de abril de 2028"),
        ("2028-05-07T00:00", "too-late", "Registration opens on April 21, 2029"),
    ]
    states = [row["state"] for row in timeline if row.get("subject") == "onboarding/early"]
    assert states == ["waiting", "outside_window"]


@pytest.mark.rule("COH1", "MEM1")
async def test_no_onboarding_runs_for_who_signs_up_in_the_window(timeline: list[dict[str, Any]]) -> None:
    """The last minute of the window is in it. Nobody gets a welcome or a check-in."""
    assert not [row for row in timeline if row.get("subject") == "onboarding/in-time"]
    sent = {row["message"] for row in timeline if row["kind"] == "mail"}
    assert sent <= {"member.window_closed", "member.standing_lapsed"}


@pytest.mark.rule("MEM1")
async def test_lapsed_sign_up_is_notified_once_and_takes_part_when_renewed(
    timeline: list[dict[str, Any]],
) -> None:
    assert [to for _, to, _ in mails(timeline, "member.standing_lapsed")] == ["lapsed"]
    states = [
        row["state"] for row in timeline if row.get("subject") == "onboarding/lapsed" and "state" in row
    ]
    assert states == ["blocked", "registered"]


@pytest.mark.rule("COH3")
async def test_request_in_a_cohort_program_is_refused(timeline: list[dict[str, Any]]) -> None:
    (refused,) = [row for row in timeline if row["kind"] == "refused"]
    assert (refused["event"], refused["subject"]) == ("request.created", "request/r-1")
    assert refused["reason"] == "asis-laac pairs its people in cohorts: members send no requests"


@pytest.mark.rule("COH1", "COH3")
async def test_change_inside_the_window_makes_an_early_profile_take_part(
    timeline: list[dict[str, Any]],
) -> None:
    """The pairs are proposed on the business day after the window: two people, one pair to review."""
    cohort = [row for row in timeline if row.get("subject") == "cohort/asis-laac-2028"]
    states = [(row["at"][:16], row["state"]) for row in cohort if "state" in row]
    assert ("2028-05-08T09:00", "review") in states
