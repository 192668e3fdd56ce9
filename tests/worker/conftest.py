"""A migrated database for each test that wants one: a copy of a file that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from database.session import Database
from tests.command_world import CommandWorld


@pytest.fixture(scope="session")
async def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("migrated") / "throughline.db"
    database = Database(f"sqlite:///{file}")
    await database.upgrade()
    await database.close()
    return file


@pytest.fixture
async def world(tmp_path: Path, migrated_file: Path) -> AsyncIterator[CommandWorld]:
    """A migrated database with Ana, who signed up as a mentee yesterday, and Bob, a mentor; the command beside it."""
    shutil.copy(migrated_file, tmp_path / "throughline.db")
    there = CommandWorld(tmp_path)
    await there.add_member("ana")
    year = there.now.year
    cycle = {"code": "CPP", "cycle_start": f"{year}-01-01", "cycle_end": f"{year + 2}-12-31"}
    await there.add_member("bob", time_zone="Europe/Madrid", country="ES", certifications=[cycle])
    await there.sign_up("p-ana", "ana")
    await there.sign_up("p-bob", "bob", "mentor")
    yield there
    await there.database.close()
