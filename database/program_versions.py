"""The versions of program files that lifecycles go on by: kept at each start, read when a lifecycle needs its own.

A version is known by the fingerprint of its content. What it decides is in `rules.program.Program.governed_by`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, ProgramVersion
from rules.program import Program, parse_program, version_label
from rules.program.toml_schema import ProgramError

Tables = Sequence[type[Lifecycle]]
"""The tables of all kinds of lifecycle."""


class ProgramVersionRefused(RuntimeError):
    """This version of the software cannot read a program version by which lifecycles go on; the text names it."""


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version of a program file, and how many lifecycles began with it."""

    program: str
    policy_version: str
    fingerprint: str
    first_seen_at: datetime
    running: int
    """The open lifecycles."""
    over: int
    """The closed ones."""
    by_kind: Mapping[str, int] = field(default_factory=dict)
    """The open lifecycles by kind."""


async def keep(session: AsyncSession, programs: Iterable[Program], tables: Tables, at: datetime) -> None:
    """Keep the versions of these programs, and pin to them the lifecycles that have no version yet.

    Lifecycles of before versions were kept have none. Doing it again changes nothing. Raises ProgramVersionRefused
    where a lifecycle goes on by a version that cannot be read.
    """
    known = set(await session.scalars(select(ProgramVersion.fingerprint)))
    for program in programs:
        if program.fingerprint not in known:
            session.add(
                ProgramVersion(
                    fingerprint=program.fingerprint,
                    program=program.id,
                    policy_version=program.policy_version,
                    content=program.source,
                    first_seen_at=at,
                )
            )
        for table in tables:
            unpinned = update(table).where(table.program == program.id, table.program_version.is_(None))
            await session.execute(unpinned.values(program_version=program.fingerprint))
    await session.flush()
    await _check(session, tables)


async def read(session: AsyncSession, fingerprint: str) -> Program | None:
    """Return a version that was kept; None if it was not. Raises ProgramVersionRefused."""
    if fingerprint not in _READ:
        row = await session.get(ProgramVersion, fingerprint)
        if row is None:
            return None
        _READ[fingerprint] = _parsed(row)
    return _READ[fingerprint]


def label_of(row: ProgramVersion) -> str:
    """Return a version as people read it."""
    return version_label(row.policy_version, row.fingerprint)


async def kept_versions(session: AsyncSession, tables: Tables) -> list[KeptVersion]:
    """Return all versions, the first seen first, each with the lifecycles that go on by it."""
    running: Counter[str | None] = Counter()
    over: Counter[str | None] = Counter()
    by_kind: dict[str | None, dict[str, int]] = defaultdict(dict)
    for table in tables:
        counted = select(table.program_version, table.closed_at.is_(None), func.count())
        for version, is_open, count in await session.execute(
            counted.group_by(table.program_version, table.closed_at.is_(None))
        ):
            (running if is_open else over)[version] += count
            if is_open:
                by_kind[version][table.__name__.lower()] = count
    rows = await session.scalars(
        select(ProgramVersion).order_by(ProgramVersion.program, ProgramVersion.first_seen_at)
    )
    return [
        KeptVersion(
            row.program,
            row.policy_version,
            row.fingerprint,
            row.first_seen_at,
            running[row.fingerprint],
            over[row.fingerprint],
            by_kind[row.fingerprint],
        )
        for row in rows
    ]


# A fingerprint names one content for ever: what was read once needs no further look at the database.
_READ: dict[str, Program] = {}


def _parsed(row: ProgramVersion) -> Program:
    """Return a version as this software understands it. Raises ProgramVersionRefused."""
    name = f"program {row.program}, version {label_of(row)}"
    try:
        return parse_program(row.content, name)
    except ProgramError as error:
        raise ProgramVersionRefused(
            f"{error}\nlifecycles go on by this version, and this version of the software cannot read it"
        ) from None


async def _check(session: AsyncSession, tables: Tables) -> None:
    """Raise ProgramVersionRefused where a lifecycle goes on by a version that cannot be read."""
    used: set[str | None] = set()
    for table in tables:
        used |= set(await session.scalars(select(table.program_version).distinct()))
    for fingerprint in sorted(filter(None, used)):
        await read(session, fingerprint)
