"""`docs/member-database.md`: each command on the page, beside `throughline up`, and what the page promises of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

import pytest

from tests.support.cli import ROOT
from tests.support.servers.newcomer import Newcomer, blocks_of, newcomer

PAGE = (ROOT / "docs" / "member-database.md").read_text("utf-8")
SHELL = 'python3 django_members/manage.py shell -c "{}"'


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """`throughline up` that is ready, beside the examples."""
    with newcomer(tmp_path_factory.mktemp("association")) as made:
        yield made


@pytest.fixture(scope="module")
def said(there: Newcomer) -> dict[str, str]:
    """What each command of the page says, in the order of the page."""
    commands = [
        line for language, block in blocks_of(PAGE) if language == "sh" for line in block.splitlines()
    ]
    return {command: there.follow(command) for command in commands if command != "throughline up"}


def outbox(there: Newcomer) -> list[tuple[str, dict[str, object], bool]]:
    """The rows of Django's outbox: types, data, and whether they were sent."""
    with sqlite3.connect(there.folder / "members.db") as database:
        rows = database.execute("SELECT type, data, sent_at FROM outbox ORDER BY number").fetchall()
    return [(type, json.loads(data), sent is not None) for type, data, sent in rows]


def test_signal_writes_to_an_outbox_in_the_transaction_of_the_change(
    there: Newcomer, said: dict[str, str]
) -> None:
    assert said["throughline event relay --database sqlite:///members.db --once"] == "1 sent\n"
    assert "Lucía Torres" in said["throughline show member/lucia"]
    there.follow(
        SHELL.format(
            "from django.db import transaction; from members.models import Member\n"
            "lucia = Member.objects.get()\n"
            "try:\n"
            "    with transaction.atomic():\n"
            "        lucia.name = 'Nobody'; lucia.save(); raise KeyError\n"
            "except KeyError:\n"
            "    pass\n"
            "lucia.refresh_from_db(); lucia.email = 'torres@example.org'; lucia.save()\n"
            "lucia.delete()"
        )
    )
    assert [(data["name"], data["email"], data["standing"], sent) for _, data, sent in outbox(there)] == [
        ("Lucía Torres", "lucia@example.org", "good", True),
        ("Lucía Torres", "torres@example.org", "good", False),
        ("Lucía Torres", "torres@example.org", "lapsed", False),
    ]
    assert there.follow("throughline event relay --database sqlite:///members.db --once") == "2 sent\n"
    for _ in range(100):
        shown = there.follow("throughline show member/lucia --json")
        if "lapsed" in shown:
            break
    assert "torres@example.org" in shown


@pytest.mark.rule("T10")
def test_export_sends_its_differences_and_names_its_wrong_row(there: Newcomer, said: dict[str, str]) -> None:
    assert blocks_of(PAGE)[[language for language, _ in blocks_of(PAGE)].index("csv")][1] == (
        there.folder / "members.csv"
    ).read_text("utf-8")
    command = "throughline event import members.csv --differences --column member=Number"
    assert "3 would be sent, 0 unchanged" in said[f"{command} --dry-run || true"]
    assert "3 sent, 0 unchanged" in said[f"{command} || true"]
    assert "Rosa Quintero" in said["throughline show member/rosa"]
    for _ in range(100):
        again = there.run(command)
        if "0 sent, 3 unchanged" in again.stdout:
            break
    assert again.returncode == 1
    assert "members.csv: line 4: data.email: " in again.stderr
    assert "members.csv: not used: Phone" in again.stderr
