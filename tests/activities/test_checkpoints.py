"""Checkpoints are taken day after day, and mailed on the mornings on which somebody reads mail."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from temporalio.testing import WorkflowEnvironment

from activities.inbox import QUEUE
from database.models import AuditRecord, Checkpoint, Message, Task
from embedded.stack import EmbeddedStack, StackOptions, embedded_stack
from evidence.dossier import export
from evidence.verifier import examine, hash_in
from tests.support.rehearsals import instant
from worker.assembly import load_programs
from workflows.starting import start_housekeeping
from workflows.upkeep.checkpoints import CHECKPOINTS, CheckpointsWorkflow

pytestmark = pytest.mark.rule("CPE11")

ANA = {"member": "ana", "name": "Ana", "email": "ana@example.org", "standing": "good"}


async def tell(ready: EmbeddedStack, when: str, profile: str) -> None:
    """Somebody signs up, so that something is on record."""
    events: list[tuple[str, dict[str, Any]]] = [
        ("member.updated", {**ANA, "languages": ["en"]}),
        (
            "profile.created",
            {"profile": profile, "member": "ana", "role": "mentee", "program": "asis-global"},
        ),
    ]
    await ready.advance(instant(when))
    await ready.send_events(instant(when), events)


@pytest.mark.rule("T4", "MAIL1")
async def test_rewritten_record_is_found_within_a_week_of_checkpoints(tmp_path: Path) -> None:
    mails = tmp_path / "mail"
    mails.mkdir()
    async with embedded_stack(
        {"asis-global": load_programs(Path("programs"))["asis-global"]},
        Path("templates/mail"),
        Path("programs"),
        StackOptions(mail_dir=mails),
    ) as ready:
        await ready.advance(instant("2035-03-07T18:00"))
        await ready.clock.client.start_workflow(CheckpointsWorkflow.run, id=CHECKPOINTS, task_queue=QUEUE)
        await tell(ready, "2035-03-08T10:30", "p-thursday")
        await tell(ready, "2035-03-09T22:30", "p-friday")
        await ready.advance(instant("2035-03-15T12:00"))
        async with ready.database.begin() as session:
            taken = list(await session.scalars(select(Checkpoint).order_by(Checkpoint.number)))
            sent = list(
                await session.scalars(
                    select(Message).where(Message.message == "staff.checkpoint").order_by(Message.id)
                )
            )
            dossier = await export(session, "onboarding/p-thursday")
            assert not list(await session.scalars(select(Task)))
            await session.execute(
                update(AuditRecord)
                .where(AuditRecord.chain == "onboarding/p-thursday", AuditRecord.sequence == 1)
                .values(hash="f" * 64)
            )
        await tell(ready, "2035-03-16T10:30", "p-late")
        await ready.advance(instant("2035-03-19T12:00"))
        async with ready.database.reading() as session:
            tasks = [(task.kind, task.subject) for task in await session.scalars(select(Task))]
        await ready.clock.client.get_workflow_handle(CHECKPOINTS).terminate()
    days = [row.at.astimezone(UTC).date().isoformat() for row in taken]
    assert days[:2] == ["2035-03-09", "2035-03-11"], "none on a day without news"
    assert [(row.workflow, row.state) for row in sent[:2]] == [
        ("checkpoint/1/asis-global", "sent"),
        ("checkpoint/2/asis-global", "sent"),
    ]
    mornings = [row.decided_at for row in sent[:2]]
    assert mornings == [instant("2035-03-09T09:00"), instant("2035-03-12T09:00")], "none on a weekend"
    assert tasks == [("record_altered", "onboarding/p-thursday")]
    letters = [file.read_text("utf-8") for file in sorted(mails.glob("*.eml"))]
    reports = [letter for letter in letters if "Please keep this email" in letter]
    assert [
        hash_in(letter.partition("What it is for")[0].rpartition("Chains")[2]) for letter in reports[:2]
    ] == [row.hash for row in taken[:2]]
    file = tmp_path / "dossier.zip"
    file.write_bytes(dossier)
    faults, covers = examine(file, taken[0].hash)
    assert faults == []
    assert covers.startswith("checkpoint 1, of 2035-03-09, covers 1 of ")


async def test_one_workflow_takes_checkpoints_however_many_workers_start(
    temporal_dev: WorkflowEnvironment,
) -> None:
    for _ in range(3):
        await start_housekeeping(temporal_dev.client)
    for id, kind in (("watchdog", "Watchdog"), (CHECKPOINTS, "Checkpoints"), ("digest", "Digest")):
        handle = temporal_dev.client.get_workflow_handle(id)
        assert (await handle.describe()).workflow_type == kind
        await handle.terminate()
