"""Assembles the parts of a worker: database, programs, templates, mail channel, activities and Temporal workers."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from sqlalchemy.exc import IntegrityError
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Interceptor, Worker, WorkerDeploymentConfig

from activities.claims import ClaimActivities
from activities.cohorts import CohortActivities
from activities.delivery import MailActivities
from activities.inbox import QUEUE, InboxActivities
from activities.meetups import MeetupActivities
from activities.planning import AgendaActivities
from activities.surveys import SurveyActivities
from activities.upkeep.checkpoints import CheckpointActivities
from activities.upkeep.digest import DigestActivities
from activities.upkeep.watchdog import WatchdogActivities
from activities.webhooks import AddressPolicy, WebhookActivities, WebhookSender
from database import environment, program_trials, program_versions, text_versions, webhook_endpoints
from database.environment import Deployment
from database.erased_file import ErasedFile
from database.links import Links
from database.session import Database
from evidence.letters import LetterService
from evidence.renderer import DocumentRenderer
from lifecycles.participants import Programs
from lifecycles.registry import LIFECYCLES
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from mail.samples.mails import SampleMails
from mail.smtp.channel import SmtpChannel
from rules.program import Program, load_program
from rules.program.brand import Palette
from rules.program.catalogue import Catalogue, load_catalogue
from rules.program.toml_schema import Mistake, ProgramError
from staff.accounts.coordinator_week import CoordinatorWeeks
from worker.erasures import apply_erasures
from worker.workflow_runtime import WORKFLOWS, RedactErrors, workflow_runner
from workflows.agenda_loop import MAIL_QUEUE

log = structlog.get_logger()

DOCUMENTS = Path(__file__).resolve().parent.parent / "templates" / "documents"


def letter_service(catalogue: Catalogue, links: Links, documents: Path = DOCUMENTS) -> LetterService:
    """Return the service that makes letters and certificates; they print the address that verifies them."""
    return LetterService(catalogue, DocumentRenderer(documents), links.base_url)


def webhook_sender(environment: str, allowed: Sequence[str]) -> WebhookSender:
    """Return what sends events to other systems. Raises ValueError for an entry that is no network."""
    source = f"/throughline/{quote(environment)}"
    return WebhookSender(AddressPolicy(allowed), source, lambda: datetime.now(UTC))


def load_programs(folder: Path) -> dict[str, Program]:
    """Return the programs of a folder by id.

    Raises ProgramError with all mistakes of a file, and for two of one id; OSError if the folder has no program.
    """
    files = [file for file in sorted(folder.glob("*.toml")) if file.name != "catalogue.toml"]
    if not files:
        raise FileNotFoundError(f"no program file in {folder}")
    programs: dict[str, Program] = {}
    for file in files:
        program = load_program(file)
        if program.id in programs:
            reason = f"must differ from that of every other file in the folder, unlike {program.id}"
            raise ProgramError((Mistake(str(file), "id", reason),))
        programs[program.id] = program
    return programs


def versions_of(programs: Programs) -> dict[str, str]:
    """Return the versions of programs, as people read them, by their ids (CPE12)."""
    return {program.id: program.version for program in programs.values()}


async def claim_environment(database: Database, process: Deployment) -> None:
    """Make the database a process's deployment's. Raises EnvironmentRefused, naming what differs (MAIL8).

    What the key ring seals is sealed with its first key from now on.
    """
    try:
        async with database.begin() as session:
            changed = await environment.claim(session, process)
            await webhook_endpoints.renew_seals(session)
    except IntegrityError:
        # Two processes found a new database at the same moment; the other one has written the row.
        async with database.begin() as session:
            changed = await environment.claim(session, process)
    for name, (before, now) in changed.items():
        log.warning("program_version_changed", program=name, before=before, now=now)


async def keep_program_versions(database: Database, programs: Programs) -> None:
    """Keep the versions of a worker's programs: each lifecycle goes on by the one that it began with (CPE12).

    Raises ProgramVersionRefused, naming the version, where lifecycles go on by one that cannot be read.
    """
    tables = [entry.table for entry in LIFECYCLES.values()]

    async def keep() -> None:
        async with database.begin() as session:
            await program_versions.keep(session, programs.values(), tables, datetime.now(UTC))

    try:
        await keep()
    except IntegrityError:
        # Two workers found a new version at the same moment; the other one has written it.
        await keep()


async def begin_trials(database: Database, programs: Programs) -> None:
    """Put programs that are new to a deployment in production into trial: they mail staff and guests only."""
    tables = [entry.table for entry in LIFECYCLES.values()]

    async def begin() -> None:
        async with database.begin() as session:
            await program_trials.begin_new(session, programs.values(), tables, datetime.now(UTC))

    try:
        await begin()
    except IntegrityError:
        # Two workers found a new program at the same moment; the other one has put it into trial.
        await begin()


async def keep_texts(
    database: Database, programs: Programs, composers: Callable[[Program], Composer]
) -> None:
    """Keep the texts of mails that a worker starts with, and who started it: staff read what changed when."""
    by = f"{getpass.getuser()} on {socket.gethostname()}, throughline {version('throughline')}"
    for program in programs.values():
        texts = (await asyncio.to_thread(composers, program)).sources()
        for attempt in (1, 2):
            try:
                async with database.begin() as session:
                    count = await text_versions.keep(session, program.id, texts, by, datetime.now(UTC))
                break
            except IntegrityError:
                # Two workers found a new text at the same moment; the other one has written it.
                if attempt == 2:
                    raise
        if count:
            log.debug("texts_kept", program=program.id, count=count)


class Composers:
    """One composer per program. A program's own texts take precedence over the bundled templates (MAIL5)."""

    def __init__(self, templates: Path, programs: Path) -> None:
        self._templates = templates
        self._programs = programs

    def __call__(self, program: Program) -> Composer:
        """Return the composer of a program."""
        texts = self._programs / program.id
        return _composer(self._templates, texts if texts.is_dir() else None, program.brand.palette)


