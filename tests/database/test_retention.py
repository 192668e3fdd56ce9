"""Every table, field of a log line and search attribute has a declared kind of data and retention (STA5)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from database import mail_limits
from database.models import Base, NudgePlace
from database.retention import LOG_FIELDS, SEARCH_ATTRIBUTES, TABLES, DataKind
from database.session import Database

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    *("rules", "database", "lifecycles", "mail", "evidence", "activities", "workflows"),
    *("staff", "gateway", "worker", "embedded", "cli"),
)
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
LOGGERS = frozenset({"log", "logger", "_log"})


def calls() -> Iterator[ast.Call]:
    """All calls with a method's name in product code."""
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield node


@pytest.mark.rule("STA5")
def test_every_column_has_a_declared_kind_and_retention() -> None:
    found = {name: {column.name for column in table.columns} for name, table in Base.metadata.tables.items()}
    assert {name: set(table.columns) for name, table in TABLES.items()} == found


@pytest.mark.rule("STA5", "MEM6")
def test_every_field_of_a_log_line_has_a_declared_kind() -> None:
    found = {
        keyword.arg
        for call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in LOGGERS
        for keyword in call.keywords
    }
    assert found == set(LOG_FIELDS)


@pytest.mark.rule("STA5", "MEM6")
def test_no_log_line_or_search_attribute_holds_personal_data() -> None:
    outside = {DataKind.ID, DataKind.TECHNICAL}
    assert {*LOG_FIELDS.values(), *SEARCH_ATTRIBUTES.values()} <= outside


@pytest.mark.rule("STA5", "MEM6")
def test_every_search_attribute_has_a_declared_kind() -> None:
    found = {
        ast.literal_eval(call.args[0])
        for call in calls()
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "SearchAttributeKey"
    }
    assert found == set(SEARCH_ATTRIBUTES)


@pytest.mark.rule("STA5", "MAIL11")
async def test_places_of_past_days_are_removed(database: Database) -> None:
    at = datetime(2028, 3, 6, 15, tzinfo=UTC)
    async with database.begin() as session:
        for number, day in enumerate(("2028-01-01", "2028-03-03", "2028-03-04", "2028-03-06")):
            session.add(NudgePlace(member_id="ana", day=day, place=1, delivery=f"d-{number}"))
    async with database.begin() as session:
        assert await mail_limits.remove_past_places(session, at) == 2
    async with database.begin() as session:
        assert await mail_limits.remove_past_places(session, at) == 0
        assert set(await session.scalars(select(NudgePlace.day))) == {"2028-03-04", "2028-03-06"}
