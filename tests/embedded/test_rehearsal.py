"""Onboardings played through the real parts: when each mail came out at the other side, and that it did so once."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from database.events import store
from database.models import Event, Message, Onboarding, Task
from embedded.rehearsal import rehearse
from embedded.scenario import ScenarioError, read_scenario
from embedded.stack import StackOptions, embedded_stack
from rules.events import Envelope
from worker.assembly import load_programs
from workflows.starting import notify_inbox

SCENARIOS = Path("tests/scenarios")
PROGRAMS = Path("programs")
TEMPLATES = Path("templates/mail")


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
    """Play a scenario file; what is logged of the faults, which is much, is not printed."""
    programs = load_programs(PROGRAMS)
    scenario = read_scenario(SCENARIOS / f"{name}.toml", programs)
    with capture_logs():
        rows = await rehearse(scenario, programs, TEMPLATES, PROGRAMS, mail_dir=folder)
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
def test_check_ins_arrive_at_nine_local_time_to_the_minute(
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
def test_hundred_messages_arrive_once_with_from_and_reply_to(
    six_countries: Rehearsed,
) -> None:
    """They come from the program manager; replies go to the program's mailbox."""
    program = load_programs(PROGRAMS)["asis-global"]
    letters = six_countries.letters
    assert len(letters) == len({letter["Message-ID"] for letter in letters}) == 100
    assert set(Counter(str(letter["To"]) for letter in letters).values()) == {4}
    for letter in letters:
        assert program.manager.name in letter["From"]
        assert program.mailbox in letter["Reply-To"]


@pytest.mark.rule("T6")
def test_mail_date_header_follows_the_programs_clock(six_countries: Rehearsed) -> None:
    instants = Counter(datetime.fromisoformat(row["at"]) for row in six_countries.of("mail"))
    dated = Counter(
        parsedate_to_datetime(str(letter["Date"])).replace(second=0) for letter in six_countries.letters
    )
    assert dated == instants


def test_timeline_is_ordered_and_ends_with_a_summary(six_countries: Rehearsed) -> None:
    instants = [datetime.fromisoformat(row["at"]) for row in six_countries.rows]
    assert instants == sorted(instants)
    assert six_countries.rows[-1] == {
        "at": "2035-05-24T10:00:00-04:00",
        "kind": "end",
        "mails": 100,
        "workflows_open": 0,
    }


# --- what goes wrong at the very moment of sending


