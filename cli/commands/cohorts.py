"""`throughline cohort`: the cohorts of a program, their pairs, and what staff decide about them (COH1–COH3)."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.commands.figures.survey import for_spreadsheet
from cli.groups import command_group
from cli.output import (
    Actor,
    Json,
    print_facts,
    print_json,
    print_json_lines,
    print_lines,
    print_table,
    working,
)
from cli.program_time import program_time
from cli.runner import run
from database.session import Database
from lifecycles.cohorts.pair_marks import StaffDecision
from staff.acts import ActRefused
from staff.cohorts import (
    CohortPairView,
    CohortRefused,
    CohortReport,
    CohortSummary,
    CohortView,
    Proposed,
    UnpairedView,
    cohort_list,
    cohort_view,
    confirm_cohort,
    decide_pair,
    dry_run,
    find_cohort,
    pair_again,
    report_of,
)
from staff.formatting import local, local_iso
from staff.views import NotFound
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("Show cohorts, pair their members, and decide on the pairs.")

PATIENCE = 1800
"""Seconds in which a proposal is computed: thousands of people take a minute."""

Cohort = Annotated[str, typer.Argument(help="The cohort's id, like asis-laac-2028.")]
Mentee = Annotated[str, typer.Argument(help="The mentee's profile.")]
Mentor = Annotated[str, typer.Argument(help="The mentor's profile.")]
Reason = Annotated[str, typer.Option(help="The reason, for the audit record.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")]

_PAIR = ("mentee", "mentee_name", "mentor", "mentor_name", "state", "mark", "fit", "why", "engagement")
_REPORT = ("started", "ended", "end_reason", "surveys", "certificates", "claims")


@app.command("list")
def list_cohorts(as_json: Json = False) -> None:
    """List the cohorts, the latest window first."""

    async def read() -> tuple[CohortSummary, ...]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await cohort_list(session, read_programs(read_settings()))

    found = run(read())
    if as_json:
        print_json_lines(map(_summary, found))
        return
    print_table(
        ("cohort", "state", "window", "kick-off", "mentors", "mentees", "proposed", "confirmed"),
        (
            (
                *(each.cohort, each.state, f"{each.opens} – {each.closes}", each.kick_off),
                *(each.mentors, each.mentees, each.proposed, each.confirmed),
            )
            for each in found
        ),
        none="There is no cohort.",
    )


@app.command()
def show(cohort: Cohort, as_csv: Csv = False, as_json: Json = False) -> None:
    """Show a cohort: its days, its pairs with what speaks for them, and who has none and why."""
    view = run(_read_view(cohort))
    if _is_printed(view.pairs, view.unpaired, as_csv=as_csv, as_json=as_json, head=_summary(view.summary)):
        return
    each = view.summary
    print_facts(
        {
            "cohort": each.cohort,
            "program": each.program,
            "state": f"{each.state} since {local(each.since, each.zone)}",
            "window": f"{each.opens} – {each.closes}",
            "kick-off": f"{each.kick_off}, {each.months} months",
            "partners": ", ".join(each.partners),
            "members": f"{each.mentors} mentors, {each.mentees} mentees",
            "proposal": view.proposal or "",
        }
    )
    if view.figures:
        print_lines(_figures(view.figures))
    _print_pairs(view.pairs, view.unpaired)


# long: each parameter is an option of the command
@app.command()
def pair(
    cohort: Cohort,
    reason: Reason = "",
    actor: Actor = "",
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Show the pairs. Nothing is kept or changed.")
    ] = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Pair the members of a cohort again; after the confirmation, those who have a place and no pair.

    Locked pairs stay, forbidden ones are not made, and as few others change as the best result allows.
    """
    if is_dry:
        proposed = run(_dry(cohort))
        head = {"dry_run": True, **asdict(proposed.figures)}
        pairs, unpaired, figures = proposed.pairs, proposed.unpaired, asdict(proposed.figures)
    else:
        view = run(_paired(cohort, actor, reason))
        head = {"dry_run": False, **view.figures}
        pairs = tuple(each for each in view.pairs if each.state == "proposed")
        unpaired, figures = view.unpaired, dict(view.figures)
    if _is_printed(pairs, unpaired, as_csv=as_csv, as_json=as_json, head=head):
        return
    print_lines(_figures(figures))
    _print_pairs(pairs, unpaired)


