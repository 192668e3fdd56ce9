"""The endpoints of other systems: their secrets, and whether they are enabled."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import outbox
from database.key_ring import KeyRing
from database.models import WebhookEndpoint
from database.tasks import settle_tasks

PURPOSE: Final = "throughline.webhook"
"""What keeps sealed secrets apart from all else that the key ring seals."""

SECRET_BYTES: Final = 32
"""The specification recommends 24 to 64."""

DISABLED_TASK: Final = "webhook_disabled"
"""The kind of the task about an endpoint that was disabled because it failed."""

UNDELIVERED_TASK: Final = "webhook_undelivered"
"""The kind of the task about events that were given up."""


class SecretUnreadable(Exception):
    """The secret of an endpoint was sealed with a key that this deployment no longer has."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go, and what signs them: the secret, and for a while the one before it."""

    name: str
    url: str
    secrets: Sequence[str] = field(repr=False)


def about(name: str) -> str:
    """Return the subject of an endpoint's records and tasks; it is the id of its workflow, too."""
    return f"webhook/{name}"


async def find(session: AsyncSession, name: str) -> WebhookEndpoint | None:
    """Return an endpoint, locked until the transaction ends; None if there is none of this name."""
    return await session.get(WebhookEndpoint, name, with_for_update=True, populate_existing=True)


async def enabled(session: AsyncSession) -> Sequence[str]:
    """Return the names of the endpoints that get events."""
    wanted = select(WebhookEndpoint.name).where(WebhookEndpoint.state == "enabled")
    return (await session.scalars(wanted.order_by(WebhookEndpoint.name))).all()


def new_secret() -> str:
    """Return a new secret, as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode('ascii')}"


def target_of(row: WebhookEndpoint, keys: KeyRing, at: datetime) -> Target:
    """Return an endpoint's address with the secrets that sign at an instant. Raises SecretUnreadable."""
    sealed = [row.secret]
    if row.old_secret and row.old_until and at < row.old_until:
        sealed.append(row.old_secret)
    try:
        return Target(row.name, row.url, [keys.unseal(PURPOSE, each) for each in sealed])
    except ValueError:
        raise SecretUnreadable from None


def rotate(row: WebhookEndpoint, keys: KeyRing, grace: timedelta, at: datetime) -> str:
    """Give an endpoint a new secret, and return it. The one before signs, too, for the grace time."""
    secret = new_secret()
    row.old_secret, row.old_until = (row.secret, at + grace) if grace else (None, None)
    row.secret = keys.seal(PURPOSE, secret)
    return secret


async def renew_seals(session: AsyncSession) -> None:
    """Seal every secret with the signing key, so that a key that was rotated out can be removed."""
    keys: KeyRing | None = session.info.get("keys")
    if keys is None:
        return
    for row in await session.scalars(select(WebhookEndpoint)):
        for column in ("secret", "old_secret"):
            sealed = getattr(row, column)
            if sealed is None or keys.seals(PURPOSE, sealed):
                continue
            try:
                setattr(row, column, keys.seal(PURPOSE, keys.unseal(PURPOSE, sealed)))
            except ValueError:
                # Its key is gone: the first attempt to use it disables the endpoint, and says so.
                continue


def disable(row: WebhookEndpoint, because: str, at: datetime) -> None:
    """Stop deliveries to an endpoint. It goes on collecting, for as long as events are kept."""
    row.state, row.disabled_because, row.disabled_at = "disabled", because, at


async def enable(session: AsyncSession, row: WebhookEndpoint, at: datetime) -> None:
    """Let an endpoint get events, those first that waited meanwhile; the task about it closes (STA2)."""
    row.state, row.collects = "enabled", True
    row.disabled_because = row.disabled_at = row.failing_since = None
    await outbox.try_again(session, row.name)
    forget_known(session)
    await settle_tasks(session, about(row.name), DISABLED_TASK, (), "the endpoint is enabled again", at)


def forget_known(session: AsyncSession) -> None:
    """Have this process read the endpoints again at its next event."""
    known = session.info.get("endpoints")
    if known is not None:
        known.forget()