@cache
def _composer(templates: Path, texts: Path | None, palette: Palette) -> Composer:
    """Return the composer of templates, texts and colours, made once a process: it takes a second to compile them."""
    return Composer(templates, [texts] if texts else [], palette)


@dataclass
class Components:
    """All that a worker needs in addition to Temporal."""

    database: Database
    programs: Programs
    composers: Composers
    channel: SmtpChannel
    links: Links
    allowlist: RecipientAllowlist
    environment: str
    catalogue: Catalogue = field(default_factory=load_catalogue)
    documents: Path = DOCUMENTS
    webhook_allow: Sequence[str] = ()
    """The networks that events may go to beside public addresses."""
    erased: ErasedFile | None = None
    """Where erasures are kept outside of the database."""

    def samples(self, templates: Path) -> SampleMails:
        """Return the texts of mails with sample data; `templates` is the folder of the bundled ones."""
        return SampleMails(self.composers, templates, self.channel, self.allowlist)

    @cached_property
    def webhooks(self) -> WebhookSender:
        """What sends events to other systems."""
        return webhook_sender(self.environment, self.webhook_allow)

    @cached_property
    def letters(self) -> LetterService:
        """The service that makes letters and certificates."""
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
        """Make the database this deployment's, and keep the versions of its programs (MAIL8, CPE12).

        Raises EnvironmentRefused if it belongs to another, ProgramVersionRefused for a version that cannot be read.
        """
        process = Deployment(
            self.environment, self.allowlist.production, self.links.keys, versions_of(self.programs)
        )
        await claim_environment(self.database, process)
        await keep_program_versions(self.database, self.programs)

    async def apply_erasures(self, at: datetime) -> None:
        """Erase again whom a restored database has back (STA5). Raises ErasedFileError."""
        if self.erased is not None:
            await apply_erasures(self.database, self.erased, at)

    async def close(self) -> None:
        """Finish the deliveries in flight, and close the connections to the mail server."""
        await self.mail.aclose()
        await self.channel.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How the workers of one process run."""

    interceptors: Sequence[Interceptor] = ()
    max_cached_workflows: int = 500
    max_workflow_tasks: int = 8
    """Workflow tasks at the same time. They share one interpreter: with more of them, one may seem to hang, which
    Temporal assumes after two seconds. More gain nothing, and need memory."""
    max_deliveries: int = 8
    """Deliveries at the same time."""
    mails_per_second: float | None = None
    """Limit over all workers of the deployment; the server enforces it."""
    grace_period: timedelta = timedelta(seconds=20)
    """How long running activities may continue after the worker was asked to stop."""
    workflows: Sequence[type] = WORKFLOWS
    """The workflow types that the worker runs."""
    version: WorkerDeploymentVersion | None = None
    """The version that Temporal routes work by; without one the workers have work while no version is current."""

    @property
    def common(self) -> dict[str, Any]:
        """What both workers of a process get."""
        versioned: dict[str, Any] = {}
        if self.version is not None:
            # A lifecycle lasts for months and follows the current version; none holds an old one.
            versioned["deployment_config"] = WorkerDeploymentConfig(
                version=self.version,
                use_worker_versioning=True,
                default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
            )
        return {
            **versioned,
            "interceptors": [RedactErrors(), *self.interceptors],
            "graceful_shutdown_timeout": self.grace_period,
            # By default the SDK throttles heartbeats to 80 % of their timeout: a busy worker would miss it.
            "max_heartbeat_throttle_interval": timedelta(seconds=5),
        }


@asynccontextmanager
async def workers(
    client: Client, components: Components, options: WorkerOptions | None = None
) -> AsyncIterator[tuple[Worker, Worker]]:
    """Run the two workers of one process: one for workflows and database work, one for deliveries."""
    options = options or WorkerOptions()
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(_workflow_worker(client, components, options)),
            await stack.enter_async_context(_mail_worker(client, components, options)),
        )


def _workflow_worker(client: Client, components: Components, options: WorkerOptions) -> Worker:
    database, programs = components.database, components.programs
    agenda = AgendaActivities(database, programs, components.letters)
    claims = ClaimActivities(database, programs, components.letters)
    surveys = SurveyActivities(database, programs)
    meetups = MeetupActivities(database, programs)
    inbox = InboxActivities(database, programs, client, components.catalogue, components.erased)
    cohorts = CohortActivities(database, programs, inbox.perform_commands)
    watchdog = WatchdogActivities(database, programs, client)
    checkpoints = CheckpointActivities(database, programs, client)
    digest = DigestActivities(database, programs, client, CoordinatorWeeks())
    webhooks = WebhookActivities(database, programs, client, components.webhooks, components.links.keys)
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=options.workflows,
        workflow_runner=workflow_runner(),
        activities=[
            agenda.plan_onboarding,
            agenda.plan_request,
            agenda.plan_engagement,
            claims.plan_claim,
            surveys.plan_survey,
            cohorts.plan_cohort,
            cohorts.propose_pairs,
            cohorts.start_pairs,
            meetups.plan_meetup,
            inbox.apply_events,
            inbox.hand_over_inbox,
            inbox.perform_commands,
            watchdog.look_for_overdue,
            checkpoints.look_for_checkpoint,
            digest.look_for_digest,
            webhooks.deliver_events,
        ],
        max_cached_workflows=options.max_cached_workflows,
        max_concurrent_workflow_tasks=options.max_workflow_tasks,
        **options.common,
    )


def _mail_worker(client: Client, components: Components, options: WorkerOptions) -> Worker:
    return Worker(
        client,
        task_queue=MAIL_QUEUE,
        activities=[components.mail.send_mail],
        max_concurrent_activities=options.max_deliveries,
        max_task_queue_activities_per_second=options.mails_per_second,
        **options.common,
    )
