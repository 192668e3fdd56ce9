"""Rehearsals for tests: the people and events of a module, played once, and what is to be read of them.

A module writes down what happens beside each test; its tests look at the timeline and the mail that came of it.
All times are written and read on the clock of the bundled program, New York.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from embedded.mailbox import Mail
from embedded.rehearsal import rehearse
from embedded.scenario import Scenario, ScenarioEvent
from rules.calendar import instant_in
from rules.events import check_event
from worker.assembly import load_programs

PROGRAM = "asis-global"
ZONE = "America/New_York"

BOGOTA: dict[str, Any] = {"time_zone": "America/Bogota", "country": "CO", "languages": ["es"]}
MADRID: dict[str, Any] = {"time_zone": "Europe/Madrid", "country": "ES", "languages": ["es"]}
NEW_YORK: dict[str, Any] = {"time_zone": ZONE, "country": "US", "languages": ["en"]}


def instant(text: str) -> datetime:
    """The UTC instant of a local time of the program, like `2035-03-09T16:59`."""
    local = datetime.fromisoformat(text)
    return instant_in(ZONE, local.date(), local.time())


class Play:
    """What happens from `start` until `until`. People sign up at the start by default."""

    def __init__(self, start: str, until: str) -> None:
        self.start, self.until = start, until
        self.people: dict[str, dict[str, Any]] = {}
        self.events: list[ScenarioEvent] = []

    def at(self, when: str, kind: str, **data: Any) -> None:
        """An event at a local time."""
        self.late(when, "", kind, **data)

    def late(self, when: str, happened: str, kind: str, *, history: bool = False, **data: Any) -> None:
        """An event that the engine hears of at a local time and that happened at an earlier one."""
        checked, problems = check_event(kind, data)
        assert not problems, f"{kind}: {problems}"
        time = instant(happened) if happened else None
        self.events.append(ScenarioEvent(instant(when), kind, checked, time, history))

    def member(self, name: str, when: str = "", **details: Any) -> str:
        """A member, or an update of one; the member's id."""
        known = self.people.get(name, {"member": name, "email": f"{name}@example.org", "standing": "good"})
        self.people[name] = {**known, "name": f"{name.capitalize()} Vega", **details}
        self.at(when or self.start, "member.updated", **self.people[name])
        return name

    def mentor(self, name: str, mentees_at_a_time: int | None = None, when: str = "", **details: Any) -> str:
        """A member with a mentor's profile; the profile's id."""
        return self._profile(
            name, "mentor", when, {"years_management": 9, **details}, mentees_at_a_time=mentees_at_a_time
        )

    def mentee(self, name: str, when: str = "", **details: Any) -> str:
        """A member with a mentee's profile; the profile's id."""
        return self._profile(name, "mentee", when, details)

    def ask(self, request: str, mentee: str, mentor: str, when: str, **data: Any) -> str:
        """A request; its id."""
        self.at(when, "request.created", request=request, mentee=mentee, mentor=mentor, **data)
        return request

    def staff(self, when: str, act: str, target: str, **data: Any) -> None:
        """What staff do to a workflow."""
        self.at(
            when,
            f"staff.{act}",
            **{"target": target, "actor": "lina", "reason": f"{act} for a reason"} | data,
        )

    def _profile(self, name: str, role: str, when: str, details: Mapping[str, Any], **wishes: Any) -> str:
        if name not in self.people:
            self.member(name, when, **{**NEW_YORK, **details})
        profile = f"{role}-{name}"
        given = {key: value for key, value in wishes.items() if value is not None}
        self.at(when or self.start, "profile.created", profile=profile, member=name, role=role, **given)
        return profile

    async def rehearse(self, folder: Path) -> Played:
        """Play it; mail is kept in `folder`."""
        scenario = Scenario(
            PROGRAM,
            instant(self.start),
            instant(self.until),
            [
                replace(event, data={**event.data, "program": PROGRAM})
                if event.type == "profile.created"
                else event
                for event in sorted(self.events, key=lambda event: event.at)
            ],
        )
        programs = load_programs(Path("programs"))
        rows = await rehearse(scenario, programs, Path("templates/mail"), Path("programs"), mail_dir=folder)
        return Played(rows, read_letters(folder), self.people)


