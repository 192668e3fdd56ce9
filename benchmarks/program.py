"""How long it takes to rehearse a program of nine months with 100 people: 50 pairs, certified, who answer."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.mail import ROOT, Figure, show
from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from worker.assembly import load_programs

PAIRS = 50
SECONDS = 60
"""The most that it may take."""

START = datetime(2035, 3, 5, 10)  # noqa: DTZ001 - scenarios are local to the zone of their program
HOMES = (("America/New_York", "US"), ("America/Bogota", "CO"), ("Europe/Madrid", "ES"))


def scenario(pairs: int) -> str:
    """Return the scenario file: a pair asks and answers each day; everybody answers what they are asked."""
    parts = [f'program = "asis-global"\nstart = {START.isoformat()}\nuntil = "P9M"']
    for number in range(pairs):
        zone, country = HOMES[number % len(HOMES)]
        asked = START + timedelta(days=1 + number % 25)
        for role, code in (("mentor", "CPP"), ("mentee", "PSP")):
            cycle = {"code": code, "cycle_start": date(2034, 1, 1), "cycle_end": date(2036, 12, 31)}
            member = {
                "member": f"{role}-{number}",
                "name": f"{role.capitalize()} {number}",
                "email": f"{role}-{number}@example.org",
                "standing": "good",
                "time_zone": zone,
                "country": country,
                "years_management": 9,
                "certifications": [cycle],
            }
            parts.append(f"[[members]]\n{_toml(member)}")
            profile = {"profile": f"p-{role}-{number}", "member": f"{role}-{number}", "role": role}
            parts.append(_event(START, "profile.created", profile))
        people = [f"p-{role}-{number}" for role in ("mentor", "mentee")]
        request = {"request": f"r-{number}"}
        parts.append(_event(asked, "request.created", {**request, "mentee": people[1], "mentor": people[0]}))
        parts.append(_event(asked + timedelta(days=1), "request.accepted", request))
        for who in people:
            by = {"engagement": f"r-{number}", "by": who}
            fits = {**by, "answer": "good_fit"}
            parts.append(_event(asked + timedelta(days=17), "engagement.discovery", fits))
            for month in range(4):
                at = asked + timedelta(days=66 + 31 * month)
                parts.append(_event(at, "engagement.met", {**by, "answer": "yes"}))
    return "\n\n".join(parts)


def _event(at: datetime, kind: str, data: dict[str, Any]) -> str:
    return f'[[events]]\nat = {at.isoformat()}\ntype = "{kind}"\ndata = {{ {", ".join(_pairs(data))} }}'


def _toml(table: dict[str, Any]) -> str:
    return "\n".join(_pairs(table))


def _pairs(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(f"{{ {', '.join(_pairs(item))} }}" for item in value) + "]"
    return value.isoformat() if isinstance(value, date) else repr(value).replace("'", '"')


async def measure() -> list[Figure]:
    """Play it, and count what went out."""
    programs = load_programs(ROOT / "programs")
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        file = Path(folder) / "program.toml"
        file.write_text(scenario(PAIRS))
        began = time.perf_counter()
        rows = await rehearse(
            read_scenario(file, programs), programs, ROOT / "templates" / "mail", ROOT / "programs"
        )
        took = time.perf_counter() - began
    return [
        Figure("mails", f"{rows[-1]['mails']:,}"),
        Figure("seconds", f"{took:,.0f}", f"< {SECONDS}", took < SECONDS),
    ]


def main() -> None:
    """Measure and print."""
    show(asyncio.run(measure()), "A program of nine months with 100 people, rehearsed")


if __name__ == "__main__":
    main()
