"""`throughline mail health`: how mail fared lately, and how the channel stands (MAIL10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.arguments import program_named
from cli.output import Json, print_facts, print_json, print_lines, print_table
from cli.program_time import program_time
from cli.runner import run
from rules.calendar import local_in
from staff.figures import MailHealth, Period, Share, mail_health
from staff.formatting import local, local_iso
from worker.connections import database_ready, read_programs, read_settings


def show_health(
    days: Annotated[int, typer.Option(min=1, max=400, help="So many days, up to today.")] = 30,
    program: Annotated[str, typer.Option(help="The program; by default, the first.")] = "",
    as_json: Json = False,
) -> None:
    """Show how mail fared lately: decisions by day, punctuality, what came back, and the channel's state.

    Days are those of the program's zone.
    """
    chosen = program_named(read_programs(read_settings()), program)

    async def look() -> MailHealth:
        async with database_ready(read_settings()) as database:
            now = await program_time(database)
            today = local_in(chosen.hours.zone, now).date()
            period = Period(today - timedelta(days=days - 1), today)
            async with database.reading() as session:
                return await mail_health(session, chosen, period, now)

    found = run(look())
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


def _print(found: MailHealth) -> None:
    channel = found.channel
    print_facts(
        {
            "channel": "open" if channel.is_open else "stopped: " + "; ".join(_causes(found)),
            "waiting": f"{channel.waiting}, since {local(channel.oldest, found.zone)}"
            if channel.waiting
            else "0",
            "last trouble": channel.trouble,
            "in time": _percent(found.punctual),
            **{name: f"{_percent(rate.share)}, {rate.level}" for name, rate in found.rates.items()},
            "suppressed": len(found.suppressed),
        }
    )
    decisions = sorted({decision for counts in found.days.values() for decision in counts})
    print_lines("")
    print_table(
        ("day", *decisions),
        ((day, *(counts.get(each, 0) for each in decisions)) for day, counts in found.days.items()),
        none="No message was decided.",
    )
    if found.came_back:
        _print_came_back(found)


def _print_came_back(found: MailHealth) -> None:
    print_lines("")
    print_table(
        ("came back", "from", "times"),
        ((kind, domain, count) for (kind, domain), count in found.came_back.items()),
    )
    print_lines("")
    print_table(
        ("address", "member", "faults", "last", "cause", "suppressed"),
        (
            (
                each.address,
                each.member,
                ", ".join(f"{kind} {count}" for kind, count in each.faults.items()),
                local(each.last_at, found.zone),
                each.cause,
                "yes" if each.suppressed else "",
            )
            for each in found.addresses
        ),
    )


def _causes(found: MailHealth) -> list[str]:
    return [*filter(None, (found.channel.reason,)), *found.channel.tasks]


def _percent(share: Share) -> str:
    return "nothing was sent" if share.percent is None else f"{share.percent:.1f} % of {share.whole}"


def _as_json(found: MailHealth) -> dict[str, Any]:
    channel = found.channel
    return {
        "first": found.period.first,
        "last": found.period.last,
        "days": {day.isoformat(): counts for day, counts in found.days.items()},
        "punctual": _share(found.punctual),
        "rates": {name: {**_share(rate.share), "level": rate.level} for name, rate in found.rates.items()},
        "came_back": [
            {"class": kind, "domain": domain, "count": count}
            for (kind, domain), count in found.came_back.items()
        ],
        "addresses": [
            {
                "address": each.address,
                "member": each.member,
                "faults": each.faults,
                "last": local_iso(each.last_at, found.zone),
                "cause": each.cause,
                "suppressed": each.suppressed,
            }
            for each in found.addresses
        ],
        "suppressed": len(found.suppressed),
        "channel": {
            "open": channel.is_open,
            "stopped": local_iso(channel.stopped_at, found.zone),
            "causes": _causes(found),
            "waiting": channel.waiting,
            "oldest": local_iso(channel.oldest, found.zone),
            "trouble": channel.trouble,
        },
    }


def _share(share: Share) -> dict[str, Any]:
    percent = None if share.percent is None else round(share.percent, 2)
    return {"part": share.part, "whole": share.whole, "percent": percent}
