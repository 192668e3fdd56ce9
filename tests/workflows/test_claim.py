"""Claims and surveys as workflows in real time, on both databases: letters, updates, refusals, mail.

The engagement began more than half a year before its first event: it is completed, and its claims are past their gate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from database.models import Claim, Letter, Survey
from evidence.dossier import export
from evidence.verifier import verify
from tests.support.credit_fixture import CreditFixture
from tests.support.temporal_workers import running_workers, terminate_workflows


@pytest.fixture
async def credit(database_url: str, temporal_dev: WorkflowEnvironment) -> AsyncIterator[CreditFixture]:
    """Workers whose engagement was just reported."""
    async with running_workers(temporal_dev.client, database_url) as (database, _):
        ready = CreditFixture(temporal_dev.client, database)
        await ready.begin(timedelta(days=200))
        yield ready
        await terminate_workflows(ready.client, ready.mark)


@pytest.mark.rule("CPE5", "CPE8", "CPE10", "CPE11", "STA1")
async def test_letter_makes_a_claim_ready_and_staff_decide_it(credit: CreditFixture, tmp_path: Path) -> None:
    claim = credit.workflow("claim", "mentor/CPP")
    await credit.until(Claim, claim.id, lambda row: row.state == "awaiting_evidence")
    await credit.sign(name="Somebody Else")
    assert "not the name on record" in await credit.until_refused()
    await credit.sign()
    row = await credit.until(Claim, claim.id, lambda row: row.state == "ready")
    assert (row.earned, row.countable) == (9, 9)
    mail = await credit.until_sent(claim.id, "mentor.credit_ready")
    async with credit.database.reading() as session:
        letter = await session.get_one(Letter, mail.context["letter"])
        assert letter.claim == claim.id
        assert letter.document is not None
        (tmp_path / "dossier.zip").write_bytes(await export(session, credit.engagement))
    assert verify(tmp_path / "dossier.zip") == []
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await claim.execute_update("revoke", {"actor": "lina"})
    assert "a reason is needed" in str(refused.value.cause)
    answer = await claim.execute_update("accept", {"actor": "lina", "reason": "on their list"})
    assert answer["state"] == "accepted"
    answer = await claim.execute_update(
        "revoke", {"actor": "lina", "reason": "signed by another", "answer": "untrue"}
    )
    assert answer["state"] == "revoked"
    assert await claim.result() == "revoked"
    row = await credit.until(Claim, claim.id, lambda row: row.state == "revoked")
    assert (row.earned, row.closed_at is None) == (0, False)
    letter = await credit.until(Letter, letter.id, lambda row: row.revoked_at is not None)
    assert (letter.revoked_class, letter.revoked_because) == ("untrue", "signed by another")


@pytest.mark.rule("SUR1", "SUR2", "SUR3", "CPE6")
async def test_survey_is_answered_and_mentee_claim_needs_a_letter(
    credit: CreditFixture,
) -> None:
    claim = credit.workflow("claim", "mentee/PSP")
    await credit.until(Claim, claim.id, lambda row: row.state == "awaiting_evidence")
    await credit.sign(
        **{
            "for": "mentee",
            "by": credit.who("mentor"),
            "name": "Mentor Vega",
            "purpose": "To lead a first site survey. #let $x$ = \\u{1F600} 😀",
            "domains": ["Physical Security Assessment"],
        }
    )
    row = await credit.until(Claim, claim.id, lambda row: row.state == "ready")
    assert (row.earned, row.countable) == (5, 5)
    await credit.until_sent(claim.id, "mentee.credit_ready")
    survey = credit.workflow("survey", "mentee")
    await credit.until(Survey, survey.id, lambda row: row.state == "open")
    answers = {"goals_met": "yes", "mentor_helped": True, "expectations_met": True, "rating": 4}
    for rating in (4, 5):
        await credit.send_events(
            "survey.answered",
            engagement=credit.engagement,
            by=credit.who("mentee"),
            answers={**answers, "rating": rating},
        )
    row = await credit.until(Survey, survey.id, lambda row: row.answers.get("rating") == 5)
    assert row.state == "answered"
    await credit.workflow("survey", "mentor").execute_update("cancel", {"actor": "lina", "reason": "asked"})
    assert (
        await credit.until(Survey, f"survey/{credit.engagement}/mentor", lambda row: row.closed_at)
    ).state == ("canceled")