@pytest.fixture(scope="module")
async def faults(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return await rehearsed("faults_while_sending", tmp_path_factory.mktemp("mail"))


FAULTS = [
    pytest.param(1, "2035-03-14", 10, id="the worker is killed again and again"),
    pytest.param(2, "2035-03-28", 360, id="the mail server is gone for hours"),
    pytest.param(3, "2035-04-11", 40, id="the mail server refuses for now"),
    pytest.param(4, "2035-04-25", 30, id="the database is gone"),
]


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3")
def test_faults_during_25_deliveries_lose_and_duplicate_nothing(faults: Rehearsed) -> None:
    assert len(faults.letters) == 100
    for number in range(1, 26):
        copies = faults.copies(f"m{number:02}@example.org")
        assert sorted(copies.values()) == [1, 1, 1, 1]


@pytest.mark.rule("MAIL1", "MAIL3")
@pytest.mark.parametrize(("number", "day", "minutes"), FAULTS)
def test_delayed_mail_is_sent_soon_after_the_fault(
    faults: Rehearsed, number: int, day: str, minutes: int
) -> None:
    mails = faults.of("mail", number=number)
    assert [row["decision"] for row in mails] == ["sent"] * 25
    due = datetime.fromisoformat(f"{day}T09:00:00-04:00")
    for row in mails:
        late = (datetime.fromisoformat(row["at"]) - due).total_seconds() / 60
        assert 0 <= late <= minutes * 2 + 61


@pytest.mark.rule("MAIL3", "ONB4")
def test_faults_neither_end_nor_move_an_onboarding(faults: Rehearsed) -> None:
    for number in range(1, 26):
        assert faults.course(f"p-m{number:02}") == ["waiting", "active", "unmatched"]
        assert faults.tasks(f"onboarding/p-m{number:02}")[0][1] == "mentee_unmatched"
    assert faults.rows[-1]["workflows_open"] == 0


# --- what happens to onboardings other than time


@pytest.fixture(scope="module")
async def lives(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return await rehearsed("onboardings", tmp_path_factory.mktemp("mail"))


USUAL = ["2035-03-12T09:00", "2035-03-26T09:00", "2035-04-09T09:00", "2035-04-23T09:00"]


def nine(*days: str) -> list[str]:
    return [f"2035-{day}T09:00" for day in days]


@pytest.mark.rule("ONB5", "MAIL1", "STA3")
@pytest.mark.parametrize(
    ("profile", "when", "sent"),
    [
        ("p-cancel-early", "2035-03-08T12:00", 0),
        ("p-cancel-mid", "2035-03-27T12:00", 2),
        ("p-cancel-late", "2035-04-24T12:00", 4),
        ("p-pause-cancel", "2035-04-10T12:00", 2),
        ("p-both-mentee", "2035-03-08T12:00", 0),
    ],
)
def test_cancel_stops_all_mail_and_each_message_has_a_reason(
    lives: Rehearsed, profile: str, when: str, sent: int
) -> None:
    assert lives.check_ins(profile) == USUAL[:sent]
    assert lives.states(profile)[-1] == (when, "canceled")
    assert lives.mails(profile, "cancelled") == [(when, f"mentee.checkin {n}") for n in range(sent + 1, 5)]
    if sent < 4:
        assert lives.reasons(profile, "cancelled") == {"cancelled by staff: cancel asked for"}
    assert lives.tasks(f"onboarding/{profile}") == []


@pytest.mark.rule("ONB5", "STA1")
@pytest.mark.parametrize(
    ("profile", "when", "event", "why"),
    [
        (
            "p-cancel-over",
            "2035-05-10T12:00",
            "staff.cancel",
            "the onboarding is over: unmatched on 2035-05-07",
        ),
        (
            "p-cancel-mid",
            "2035-03-28T12:00",
            "staff.cancel",
            "the onboarding is over: canceled on 2035-03-27",
        ),
        (
            "p-extend-over",
            "2035-05-10T12:00",
            "staff.extend",
            "the onboarding is over: unmatched on 2035-05-07",
        ),
        ("p-pause-mid", "2035-03-28T12:00", "staff.pause", "it is paused already"),
        ("p-pause-mid", "2035-04-11T12:00", "staff.resume", "it is not paused by staff"),
        (
            "p-neither",
            "2035-03-08T12:00",
            "staff.extend",
            "only a mentee's onboarding has check-ins to extend",
        ),
    ],
)
def test_impossible_staff_acts_are_refused_with_a_reason(
    lives: Rehearsed, profile: str, when: str, event: str, why: str
) -> None:
    assert (when, event, why) in lives.refused(f"onboarding/{profile}")


@pytest.mark.rule("ONB4", "ONB5")
@pytest.mark.parametrize(
    ("profile", "days", "closes"),
    [
        ("p-extend-early", ["05-07"], "05-21"),
        ("p-extend-mid", ["05-07", "05-21"], "06-04"),
        ("p-extend-late", ["05-07"], "05-21"),
        ("p-extend-over", [], "05-07"),
    ],
)
def test_extension_adds_check_ins_and_moves_none(
    lives: Rehearsed, profile: str, days: list[str], closes: str
) -> None:
    assert lives.check_ins(profile) == USUAL + nine(*days)
    assert lives.states(profile)[-1] == (*nine(closes), "unmatched")
    assert lives.tasks(f"onboarding/{profile}") == [(*nine(closes), "mentee_unmatched")]


@pytest.mark.rule("ONB5", "MEM2", "T4")
@pytest.mark.parametrize(
    ("profile", "days", "closes", "course"),
    [
        ("p-pause-early", ["03-19", "04-02", "04-16", "04-30"], "05-14", "waiting paused waiting active"),
        ("p-pause-mid", ["03-12", "03-26", "04-23", "05-07"], "05-21", "waiting active paused active"),
        ("p-pause-late", ["03-12", "03-26", "04-09", "04-23"], "05-14", "waiting active paused active"),
        ("p-pause-hour", ["03-12", "03-27", "04-09", "04-23"], "05-07", "waiting active paused active"),
        ("p-pause-over", ["05-07", "05-21", "06-04", "06-18"], "07-02", "waiting paused waiting active"),
        (
            "p-pause-extend",
            ["03-12", "03-26", "04-23", "05-07", "05-21"],
            "06-04",
            "waiting active paused active",
        ),
        ("p-lost-early", ["03-19", "04-02", "04-16", "04-30"], "05-14", "waiting paused waiting active"),
        ("p-lost-mid", ["03-12", "03-26", "04-23", "05-07"], "05-21", "waiting active paused active"),
        ("p-lost-late", ["03-12", "03-26", "04-09", "04-23"], "05-14", "waiting active paused active"),
        ("p-lost-paused", ["03-12", "03-26", "04-23", "05-07"], "05-21", "waiting active paused active"),
    ],
)
def test_pause_or_lost_standing_moves_four_check_ins_by_its_days(
    lives: Rehearsed, profile: str, days: list[str], closes: str, course: str
) -> None:
    assert lives.check_ins(profile) == nine(*days)
    assert lives.course(profile) == [*course.split(), "unmatched"]
    assert lives.states(profile)[-1][0] == nine(closes)[0]
    assert lives.mails(profile, "cancelled") == []


@pytest.mark.rule("ONB5", "MEM2")
def test_onboarding_never_resumed_sends_nothing_and_stays_open(lives: Rehearsed) -> None:
    for profile in ("p-pause-open", "p-lost-open"):
        assert lives.check_ins(profile) == USUAL[:2]
        assert lives.course(profile) == ["waiting", "active", "paused"]
    assert lives.rows[-1]["workflows_open"] == 2


@pytest.mark.rule("MEM1")
@pytest.mark.parametrize(
    ("profile", "days", "states"),
    [
        (
            "p-lapsed-soon",
            ["03-27", "04-10", "04-24", "05-08"],
            [("03-20T12:00", "waiting"), ("03-27T09:00", "active"), ("05-22T09:00", "unmatched")],
        ),
        (
            "p-lapsed-close",
            ["05-10", "05-24", "06-07", "06-21"],
            [("05-03T12:00", "waiting"), ("05-10T09:00", "active"), ("07-05T09:00", "unmatched")],
        ),
        ("p-lapsed-long", [], [("05-04T10:00", "lapsed")]),
        ("p-lapsed-cancel", [], [("03-12T12:00", "canceled")]),
    ],
)
def test_lapsed_sign_up_gets_one_notice_and_starts_on_return(
    lives: Rehearsed, profile: str, days: list[str], states: list[tuple[str, str]]
) -> None:
    notice = ("2035-03-05T10:00", "member.standing_lapsed")
    assert [mail for mail in lives.mails(profile) if mail[1] == notice[1]] == [notice]
    assert lives.check_ins(profile) == nine(*days)
    assert [(at[5:], state) for at, state in lives.states(profile)] == [("03-05T10:00", "blocked"), *states]
    assert lives.tasks(f"onboarding/{profile}")[0] == ("2035-03-05T10:00", "member_lapsed")


@pytest.mark.rule("ONB1", "MEM3", "MEM5")
@pytest.mark.parametrize(
    ("profile", "tasks"),
    [("p-years", []), ("p-app", []), ("p-neither", ["mentor_review"]), ("p-both-mentor", [])],
)
def test_mentors_get_one_welcome_and_unqualified_ones_a_review(
    lives: Rehearsed, profile: str, tasks: list[str]
) -> None:
    assert lives.mails(profile) == [("2035-03-12T09:00", "mentor.welcome")]
    assert lives.states(profile) == [("2035-03-05T10:00", "waiting"), ("2035-03-12T09:00", "welcomed")]
    assert [kind for _, kind in lives.tasks(f"onboarding/{profile}")] == tasks


@pytest.mark.rule("ONB3")
@pytest.mark.parametrize(
    ("profile", "when", "sent"),
    [("p-match-early", "2035-03-09T12:00", 0), ("p-match-mid", "2035-03-28T12:00", 2)],
)
def test_match_ends_the_onboarding_for_good(lives: Rehearsed, profile: str, when: str, sent: int) -> None:
    """A later end of the engagement does not start it again."""
    assert lives.check_ins(profile) == USUAL[:sent]
    assert lives.states(profile)[-1] == (when, "matched")
    assert len(lives.mails(profile, "cancelled")) == 4 - sent
    assert lives.tasks(f"onboarding/{profile}") == []


@pytest.mark.rule("ONB6")
def test_withdrawn_profile_ends_it_and_only_a_new_one_restarts(lives: Rehearsed) -> None:
    assert lives.states("p-gone-early")[1:] == [("2035-03-08T12:00", "withdrawn")]
    assert lives.mails("p-gone-early") == []
    assert lives.refused("onboarding/p-gone-early") == [
        ("2035-03-10T12:00", "profile.created", "profile p-gone-early exists already")
    ]
    assert lives.check_ins("p-gone-again") == nine("03-19", "04-02", "04-16", "04-30")
    assert lives.check_ins("p-gone-mid") == USUAL[:2]
    assert lives.states("p-gone-mid")[-1] == ("2035-03-27T12:00", "withdrawn")


@pytest.mark.rule("ONB6")
def test_repeated_profile_is_refused_and_changes_nothing(lives: Rehearsed) -> None:
    why = "profile p-twice exists already"
    assert lives.refused("onboarding/p-twice") == [
        ("2035-03-05T10:00", "profile.created", why),
        ("2035-03-27T12:00", "profile.created", why),
    ]
    assert lives.mails("p-twice") == [
        (at, f"mentee.checkin {number}") for number, at in enumerate(USUAL, start=1)
    ]


@pytest.mark.rule("ONB2", "ONB5", "T9")
def test_events_out_of_order_wait_for_their_subject(lives: Rehearsed) -> None:
    assert lives.check_ins("p-order") == USUAL
    assert lives.states("p-order")[0] == ("2035-03-05T12:00", "waiting")
    assert lives.states("p-order-cancel") == [
        ("2035-03-05T11:00", "waiting"),
        ("2035-03-05T11:00", "canceled"),
    ]
    assert lives.mails("p-order-cancel") == []


@pytest.mark.rule("STA2")
@pytest.mark.parametrize(
    ("profile", "event", "missing"),
    [
        ("p-never", "profile.created", "member/never"),
        ("p-late", "profile.created", "member/late"),
        ("p-unknown", "staff.cancel", "profile/p-unknown"),
    ],
)
def test_event_held_for_a_day_is_refused_with_a_task(
    lives: Rehearsed, profile: str, event: str, missing: str
) -> None:
    subject = f"onboarding/{profile}"
    assert lives.refused(subject) == [("2035-03-06T10:00", event, f"{missing} did not arrive in time")]
    assert lives.tasks(subject) == [("2035-03-06T10:00", "event_unapplied")]
    assert lives.course(profile) == []


@pytest.mark.rule("T4", "T7")
def test_changed_zone_and_address_apply_to_the_next_mail(
    lives: Rehearsed,
) -> None:
    assert lives.check_ins("p-moved") == [*USUAL[:2], "2035-04-09T20:00", "2035-04-23T20:00"]
    assert len(lives.copies("moved@example.org")) == 2
    assert len(lives.copies("moved.again@example.org")) == 2


@pytest.mark.rule("MAIL2")
def test_connection_dropped_after_the_body_is_one_ambiguous_copy(lives: Rehearsed) -> None:
    assert lives.mails("p-drop", "ambiguous") == [("2035-03-14T09:00", "mentee.checkin 1")]
    assert [at for at, _ in lives.mails("p-drop")] == nine("03-28", "04-11", "04-25")
    assert sorted(lives.copies("drop@example.org").values()) == [1, 1, 1, 1]
    assert [task for _, task in lives.tasks("onboarding/p-drop")] == ["mentee_unmatched"]
    assert lives.mails("p-drop-mentor", "ambiguous") == [("2035-03-14T09:00", "mentor.welcome")]
    assert list(lives.copies("drop-mentor@example.org").values()) == [1]
    assert lives.tasks("onboarding/p-drop-mentor") == [("2035-03-14T09:00", "mail_ambiguous")]
    assert lives.course("p-drop-mentor") == ["waiting", "welcomed"]


@pytest.mark.rule("MAIL3")
def test_unknown_address_is_suppressed_with_one_task(lives: Rehearsed) -> None:
    assert lives.mails("p-refused", "failed") == [("2035-03-15T09:00", "mentee.checkin 1")]
    assert [at for at, _ in lives.mails("p-refused", "suppressed")] == nine("03-29", "04-12", "04-26")
    assert lives.tasks("member/refused") == [("2035-03-15T09:00", "address_suppressed")]
    assert lives.copies("refused@example.org") == Counter()
    assert lives.course("p-refused") == ["waiting", "active", "unmatched"]


@pytest.mark.rule("MAIL1")
def test_every_message_has_exactly_one_decision(lives: Rehearsed) -> None:
    decided = Counter(
        (row["workflow"], row["message"], row["number"])
        for row in lives.of("mail")
        if row["workflow"].startswith("onboarding/")
    )
    assert set(decided.values()) == {1}
    for profile, planned in (("p-drop", 4), ("p-refused", 4), ("p-extend-mid", 6), ("p-cancel-early", 4)):
        assert len([key for key in decided if key[0] == f"onboarding/{profile}"]) == planned


# --- scenarios that cannot be played


def test_scenario_mistakes_are_all_named_with_line_and_key() -> None:
    file = SCENARIOS / "mistakes.toml"
    with pytest.raises(ScenarioError) as caught:
        read_scenario(file, load_programs(PROGRAMS))
    found = [mistake.removeprefix(f"{file}: ").split(": ")[:2] for mistake in caught.value.mistakes]
    assert found == [
        ["line 4", "colour"],
        ["line 3", "until"],
        ["line 9", "members[0].email"],
        ["line 10", "members[0].standing"],
        ["line 11", "members[0].time_zone"],
        ["line 14", "events[0].at"],
        ["line 13", "events[0].data.profile"],
        ["line 13", "events[0].data.role"],
        ["line 20", "events[1].type"],
        ["line 23", "events[2].at"],
        ["line 27", "events[3].data.target"],
        ["line 27", "events[3].data.reason"],
        ["line 28", "events[3].at"],
        ["line 34", "faults[0].kind"],
        ["line 35", "faults[0].for"],
        ["line 37", "faults[1].at"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "program: must be one of"),
        ('program = "asis-global"', "start: is missing"),
        (
            'program = "nowhere"\nstart = 2035-03-05T10:00:00\nuntil = "P1D"',
            "line 1: program: must be one of",
        ),
        ('program = "asis-global"\nstart = 2035-03-05T10:00:00', "until: is missing"),
        ('program = "asis-global"\nstart = "P1D"\nuntil = "P1D"', "line 2: start: must be a local date-time"),
        ("program = ", "scenario.toml: Invalid value"),
    ],
)
def test_scenario_without_its_head_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(file, load_programs(PROGRAMS))
    assert any(expected in mistake for mistake in caught.value.mistakes), caught.value.mistakes


def test_scenario_that_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"program = '\xff'")
    for name, expected in (("missing.toml", "No such file"), ("binary.toml", "not UTF-8")):
        with pytest.raises(ScenarioError, match=expected):
            read_scenario(tmp_path / name, load_programs(PROGRAMS))


