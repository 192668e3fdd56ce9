"""The kinds of lifecycle: their ids, and what staff may do to each."""

from __future__ import annotations

import pytest

from database.audit import chain_of
from rules.kinds import KINDS, TARGET, acting_on, kind_of, parts_of


@pytest.mark.rule("STA1")
@pytest.mark.parametrize(
    ("workflow", "kind"),
    [
        ("onboarding/p-1", "onboarding"),
        ("request/r-1", "request"),
        ("engagement/r.1_x", "engagement"),
        ("claim/r-1/mentor/CPP", "claim"),
        ("survey/r-1/mentee", "survey"),
    ],
)
def test_workflow_id_names_its_kind(workflow: str, kind: str) -> None:
    found = kind_of(workflow)
    assert found is not None
    assert found.name == kind
    assert TARGET.fullmatch(workflow)


@pytest.mark.parametrize(
    "workflow",
    [
        *(
            "",
            "inbox",
            "onboarding/",
            "onboarding/a/b",
            "member/ana",
            "claim/r-1/mentor",
            "claim/r-1/staff/CPP",
        ),
        *("survey/r-1", "survey/r-1/mentor/CPP", "request/" + "r" * 65, "request/r 1", "request/r-1\n"),
    ],
)
def test_id_of_another_shape_is_no_target(workflow: str) -> None:
    assert not TARGET.fullmatch(workflow)


def test_no_state_is_open_and_closed_at_once() -> None:
    for kind in KINDS.values():
        assert len(set(kind.states)) == len(kind.states)
        assert kind.open_states
        assert kind.closed_states


@pytest.mark.rule("STA1")
def test_staff_cancel_every_kind_and_extend_what_has_a_unit() -> None:
    assert acting_on("cancel") == tuple(KINDS)
    assert acting_on("extend") == tuple(kind.name for kind in KINDS.values() if kind.units)


@pytest.mark.rule("CPE11")
def test_all_of_one_engagement_stands_in_one_audit_chain() -> None:
    of_one = ("request/r-1", "engagement/r-1", "claim/r-1/mentor/CPP", "survey/r-1/mentee")
    assert {chain_of(workflow) for workflow in of_one} == {"engagement/r-1"}
    assert chain_of("onboarding/p-1") == "onboarding/p-1"
    assert parts_of("claim/r-1/mentor/CPP") == ("r-1", "mentor", "CPP")
