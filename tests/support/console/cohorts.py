"""A cohort whose pairs are proposed, for the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from database.models import Cohort, CohortMember, CohortPair
from lifecycles.facts import facts_to_row
from rules.cohort import CohortFacts
from tests.support.gateway import NOW, member, profile

COHORT = "laac-2028"
NAMES = {"rosa": "Rosa Peña", "iván": "=1+2", "luz": "Luz Marín", "tomás": "Tomás Gil"}


def cohort_rows(state: str = "review") -> list[Any]:
    """Two mentees and two mentors: one pair that is proposed, one that is kept apart, one person without a pair."""
    opens, closes, kick_off = "2028-03-01", "2028-03-20", "2028-04-10"
    facts = CohortFacts(
        COHORT, "asis-global", NOW - timedelta(days=60), opens, closes, kick_off, 6, proposals=2
    )
    row = Cohort(
        workflow=f"cohort/{COHORT}",
        id=COHORT,
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=NOW,
        facts=facts_to_row(facts),
        opens_on=opens,
        closes_on=closes,
        kick_off_on=kick_off,
        months=6,
        partners=[],
        proposal=2,
        proposed_at=NOW,
        figures={
            "pairs": 1,
            "changed": 1,
            "unpaired_mentees": 1,
            "unpaired_mentors": 1,
            "mean_fit": 412,
            "lowest_fit": 412,
            "rather_each_other": 0,
            "broken_locks": 0,
        },
    )
    roles = {"rosa": "mentee", "iván": "mentee", "luz": "mentor", "tomás": "mentor"}
    ids = {"rosa": "rosa", "iván": "ivan", "luz": "luz", "tomás": "tomas"}
    people = [member(ids[name], NAMES[name]) for name in roles]
    profiles = [profile(f"p-{ids[name]}", ids[name], role) for name, role in roles.items()]
    members = [
        CohortMember(
            cohort_id=COHORT,
            profile_id=f"p-{ids[name]}",
            role=role,
            joined_at=NOW,
            unpaired_because=None if name in ("rosa", "luz") else "no place is free",
        )
        for name, role in roles.items()
    ]
    pairs = [
        CohortPair(
            cohort_id=COHORT,
            mentee_id="p-rosa",
            mentor_id="p-luz",
            state="proposed",
            run=2,
            fit=412,
            why=[{"kind": "areas", "values": ["physical security"]}],
        ),
        CohortPair(
            cohort_id=COHORT, mentee_id="p-ivan", mentor_id="p-tomas", state="none", mark="forbidden", run=1
        ),
    ]
    return [*people, *profiles, row, *members, *pairs]
