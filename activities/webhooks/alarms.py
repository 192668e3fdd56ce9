"""The mail to staff about an endpoint that the program disabled (STA2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.command_sender import QUEUE
from activities.delivery import SendMail
from activities.webhooks.deliveries import TAKES_NOTHING, WANTS_NO_MORE
from database import ledger
from database.models import DECISIONS, Message
from database.session import Database
from database.webhook_endpoints import DISABLED_TASK, about
from lifecycles.participants import Programs
from mail.context import STAFF
from rules.agenda import PlannedMail
from rules.program import Program

STEP: Final = "alarm"
"""The step of these mails."""

_OF_ALARMS: Final = "alarm/"
"""What the workflow ids of these mails begin with; the endpoint, the instant and the program follow."""

UNREADABLE: Final = "its secret was sealed with a key that this deployment no longer has"
"""Why an endpoint is disabled whose signature cannot be made."""

_IN_SPANISH: Mapping[str, str] = {
    WANTS_NO_MORE: "respondió 410, es decir, no quiere más eventos",
    TAKES_NOTHING: "no ha recibido ningún evento en 5 días",
    UNREADABLE: "su secreto se selló con una clave que esta instalación ya no tiene",
}

_WORDS: Mapping[str, tuple[str, str]] = {
    "en": (
        "Events no longer go to the endpoint {endpoint}",
        "Ask those who run it; then use throughline webhook test and webhook enable. What waits goes out then. "
        "Events are kept for 30 days. The cause: {because}.",
    ),
    "es": (
        "Ya no se envían eventos al destino {endpoint}",
        "Pregunte a quienes lo administran; después use throughline webhook test y webhook enable. Lo que espera se "
        "envía entonces. Los eventos se guardan 30 días. La causa: {because}.",
    ),
}
"""Cause and action by language."""


class AlarmMail:
    """Plans and starts the mails about disabled endpoints."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client

    async def plan(self, session: AsyncSession, endpoint: str, because: str, at: datetime) -> None:
        """Plan a mail to the staff of each program; who runs several programs gets one."""
        readers = {
            program.manager.email.lower(): program for program in reversed(list(self._programs.values()))
        }
        for program in readers.values():
            workflow = f"{_OF_ALARMS}{endpoint}/{at:%Y%m%dT%H%M%S}/{program.id}"
            mail = PlannedMail(STEP, at, "staff.alarm", STAFF, context=_context(program, endpoint, because))
            await ledger.plan(session, workflow, program.id, [mail], at, "", {})

    async def start(self, endpoint: str) -> None:
        """Start the deliveries of the mails about an endpoint that have no decision, where they do not run."""
        async with self._database.reading() as session:
            found = await session.scalars(
                select(Message.workflow).where(
                    Message.workflow.startswith(f"{_OF_ALARMS}{endpoint}/", autoescape=True),
                    Message.state.not_in(DECISIONS),
                )
            )
            waiting = found.all()
        for workflow in waiting:
            await self._client.start_workflow(
                "Resend",
                SendMail(workflow, [f"{STEP}/1"]),
                id=workflow,
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=workflow,
            )


def _context(program: Program, endpoint: str, because: str) -> dict[str, str]:
    language = program.languages[0]
    cause, action = _WORDS.get(language, _WORDS["en"])
    if language == "es":
        because = _IN_SPANISH[because]
    return {
        "kind": DISABLED_TASK,
        "subject": about(endpoint),
        "cause": cause.format(endpoint=endpoint),
        "action": action.format(because=because),
    }
