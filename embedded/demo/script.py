"""The script of the demo for a terminal: months pass, people meet, staff step in, letters are signed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import typer

from embedded.demo.history_entries import HistoryEntry
from embedded.mail_pages import city, moment
from embedded.mailbox import Mail

if TYPE_CHECKING:
    from embedded.demo.model import Demo


LONGEST: Final = timedelta(days=206)
"""The story ends then at the latest, in program time."""

STEP: Final = timedelta(days=7)
"""How far the clock moves before the script prints what happened."""


@dataclass(frozen=True, slots=True)
class _StaffAct:
    """What staff do in the story, and when."""

    at: datetime
    words: str
    perform: Callable[[], Awaitable[None]]


async def tell_story(demo: Demo) -> None:
    """Print the story of the sample members from their sign-up on."""
    started = await demo.now()
    story = _Story(demo)
    _print_cast(demo, started)
    await story.print_new()
    acts, reached = _staff_acts(demo, started), started
    while True:
        due = reached + STEP
        if acts and acts[0].at <= due:
            await story.play(acts.pop(0))
        elif due > started + LONGEST:
            break
        else:
            await demo.move_to(due)
            reached = due
        await story.print_new()
        story.show_first_mail()
    await _print_end(demo)


def _staff_acts(demo: Demo, started: datetime) -> list[_StaffAct]:
    return [
        _StaffAct(
            started + timedelta(days=24, hours=5),
            "Staff pause Grace Lindqvist, who is away for a while",
            lambda: demo.staff("onboarding/p-grace", "pause", "away"),
        ),
        _StaffAct(
            started + timedelta(days=34, hours=5),
            "Staff resume Grace Lindqvist: what is left moves by the ten days",
            lambda: demo.staff("onboarding/p-grace", "resume", "back again"),
        ),
        _StaffAct(
            started + timedelta(days=45, hours=4),
            "Staff give Diego Rojas one check-in more",
            lambda: demo.staff("onboarding/p-diego", "extend", "nearly there", 1),
        ),
        _StaffAct(
            started + timedelta(days=50, hours=1),
            "Staff cancel the onboarding of Lucía Ferrer as mentee, at her wish",
            lambda: demo.staff("onboarding/p-lucia-mentee", "cancel", "her wish"),
        ),
    ]


def _print_cast(demo: Demo, started: datetime) -> None:
    _say("", demo.program.name, "", f"{moment(started, demo.zone)} in {city(demo.zone)}. These sign up:")
    for sample in demo.cast.samples:
        roles = " and ".join(sample.roles)
        lapsed = ", standing lapsed" if sample.standing != "good" else ""
        _say(f"  {sample.name:<17} {roles:<18} {city(sample.time_zone)}, {sample.language}{lapsed}")
    _say("", "Months pass. Each time is on the clock of whom it concerns.", "")


class _Story:
    """Prints what happens in a demo, each line once."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._printed: set[HistoryEntry] = set()
        self._mail_shown = False

    async def play(self, act: _StaffAct) -> None:
        """Move to an act of staff, perform it, and print what it changed."""
        await self._demo.move_to(act.at)
        await self.print_new()
        _say(_dated(act.at, self._demo.zone, "staff", "", act.words))
        await act.perform()
        for line, _mail in self._demo.notice.lines if self._demo.notice else ():
            if line.startswith(("Moved", "No longer", "Added")):
                _say(f"{'':44}{line}")

    async def print_new(self) -> None:
        """Print what happened since the last time."""
        for line in (await self._demo.overview()).happened:
            created = line.kind == "state" and line.what.endswith("the profile was created")
            if line not in self._printed and not created:
                _say(_line(line))
            self._printed.add(line)

    def show_first_mail(self) -> None:
        """Print the first mail to one member in full, once it is there."""
        if self._mail_shown:
            return
        if mail := next(
            (mail for mail in self._demo.mailbox if mail.address.startswith(self._demo.cast.shown)), None
        ):
            self._mail_shown = True
            _say("", f"    This is the mail to {mail.recipient}, its text part:", "")
            _say(*(f"    | {line}".rstrip() for line in mail.text.splitlines()), "")


async def _print_end(demo: Demo) -> None:
    where = await demo.overview()
    open_cases = {case.workflow for person in where.people for case in person.cases if case.open}
    _say(
        "",
        f"{moment(await demo.now(), demo.zone)}: {len(demo.mailbox)} mails went out, "
        f"{len(open_cases)} lifecycles are open, "
        f"{len(where.tasks)} tasks wait for staff.",
        "",
        "The signed letters, as they came with the mail:",
        *(f"  {mail.name:<17} {path}" for mail, path in kept_files(demo)),
        "",
        "Where to look next:",
        "  throughline demo                       the same with a page: move the clock, read the mail, play along",
        "  throughline rehearse SCENARIO.toml     a program of your own, months in seconds",
        "  throughline program show asis-global   every number of the program, with its rule",
        "  docs/rules.md                          what the program promises its people",
    )


def kept_files(demo: Demo) -> list[tuple[Mail, Path]]:
    """Everything that was attached to a mail, in files of a folder that outlives the demo."""
    folder = Path(mkdtemp(prefix="throughline-letters-"))
    kept = []
    for mail in demo.mailbox:
        for file in mail.files:
            if file.content_type != "application/pdf":
                continue
            path = folder / f"{mail.number}-{Path(file.name).name}"
            path.write_bytes(file.content)
            kept.append((mail, path))
    return kept


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
