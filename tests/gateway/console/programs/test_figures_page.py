"""The page of a program's figures, and its file (STA4)."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from database.models import Engagement
from gateway.console.programs.figures_page import plots
from staff.figures import FigureLine
from tests.support.console.cohorts import COHORT, cohort_rows
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import at_the_gate

FIGURES = "/staff/figures"


async def test_viewers_and_managers_see_figures_and_coordinators_do_not(console: ConsoleFixture) -> None:
    for path in (FIGURES, f"{FIGURES}.csv"):
        found = {who: (await console.get(who, path)).status_code for who in ("mia", "vito", "cora")}
        assert found == {"mia": 200, "vito": 200, "cora": 404}
    assert FIGURES in (await console.get("vito", "/staff")).text
    assert FIGURES not in (await console.get("cora", "/staff")).text


async def test_table_plots_and_file_say_the_same(console: ConsoleFixture) -> None:
    query = "?since=2027-11-01&until=2028-03-31&view=months"
    page = (await console.get("mia", FIGURES + query)).text
    file = (await console.get("mia", f"{FIGURES}.csv{query}")).text.removeprefix("\ufeff")
    head, *rows = csv.reader(io.StringIO(file))
    assert len(head) == 2 + 5
    figures = {row[0]: row[2:] for row in rows}
    assert sum(map(float, figures["matches"])) == 1
    assert "Engagements active at the end" in page
    matches = ", ".join(f"{month} {value}" for month, value in zip(months(), figures["matches"], strict=True))
    assert f'aria-label="Matches: {matches}"' in page
    for month in months():
        assert f'<th scope="col">{month}</th>' in page


def months() -> list[str]:
    """The months of the query above."""
    return ["2027-11", "2027-12", "2028-01", "2028-02", "2028-03"]


@pytest.mark.parametrize(
    "query",
    [
        "since=2028-03-02&until=2028-03-01",
        "since=2028-03-02",
        "since=yesterday&until=<b>",
        "since=0001-01-01&until=2028-03-01",
        "since=2028-03-01&until=9999-12-31",
        "since=2000-01-01&until=2028-03-01",
    ],
)
async def test_days_that_are_no_period_are_named_and_replaced(console: ConsoleFixture, query: str) -> None:
    page = await console.get("mia", f"{FIGURES}?{query}")
    assert page.status_code == 422
    assert "These days are no period" in page.text
    assert "<b>" not in page.text


async def test_period_stands_beside_the_one_before_it(console: ConsoleFixture) -> None:
    page = (await console.get("mia", f"{FIGURES}?since=2028-03-01&until=2028-03-31&view=before")).text
    assert '<th scope="col">2028-01-30 – 2028-02-29</th><th scope="col">2028-03-01 – 2028-03-31</th>' in page


def test_highest_bar_fills_the_plot_and_nothing_has_none() -> None:
    line = FigureLine("matches", "matches", (4, None, 1))
    silent = FigureLine("requests", "requests", (0, 0, 0))
    (plot,) = plots([line, silent], [date(2028, month, 1).isoformat() for month in (1, 2, 3)])
    assert [(bar.y, bar.height) for bar in plot.bars] == [(0, 96), (96, 0), (72, 24)]
    assert plots([line], ["2028"]) == []


@pytest.mark.rule("COH3", "COH4")
@pytest.mark.parametrize(
    ("chosen", "mentees", "matches"),
    [
        ("", "3", "1"),
        (f"&cohort={COHORT}", "2", "1"),
        ("&partner=acme", "1", "1"),
        (f"&cohort={COHORT}&partner=acme", "0", "1"),
        ("&partner=<b>", "3", "1"),
    ],
)
async def test_figures_are_of_a_cohort_or_a_partner(
    migrated_url: str, chosen: str, mentees: str, matches: str
) -> None:
    """A pair is of a cohort by its engagement, and of a partner by either of the two."""
    rows = [*at_the_gate(), *cohort_rows()]
    for row in rows:
        if isinstance(row, Engagement):
            row.cohort = COHORT
        if getattr(row, "id", "") == "p-ana":
            row.partner = "acme"
    async with console_fixture(migrated_url, rows) as console:
        query = f"?since=2027-11-01&until=2028-03-31&view=whole{chosen}"
        page = (await console.get("mia", FIGURES + query)).text
        assert f"<option{' selected' if COHORT in chosen else ''}>{COHORT}</option>" in page
        file = (await console.get("mia", f"{FIGURES}.csv{query}")).text
    figures = {row[0]: row[2] for row in csv.reader(io.StringIO(file.removeprefix("\ufeff")))}
    assert (figures["sign_ups.mentee"], figures["matches"]) == (mentees, matches)
