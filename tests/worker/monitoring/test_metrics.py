"""What a process shows its operators on the health port: metrics of the deployment, liveness, readiness."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.event import listen

from database.models import ChannelStop, Event, Message, OutboxEvent, Task, WebhookEndpoint
from database.session import Database
from embedded.faults import DatabaseFault
from gateway.health import DatabaseCheck
from tests.support.gateway import people, request_row
from worker.monitoring.backlog import read_backlog, read_service_level
from worker.monitoring.exposition import Metric, MetricValue, exposition
from worker.monitoring.health_server import health_app
from worker.monitoring.metrics import ProcessMetrics

NOW = datetime(2028, 3, 6, 15, tzinfo=UTC)


def message(number: int, state: str = "planned", **more: object) -> Message:
    return Message(
        **{
            "delivery": f"d-{number}",
            "workflow": "onboarding/p-1",
            "step": "check-in",
            "occurrence": number,
            "message": "mentee.checkin",
            "message_class": "owed",
            "program": "asis-global",
            "to_profile": "p-1",
            "planned_at": NOW - timedelta(days=1),
            "due_at": NOW - timedelta(minutes=number),
            "state": state,
            **more,
        }
    )


def event(number: int, state: str, minutes: int) -> Event:
    heard = NOW - timedelta(minutes=minutes)
    return Event(
        source="/members",
        event_id=str(number),
        type="member.updated",
        subject="member/m-1",
        data={},
        heard_at=heard,
        state=state,
    )


def task(number: int, kind: str, state: str = "open") -> Task:
    return Task(
        kind=kind,
        subject=f"onboarding/p-{number}",
        cause="",
        action="",
        state=state,
        opened_at=NOW,
        due_at=NOW,
    )


async def read(database: Database) -> dict[str, float]:
    async with database.reading() as session:
        return values(exposition(await read_backlog(session, NOW)))


def values(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def fill(database: Database, *rows: object) -> None:
    async with database.begin() as session:
        for row in rows:
            session.add(row)
            await session.flush()


@pytest.mark.rule("MAIL1")
async def test_metrics_count_what_waits_and_what_was_decided(database: Database) -> None:
    async with database.begin() as session:
        for row in [*people(), request_row()]:
            session.add(row)
            await session.flush()
        await session.execute(text("UPDATE requests SET state = 'past_due'"))
    await fill(
        database,
        message(3),
        message(90),
        message(91, staff_order="hold"),
        message(92, due_at=None),
        message(-5),
        message(4, "sent", decided_at=NOW - timedelta(minutes=2)),
        message(5, "sent", decided_at=NOW - timedelta(minutes=50), message_class="nudge"),
        message(6, "failed", decided_at=NOW - timedelta(hours=2), came_back="hard", came_back_at=NOW),
        event(1, "stored", 7),
        event(2, "held", 600),
        event(3, "applied", 900),
        task(1, "mail_failed"),
        task(2, "mail_failed", "closed"),
        task(3, "misconduct"),
        ChannelStop(id=1, stopped_at=NOW),
    )
    found = await read(database)
    assert found["throughline_messages_due"] == 2
    assert found["throughline_messages_due_oldest_age_seconds"] == 90 * 60
    assert {name: value for name, value in found.items() if "decided_last_hour" in name} == {
        'throughline_messages_decided_last_hour{decision="sent",message_class="owed"}': 1,
        'throughline_messages_decided_last_hour{decision="sent",message_class="nudge"}': 1,
    }
    assert (
        found["throughline_message_last_sent_timestamp_seconds"] == (NOW - timedelta(minutes=2)).timestamp()
    )
    assert found['throughline_messages_came_back_last_day{kind="hard"}'] == 1
    assert found["throughline_requests_past_due"] == 1
    assert found['throughline_events_waiting{state="stored"}'] == 1
    assert found['throughline_events_waiting{state="held"}'] == 1
    assert found["throughline_events_oldest_age_seconds"] == 7 * 60
    assert {name: value for name, value in found.items() if "tasks_open" in name} == {
        'throughline_tasks_open{kind="mail_failed"}': 1
    }
    assert found["throughline_mail_channel_stopped"] == 1


async def test_metrics_have_the_service_level_of_the_last_day(database: Database) -> None:
    """`tests/staff/test_service_level.py` has what counts."""
    due = {"due_at": NOW - timedelta(hours=3)}
    quick, slow = NOW - timedelta(hours=3) + timedelta(seconds=2), NOW - timedelta(hours=2)
    await fill(
        database,
        message(1, "sent", attempted_at=quick, **due),
        message(2, "sent", attempted_at=slow, **due),
        message(3, "sent", attempted_at=quick, program="asis-laac", **due),
        message(4, "sent", attempted_at=NOW, due_at=NOW - timedelta(days=2)),
    )
    async with database.reading() as session:
        found = values(exposition(await read_service_level(session, NOW)))
    assert found == {
        'throughline_service_level_ratio{program="asis-global"}': 0.5,
        'throughline_service_level_ratio{program="asis-laac"}': 1,
        'throughline_service_level_messages{program="asis-global"}': 2,
        'throughline_service_level_messages{program="asis-laac"}': 1,
        'throughline_service_level_slowest_seconds{program="asis-global"}': 3600,
        'throughline_service_level_slowest_seconds{program="asis-laac"}': 2,
    }


async def test_metrics_show_the_lag_of_each_endpoint(database: Database) -> None:
    waiting = {"subject": "request/r-1", "type": "request.closed", "data": {}, "state": "waiting"}
    await fill(
        database,
        WebhookEndpoint(
            name="crm", url="https://crm.example.org", types=[], state="disabled", secret="", created_at=NOW
        ),
        OutboxEvent(endpoint="crm", event_id="evt_1", sequence=1, at=NOW - timedelta(minutes=9), **waiting),
        OutboxEvent(endpoint="crm", event_id="evt_2", sequence=2, at=NOW, **waiting),
    )
    found = await read(database)
    assert found['throughline_outbox_waiting{endpoint="crm"}'] == 2
    assert found['throughline_outbox_oldest_age_seconds{endpoint="crm"}'] == 9 * 60
    assert found["throughline_endpoints_disabled"] == 1


async def test_metrics_of_an_empty_database_are_zero(database: Database) -> None:
    found = await read(database)
    assert set(found.values()) == {0.0}
    assert found["throughline_messages_due_oldest_age_seconds"] == 0


def test_exposition_escapes_what_labels_and_help_hold() -> None:
    metric = Metric(
        "m", "one\nline", [MetricValue(1.5, {"name": 'a"b\\c\nd'}), MetricValue(1_700_000_000.25, {})]
    )
    assert exposition([metric]).splitlines() == [
        "# HELP m one\\nline",
        "# TYPE m gauge",
        'm{name="a\\"b\\\\c\\nd"} 1.5',
        "m 1700000000.25",
    ]


@asynccontextmanager
async def health_port(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = health_app({"database": DatabaseCheck(database)}, ProcessMetrics("worker", database, lambda: True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client:
        yield client


async def test_health_port_answers_for_the_process(database: Database) -> None:
    async with health_port(database) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = values(answer.text)
        assert found["throughline_database_up"] == 1
        assert found["throughline_mail_login_refused"] == 1
        assert any('process="worker"' in name for name in found)


async def test_scrape_goes_on_while_the_database_is_down(database: Database) -> None:
    DatabaseFault(database).down = True
    async with health_port(database) as client:
        found = values((await client.get("/metrics")).text)
        assert found["throughline_database_up"] == 0
        assert "throughline_messages_due" not in found
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_database_that_only_reads_is_not_ready(database: Database) -> None:
    """PostgreSQL as a standby answers every question, and so does SQLite on a disk that is mounted read-only."""
    statement = "PRAGMA query_only = ON" if database.is_sqlite else "SET default_transaction_read_only = on"

    def refuse_writes(connection: Any, _record: object) -> None:
        connection.cursor().execute(statement)
        if not database.is_sqlite:
            connection.commit()

    await database.engine.dispose()
    listen(database.engine.sync_engine, "connect", refuse_writes)
    async with health_port(database) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"]["reason"] == "the database takes no writes"
