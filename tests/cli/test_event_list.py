"""Events that were not applied: which, and why; what nothing keeps is refused before it is stored."""

from __future__ import annotations

from datetime import timedelta

import pytest

from database.models import Event
from tests.support.cli import CliFixture


async def stored(cli: CliFixture, state: str, **values: object) -> None:
    """Store an event in a state."""
    async with cli.database.begin() as session:
        session.add(
            Event(
                source="/community",
                event_id=f"e-{state}",
                type="engagement.met",
                subject="engagement/r-1",
                data={},
                occurred_at=cli.now,
                state=state,
                **values,
            )
        )


@pytest.mark.rule("T8", "STA2")
async def test_event_list_says_what_is_not_applied_and_why(cli: CliFixture) -> None:
    await stored(cli, "applied")
    await stored(cli, "held", waits_for="engagement/r-1", held_until=cli.now + timedelta(days=1))
    await stored(cli, "refused", reason="the engagement is over: it was completed")
    await stored(cli, "applying")
    said = await cli.throughline("event", "list", "--json")
    assert [(each["state"], each["why"]) for each in said.lines] == [
        ("held", "waits for engagement/r-1"),
        ("refused", "the engagement is over: it was completed"),
        ("stored", "is not applied yet"),
    ]
    assert {(each["event"], each["source"]) for each in said.lines} == {("engagement.met", "/community")}
    for state in ("held", "refused", "stored"):
        only = await cli.throughline("event", "list", "--state", state, "--json")
        assert [each["state"] for each in only.lines] == [state]
    table = await cli.throughline("event", "list")
    assert "it was completed" in table.out
    assert (await cli.throughline("event", "list", "--state", "lost")).status == 2


@pytest.mark.rule("T8")
async def test_show_of_a_person_knows_refused_events_of_a_lifecycle(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    await stored(cli, "refused", reason="nobody knows")
    for target in ("member/ana", "profile/p-bob", "engagement/r-1"):
        shown = await cli.throughline("show", target, "--json")
        assert [each["why"] for each in shown.json["events"]] == ["nobody knows"], target
        assert "nobody knows" in (await cli.throughline("show", target)).out
