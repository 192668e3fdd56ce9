"""Onboardings played through the real parts: when each mail came out at the other side, and that it did so once."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from worker.parts import load_programs
from worker.rehearsal import rehearse
from worker.scenario import read_scenario

SCENARIOS = Path("tests/scenarios")
PROGRAMS = Path("programs")


@dataclass
class Rehearsed:
    """What a scenario came to: the rows of its timeline, and the letters that the mail server took."""

    rows: Sequence[dict[str, Any]]
    letters: Sequence[EmailMessage]

    def mails(self, profile: str, decision: str = "sent") -> list[tuple[str, str]]:
        """The mails of an onboarding with a decision: the local time in New York, and the message."""
        return [
            (row["at"][:16], row["message"] + (f" {row['number']}" if row["number"] else ""))
            for row in self.of("mail", workflow=f"onboarding/{profile}", decision=decision)
        ]

    def check_ins(self, profile: str) -> list[str]:
        """The local times in New York at which check-ins were sent, whose numbers run from 1."""
        mails = [mail for mail in self.mails(profile) if mail[1].startswith("mentee.checkin")]
        assert [name for _, name in mails] == [f"mentee.checkin {n}" for n in range(1, len(mails) + 1)]
        return [at for at, _ in mails]

    def states(self, profile: str) -> list[tuple[str, str]]:
        """The states of an onboarding and the local times in New York at which they began."""
        return [(row["at"][:16], row["state"]) for row in self.of("state", subject=f"onboarding/{profile}")]

    def course(self, profile: str) -> list[str]:
        """The states of an onboarding."""
        return [state for _, state in self.states(profile)]

    def reasons(self, profile: str, decision: str) -> set[str]:
        """The reasons of a decision."""
        found = self.of("mail", workflow=f"onboarding/{profile}", decision=decision)
        return {row["reason"] for row in found}

    def tasks(self, subject: str) -> list[tuple[str, str]]:
        """The staff tasks of a subject and when they opened."""
        return [(row["at"][:16], row["task"]) for row in self.of("task", subject=subject)]

    def refused(self, subject: str) -> list[tuple[str, str, str]]:
        """The refused events about a subject: when, what, why."""
        return [(row["at"][:16], row["event"], row["reason"]) for row in self.of("refused", subject=subject)]

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of a kind with these values."""
        return [
            row
            for row in self.rows
            if row["kind"] == kind and all(row.get(key) == value for key, value in wanted.items())
        ]

    def copies(self, address: str) -> Counter[str]:
        """How often each Message-ID reached an address."""
        return Counter(str(letter["Message-ID"]) for letter in self.letters if address in str(letter["To"]))


async def rehearsed(name: str, folder: Path) -> Rehearsed:
    programs = load_programs(PROGRAMS)
    scenario = read_scenario(SCENARIOS / f"{name}.toml", programs)
    rows = await rehearse(scenario, programs, Path("templates/mail"), PROGRAMS, mail_dir=folder)
    letters = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted(folder.glob("*.eml"))
    ]
    return Rehearsed(rows, letters)


# --- 25 mentees of six countries


@pytest.fixture(scope="module")
async def six_countries(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return await rehearsed("six_countries", tmp_path_factory.mktemp("mail"))


@pytest.mark.rule("ONB2", "ONB4", "T1", "T3", "T4", "T5")
@pytest.mark.parametrize(
    ("city", "zone", "days", "closes"),
    [
        ("nyc", "America/New_York", ["03-14", "03-28", "04-11", "04-25"], "05-09"),
        ("bog", "America/Bogota", ["03-20", "04-02", "04-16", "04-30"], "05-14"),
        ("mad", "Europe/Madrid", ["03-26", "04-06", "04-20", "05-04"], "05-18"),
        ("lon", "Europe/London", ["03-27", "04-06", "04-20", "05-04"], "05-18"),
        ("tok", "Asia/Tokyo", ["03-22", "04-05", "04-19", "05-07"], "05-21"),
        ("akl", "Pacific/Auckland", ["03-14", "03-28", "04-11", "04-26"], "05-10"),
        ("any", "America/New_York", ["03-14", "03-28", "04-11", "04-25"], "05-09"),
    ],
)
def test_every_check_in_comes_at_nine_local_time_to_the_minute(
    six_countries: Rehearsed, city: str, zone: str, days: list[str], closes: str
) -> None:
    def local(row: dict[str, Any]) -> str:
        return datetime.fromisoformat(row["at"]).astimezone(ZoneInfo(zone)).strftime("%m-%dT%H:%M:%S")

    for number in range(1, 5 if city != "any" else 2):
        workflow = f"onboarding/p-{city}{number}"
        mails = six_countries.of("mail", workflow=workflow)
        assert [(local(row), row["decision"], row["number"]) for row in mails] == [
            (f"{day}T09:00:00", "sent", n) for n, day in enumerate(days, start=1)
        ]
        states = six_countries.of("state", subject=workflow)
        assert [row["state"] for row in states] == ["waiting", "active", "unmatched"]
        assert [local(row) for row in states[1:]] == [f"{days[0]}T09:00:00", f"{closes}T09:00:00"]
        tasks = six_countries.of("task", subject=workflow)
        assert [(local(row), row["task"]) for row in tasks] == [(f"{closes}T09:00:00", "mentee_unmatched")]


@pytest.mark.rule("ONB7", "MAIL1", "MAIL2")
def test_each_of_a_hundred_messages_arrives_once_from_the_manager_with_replies_to_the_mailbox(
    six_countries: Rehearsed,
) -> None:
    program = load_programs(PROGRAMS)["asis-global"]
    letters = six_countries.letters
    assert len(letters) == len({letter["Message-ID"] for letter in letters}) == 100
    assert set(Counter(str(letter["To"]) for letter in letters).values()) == {4}
    for letter in letters:
        assert program.manager.name in letter["From"]
        assert program.mailbox in letter["Reply-To"]


@pytest.mark.rule("T6")
def test_letters_are_dated_by_the_programs_clock(six_countries: Rehearsed) -> None:
    instants = Counter(datetime.fromisoformat(row["at"]) for row in six_countries.of("mail"))
    dated = Counter(
        parsedate_to_datetime(str(letter["Date"])).replace(second=0) for letter in six_countries.letters
    )
    assert dated == instants


def test_the_timeline_is_in_order_and_ends_with_a_summary(six_countries: Rehearsed) -> None:
    instants = [datetime.fromisoformat(row["at"]) for row in six_countries.rows]
    assert instants == sorted(instants)
    assert six_countries.rows[-1] == {
        "at": "2035-05-24T10:00:00-04:00",
        "kind": "end",
        "mails": 100,
        "workflows_open": 0,
    }