@pytest.mark.rule("T6")
async def test_scenario_that_starts_in_the_past_is_refused(tmp_path: Path) -> None:
    programs = load_programs(PROGRAMS)
    file = tmp_path / "scenario.toml"
    file.write_text('program = "asis-global"\nstart = 2020-03-05T10:00:00\nuntil = "P1D"')
    with pytest.raises(ScenarioError, match="ahead of the machine's clock"):
        await rehearse(read_scenario(file, programs), programs, TEMPLATES, PROGRAMS)


# --- repeated events


@pytest.mark.rule("REQ10", "ONB5", "ONB6")
async def test_repeated_event_is_applied_once(tmp_path: Path) -> None:
    programs = load_programs(PROGRAMS)
    start = datetime(2035, 3, 5, 15, 0, tzinfo=UTC)
    ana = {"member": "ana", "name": "Ana Vega", "email": "ana@example.org", "standing": "good"}
    envelopes = [
        Envelope("1", "/a", "member.updated", start, ana),
        Envelope("2", "/a", "profile.created", start, {"profile": "p-1", "member": "ana", "role": "mentee"}),
        Envelope(
            "3",
            "/a",
            "staff.extend",
            start,
            {"target": "onboarding/p-1", "actor": "lina", "reason": "asked", "check_ins": 1},
        ),
    ]
    async with embedded_stack(programs, TEMPLATES, PROGRAMS, StackOptions(mail_dir=tmp_path)) as ready:
        await ready.advance(start)
        for _ in range(3):
            async with ready.database.begin() as session:
                await store(session, [*envelopes, *envelopes])
            await notify_inbox(ready.clock.client, ready.database)
            await ready.wait_idle()
        async with ready.database.reading() as session:
            assert list(await session.scalars(select(Event.state))) == ["applied"] * 3
            planned = await session.scalars(select(Message.due_at).order_by(Message.due_at))
            assert len(list(planned)) == 5


