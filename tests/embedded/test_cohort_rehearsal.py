"""A generation of the Latin American program, from its window to the certificates, on the real parts (COH1–COH3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from embedded.rehearsal import rehearse
from embedded.scenario import Fault, Scenario, ScenarioEvent
from rules.events import check_event
from tests.support.programs.cohorts import at
from worker.assembly import load_programs

PEOPLE: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "ana": ("mentee", "CO", "America/Bogota", {}),
    "bea": ("mentee", "MX", "America/Mexico_City", {}),
    "caro": ("mentee", "PE", "America/Lima", {}),
    "dan": ("mentor", "BR", "America/Sao_Paulo", {"mentees_at_a_time": 2}),
    "eva": ("mentor", "CO", "America/Bogota", {}),
    "fito": ("mentor", "AR", "America/Argentina/Buenos_Aires", {}),
}
CPP = {"code": "CPP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}

Row = dict[str, Any]


def event(when: str, kind: str, **data: Any) -> ScenarioEvent:
    checked, wrong = check_event(kind, data)
    assert not wrong, wrong
    return ScenarioEvent(at(when), kind, checked)


def people() -> list[ScenarioEvent]:
    """Six people who sign up in the window; Eva and Dan are certified."""
    found = []
    for name, (role, country, zone, wishes) in PEOPLE.items():
        member = {"member": name, "name": f"{name.capitalize()} Vega", "email": f"{name}@example.org"}
        place = {"country": country, "nationality": country, "time_zone": zone, "languages": ["es"]}
        held = [CPP] if role == "mentor" else []
        found.append(
            event(
                "2028-04-20T10:00", "member.updated", **member, **place, standing="good", certifications=held
            )
        )
        profile = {"profile": f"p-{name}", "member": name, "role": role, "areas": ["Seguridad física"]}
        found.append(event("2028-04-21T00:00", "profile.created", **profile, **wishes, program="asis-laac"))
    return found


async def play(
    until: str, *events: ScenarioEvent, faults: Sequence[Fault] = (), mail: Path | None = None
) -> list[Row]:
    happened = sorted([*people(), *events], key=lambda each: each.at)
    scenario = Scenario("asis-laac", at("2028-04-20T10:00"), at(until), happened, list(faults))
    return await rehearse(
        scenario, load_programs(Path("programs")), Path("templates/mail"), Path("programs"), mail_dir=mail
    )


def states(rows: Sequence[Row], subject: str) -> list[tuple[str, str]]:
    return [
        (row["at"][:16], row["state"]) for row in rows if row["kind"] == "state" and row["subject"] == subject
    ]


def mails(rows: Sequence[Row], message: str) -> list[tuple[str, str]]:
    return sorted((row["to"][2:], row["at"][:16]) for row in rows if row.get("message") == message)


def pairs(rows: Sequence[Row]) -> dict[str, str]:
    return {row["mentee"][2:]: row["mentor"][2:] for row in rows if row["kind"] == "pair"}


CONFIRMED = event("2028-05-09T12:00", "cohort.confirmed", cohort="asis-laac-2028", actor="lina")


@pytest.mark.rule("COH1", "COH2", "COH3", "CPE3")
async def test_generation_runs_from_its_window_to_its_certificates() -> None:
    rows = await play("2028-12-20T10:00", CONFIRMED)
    assert states(rows, "cohort/asis-laac-2028") == [
        ("2028-04-20T10:00", "announced"),
        ("2028-04-21T00:00", "open"),
        ("2028-05-08T09:00", "pairing"),
        ("2028-05-08T09:00", "review"),
        ("2028-05-09T12:00", "confirmed"),
        ("2028-05-23T09:00", "running"),
        ("2028-11-24T09:00", "closed"),
    ]
    assert states(rows, "cohort/asis-laac-2029") == [("2028-05-07T00:00", "announced")]
    (task,) = [row for row in rows if row.get("task") == "pairing_review"]
    assert task["at"][:16] == "2028-05-08T09:00"
    found = [row for row in rows if row["kind"] == "pair"]
    assert {row["at"][:16] for row in found} == {"2028-05-09T12:00"}
    assert pairs(rows) == {"ana": "dan", "bea": "dan", "caro": "eva"}
    assert all(row["why"].startswith("both: Seguridad física, Spanish") for row in found)
    assert all("different countries" in row["why"] for row in found)
    assert {row["engagement"] for row in found} == {
        "engagement/asis-laac-2028.p-ana.p-dan",
        "engagement/asis-laac-2028.p-bea.p-dan",
        "engagement/asis-laac-2028.p-caro.p-eva",
    }
    assert mails(rows, "member.unpaired") == [("fito", "2028-05-09T12:00")]
    assert [who for who, _ in mails(rows, "mentee.paired")] == ["ana", "bea", "caro"]
    assert [who for who, _ in mails(rows, "mentor.paired")] == ["dan", "dan", "eva"]
    for row in found:
        assert states(rows, row["engagement"]) == [
            ("2028-05-23T09:00", "active"),
            ("2028-11-23T17:00", "completed"),
        ]
    assert len(mails(rows, "member.graduation")) == 6
    assert {when[:10] for _, when in mails(rows, "member.graduation")} == {"2028-11-09"}
    assert mails(rows, "mentor.wrap_up") == []
    assert [who for who, _ in mails(rows, "mentee.completed")] == ["ana", "bea", "caro"]
    assert {row["claim"].split("/")[2] for row in rows if row["kind"] == "credit"} == {"mentor"}
    assert not [row for row in rows if row["kind"] == "refused"]


@pytest.mark.rule("COH2", "MAIL2")
async def test_killed_worker_loses_and_doubles_no_pair() -> None:
    """It is killed while pairs are proposed, confirmed, mailed and started."""
    faults = [
        Fault(at(since), at(until), "worker_killed")
        for since, until in (
            ("2028-05-08T09:00", "2028-05-08T09:20"),
            ("2028-05-09T12:00", "2028-05-09T12:20"),
            ("2028-05-23T09:00", "2028-05-23T09:20"),
        )
    ]
    rows = await play("2028-05-24T10:00", CONFIRMED, faults=faults)
    assert pairs(rows) == {"ana": "dan", "bea": "dan", "caro": "eva"}
    assert [row["kind"] for row in rows].count("pair") == 3
    sent = [(row["message"], row["to"], row["workflow"]) for row in rows if row.get("decision") == "sent"]
    assert sent.count(("mentor.paired", "p-dan", "cohort/asis-laac-2028")) == 2
    assert sent.count(("mentee.paired", "p-ana", "cohort/asis-laac-2028")) == 1
    assert sent.count(("member.unpaired", "p-fito", "cohort/asis-laac-2028")) == 1
    begun = [
        row["subject"] for row in rows if row.get("state") == "active" and "engagement/" in row["subject"]
    ]
    assert len(begun) == len(set(begun)) == 3
