"""Migrations run while old code works: a linter reads their statements for PostgreSQL, and finds what stops others.

squawk (https://squawkhq.com) has a page for each rule, with the safe way. Two of them, for Alembic:

- an index on a table that exists: `with op.get_context().autocommit_block():`, then `op.create_index(…,
  postgresql_concurrently=True)`, in a migration of its own;
- a column that code of before does not fill: nullable, or with a server default.
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from database.schema_upgrade import MIGRATIONS, config_of
from tests.conftest import program

FIRST = "0020"
"""The first migration that is read. An earlier one fills a column from the rows that it finds."""

STYLE = ("prefer-bigint-over-int", "prefer-identity", "prefer-text-field", "prefer-robust-stmts")
"""Rules about taste: the models choose the types, and a migration runs once, in a transaction."""

SET_BY_US = ("require-lock-timeout", "require-statement-timeout")
"""`database/schema_upgrade.py` limits the wait for a table. A statement that has it may take its time."""

BEFORE_THE_CHECK = "released before this check; it blocks writers for a second per million rows"

ACCEPTED = {
    ("0024", "require-concurrent-index-creation"): BEFORE_THE_CHECK,
    ("0026", "require-concurrent-index-creation"): BEFORE_THE_CHECK,
    ("0027", "require-concurrent-index-creation"): BEFORE_THE_CHECK,
    ("0029", "require-concurrent-index-creation"): BEFORE_THE_CHECK,
}
"""What is unsafe and stays, by migration and rule, and why."""


def statements(since: str, until: str) -> str:
    """The statements of the migrations after one, up to another, as PostgreSQL gets them."""
    config = config_of("postgresql+psycopg://")
    config.output_buffer = io.StringIO()
    command.upgrade(config, f"{since}:{until}", sql=True)
    return config.output_buffer.getvalue()


def unsafe(folder: Path, files: dict[str, str]) -> set[tuple[str, str]]:
    """What the linter finds in statements by the name of their migration: name and rule."""
    for name, sql in files.items():
        (folder / f"{name}.sql").write_text(sql)
    excluded = ",".join((*STYLE, *SET_BY_US))
    done = subprocess.run(
        [program("squawk"), "--reporter=json", "--pg-version=14.0", f"--exclude={excluded}"]
        + [str(folder / f"{name}.sql") for name in files],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return {(Path(each["file"]).stem, each["rule_name"]) for each in json.loads(done.stdout or "[]")}


def test_migrations_stop_nobody_or_say_why(tmp_path: Path) -> None:
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    read = {
        each.revision: statements(str(each.down_revision), each.revision)
        for each in scripts
        if each.revision >= FIRST
    }
    assert len(read) > 9
    assert unsafe(tmp_path, read) == set(ACCEPTED)


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("CREATE INDEX ix ON messages (step);", "require-concurrent-index-creation"),
        ("ALTER TABLE messages ADD COLUMN more text NOT NULL;", "adding-required-field"),
        ("ALTER TABLE messages DROP COLUMN step;", "ban-drop-column"),
        ("ALTER TABLE messages RENAME COLUMN step TO stage;", "renaming-column"),
        ("ALTER TABLE messages ALTER COLUMN step TYPE integer;", "changing-column-type"),
        ("DROP TABLE messages;", "ban-drop-table"),
        ("ALTER TABLE messages ALTER COLUMN step SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE messages ADD UNIQUE (step);", "disallowed-unique-constraint"),
    ],
)
def test_unsafe_statements_are_found(tmp_path: Path, sql: str, rule: str) -> None:
    assert ("9999", rule) in unsafe(tmp_path, {"9999": f"BEGIN;\n{sql}\nCOMMIT;\n"})


def test_index_beside_writers_is_accepted(tmp_path: Path) -> None:
    assert unsafe(tmp_path, {"9999": "CREATE INDEX CONCURRENTLY ix ON messages (step);"}) == set()
