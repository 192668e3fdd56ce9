"""The console script as people run it: output, exit status, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import pytest

from database.outbox import event_id
from tests.support.cli import BUNDLED, COMMAND, environment, throughline
from tests.support.limits import PATIENCE

SCENARIO = """
program = "asis-global"
start   = 2028-03-06T10:00:00
until   = "P3M"

[[members]]
member = "ana"
name = "Ana Pérez"
email = "ana@example.org"
standing = "good"
time_zone = "America/Bogota"
country = "CO"

[[members]]
member = "bob"
name = "Bob"
email = "bob@example.org"
standing = "good"

[[events]]
at   = "P0D"
type = "profile.created"
data = { profile = "p-ana", member = "ana", role = "mentee" }

[[events]]
at   = "P0D"
type = "profile.created"
data = { profile = "p-bob", member = "bob", role = "mentor" }
"""

WRONG = """
program = "asis-global"
start   = 2028-03-06T10:00:00
until   = "three months"

[[members]]
member = "ana"
name = "Ana Pérez"
email = "nobody"
standing = "good"

[[events]]
at   = "P0D"
type = "profile.made"
data = {}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario with a mentee and a mentor."""
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    return file


@pytest.mark.rule("ONB1", "ONB2", "ONB4", "T4")
def test_json_output_is_json_lines_and_mail_dir_has_every_mail(scenario: Path, tmp_path: Path) -> None:
    outputs = ("--mail-dir", tmp_path / "mail", "--events-out", tmp_path / "events.jsonl")
    done = throughline("rehearse", scenario, "--json", *outputs)
    assert done.returncode == 0, done.stderr
    check_events(tmp_path / "events.jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1] == {"at": "2028-06-06T10:00:00-04:00", "kind": "end", "mails": 5, "workflows_open": 0}
    assert [
        (row["at"], row["message"], row["number"], row["to"], row["decision"])
        for row in rows
        if row["kind"] == "mail"
    ] == [
        ("2028-03-13T09:00:00-04:00", "mentor.welcome", None, "p-bob", "sent"),
        ("2028-03-13T10:00:00-04:00", "mentee.checkin", 1, "p-ana", "sent"),
        ("2028-03-27T10:00:00-04:00", "mentee.checkin", 2, "p-ana", "sent"),
        ("2028-04-10T10:00:00-04:00", "mentee.checkin", 3, "p-ana", "sent"),
        ("2028-04-24T10:00:00-04:00", "mentee.checkin", 4, "p-ana", "sent"),
    ]
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 5
    assert "WARN" not in done.stderr
    assert "Traceback" not in done.stderr


def check_events(file: Path) -> None:
    """The file has the events of both lifecycles, in the order of their subjects, with ids that follow from it."""
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    ana = [event for event in events if event["subject"] == "onboarding/p-ana"]
    assert [event["sequence"] for event in ana] == [f"{number:010d}" for number in range(1, len(ana) + 1)]
    assert [event["id"] for event in ana] == [event_id(e["subject"], int(e["sequence"])) for e in ana]
    said = [(event["type"], event["data"].get("state", event["data"].get("number"))) for event in ana]
    assert said[0] == ("onboarding.state_changed", "waiting")
    # Two of them happen at one instant.
    assert set(said[1:3]) == {("mail.decided", 1), ("onboarding.state_changed", "active")}
    assert said[3:] == [
        *(("mail.decided", number) for number in (2, 3, 4)),
        ("onboarding.state_changed", "unmatched"),
        ("task.opened", 2),
    ]
    assert {event["subject"] for event in events} == {"onboarding/p-ana", "onboarding/p-bob"}
    assert "example.org" not in file.read_text("utf-8")


def test_text_output_is_a_table_of_time_kind_recipient_and_subject(scenario: Path) -> None:
    done = throughline("rehearse", scenario)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^when +what +whom +subject", done.stdout)
    assert re.search(r"^Mon 2028-03-27 10:00 +mentee\.checkin 2 +p-ana +\S", done.stdout, re.MULTILINE)
    assert "5 mails sent, 0 lifecycles still open" in done.stdout


@pytest.mark.rule("COH5")
def test_program_option_replaces_the_program_of_the_scenario(scenario: Path, tmp_path: Path) -> None:
    own = BUNDLED.read_text(encoding="utf-8").replace('id = "asis-global"', 'id = "own"')
    own = own.replace("check_ins = [0, 14, 28, 42]", "check_ins = [0]")
    (tmp_path / "own.toml").write_text(own, encoding="utf-8")
    scenario.write_text(SCENARIO.replace('program = "asis-global"', ""), encoding="utf-8")
    done = throughline("rehearse", scenario, "--json", "--program", tmp_path / "own.toml")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["mails"] == 2


def test_wrong_scenario_prints_each_mistake_on_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(WRONG, encoding="utf-8")
    done = throughline("rehearse", file, "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        [str(file), "line 4", "until"],
        [str(file), "line 9", "members[0].email"],
        [str(file), "line 14", "events[0].type"],
    ]


def test_mistakes_of_scenario_and_program_are_printed_together(tmp_path: Path) -> None:
    scenario, program = tmp_path / "wrong.toml", tmp_path / "program.toml"
    scenario.write_text(WRONG.replace('program = "asis-global"', ""), encoding="utf-8")
    program.write_text('id = "own"\n', encoding="utf-8")
    done = throughline("rehearse", scenario, "--program", program)
    assert done.returncode == 1
    assert f"{program}: languages: is missing" in done.stderr
    assert f"{scenario}: line 4: until: " in done.stderr
    assert "Traceback" not in done.stderr


def test_start_in_the_past_is_refused(scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("2028-03-06", "2020-03-06"), encoding="utf-8")
    done = throughline("rehearse", scenario)
    assert done.returncode == 1
    assert f"{scenario}: start: must lie ahead of the machine's clock" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("rehearse",),
        ("rehearse", "a.toml", "--loud"),
        ("no-such-command",),
        ("staff", "cancel", "member/ana"),
    ],
)
def test_wrong_usage_exits_with_2_and_an_empty_stdout(arguments: tuple[str, ...]) -> None:
    done = throughline(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.rule("COH5", "MAIL5")
def test_bundled_program_is_valid_and_can_send_every_message() -> None:
    done = throughline("program", "check", BUNDLED)
    assert done.returncode == 0
    # what takes longer than two seconds says so, and a busy machine takes that
    assert set(done.stderr.splitlines()) <= {"Rendering the messages of asis-global …"}
    assert "asis-global" in done.stdout


@pytest.mark.rule("COH5")
def test_broken_program_is_refused_with_file_key_and_reason(tmp_path: Path) -> None:
    broken = BUNDLED.read_text(encoding="utf-8")
    broken = broken.replace("answer_business_days = 2", 'answer_business_days = "two"')
    broken = broken.replace('zone = "America/New_York"', 'zone = "America/Nowhere"')
    file = tmp_path / "broken.toml"
    file.write_text(broken, encoding="utf-8")
    done = throughline("program", "check", file)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{file}: hours.zone: ")
    assert lines[1].startswith(f"{file}: request.answer_business_days: ")


def test_interrupted_rehearsal_exits_with_130_and_no_children(tmp_path: Path) -> None:
    many = [
        f'[[members]]\nmember = "m-{n}"\nname = "M"\nemail = "m{n}@example.org"\nstanding = "good"\n'
        f'[[events]]\nat = "P{n}D"\ntype = "profile.created"\n'
        f'data = {{ profile = "p-{n}", member = "m-{n}", role = "mentee" }}\n'
        for n in range(150)
    ]
    file, mail, mark = tmp_path / "long.toml", tmp_path / "mail", uuid4().hex
    file.write_text(SCENARIO.replace("P3M", "P12M") + "\n".join(many), encoding="utf-8")
    with subprocess.Popen(
        [COMMAND, "rehearse", str(file), "--json", "--mail-dir", str(mail)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(THROUGHLINE_TEST_MARK=mark),
    ) as process:
        _wait_for(lambda: any(mail.glob("*.eml")) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, b""), err
    assert b"Traceback" not in err
    _wait_for(lambda: not _running_with(mark))


def _wait_for(holds: object, seconds: float = PATIENCE) -> None:
    assert callable(holds)
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def _running_with(mark: str) -> list[str]:
    """The processes that inherited an environment with a mark, where the system tells."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in file.read_bytes() and file.parent.name != str(os.getpid()):
                found.append(file.parent.name)
        except OSError:
            continue
    return found
