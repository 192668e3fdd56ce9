"""Runs tests of an earlier commit, with its code, on the schema that this version's migrations make.

    python -m tests.support.rollout.old_code [COMMIT [TEST…]]

While a release rolls out, old processes work on the new schema, and go on there if the release is taken back. By
default the commit is the one before the newest migration, and the tests are those of the rooms that know tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from alembic.script import ScriptDirectory

from database.schema_upgrade import MIGRATIONS, head

ROOT = Path(__file__).resolve().parents[3]

FIXTURE = "tests/support/databases.py"

TESTS = ("tests/database", "tests/lifecycles")

OF_THE_SCHEMA_ITSELF = (
    "test_migrations.py",
    "test_migration_safety.py",
    "test_schema.py",
)
"""They compare the schema with the models or read the migrations: of course they differ here."""


def commit_before_newest_migration() -> str:
    """Return the commit before the one that added the last migration; the first one known, where history ends there."""
    script = ScriptDirectory(str(MIGRATIONS)).get_revision(str(head()))
    file = Path(script.path).relative_to(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "--", str(file)).split()
    if not added:
        return _git("rev-parse", "HEAD").strip()
    parents = _git("rev-list", "--parents", "--max-count=1", added[-1]).split()
    return parents[1] if len(parents) > 1 else parents[0]


def unpack(commit: str, folder: Path) -> None:
    """Put the files of a commit into a folder, with this version's migrations and the fixture that empties them.

    Raises ValueError for no commit.
    """
    try:
        _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError:
        raise ValueError(f"{commit} is no commit of this repository") from None
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=packed, check=True)
    shutil.rmtree(folder / "database" / "migrations")
    shutil.copytree(
        MIGRATIONS, folder / "database" / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )


def run_tests(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run tests of an unpacked commit with its own code; packages are those of this environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ignored = [f"--ignore-glob=*/{name}" for name in OF_THE_SCHEMA_ITSELF]
    command = [sys.executable, "-m", "pytest", "--quiet", "--no-header", "-p", "no:xdist", *ignored, *tests]
    return subprocess.run(command, cwd=folder, env=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main(arguments: Sequence[str]) -> int:
    """Run the tests, print what they say, and return their exit status."""
    commit = arguments[0] if arguments else commit_before_newest_migration()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            unpack(commit, folder)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        print(f"Code and tests of {commit[:12]}, on the schema {head()}:", flush=True)
        done = run_tests(folder, arguments[1:] or TESTS)
    print(done.stdout.decode(errors="replace"), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
