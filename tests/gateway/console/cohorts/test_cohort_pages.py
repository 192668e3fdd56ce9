"""Cohorts in the console: who sees them, what staff do to pairs, and what a stale page may not do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from database.models import CohortPair
from tests.support.console.cohorts import COHORT, cohort_rows
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import at_the_gate

PATH = f"/staff/cohorts/{COHORT}"
PAIR = {"mentee": "p-rosa", "mentor": "p-luz", "reason": "They asked for it."}


@pytest.fixture
async def console(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    async with console_fixture(migrated_url, [*at_the_gate(), *cohort_rows()]) as made:
        yield made


async def pairs(console: ConsoleFixture) -> dict[tuple[str, str], tuple[str, str | None]]:
    """State and mark of each pair."""
    async with console.gateway.database.reading() as session:
        rows = await session.scalars(select(CohortPair))
        return {(row.mentee_id, row.mentor_id): (row.state, row.mark) for row in rows}


def digest_in(page: str) -> str:
    found = re.search(r'name="digest" value="([^"]+)"', page)
    assert found
    return found[1]


@pytest.mark.rule("COH2", "COH3")
async def test_cohort_shows_days_pairs_with_reasons_and_who_is_without(console: ConsoleFixture) -> None:
    listed = (await console.get("mia", "/staff/cohorts")).text
    assert f'href="{PATH}"' in listed
    page = (await console.get("mia", PATH)).text
    for words in ("Rosa Peña", "Luz Marín", "412", "physical security", "kept apart", "Tomás Gil", ">new<"):
        assert words in page, words
    spanish = (await console.get("mia", f"{PATH}?find=tom%C3%A1s")).text
    assert "Tomás Gil" in spanish
    assert "Rosa Peña" not in spanish


@pytest.mark.rule("COH2", "STA3")
async def test_pair_is_marked_on_record_with_a_reason(console: ConsoleFixture) -> None:
    unreasoned = await console.post("mia", f"{PATH}/pairs", {**PAIR, "reason": " ", "act": "lock"})
    assert unreasoned.status_code == 422
    done = await console.post("mia", f"{PATH}/pairs", {**PAIR, "act": "lock", "id": "form 1"})
    assert done.status_code == 303
    assert (await pairs(console))["p-rosa", "p-luz"] == ("proposed", "locked")
    again = await console.post("mia", f"{PATH}/pairs", {**PAIR, "act": "forbid", "id": "form 1"})
    assert again.status_code == 303
    assert (await pairs(console))["p-rosa", "p-luz"] == ("proposed", "locked"), "a form works once"
    assert await console.acts(f"cohort/{COHORT}") == [("pair locked", "mia@staff.example")]


async def test_pair_of_strangers_and_unknown_acts_are_refused(console: ConsoleFixture) -> None:
    for form, status in (
        ({**PAIR, "act": "marry"}, 404),
        ({**PAIR, "act": "lock", "mentor": "p-nobody"}, 422),
        ({**PAIR, "act": "lock", "mentor": "p-marcus"}, 409),
        ({**PAIR, "act": "lock", "mentee": "p-luz", "mentor": "p-rosa"}, 409),
    ):
        answer = await console.post("mia", f"{PATH}/pairs", form)
        assert answer.status_code == status, form
    assert await console.acts(f"cohort/{COHORT}") == []


@pytest.mark.rule("COH2", "STA1")
async def test_confirmation_is_bound_to_the_pairs_that_were_shown(console: ConsoleFixture) -> None:
    digest = digest_in((await console.get("mia", PATH)).text)
    await console.post("mia", f"{PATH}/pairs", {**PAIR, "act": "lock"})
    form = {"digest": digest, "record": "0", "reason": "They look right."}
    answer = await console.post("mia", f"{PATH}/confirmation", form)
    assert answer.status_code == 409
    assert "the pairs changed since you looked" in answer.text
    assert "mia@staff.example" in answer.text
    form["digest"] = digest_in(answer.text)
    assert (await console.post("mia", f"{PATH}/confirmation", form)).status_code == 503, "no Temporal here"
    assert (await console.post("vito", f"{PATH}/confirmation", form)).status_code == 404


@pytest.mark.rule("COH2")
async def test_files_of_a_cohort_hold_no_formula(console: ConsoleFixture) -> None:
    text = (await console.get("mia", f"{PATH}/pairs.csv")).text
    assert '"Rosa Peña"' in text
    assert '"\'=1+2"' in text
    assert (await console.get("mia", f"{PATH}/report.csv")).status_code == 200


async def test_coordinator_sees_no_cohort_of_others(console: ConsoleFixture) -> None:
    assert COHORT not in (await console.get("cora", "/staff/cohorts")).text
    for path in (PATH, f"{PATH}/pairs.csv", f"{PATH}/report.csv"):
        answer = await console.get("cora", path)
        unknown = await console.get("cora", path.replace(COHORT, "none"))
        assert (answer.status_code, answer.text.replace(COHORT, "none")) == (404, unknown.text)
    assert (await console.post("cora", f"{PATH}/pairs", {**PAIR, "act": "lock"})).status_code == 404
