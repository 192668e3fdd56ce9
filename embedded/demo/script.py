"""The script of the demo for a terminal: months pass, people meet, staff step in, letters are signed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import typer

from embedded.demo.cast import SAMPLES
from embedded.demo.history_entries import HistoryEntry
from embedded.mail_pages import city, moment
from embedded.mailbox import Mail

if TYPE_CHECKING:
    from embedded.demo.model import Demo


LONGEST: Final = timedelta(days=206)
"""The story ends then at the latest, in program time."""

STEP: Final = timedelta(days=7)
"""How far the clock moves before the script prints what happened."""

SHOWN: Final = "ana"
"""Whose first mail is shown in full."""


# long: the story in its order, scene by scene
async def tell_story(demo: Demo) -> None:
    """Print the story of the sample members from their sign-up on."""
    started = await demo.now()
    acts: list[tuple[datetime, str, Callable[[], Awaitable[None]]]] = [
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
    _say("", "Months pass. Each time is on the clock of whom it concerns.", "")
    printed: set[HistoryEntry] = set()
    await _print_new(demo, printed)
    reached, shown = started, False
    while True:
        due = reached + STEP
        if acts and acts[0][0] <= due:
            at, words, act = acts.pop(0)
            await demo.move_to(at)
            await _print_new(demo, printed)
            _say(_dated(at, demo.zone, "staff", "", words))
            await act()
            for line, _mail in demo.notice.lines if demo.notice else ():
                if line.startswith(("Moved", "No longer", "Added")):
                    _say(f"{'':44}{line}")
        elif due > started + LONGEST:
            break
        else:
            await demo.move_to(due)
            reached = due
        await _print_new(demo, printed)
        if not shown and (mail := next((m for m in demo.mailbox if m.address.startswith(SHOWN)), None)):
            shown = True
            _say("", f"    This is the mail to {mail.recipient}, its text part:", "")
            _say(*(f"    | {line}".rstrip() for line in mail.text.splitlines()), "")
    where = await demo.overview()
    open_cases = {case.workflow for person in where.people for case in person.cases if case.open}
    _say(
        "",
        f"{moment(await demo.now(), demo.zone)}: {len(demo.mailbox)} mails went out, "
        f"{len(open_cases)} lifecycles are open, "
        f"{len(where.tasks)} tasks wait for staff.",
        "",
        "The signed letters, as they came with the mail:",
        *(f"  {mail.name:<17} {path}" for mail, path in _kept(demo)),
        "",
        "Where to look next:",
        "  throughline demo                       the same with a page: move the clock, read the mail, play along",
        "  throughline rehearse SCENARIO.toml     a program of your own, months in seconds",
        "  throughline program show asis-global   every number of the program, with its rule",
        "  docs/rules.md                          what the program promises its people",
    )


def _kept(demo: Demo) -> list[tuple[Mail, Path]]:
    """Everything that was attached to a mail, in files of a folder that outlives the demo."""
    folder = Path(mkdtemp(prefix="throughline-letters-"))
    kept = []
    for mail in demo.mailbox:
        for file in mail.files:
            path = folder / f"{mail.number}-{Path(file.name).name}"
            path.write_bytes(file.content)
            kept.append((mail, path))
    return kept


async def _print_new(demo: Demo, printed: set[HistoryEntry]) -> None:
    """Print what happened since, and add it to what was printed."""
    for line in (await demo.overview()).happened:
        if line not in printed and not (
            line.kind == "state" and line.what.endswith("the profile was created")
        ):
            _say(_line(line))
        printed.add(line)


def _line(line: HistoryEntry) -> str:
    return _dated(line.at, line.zone, line.kind, line.who, line.what)


def _dated(at: datetime, zone: str, kind: str, who: str, what: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    when = f"{local:%a} {local.day:>2} {local:%b %H:%M} {city(zone)}"
    name = f"{who}: " if who else ""
    return f"{when:<28} {kind:<8} {name}{what}"


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line)