@pytest.mark.rule("ONB5", "MEM2")
async def test_late_event_about_a_past_lapse_leaves_the_present_state() -> None:
    programs = load_programs(PROGRAMS)
    start = datetime(2035, 3, 5, 15, 0, tzinfo=UTC)
    ana = {"member": "ana", "name": "Ana Vega", "email": "ana@example.org"}
    staff = {"target": "onboarding/p-1", "actor": "lina", "reason": "asked"}

    def event(hours: float, kind: str, data: dict[str, Any]) -> Envelope:
        return Envelope(f"{kind} {hours}", "/a", kind, start + timedelta(hours=hours), data)

    async with embedded_stack(programs, TEMPLATES, PROGRAMS) as ready:

        async def told_at(hours: float, *events: Envelope) -> Onboarding:
            await ready.advance(start + timedelta(hours=hours))
            async with ready.database.begin() as session:
                await store(session, events)
            await notify_inbox(ready.clock.client, ready.database)
            await ready.wait_idle()
            async with ready.database.reading() as session:
                return await session.get_one(Onboarding, "onboarding/p-1")

        await told_at(
            0,
            event(0, "member.updated", {**ana, "standing": "good"}),
            event(0, "profile.created", {"profile": "p-1", "member": "ana", "role": "mentee"}),
        )
        await told_at(1, event(1, "staff.pause", staff))
        await told_at(2, event(2, "staff.resume", staff))
        late = await told_at(
            3,
            event(0.5, "member.updated", {**ana, "standing": "lapsed"}),
            event(1.5, "member.updated", {**ana, "standing": "good"}),
        )
        assert late.state == "waiting"
        lost = await told_at(4, event(3.5, "member.updated", {**ana, "standing": "lapsed"}))
        assert lost.state == "paused"


