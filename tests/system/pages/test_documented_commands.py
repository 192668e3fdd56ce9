"""The commands of the documentation, run in the order of their pages beside one `throughline up`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from cli.main import app
from database.session import Database
from embedded.temporal_servers import binary
from evidence import checkpoints
from tests.support.cli import COMMAND, ROOT, environment
from tests.support.limits import PATIENCE

NOW: Final = datetime.now(UTC).replace(microsecond=0)
BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED: Final = re.compile(r"^Save this as `(.+?)`:\s*\Z", re.MULTILINE)

HERE: Final = (
    "README.md",
    "docs/auditing.md",
    "docs/cohorts.md",
    "docs/console.md",
    "docs/curriculum.md",
    "docs/deploy.md",
    "docs/meetups.md",
    "docs/observability.md",
    "docs/operating.md",
    "docs/programs.md",
    "docs/upgrading.md",
    "docs/webhooks.md",
    "docs/erasing.md",
)
"""The pages whose commands run here: last the one after which a person of the story is gone."""

ELSEWHERE: Final = {
    "docs/badges.md": "tests/cli/test_badge.py",
    "docs/connect.md": "tests/system/pages/test_connect_page.py",
    "docs/member-database.md": "tests/system/pages/test_member_database_page.py",
    "docs/take-over.md": "tests/system/pages/test_take_over_page.py",
}
"""The pages whose commands another test reads from the page and runs."""

NOT_RUN: Final = {
    "deploy/README.md": "the page itself says what was run",
}

STATUSES: Final = {
    "throughline program move asis-global --from 3f2ab1cd5e6f --preview": 1,  # there is one version only
    'throughline program move asis-global --from 3f2ab1cd5e6f --reason "Fewer check-ins, as the board decided"': 1,
    "throughline version wake --per-second 50": 1,  # the worker of `up` is of no version
}
"""What a command ends with, where it is not 0."""

OWN_PROCESS: Final = ("rehearse",)
"""Commands that set up logging for their process."""

COMMANDS: Final = re.compile(r"(?:throughline|temporal|cp|export) ")


NEXT_YEAR: Final = NOW.year + 1
COHORT: Final = {
    "cohort": f"bogota-{NEXT_YEAR}",
    "program": "mentors4u-colombia",
    "opens": (NOW - timedelta(days=10)).date().isoformat(),
    "closes": (NOW + timedelta(days=10)).date().isoformat(),
    "kick_off": (NOW + timedelta(days=30)).date().isoformat(),
    "months": 6,
    "partners": ["altavista"],
}
PARTNER: Final = {"program": "mentors4u-colombia", "partner": "altavista"}

REPORT: Final = {
    "source": "/before",
    "id": "30",
    "type": "engagement.misconduct_reported",
    "time": (NOW - timedelta(days=1)).isoformat(),
    "history": False,
    "data": {"engagement": "r-1", "by": "p-3", "text": "Words that only staff read."},
}


def ago(days: float) -> str:
    """An instant so many days before the run."""
    return (NOW - timedelta(days=days)).isoformat()


def happened(number: int, kind: str, at: str, **data: Any) -> dict[str, Any]:
    """An event of before the take-over."""
    return {"source": "/before", "id": str(number), "type": kind, "time": at, "data": data}


def story() -> list[dict[str, Any]]:
    """The people and pairs that the pages name."""
    members = {"ana": "Ana Ruiz", "bob": "Bob Stone", "eva": "Eva Lund"}
    joined = [
        happened(
            n, "member.updated", ago(90), member=id_, name=name, email=f"{id_}@example.org", standing="good"
        )
        for n, (id_, name) in enumerate(members.items())
    ]
    profiles = {
        "p-1": ("ana", "mentee"),
        "p-2": ("bob", "mentor"),
        "p-3": ("eva", "mentee"),
        "p-5": ("eva", "mentor"),
    }
    return [
        *joined,
        *(
            happened(n, "profile.created", ago(5), profile=profile, member=member, role=role)
            for n, (profile, (member, role)) in enumerate(profiles.items(), 10)
        ),
        happened(15, "cohort.scheduled", ago(5), **COHORT),
        happened(16, "profile.created", ago(5), profile="p-7", member="eva", role="mentee", **PARTNER),
        happened(20, "request.created", ago(0.5), request="r-2", mentee="p-1", mentor="p-2"),
        happened(21, "request.created", ago(4), request="r-1", mentee="p-3", mentor="p-2"),
        happened(22, "request.accepted", ago(3), request="r-1"),
        REPORT,
    ]


class Endpoint(BaseHTTPRequestHandler):
    """An endpoint that takes every event."""

    def do_POST(self) -> None:
        """Answer that the event is stored."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Deployment:
    """A folder in which `throughline up` runs, with the command in this process."""

    folder: Path
    process: subprocess.Popen[str]
    temporal: str
    """The address of its Temporal server."""
    given: Mapping[str, str]
    """The settings of the command, by their environment variables."""
    settings: dict[str, str] = field(default_factory=dict)
    """Those of a page: what it exports comes on top."""
    words: dict[str, str] = field(default_factory=dict)
    """What stands on a page, and what it is here."""

    def run(self, command: str) -> tuple[int, str]:
        """Run a line of a page; its exit status, and what it said."""
        for written, here in self.words.items():
            command = command.replace(written, here)
        command, _, saved = command.partition(" > ")
        program, *arguments = shlex.split(command, comments=True)
        if program == "throughline" and arguments[0] not in OWN_PROCESS:
            result = CliRunner().invoke(app, arguments, input="y\n", env=self.settings)
            if saved:
                (self.folder / saved).write_text(result.stdout, "utf-8")
            return result.exit_code, result.output
        if program == "export":
            name, _, value = arguments[0].partition("=")
            self.settings[name] = value
            return 0, ""
        found = {"temporal": binary("temporal"), "throughline": str(COMMAND)}.get(program, program)
        done = subprocess.run(
            [found, *arguments],
            env={**os.environ, **self.settings, "TEMPORAL_ADDRESS": self.temporal},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/throughline"
        server.shutdown()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, endpoint: str) -> Iterator[Deployment]:
    """`throughline up` with the people of the pages; the working directory is its folder meanwhile."""
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(ROOT / "programs", folder / "programs")
    process = subprocess.Popen(
        [COMMAND, "up", "--port", "0"],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED=1),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    before = Path.cwd()
    try:
        os.chdir(folder)
        assert process.stdout is not None
        said = ""
        while "Ready." not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        connection = json.loads((folder / "var" / "connection.json").read_text("utf-8"))
        given = {
            "THROUGHLINE_DATA": str(folder / "var"),
            "THROUGHLINE_WEBHOOK_ALLOW": '["127.0.0.0/8"]',
        }
        made = Deployment(folder, process, connection["TEMPORAL_ADDRESS"], given)
        made.words["https://members.example.org/throughline"] = endpoint
        yield prepared(made)
    finally:
        os.chdir(before)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def prepared(deployment: Deployment) -> Deployment:
    """Have the story applied, and find out what the names of the pages are here."""
    deployment.settings = dict(deployment.given)
    file = deployment.folder / "story.jsonl"
    file.write_text("\n".join(map(json.dumps, story())), "utf-8")
    assert_ran(deployment, f"throughline event import {file}")
    assert_ran(deployment, "throughline staff accounts --add cora@example.org --role coordinator")
    versions = lines_of(deployment, "throughline program versions --json")
    cohorts = lines_of(deployment, "throughline cohort list --json")
    asyncio.run(take_checkpoint(deployment.folder / "var" / "throughline.db"))
    taken = lines_of(deployment, "throughline audit checkpoints --json")
    deployment.words |= {
        "asis-laac-2028": cohorts[0]["cohort"],
        "3f2ab1cd5e6f": versions[0]["fingerprint"][:12],
        "HASH": taken[-1]["hash"],
        "2028": str(NEXT_YEAR),
    }
    return deployment


