"""`throughline survey results`: counts and averages, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv

import pytest

from database.models import Survey
from tests.support.cli import CliFixture

pytestmark = pytest.mark.rule("SUR1", "SUR3")


async def answered(cli: CliFixture, name: str, answers: dict[str, object]) -> None:
    async with cli.database.begin() as session:
        session.add(
            Survey(
                workflow=f"survey/{name}/mentee",
                program="asis-global",
                policy_version="1",
                state="answered",
                state_since=cli.now,
                facts={},
                engagement_id=name,
                role="mentee",
                profile_id="p-ana",
                answers=answers,
                answered_at=cli.now,
            )
        )


async def test_results_count_choices_average_ratings_and_keep_texts(cli: CliFixture) -> None:
    await answered(cli, "r-1", {"rating": 5, "goals_met": True, "elsewhere": "=1+1"})
    await answered(cli, "r-2", {"rating": 4, "goals_met": True})
    said = await cli.throughline("survey", "results", "--csv")
    assert said.status == 0, said.err
    rows = {row["question"]: row for row in csv.DictReader(said.out.splitlines())}
    assert (rows["rating"]["answers"], rows["rating"]["result"]) == ("2", "average 4.5")
    assert rows["goals_met"]["result"] == "True: 2"
    assert rows["elsewhere"]["result"] == "'=1+1: 1"


async def test_results_print_as_json_or_csv_but_not_both(cli: CliFixture) -> None:
    await answered(cli, "r-1", {"rating": 5})
    said = await cli.throughline("survey", "results", "--json")
    assert said.lines == [
        {
            "program": "asis-global",
            "role": "mentee",
            "question": "rating",
            "answers": 1,
            "result": "average 5.0",
        }
    ]
    assert (await cli.throughline("survey", "results", "--json", "--csv")).status == 2


async def test_results_without_answers_say_so(cli: CliFixture) -> None:
    assert (await cli.throughline("survey", "results")).out == "There is no answer yet.\n"
