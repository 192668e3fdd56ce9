"""What the gateway runs on: database, programs, links, letters, clock and the inbox workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog
from temporalio.client import Client

from database.links import Links
from database.session import Database
from evidence.letters import LetterService
from gateway.console.entry.oidc import OidcSettings
from gateway.event_store import Unavailable
from lifecycles.participants import Programs
from mail.samples.mails import SampleMails
from rules.program import Program
from staff.endpoints import Sender
from workflows.starting import notify_inbox

log = structlog.get_logger()

Clock = Callable[[], Awaitable[datetime]]
"""Returns program time (T6)."""

Check = Callable[[], Awaitable[None]]
"""Raises while something that the gateway needs cannot be used."""


@dataclass(frozen=True, slots=True)
class LocalBar:
    """What the console has on each page where its clock can be moved: paths of the embedded pages."""

    clock: str
    """The page of the clock and of the people."""
    advance: str
    """Moves the clock by a form with `by`, and goes back to `back`."""
    inbox: str
    steps: tuple[str, ...]
    """What `by` may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayServices:
    """The parts of the product that the gateway uses."""

    database: Database
    programs: Programs
    links: Links
    letters: LetterService
    clock: Clock
    notify_inbox: Callable[[], Awaitable[None]]
    """Notifies the inbox workflow that events were stored."""
    checks: Mapping[str, Check]
    """What `/readyz` checks by name, in addition to the database."""
    temporal: Client | None = None
    """The Temporal service, on which staff act; without one the console only shows."""
    oidc: OidcSettings | None = None
    """The provider by which staff sign in, if this deployment has one."""
    samples: SampleMails | None = None
    """The texts of mails with sample data; without them the console shows none."""
    webhooks: Sender | None = None
    """What sends events to other systems; without it the console only shows the endpoints."""

    local: LocalBar | None = None
    """Of the demo; elsewhere nobody moves the clock."""

    async def now(self) -> datetime:
        """Return program time. Raises Unavailable."""
        try:
            return await self.clock()
        except Exception as error:
            log.warning("clock_read_failed", error=type(error).__name__)
            raise Unavailable from None


def only_program(programs: Programs) -> Program | None:
    """Return the program whose mailbox an unknown reader may see: the only one, if there is only one."""
    return next(iter(programs.values())) if len(programs) == 1 else None


async def machine_clock() -> datetime:
    """Return the present instant of this machine: program time of a deployment."""
    return datetime.now(UTC)


# long: the parts of a gateway
def services_on(
    client: Client,
    *,
    database: Database,
    programs: Programs,
    links: Links,
    letters: LetterService,
    clock: Clock = machine_clock,
    oidc: OidcSettings | None = None,
    samples: SampleMails | None = None,
    webhooks: Sender | None = None,
) -> GatewayServices:
    """Return the services of a gateway whose inbox workflow runs on this Temporal server."""

    async def temporal_ready() -> None:
        await client.service_client.check_health()

    return GatewayServices(
        database=database,
        programs=programs,
        links=links,
        letters=letters,
        clock=clock,
        notify_inbox=partial(notify_inbox, client, database),
        checks={"temporal": temporal_ready},
        temporal=client,
        oidc=oidc,
        samples=samples,
        webhooks=webhooks,
    )