async def take_checkpoint(file: Path) -> None:
    """Take the next checkpoint, which the worker takes once a day."""
    database = Database(f"sqlite:///{file}")
    try:
        async with database.begin() as session:
            await checkpoints.take(session, datetime.now(UTC))
    finally:
        await database.close()


def lines_of(deployment: Deployment, command: str) -> list[Any]:
    """The lines of JSON that a command prints."""
    return [json.loads(line) for line in assert_ran(deployment, command).splitlines()]


def assert_ran(deployment: Deployment, command: str) -> str:
    """What a command said that ended as it should."""
    for _ in range(100):
        status, said = deployment.run(command)
        if status == STATUSES.get(command, 0):
            return said
        # What was sent a moment ago is applied a moment later.
        time.sleep(0.1)
    raise AssertionError(f"{command} ended with {status}:\n{said}")


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Each command line of a page, and each file that it says to save, in their order: the file's name and its text.

    A command over several lines is one.
    """
    before = 0
    text = (ROOT / page).read_text("utf-8")
    for block in BLOCK.finditer(text):
        if block["language"] in ("", "sh"):
            lines = block["text"].replace("\\\n", " ").splitlines()
            yield from (("", line) for line in lines if COMMANDS.match(line))
        elif saved := SAVED.search(text, before, block.start()):
            yield saved[1], block["text"]
        before = block.end()


@pytest.mark.parametrize("page", HERE)
def test_each_command_of_a_page_works(deployment: Deployment, page: str) -> None:
    deployment.settings = dict(deployment.given)
    for file, text in steps(page):
        if file:
            (deployment.folder / file).write_text(text, "utf-8")
        else:
            assert_ran(deployment, text)


def test_each_page_with_commands_is_run_by_a_test() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]
    with_commands = {name for page in pages if any(steps(name := str(page.relative_to(ROOT))))}
    assert with_commands == {*HERE, *ELSEWHERE, *NOT_RUN}
    assert [
        test for page, test in ELSEWHERE.items() if Path(page).name not in (ROOT / test).read_text("utf-8")
    ] == []
