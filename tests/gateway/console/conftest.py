"""A console for each test, on SQLite; tests that a database decides ask for both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.console.staff import ConsoleFixture, console_fixture

__all__ = ["console"]


@pytest.fixture
async def console(sqlite_url: str) -> AsyncIterator[ConsoleFixture]:
    """A console with Ana, Marcus and Eva, the request r-1 and the engagement r-2."""
    async with console_fixture(sqlite_url) as made:
        yield made
