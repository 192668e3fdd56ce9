"""Pages of a lifecycle whose facts this version cannot read: they show what can be shown."""

from __future__ import annotations

import pytest

from database.models import Engagement, Message
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW, claim_row

BROKEN: tuple[dict[str, object], ...] = ({}, {"engagement": 7, "started_at": "never"})


@pytest.mark.parametrize("facts", BROKEN)
async def test_page_with_unreadable_facts_shows_the_rest(
    console: ConsoleFixture, facts: dict[str, object]
) -> None:
    mail = Message(
        delivery="d-1",
        workflow="engagement/r-2",
        step="x",
        occurrence=1,
        message="mentee.pulse",
        number=3,
        message_class="nudge",
        program="asis-global",
        to_profile="p-ana",
        member_id="ana",
        planned_at=NOW,
        due_at=NOW,
        state="planned",
    )
    claim = claim_row("mentor", "CPP")
    claim.facts = facts
    await console.add(mail, claim)
    await console.gateway.change(Engagement, "r-2", facts=facts)
    for path in ("engagement/r-2", "member/ana", "profile/p-ana", "claim/r-2/mentor/CPP"):
        answer = await console.get("mia", f"/staff/show/{path}")
        assert answer.status_code == 200, path
        assert "cannot be computed" in answer.text, path
    shown = (await console.get("mia", "/staff/show/member/ana")).text
    assert "its facts cannot be read" in shown
    assert "ENG4" in shown
    assert (await console.get("cora", "/staff/show/engagement/r-2")).status_code == 200
    assert (await console.get("mia", "/staff?tasks=all")).status_code == 200
    assert (await console.get("mia", "/staff/ahead?days=30")).status_code == 200
    assert (await console.get("mia", "/staff/claims")).status_code == 200


async def test_act_on_unreadable_facts_is_refused_with_the_reason(console: ConsoleFixture) -> None:
    await console.gateway.change(Engagement, "r-2", facts={})
    answer = await console.get("mia", "/staff/act/cancel?target=engagement/r-2")
    assert answer.status_code == 409
    assert "its facts cannot be read" in answer.text
