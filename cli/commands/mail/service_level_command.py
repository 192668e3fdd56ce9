"""`throughline mail service-level`: how much mail was handed over within ten seconds of its due instant (MAIL1)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

import typer

from cli.output import Json, print_json, print_lines, print_table
from cli.program_time import program_time
from cli.runner import run
from rules.calendar import local_in
from staff.figures import OBJECTIVE, Period, ServiceLevel, by_day, mail_lateness
from worker.connections import database_ready, read_programs, read_settings

Levels = dict[tuple[date, str], ServiceLevel]


def show_service_level(
    days: Annotated[int, typer.Option(min=1, max=400, help="So many days, up to today.")] = 7,
    as_json: Json = False,
) -> None:
    """Show by day and program how much mail was handed over within ten seconds of its due instant.

    A pause, the quiet day of a nudge and a resumption move the due instant. What staff ordered does not count. Days are
    those of each program's zone.
    """
    settings = read_settings()
    zones = {program.id: program.hours.zone for program in read_programs(settings).values()}

    async def look() -> Levels:
        async with database_ready(settings) as database:
            now = await program_time(database)
            since = min(
                Period(today - timedelta(days=days - 1), today).instants(zone)[0]
                for zone in zones.values()
                if (today := local_in(zone, now).date())
            )
            async with database.reading() as session:
                return by_day(await mail_lateness(session, since, now, now), zones)

    found = run(look())
    if as_json:
        print_json([_as_json(day, program, level) for (day, program), level in found.items()])
        return
    print_table(
        ("day", "program", "due", "in time", "%", "slowest", "delivery"),
        (
            (day, program, level.share.whole, level.share.part, *_words(level))
            for (day, program), level in found.items()
        ),
        none="No message was due.",
    )
    print_lines("", f"The objective is {OBJECTIVE:g} % of a day.")


def _words(level: ServiceLevel) -> tuple[str, str, str]:
    return f"{level.share.percent or 0:.2f}", _seconds(level.slowest), level.slowest_delivery


def _seconds(late: timedelta) -> str:
    seconds = late.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))


def _as_json(day: date, program: str, level: ServiceLevel) -> dict[str, object]:
    return {
        "day": day,
        "program": program,
        "due": level.share.whole,
        "in_time": level.share.part,
        "percent": round(level.share.percent or 0, 2),
        "slowest_seconds": level.slowest.total_seconds(),
        "slowest_delivery": level.slowest_delivery,
    }
