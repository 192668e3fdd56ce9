"""Puts the parts together: database, programs, templates, channel, activities, Temporal client and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from sqlalchemy import select
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.checkpoints import CheckpointActivities
from activities.claims import ClaimActivities
from activities.delivery import Channel, MailActivities
from activities.inbox import QUEUE, InboxActivities
from activities.planning import AgendaActivities
from activities.surveys import SurveyActivities
from activities.watchdog import WatchdogActivities
from database.links import Links
from database.models import Environment
from database.session import Database
from evidence.letters import LetterService
from evidence.renderer import Documents
from lifecycles.participants import Programs
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from rules.program import Program, load_program
from rules.program.catalogue import Catalogue, load_catalogue
from worker.workflow_runtime import WORKFLOWS, RedactErrors, workflow_runner
from workflows.agenda_loop import MAIL_QUEUE

DOCUMENTS = Path(__file__).resolve().parent.parent / "templates" / "documents"


def letter_service(catalogue: Catalogue, links: Links, documents: Path = DOCUMENTS) -> LetterService:
    """The maker of letters and certificates, which name the address where they are verified."""
    return LetterService(catalogue, Documents(documents), links.base_url)


def load_programs(folder: Path) -> dict[str, Program]:
    """The programs of a folder by id. Raises ProgramError with all mistakes of a file, OSError if there is none."""
    files = [file for file in sorted(folder.glob("*.toml")) if file.name != "catalogue.toml"]
    if not files:
        raise FileNotFoundError(f"no program file in {folder}")
    programs = [load_program(file) for file in files]
    return {program.id: program for program in programs}


class Composers:
    """One composer per program: the bundled templates, and the program's own texts before them (MAIL5)."""

    def __init__(self, templates: Path, programs: Path) -> None:
        self._templates = templates
        self._programs = programs
        self._made: dict[str, Composer] = {}

    def __call__(self, program: Program) -> Composer:
        """The composer of a program."""
        if program.id not in self._made:
            texts = self._programs / program.id
            same = next(iter(self._made.values()), None)
            if same is not None and not texts.is_dir() and not any(self._own(other) for other in self._made):
                self._made[program.id] = same
            else:
                self._made[program.id] = Composer(self._templates, [texts] if texts.is_dir() else [])
        return self._made[program.id]

    def _own(self, program: str) -> bool:
        return (self._programs / program).is_dir()


@dataclass
class Components:
    """All that a worker needs besides Temporal."""

    database: Database
    programs: Programs
    composers: Composers
    channel: Channel
    links: Links
    allowlist: RecipientAllowlist
    environment: str
    catalogue: Catalogue = field(default_factory=load_catalogue)
    documents: Path = DOCUMENTS

    @cached_property
    def paper(self) -> LetterService:
        """The maker of letters and certificates."""
        return letter_service(self.catalogue, self.links, self.documents)

    @cached_property
    def mail(self) -> MailActivities:
        """The mail activities: one object per process, since it holds the deliveries in flight."""
        return MailActivities(
            self.database,
            self.programs,
            self.composers,
            self.channel,
            self.links,
            self.allowlist,
        )

    async def claim_environment(self) -> None:
        """Make the database this environment's; raises RuntimeError if it is another's (MAIL8)."""
        async with self.database.begin() as session:
            found = await session.scalar(select(Environment.name))
            if found is None:
                session.add(Environment(id=1, name=self.environment))
            elif found != self.environment:
                raise RuntimeError(
                    f"the database belongs to environment {found!r}, this worker is {self.environment!r}: "
                    "a copy does not mail"
                )


@asynccontextmanager
async def workers(
    client: Client,
    parts: Components,
    *,
    interceptors: Sequence[Interceptor] = (),
    max_cached_workflows: int = 500,
    deliveries: int = 8,
    per_second: float | None = None,
    graceful: timedelta = timedelta(seconds=20),
) -> AsyncIterator[tuple[Worker, Worker]]:
    """The two workers of one process, running: workflows with database work, and deliveries."""
    agenda = AgendaActivities(parts.database, parts.programs, parts.paper)
    claims = ClaimActivities(parts.database, parts.programs, parts.paper)
    surveys = SurveyActivities(parts.database, parts.programs)
    inbox = InboxActivities(parts.database, parts.programs, client, parts.catalogue)
    watchdog = WatchdogActivities(parts.database, parts.programs, client)
    checkpoints = CheckpointActivities(parts.database, parts.programs, client)
    common = {
        "interceptors": [RedactErrors(), *interceptors],
        "graceful_shutdown_timeout": graceful,
        # Sent on as they come: kept back, as is usual, they would leave an activity seconds from seeming dead.
        "max_heartbeat_throttle_interval": timedelta(seconds=5),
    }
    main = Worker(
        client,
        task_queue=QUEUE,
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        activities=[
            agenda.plan_onboarding,
            agenda.plan_request,
            agenda.plan_engagement,
            claims.plan_claim,
            surveys.plan_survey,
            inbox.apply_events,
            inbox.perform_commands,
            watchdog.look_for_overdue,
            checkpoints.look_for_checkpoint,
        ],
        max_cached_workflows=max_cached_workflows,
        **common,  # type: ignore[arg-type]
    )
    mail = Worker(
        client,
        task_queue=MAIL_QUEUE,
        activities=[parts.mail.send_mail],
        max_concurrent_activities=deliveries,
        max_task_queue_activities_per_second=per_second,
        **common,  # type: ignore[arg-type]
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(main)
        await stack.enter_async_context(mail)
        yield main, mail