@pytest.mark.rule("T8", "STA2")
async def test_event_that_raises_becomes_a_task_and_blocks_no_other() -> None:
    programs = load_programs(PROGRAMS)
    start = datetime(2035, 3, 5, 15, 0, tzinfo=UTC)
    ana = {"member": "ana", "name": "Ana Vega", "email": "ana@example.org", "standing": "good"}
    without_standing = {"member": "bob", "name": "Bob", "email": "bob@example.org"}
    async with embedded_stack(programs, TEMPLATES, PROGRAMS) as ready:
        await ready.advance(start)
        with capture_logs() as logs:
            await ready.send_events(start, [("member.updated", without_standing), ("member.updated", ana)])
            await ready.wait_idle()
            await ready.advance(start + timedelta(days=2))
        async with ready.database.reading() as session:
            bad, good = await session.scalars(select(Event).order_by(Event.id))
            tasks = list(await session.scalars(select(Task)))
    assert [log["event"] for log in logs] == ["event_application_failed"] * 2
    assert good.state == "applied"
    assert (bad.state, bad.reason) == ("refused", "the program failed on it: KeyError")
    assert [(task.kind, task.subject) for task in tasks] == [("event_unapplied", "member/bob")]
    assert tasks[0].opened_at < start + timedelta(minutes=1)