@app.command()
def lock(
    cohort: Cohort,
    mentee: Mentee,
    mentor: Mentor,
    reason: Reason = "",
    actor: Actor = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
) -> None:
    """Keep two people together: each further proposal has this pair."""
    _decide("free" if undo else "lock", cohort, StaffDecision(mentee, mentor, actor, reason, _new_id()))


@app.command()
def forbid(
    cohort: Cohort,
    mentee: Mentee,
    mentor: Mentor,
    reason: Reason = "",
    actor: Actor = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
) -> None:
    """Keep two people apart: no further proposal has this pair."""
    _decide("free" if undo else "forbid", cohort, StaffDecision(mentee, mentor, actor, reason, _new_id()))


@app.command()
def exchange(cohort: Cohort, mentee: Mentee, mentor: Mentor, reason: Reason = "", actor: Actor = "") -> None:
    """Put a mentee with another mentor in the proposal, and lock the two.

    If that mentor is full, the mentee of them who fits least gets the first one's mentor in exchange.
    """
    _decide("exchange", cohort, StaffDecision(mentee, mentor, actor, reason, _new_id()))


@app.command()
def confirm(cohort: Cohort, reason: Reason = "", actor: Actor = "") -> None:
    """Confirm the proposed pairs: everybody is mailed, and the pairs start at the kick-off."""

    async def order() -> CohortView:
        async with database_ready(read_settings()) as database:
            with working(f"Waiting for {cohort}"):
                await _guarded(confirm_cohort(await connect(), database, cohort, actor, reason))
            async with database.reading() as session:
                return await cohort_view(session, cohort, read_programs(read_settings()))

    each = run(order()).summary
    print_lines(f"cohort/{each.cohort} is {each.state}: {each.confirmed} pairs confirmed.")


@app.command()
def report(cohort: Cohort, as_csv: Csv = False, as_json: Json = False) -> None:
    """Print the closing report: what became of each pair, and the figures of the cohort."""

    async def read() -> CohortReport:
        async with database_ready(read_settings()) as database, database.reading() as session:
            made: CohortReport = await _guarded(report_of(session, cohort, read_programs(read_settings())))
            return made

    found = run(read())
    if as_csv and as_json:
        raise typer.BadParameter("--csv cannot be combined with --json")
    if as_csv:
        _print_csv((*_PAIR, *_REPORT), _report_rows(found))
    elif as_json:
        print_json({"cohort": found.view.summary.cohort, **found.figures})
        names = (*_PAIR, *_REPORT)
        print_json_lines(dict(zip(names, row, strict=True)) for row in _report_rows(found))
    else:
        print_facts({name.replace("_", " "): str(count) for name, count in found.figures.items()})
        print_table(
            ("mentee", "mentor", "fit", "state", "reason", "surveys", "certificates", "claims"),
            (
                (
                    *(each.pair.mentee, each.pair.mentor, each.pair.fit, each.state, each.end_reason),
                    *(each.surveys, each.certificates, each.claims),
                )
                for each in found.pairs
            ),
        )


def _report_rows(found: CohortReport) -> list[tuple[object, ...]]:
    zone = found.view.summary.zone
    rows: list[tuple[object, ...]] = [
        (
            *(getattr(each.pair, name) if name != "state" else each.state for name in _PAIR),
            *(local_iso(each.started, zone), local_iso(each.ended, zone), each.end_reason),
            *(each.surveys, each.certificates, each.claims),
        )
        for each in found.pairs
    ]
    return rows + [(*_unpaired_row(each), *[None] * len(_REPORT)) for each in found.view.unpaired]


async def _guarded(work: Any) -> Any:
    """Return the result of some work; what staff cannot have is a failure with one line."""
    try:
        return await work
    except (NotFound, CohortRefused, ActRefused) as refused:
        raise Failure(str(refused)) from None


async def _read_view(cohort: str) -> CohortView:
    async with database_ready(read_settings()) as database, database.reading() as session:
        view: CohortView = await _guarded(cohort_view(session, cohort, read_programs(read_settings())))
        return view


async def _dry(cohort: str) -> Proposed:
    settings = read_settings()
    async with database_ready(settings) as database:
        with working(f"Pairing {cohort}"):
            at = await program_time(database)
            found: Proposed = await _guarded(dry_run(database, read_programs(settings), cohort, at))
            return found


