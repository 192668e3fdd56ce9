"""`throughline survey results`: counts and averages, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io

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
    await answered(cli, "r-1", {"rating": 5, "goals_met": "partly", "mentor_helped": False, "elsewhere": "x"})
    await answered(cli, "r-2", {"rating": 4, "goals_met": "yes", "mentor_helped": True})
    await answered(cli, "r-3", {"rating": 3, "goals_met": "yes", "comment": "Thanks."})
    said = await cli.throughline("survey", "results", "--csv")
    assert said.status == 0, said.err
    rows = {row["question"]: row for row in csv.DictReader(said.out.splitlines())}
    assert (rows["rating"]["answers"], rows["rating"]["result"]) == ("3", "average 4.0")
    assert rows["goals_met"]["words"] == "Did you reach the goals you set out with?"
    assert rows["goals_met"]["result"] == "Yes, all of them: 2, Some of them: 1"
    assert rows["mentor_helped"]["result"] == "no: 1, yes: 1"
    assert (rows["elsewhere"]["words"], rows["elsewhere"]["result"]) == ("elsewhere", "x: 1")
    table = " ".join((await cli.throughline("survey", "results")).out.split())
    assert "Did you reach the goals you set out with?" in table
    assert "False" not in table


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", "\u00a0=1"]
)
async def test_no_cell_of_the_csv_is_run_by_a_spreadsheet(cli: CliFixture, text: str) -> None:
    await answered(cli, "r-1", {"comment": f"{text} and more", text: "no"})
    said = await cli.throughline("survey", "results", "--csv")
    assert said.status == 0, said.err
    cells = [cell for row in csv.reader(io.StringIO(said.out, newline="")) for cell in row]
    assert f"'{text} and more" in cells
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@", "\uff1d")]


async def test_results_print_as_json_or_csv_but_not_both(cli: CliFixture) -> None:
    await answered(cli, "r-1", {"rating": 5})
    said = await cli.throughline("survey", "results", "--json")
    assert said.lines == [
        {
            "program": "asis-global",
            "role": "mentee",
            "question": "rating",
            "words": "Overall, how was your mentoring?",
            "answers": 1,
            "result": "average 5.0",
        }
    ]
    assert (await cli.throughline("survey", "results", "--json", "--csv")).status == 2


async def test_results_without_answers_say_so(cli: CliFixture) -> None:
    assert (await cli.throughline("survey", "results")).out == "There is no answer yet.\n"
