"""The code before the newest migration works on the schema after it: old and new processes share one database.

`make oldcode` runs all tests of the rooms that know tables; here are a few.
"""

from __future__ import annotations

from pathlib import Path

from database.schema_upgrade import head
from tests.support.rollout.old_code import commit_before_newest_migration, main, run_tests, unpack

FEW = ("tests/database/test_ledger.py", "tests/database/test_event_queue.py")


def test_code_of_before_works_on_the_schema_of_now(tmp_path: Path) -> None:
    unpack(commit_before_newest_migration(), tmp_path)
    done = run_tests(tmp_path, FEW)
    said = done.stdout.decode()
    assert done.returncode == 0, said
    assert " passed" in said


def test_migration_that_old_code_cannot_live_with_is_found(tmp_path: Path) -> None:
    unpack("HEAD", tmp_path)
    ours = head()
    (tmp_path / "database/migrations/versions/9999_harmful.py").write_text(
        f'''revision, down_revision, branch_labels, depends_on = "9999", "{ours}", None, None

from alembic import op

def upgrade():
    with op.batch_alter_table("messages") as table:
        table.alter_column("step", new_column_name="stage")
'''
    )
    done = run_tests(tmp_path, [FEW[0], "-k", "sqlite", "--exitfirst"])
    assert done.returncode == 1
    assert "step" in done.stdout.decode()


def test_wrong_commit_is_named() -> None:
    assert main(["no-such-commit"]) == 2
