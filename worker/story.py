"""The story of a demo, told in a terminal: weeks pass, mail goes out, staff step in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import typer

from worker.cast import SAMPLES
from worker.reading import city, moment
from worker.stand import Happened

if TYPE_CHECKING:
    from worker.demo import Demo

LONGEST: Final = timedelta(days=100)
"""The story ends then at the latest, in program time."""

SHOWN: Final = "ana"
"""Whose first mail is shown in full."""


async def tell_story(demo: Demo) -> None:
    """Print the story of the sample members from their sign-up on."""
    started = await demo.now()
    requests: list[str] = []

    async def ask(mentee: str, mentor: str) -> None:
        requests.append(await demo.ask(mentee, mentor, "Me gustaría aprender de su camino."))

    acts: list[tuple[datetime, str, Callable[[], Awaitable[None]]]] = [
        (
            started + timedelta(days=16, hours=3),
            "The member database tells that Diego Rojas is in good standing again",
            lambda: demo.set_standing("diego", "good"),
        ),
        (
            started + timedelta(days=22, hours=1),
            "Ana Pérez asks Marcus Oyelaran to be her mentor",
            lambda: ask("p-ana", "p-marcus"),
        ),
        (
            started + timedelta(days=23, hours=6),
            "Marcus Oyelaran accepts",
            lambda: demo.answer(requests[-1], "accepted"),
        ),
        (
            started + timedelta(days=24, hours=5),
            "Staff pause Grace Lindqvist, who is away for a while",
            lambda: demo.staff("onboarding/p-grace", "pause", "away"),
        ),
        (
            started + timedelta(days=34, hours=5),
            "Staff resume Grace Lindqvist: what is left moves by the ten days",
            lambda: demo.staff("onboarding/p-grace", "resume", "back again"),
        ),
        (
            started + timedelta(days=45, hours=4),
            "Staff give Diego Rojas one check-in more",
            lambda: demo.staff("onboarding/p-diego", "extend", "nearly there", 1),
        ),
        (
            started + timedelta(days=50, hours=1),
            "Staff cancel the onboarding of Lucía Ferrer as mentee, at her wish",
            lambda: demo.staff("onboarding/p-lucia-mentee", "cancel", "her wish"),
        ),
    ]
    _say("", demo.program.name, "", f"{moment(started, demo.zone)} in {city(demo.zone)}. These sign up:")
    for sample in SAMPLES:
        roles = " and ".join(sample.roles)
        lapsed = ", standing lapsed" if sample.standing != "good" else ""
        _say(f"  {sample.name:<17} {roles:<18} {city(sample.time_zone)}, {sample.language}{lapsed}")
    _say("", "Weeks pass. Each time is on the clock of whom it concerns.", "")
    told, shown = await _told(demo, 0), False
    while True:
        due = await demo.next_due()
        if acts and (due is None or acts[0][0] <= due):
            at, words, act = acts.pop(0)
            await demo.move_to(at)
            told = await _told(demo, told)
            _say(_dated(at, demo.zone, "staff" if words.startswith("Staff") else "event", "", words))
            await act()
            for line, _mail in demo.notice.lines if demo.notice else ():
                if line.startswith(("Moved", "No longer", "Added")):
                    _say(f"{'':44}{line}")
        elif due is None or due > started + LONGEST:
            break
        else:
            await demo.move_to(due)
        told = await _told(demo, told)
        if not shown and (mail := next((m for m in demo.mailbox if m.address.startswith(SHOWN)), None)):
            shown = True
            _say("", f"    This is the mail to {mail.recipient}, its text part:", "")
            _say(*(f"    | {line}".rstrip() for line in mail.text.splitlines()), "")
    where = await demo.stand()
    open_cases = {case.workflow for person in where.people for case in person.cases if case.open}
    _say(
        "",
        f"{moment(await demo.now(), demo.zone)}: {len(demo.mailbox)} mails went out, "
        f"{len(open_cases)} lifecycles are open, "
        f"{len(where.tasks)} tasks wait for staff.",
        "",
        "Where to look next:",
        "  throughline demo                       the same with a page: move the clock, read the mail, sign up",
        "  throughline rehearse SCENARIO.toml     a program of your own, months in seconds",
        "  throughline program show asis-global   every number of the program, with its rule",
        "  docs/rules.md                          what the program promises its people",
    )


async def _told(demo: Demo, told: int) -> int:
    """Print what happened since; how much has been printed now."""
    happened = (await demo.stand()).happened
    for line in happened[told:]:
        if not (line.kind == "state" and line.what.endswith("the profile was created")):
            _say(_line(line))
    return len(happened)


def _line(line: Happened) -> str:
    return _dated(line.at, line.zone, line.kind, line.who, line.what)


def _dated(at: datetime, zone: str, kind: str, who: str, what: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    when = f"{local:%a} {local.day:>2} {local:%b %H:%M} {city(zone)}"
    name = f"{who}: " if who else ""
    return f"{when:<28} {kind:<8} {name}{what}"


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line)