async def _paired(cohort: str, actor: str, reason: str) -> CohortView:
    settings = read_settings()
    async with database_ready(settings) as database:
        with working(f"Pairing {cohort}"):
            number = await _guarded(pair_again(await connect(), database, cohort, actor, reason))
            await _wait_for(database, cohort, number)
        async with database.reading() as session:
            return await cohort_view(session, cohort, read_programs(settings))


async def _wait_for(database: Database, cohort: str, number: int) -> None:
    """Wait until a proposal is there. Raises Failure after half an hour."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                async with database.reading() as session:
                    if (await find_cohort(session, cohort)).proposal >= number:
                        return
                await asyncio.sleep(0.5)
    except TimeoutError:
        words = f"the proposal is not there after {PATIENCE // 60} minutes; throughline task list may say why"
        raise Failure(words) from None


def _decide(act: str, cohort: str, decision: StaffDecision) -> None:
    async def order() -> list[tuple[str, str]]:
        settings = read_settings()
        async with database_ready(settings) as database:
            at = await program_time(database)
            made: list[tuple[str, str]] = await _guarded(
                decide_pair(database, read_programs(settings), cohort, act, decision, at)
            )
            return made

    made = run(order())
    words = {"lock": "locked", "forbid": "forbidden", "free": "neither locked nor forbidden any more"}
    if act in words:
        print_lines(
            f"{decision.mentee} and {decision.mentor} are {words[act]}. Run the pairing again to apply it."
        )
    for mentee, mentor in made:
        print_lines(f"{mentee} is proposed with {mentor}.")


def _new_id() -> str:
    return f"command {uuid4()}"


def _summary(each: CohortSummary) -> dict[str, Any]:
    return {**asdict(each), "partners": list(each.partners), "since": local_iso(each.since, each.zone)}


def _figures(figures: Any) -> str:
    pairs, changed = figures.get("pairs", 0), figures.get("changed", 0)
    mean, lowest = figures.get("mean_fit"), figures.get("lowest_fit")
    fit = f" Fit: {mean} on average, {lowest} at least." if pairs else ""
    rather = figures.get("rather_each_other", 0)
    broken = figures.get("broken_locks", 0)
    return (
        f"{pairs} pairs, {changed} changed since the last proposal; {figures.get('unpaired_mentees', 0)} mentees and "
        f"{figures.get('unpaired_mentors', 0)} mentors without a pair.{fit} {rather} other pairs would both rather "
        f"have each other.{f' {broken} locks cannot hold.' if broken else ''}"
    )


def _unpaired_row(each: UnpairedView) -> tuple[object, ...]:
    """Return somebody without a pair as a row of pairs."""
    own, none = (each.profile, each.name), ("", "")
    sides = (*none, *own) if each.role == "mentor" else (*own, *none)
    return (*sides, "unpaired", "", None, each.why, "")


def _is_printed(
    pairs: Sequence[CohortPairView],
    unpaired: Sequence[UnpairedView],
    *,
    as_csv: bool,
    as_json: bool,
    head: dict[str, Any],
) -> bool:
    """Print pairs and those without one as CSV or JSON Lines, if that is wanted; return whether it is."""
    if as_csv and as_json:
        raise typer.BadParameter("--csv cannot be combined with --json")
    rows = [tuple(asdict(each)[name] for name in _PAIR) for each in pairs]
    rows += [_unpaired_row(each) for each in unpaired]
    if as_csv:
        _print_csv(_PAIR, rows)
    if as_json:
        print_json(head)
        print_json_lines(dict(zip(_PAIR, row, strict=True)) for row in rows)
    return as_csv or as_json


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(["" if cell is None else for_spreadsheet(str(cell)) for cell in row] for row in rows)


def _print_pairs(pairs: Sequence[CohortPairView], unpaired: Sequence[UnpairedView]) -> None:
    print_table(
        ("mentee", "", "mentor", "", "fit", "state", "why"),
        (
            (
                *(each.mentee, each.mentee_name, each.mentor, each.mentor_name, each.fit),
                *(" ".join(filter(None, (each.state, each.mark))), each.why),
            )
            for each in pairs
        ),
        none="There are no pairs.",
    )
    if unpaired:
        print_table(
            ("without a pair", "", "role", "why"),
            ((each.profile, each.name, each.role, each.why) for each in unpaired),
        )