def read_letters(folder: Path) -> list[Mail]:
    """The mail kept in a folder, in the order in which it was caught."""
    files = sorted(folder.glob("*.eml"))
    return [Mail(number, file.read_bytes()) for number, file in enumerate(files, start=1)]


class Played:
    """What came of a play."""

    def __init__(
        self, rows: Sequence[dict[str, Any]], letters: Sequence[Mail], people: Mapping[str, dict[str, Any]]
    ) -> None:
        self.rows, self.letters, self.people = rows, letters, people

    def mails(self, workflow: str, decision: str = "sent") -> list[tuple[str, str]]:
        """The messages of a workflow with a decision, by time and name: local time, and name with its number."""
        return sorted(
            (when(row), row["message"] + (f" {row['number']}" if row["number"] else ""))
            for row in self._of("mail", workflow=workflow, decision=decision)
        )

    def names(self, workflow: str, decision: str = "sent") -> list[str]:
        """The names of these messages, sorted."""
        return sorted(name for _, name in self.mails(workflow, decision))

    def reasons(self, workflow: str) -> set[str]:
        """Why messages of a workflow were not sent."""
        return {
            row.get("reason", "") for row in self._of("mail", workflow=workflow) if row["decision"] != "sent"
        }

    def states(self, subject: str) -> list[tuple[str, str]]:
        """The states of a workflow: local time, and state."""
        return [(when(row), row["state"]) for row in self._of("state", subject=subject)]

    def why(self, subject: str, state: str) -> str:
        """Why a workflow came to a state."""
        (row,) = self._of("state", subject=subject, state=state)
        return str(row["reason"])

    def tasks(self, subject: str) -> list[tuple[str, str]]:
        """The staff tasks about a workflow: local time, and kind."""
        return [(when(row), row["task"]) for row in self._of("task", subject=subject)]

    def refusals(self, subject: str) -> list[tuple[str, str, str]]:
        """The events refused about a workflow: local time, event and reason."""
        return [(when(row), row["event"], row["reason"]) for row in self._of("refused", subject=subject)]

    def letter(self, workflow: str, message: str, number: int | None = None) -> Mail:
        """The one letter that a message of a workflow became, found by reader, subject and day."""
        (row,) = self._of("mail", workflow=workflow, message=message, number=number, decision="sent")
        if row["to"] == "staff":
            found = [mail for mail in self.letters if mail.subject == row["subject"]]
        else:
            address = self.people[row["to"].partition("-")[2]]["email"]
            found = [
                mail
                for mail in self.letters
                if (mail.address, mail.subject) == (address, row["subject"])
                and mail.at
                and abs(mail.at - datetime.fromisoformat(row["at"])).total_seconds() < 120
            ]
        assert len(found) == 1, f"{len(found)} letters of {message} in {workflow}"
        return found[0]

    def letters_of(self, workflow: str) -> list[tuple[str, Mail]]:
        """Each message of a workflow that was sent, and its letter."""
        return [
            (row["message"], self.letter(workflow, row["message"], row["number"]))
            for row in self._of("mail", workflow=workflow, decision="sent")
        ]

    def subjects(self, kind: str) -> set[str]:
        """The subjects of what was sent by workflows of a kind, like `engagement/`."""
        return {
            row["subject"] for row in self._of("mail", decision="sent") if row["workflow"].startswith(kind)
        }

    @property
    def end(self) -> dict[str, Any]:
        """The last row."""
        return self.rows[-1]

    def _of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        return [
            row
            for row in self.rows
            if row["kind"] == kind and all(row.get(key) == value for key, value in wanted.items())
        ]


def when(row: Mapping[str, Any]) -> str:
    """A row's instant on the program's clock, to the minute; with seconds if there are any."""
    local = datetime.fromisoformat(row["at"]).astimezone(UTC).astimezone(ZoneInfo(ZONE))
    return local.strftime("%Y-%m-%dT%H:%M" + (":%S" if local.second else ""))
