"""Imports between the rooms go one way, and program time comes from the workflow's clock: read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS = (
    "rules",
    "database",
    "lifecycles",
    "mail",
    "evidence",
    "activities",
    "workflows",
    "staff",
    "gateway",
    "worker",
    "embedded",
    "cli",
)
"""The rooms, lowest first: a room imports from itself and from those before it."""

NEVER = {"gateway": {"activities"}}
"""Rooms that a room does not import although they lie below it."""

NOT_THE_PRODUCT = {"tests", "benchmarks"}
ON_PROGRAM_TIME = ("rules", "database", "lifecycles", "mail", "evidence", "activities", "workflows")
KNOW_TEMPORAL = ROOMS[ROOMS.index("activities") :]

DATA_FOR_RULES = {"holidays", "tzdata", "pydantic", "pydantic_core", "email_validator", "idna"}
FOR_PAIRING = {"numpy", "scipy"}
"""What only the central pairing computes with: an extra that no other process needs."""

PAIRING = "rules/pairing"
INPUT_AND_OUTPUT = {
    *("asyncio", "concurrent", "multiprocessing", "os", "random", "secrets", "shutil", "signal"),
    *("ftplib", "http", "imaplib", "poplib", "selectors", "smtplib", "socket", "ssl", "urllib"),
    *("dbm", "shelve", "sqlite3", "subprocess", "tempfile", "time"),
}
CLOCKS = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime"),
    *("func.now", "func.current_timestamp", "func.current_date", "func.localtimestamp"),
}


def faults(folder: str, source: str) -> list[str]:
    """What a module of a room, or of the pairing, may not import or read, each as `line: what`."""
    room = folder.partition("/")[0]
    tree = ast.parse(source)
    found = [f"{line}: imports {name}" for line, name in _imports(tree) if not _may_import(folder, name)]
    if room in ON_PROGRAM_TIME:
        found += [f"{line}: reads the clock by {name}" for line, name in _names(tree) if _is_clock(name)]
    return found


def _may_import(folder: str, name: str) -> bool:
    room, top = folder.partition("/")[0], name.partition(".")[0]
    if top in FOR_PAIRING:
        return folder == PAIRING
    if top in NOT_THE_PRODUCT:
        return False
    if top in ROOMS:
        return ROOMS.index(top) <= ROOMS.index(room) and top not in NEVER.get(room, ())
    if top == "temporalio":
        return room in KNOW_TEMPORAL
    if room == "rules":
        return top in DATA_FOR_RULES or (top in sys.stdlib_module_names and top not in INPUT_AND_OUTPUT)
    return True


def _is_clock(name: str) -> bool:
    return any(name == clock or name.endswith(f".{clock}") for clock in CLOCKS)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _folder(room: str, path: Path) -> str:
    return PAIRING if (ROOT / PAIRING) in path.parents else room


@pytest.mark.rule("T6")
@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_lower_rooms_and_reads_no_clock(room: str) -> None:
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules
    assert [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in modules
        for fault in faults(_folder(room, path), path.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("rules", "import sqlalchemy"),
        ("rules", "from asyncio import sleep"),
        ("rules", "import numpy as np"),
        ("rules/pairing", "import sqlalchemy"),
        ("activities", "from scipy.optimize import linear_sum_assignment"),
        ("rules", "from database.models import Member"),
        ("rules", "def late():\n    import temporalio.workflow"),
        ("database", "import activities.mail"),
        ("activities", "from workflows import onboarding"),
        ("workflows", "from staff import views"),
        ("lifecycles", "import temporalio.exceptions"),
        ("evidence", "from temporalio import activity"),
        ("mail", "from activities import delivery"),
        ("staff", "from gateway import pages"),
        ("embedded", "import cli.main"),
        ("workflows", "import gateway"),
        ("gateway", "from activities.mail import Mailer"),
        ("gateway", "import worker.settings"),
        ("worker", "from tests import conftest"),
    ],
)
def test_import_against_the_direction_is_found(room: str, source: str) -> None:
    assert len(faults(room, source)) == 1


@pytest.mark.rule("T6")
@pytest.mark.parametrize(
    "source",
    [
        "at = datetime.now(UTC)",
        "at = datetime.datetime.utcnow()",
        "day = date.today()",
        "from time import time",
        "column(server_default=sa.func.now())",
    ],
)
def test_read_of_the_wall_clock_is_found(source: str) -> None:
    assert len(faults("database", source)) == 1


def test_workflow_clock_and_standard_library_are_allowed() -> None:
    assert faults("workflows", "from datetime import datetime\nat = workflow.now()") == []
    assert faults("rules/pairing", "import numpy as np\nfrom scipy import sparse") == []
    assert faults("rules", "import holidays\nfrom zoneinfo import ZoneInfo\nfrom rules import agenda") == []


def test_pairing_imports_numbers_only_when_called() -> None:
    """The gateway runs without them, and a workflow's sandbox never loads them."""
    found = "import sys, rules.pairing; print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", found], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
