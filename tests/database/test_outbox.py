"""Events out are written with the change that they report, once for each endpoint that wants them, without people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select

from activities.webhooks import envelope_of
from activities.webhooks.request import LARGEST
from database import audit, ledger, outbox, webhook_endpoints
from database.key_ring import KeyRing
from database.models import AuditRecord, OutboxEvent, WebhookEndpoint
from database.session import Database
from database.tasks import close_task_of, open_task
from database.webhook_endpoints import PURPOSE, SecretUnreadable, target_of
from rules.agenda import PlannedMail
from rules.events.check import read_model
from rules.events.outgoing_types import OUTGOING_TYPES, SUBSCRIBABLE
from rules.events.webhook_schedule import KEPT_FOR

AT = datetime(2028, 3, 6, 15, tzinfo=UTC)
KEYS = KeyRing(("a key for tests only",))


async def endpoint(database: Database, name: str, types: Sequence[str] = (), **columns: Any) -> None:
    """An endpoint that wants types of events."""
    sealed = KEYS.seal(PURPOSE, webhook_endpoints.new_secret())
    async with database.begin() as session:
        usual = {"url": "https://members.example.org/events", "secret": sealed, "created_at": AT}
        session.add(WebhookEndpoint(name=name, types=list(types), **{**usual, **columns}))
        webhook_endpoints.forget_known(session)


async def rows(database: Database) -> list[OutboxEvent]:
    async with database.reading() as session:
        return list(await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))


async def changes(session: Any, state: str = "open", request: str = "r-1") -> AuditRecord:
    """A request changes its state."""
    data = {"state": state, "due": AT.isoformat()}
    return await audit.append(session, f"request/{request}", "state", AT, data)


async def test_event_is_written_with_its_change_or_not_at_all(database: Database) -> None:
    await endpoint(database, "members")
    async with database.begin() as session:
        await changes(session)
        await session.rollback()
    assert await rows(database) == []
    async with database.begin() as session:
        record = await changes(session)
    (row,) = await rows(database)
    assert (row.endpoint, row.type, row.subject) == ("members", "request.state_changed", "engagement/r-1")
    assert (row.sequence, row.event_id) == (record.sequence, outbox.event_id("engagement/r-1", 1))
    assert row.data == {"request": "r-1", "state": "open", "since": AT.isoformat()}


async def test_each_endpoint_gets_the_types_that_it_wants(database: Database) -> None:
    await endpoint(database, "all")
    await endpoint(database, "requests", ["request.state_changed"])
    await endpoint(database, "tasks", ["task.opened"])
    await endpoint(database, "gone", collects=False, state="disabled")
    async with database.begin() as session:
        await changes(session)
        await open_task(session, "mentee_unmatched", "onboarding/p-1", "no match", "Help.", AT)
    assert [(row.endpoint, row.type) for row in await rows(database)] == [
        ("all", "request.state_changed"),
        ("requests", "request.state_changed"),
        ("all", "task.opened"),
        ("tasks", "task.opened"),
    ]


async def test_without_an_endpoint_a_change_costs_no_statement_more(database: Database) -> None:
    async with database.begin() as session:
        await changes(session)
    statements: list[str] = []
    event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: statements.append(statement),
    )
    async with database.begin() as session:
        await changes(session, "accepted")
    assert [each for each in statements if "webhook" in each or "outbox" in each] == []


async def test_order_and_ids_follow_from_the_chain_of_the_engagement(database: Database) -> None:
    """What belongs to one engagement is one subject: its request, its claims, its mail."""
    await endpoint(database, "members")
    async with database.begin() as session:
        await changes(session)
        mail = PlannedMail("match", AT, "mentor.match", "p-marcus")
        plan = await ledger.plan(session, "engagement/r-1", "asis-global", [mail], AT, "", {})
        await ledger.decide(session, plan.waiting[0], "cancelled", "a reason that somebody wrote", AT)
        credit = {"status": "ready", "earned": 6, "countable": 4}
        await audit.append(session, "claim/r-1/mentor/CPP", "credit", AT, credit)
    found = await rows(database)
    assert [row.type for row in found] == ["request.state_changed", "mail.decided", "claim.decided"]
    assert [row.sequence for row in found] == [1, 2, 3]
    assert {row.subject for row in found} == {"engagement/r-1"}
    assert "somebody wrote" not in json.dumps([row.data for row in found])


@pytest.mark.rule("ENG8")
async def test_suspension_goes_out_as_the_pause_that_parties_see(database: Database) -> None:
    await endpoint(database, "members")
    async with database.begin() as session:
        for state in ("suspended", "paused"):
            data = {"state": state, "due": AT.isoformat()}
            await audit.append(session, "engagement/r-1", "state", AT, data)
        await open_task(session, "misconduct", "engagement/r-1", "misconduct, report 1", "Read it.", AT)
        refused = {"event": "engagement.misconduct_reported", "id": "e-1", "reason": "it is over"}
        await audit.append(session, "engagement/r-1", "refused", AT, refused)
        read = {"act": "report read", "report": 1}
        await audit.append(session, "engagement/r-1", "act", AT, read, actor="lina")
    assert [row.data["state"] for row in await rows(database)] == ["paused"]


LONG = "x" * 64
RECORDS: list[tuple[str, str, dict[str, Any]]] = [
    (f"onboarding/{LONG}", "state", {"state": "matched", "due": AT.isoformat()}),
    (f"engagement/{LONG}", "state", {"state": "completed", "due": AT.isoformat()}),
    (f"claim/{LONG}/mentor/CPP", "state", {"state": "ready", "due": AT.isoformat()}),
    (f"survey/{LONG}/mentee", "state", {"state": "answered", "due": AT.isoformat()}),
    (f"cohort/{LONG}", "state", {"state": "running", "due": AT.isoformat()}),
    (f"meetup/{LONG}", "state", {"state": "held", "due": AT.isoformat()}),
    (f"engagement/{LONG}", "act", {"id": "1", "act": "extend", "months": "2"}),
    (f"engagement/{LONG}", "act", {"id": "2", "act": "extend", "end": "2029-01-31"}),
    (f"request/{LONG}", "act", {"id": "3", "act": "extend", "business_days": "2"}),
    (f"onboarding/{LONG}", "act", {"id": "4", "act": "extend", "check_ins": "1"}),
    (f"claim/{LONG}/mentor/CPP", "credit", {"status": "revoked", "earned": 0, "countable": 0}),
    (
        f"claim/{LONG}/mentee/PSP",
        "letter",
        {"letter": "7KQ2-M9TX-4HBC-WD3R", "letter_kind": "letter", "sha256": "a" * 64, "role": "mentee"},
    ),
    (f"claim/{LONG}/mentee/PSP", "letter", {"letter": "7KQ2", "revoked": True, "because": "mistake"}),
    (
        f"request/{LONG}",
        "came_back",
        {
            "message": "m",
            "to": LONG,
            "workflow": "w",
            "class": "hard",
            "delivery": "d",
            "reason": "no such user",
        },
    ),
    (f"request/{LONG}", "refused", {"event": "request.accepted", "id": "e" * 200, "reason": "it is over"}),
]


async def test_every_type_of_event_is_small_and_as_its_schema_says(database: Database) -> None:
    await endpoint(database, "members")
    async with database.begin() as session:
        for subject, kind, data in RECORDS:
            await audit.append(session, subject, kind, AT, data, actor="Lina Vega", veiled={"reason": "Lina"})
        await changes(session)
        await open_task(session, "inactive", "engagement/r-2", "no answer", "Ask Lina.", AT)
        await close_task_of(session, "engagement/r-2", "no answer", "Lina answered", AT)
        mail = PlannedMail("match", AT, "mentee.checkin", "p-1", number=3)
        plan = await ledger.plan(session, "onboarding/p-1", "asis-global", [mail], AT, "", {})
        await ledger.decide(session, plan.waiting[0], "sent", None, AT)
    found = await rows(database)
    assert {row.type for row in found} == set(SUBSCRIBABLE)
    for row in found:
        read, errors = read_model(OUTGOING_TYPES[row.type], row.data)
        assert errors == [], row.type
        assert read is not None
        assert set(row.data) == set(read.model_dump(by_alias=True, exclude_none=True))
        body = json.dumps(envelope_of(row, "/throughline/test"))
        assert len(body) < LARGEST
        assert "Lina" not in body
        assert "no such user" not in body


@pytest.mark.parametrize("name", OUTGOING_TYPES)
def test_example_of_an_outgoing_type_follows_its_schema(name: str) -> None:
    assert read_model(OUTGOING_TYPES[name], OUTGOING_TYPES[name].example)[1] == []


async def test_events_are_removed_after_their_time(database: Database) -> None:
    long_ago = AT - KEPT_FOR - timedelta(hours=1)
    await endpoint(database, "well")
    await endpoint(database, "away", state="disabled", disabled_at=long_ago)
    await endpoint(database, "resting", state="disabled", disabled_at=AT - timedelta(days=29))
    async with database.begin() as session:
        for number in range(3):
            await changes(session, request=f"r-{number}")
    async with database.begin() as session:
        well = list(await session.scalars(select(OutboxEvent).where(OutboxEvent.endpoint == "well")))
        well[0].state, well[0].decided_at = "delivered", long_ago
        well[1].state, well[1].decided_at = "failed", AT
        await outbox.remove_old(session, AT)
    async with database.reading() as session:
        counted = await session.execute(
            select(OutboxEvent.endpoint, func.count()).group_by(OutboxEvent.endpoint)
        )
        assert sorted(counted.all()) == [("resting", 3), ("well", 2)]
        collecting = await session.scalars(select(WebhookEndpoint.name).where(WebhookEndpoint.collects))
        assert sorted(collecting) == ["resting", "well"]


async def test_secret_is_sealed_and_survives_the_rotation_of_keys(database: Database) -> None:
    new = "a newer key for tests"
    await endpoint(database, "members")
    async with database.begin() as session:
        row = await webhook_endpoints.find(session, "members")
        assert row is not None
        (secret,) = target_of(row, KEYS, AT).secrets
        assert secret not in row.secret
        assert secret.startswith("whsec_")
        with pytest.raises(SecretUnreadable):
            target_of(row, KeyRing((new,)), AT)
        session.info["keys"] = KeyRing((new, *KEYS.keys))
        await webhook_endpoints.renew_seals(session)
        assert target_of(row, KeyRing((new,)), AT).secrets == [secret]
        assert secret not in repr(target_of(row, KeyRing((new,)), AT))


async def test_old_secret_signs_for_the_grace_time_only(database: Database) -> None:
    await endpoint(database, "members")
    async with database.begin() as session:
        row = await webhook_endpoints.find(session, "members")
        assert row is not None
        before = target_of(row, KEYS, AT).secrets
        made = webhook_endpoints.rotate(row, KEYS, timedelta(hours=2), AT)
        assert target_of(row, KEYS, AT + timedelta(hours=1)).secrets == [made, *before]
        assert target_of(row, KEYS, AT + timedelta(hours=2)).secrets == [made]


def test_seal_of_one_purpose_does_not_open_for_another() -> None:
    sealed = KEYS.seal("one", "a secret")
    with pytest.raises(ValueError, match="not in the ring"):
        KEYS.unseal("another", sealed)
    with pytest.raises(ValueError, match="not in the ring"):
        KEYS.unseal("one", sealed[:-4] + "AAAA")
