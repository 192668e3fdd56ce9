"""Which deployment a database belongs to: its name, whether it mails everybody, and the keys that it signs with.

Each process compares itself with the row before it works. Processes that differ would decide mail by other rules, or
make links that the others refuse (MAIL8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.key_ring import KeyRing
from database.models import Environment


class EnvironmentRefused(RuntimeError):
    """The process and the database belong to different deployments; the text names what differs."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a process is a part of: `versions` names the program files and their versions."""

    name: str
    production: bool
    keys: KeyRing
    versions: Mapping[str, str] = field(default_factory=dict)


async def claim(session: AsyncSession, process: Deployment) -> dict[str, tuple[str | None, str]]:
    """Make a new database this deployment's, or check that it is; return the versions that changed, old and new.

    The row takes over the process's keys and versions: a key that was rotated out is known no longer, and another
    program version is recorded and allowed. Raises EnvironmentRefused.
    """
    row = await session.scalar(select(Environment).with_for_update())
    if row is None:
        session.add(
            Environment(
                id=1,
                name=process.name,
                production=process.production,
                keys=process.keys.fingerprints,
                versions=dict(process.versions),
            )
        )
        return {}
    if differences := list(_differences(row, process)):
        raise EnvironmentRefused("; ".join(differences))
    known = row.versions or {}
    changed = {
        name: (known.get(name), version)
        for name, version in process.versions.items()
        if known and known.get(name) != version
    }
    row.production = process.production
    row.keys = process.keys.fingerprints
    row.versions = {**known, **process.versions}
    return changed


async def compare(session: AsyncSession, process: Deployment) -> bool:
    """Return whether a deployment has claimed the database; nothing is changed. Raises EnvironmentRefused."""
    row = await session.scalar(select(Environment))
    if row is None:
        return False
    if differences := list(_differences(row, process)):
        raise EnvironmentRefused("; ".join(differences))
    return True


async def environment_name(session: AsyncSession) -> str | None:
    """Return the name of the deployment that a database belongs to; None for a new one."""
    name: str | None = await session.scalar(select(Environment.name))
    return name


async def adopt(session: AsyncSession, process: Deployment) -> None:
    """Make a database this deployment's, also if it was another's or the old keys are lost."""
    row = await session.scalar(select(Environment).with_for_update())
    if row is not None:
        await session.delete(row)
        await session.flush()
    await claim(session, process)


def _differences(row: Environment, process: Deployment) -> list[str]:
    found = []
    if row.name != process.name:
        found.append(
            f"the database belongs to environment {row.name!r}, this process is {process.name!r}: "
            "a copy does not mail (THROUGHLINE_ENVIRONMENT)"
        )
    if row.production is not None and row.production != process.production:
        found.append(
            f"the database is used with production {_said(row.production)}, this process has "
            f"{_said(process.production)} (THROUGHLINE_PRODUCTION)"
        )
    if row.keys and not set(row.keys) & set(process.keys.fingerprints):
        found.append(
            f"the database knows the keys {', '.join(row.keys)}, this process has {process.keys}: none in common "
            "(THROUGHLINE_KEYS, THROUGHLINE_SECRET)"
        )
    return found


def _said(value: bool) -> str:
    return "true" if value else "false"
