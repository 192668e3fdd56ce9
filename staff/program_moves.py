"""Moving running lifecycles to another version of their program file, previewed and in batches (CPE12, STA1, STA3).

For a command and a browser alike. A version stands in the row of a lifecycle, and each plan reads it there. So a move
changes the row, and has the workflow plan again. An engagement whose claim has begun stays: the version by which its
credit is claimed does not change. Claims and surveys have the version of their engagement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from database import audit, program_versions
from database.models import Claim, Engagement, Lifecycle, ProgramVersion
from database.program_versions import ProgramVersionRefused
from database.session import Database
from lifecycles.participants import NotOnRecord, Programs
from lifecycles.registry import LIFECYCLES, lifecycle_of, outcome_under
from rules.program import Program
from rules.program.catalogue import load_catalogue
from staff.acts import ActResult, act_result
from staff.preview import preview_of

MOVABLE: Final = ("onboarding", "request", "engagement")
"""The kinds that are moved, in this order."""

BATCH: Final = 100
"""The most lifecycles of one batch: 100 previews take about a second."""

SHORTEST_NAME: Final = 6
"""Digits of a fingerprint that name a version."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VersionMove:
    """Lifecycles of a program go from one version to another; both are fingerprints."""

    program: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class MovePreview:
    """What another version would change for one lifecycle."""

    workflow: str
    result: ActResult | None
    refused: str = ""
    """Why it cannot be moved; empty if it can."""


@dataclass(frozen=True, slots=True)
class MoveBatch:
    """The next lifecycles that a move is about."""

    previews: tuple[MovePreview, ...]
    waiting: int
    """How many there are, with these."""
    staying: int
    """How many engagements stay with the version, because a claim has begun."""


@dataclass(frozen=True, slots=True)
class MoveSummary:
    """A batch in numbers: lifecycles that stay as they are, messages, and lifecycles whose state changes."""

    unchanged: int
    moved: int
    not_sent: int
    added: int
    now: int
    """How many of the messages that move or appear are due at once."""
    states: int
    refused: int


@dataclass(frozen=True, slots=True)
class MoveResult:
    """What a batch did."""

    moved: tuple[str, ...]
    skipped: tuple[str, ...]
    """Those that ended or were moved meanwhile, or cannot be moved."""
    unreached: int
    """How many of the workflows do not know yet. The watchdog lets them know."""


class MoveRefused(Exception):
    """A move that is not possible; the text gives the reason."""


async def version_named(session: AsyncSession, program: str, name: str) -> str:
    """Return the fingerprint of the one version of a program that begins with `name`. Raises MoveRefused."""
    found = list(
        await session.scalars(
            select(ProgramVersion.fingerprint).where(
                ProgramVersion.program == program,
                ProgramVersion.fingerprint.startswith(name, autoescape=True),
            )
        )
    )
    if len(name) < SHORTEST_NAME or len(found) != 1:
        raise MoveRefused(
            f"{name or 'an empty text'} names no version of {program} that a worker has started with: "
            f"give {SHORTEST_NAME} digits or more of a fingerprint from `throughline program versions`"
        )
    return found[0]


async def target_of(session: AsyncSession, programs: Programs, move: VersionMove) -> Program:
    """Return the version that lifecycles are to go on by. Raises MoveRefused where that is not possible."""
    if move.program not in programs:
        raise MoveRefused(f"program {move.program} is not loaded here")
    if move.source == move.target:
        raise MoveRefused("both are the same version")
    try:
        version = await program_versions.read(session, move.target)
    except ProgramVersionRefused as refused:
        raise MoveRefused(str(refused)) from None
    if version is None or version.id != move.program:
        raise MoveRefused(
            f"no worker has started with version {move.target[:12]} of program {move.program} yet"
        )
    return version


async def next_batch(
    database: Database,
    programs: Programs,
    move: VersionMove,
    at: datetime,
    *,
    after: str = "",
    most: int = BATCH,
) -> MoveBatch:
    """Return the lifecycles behind `after` that a move is about, each with what would change. Raises MoveRefused."""
    async with database.reading() as session:
        version = await target_of(session, programs, move)
        rows, waiting = await _waiting(session, move, after, most)
        previews = tuple([await _preview(session, row, version, programs, at) for row in rows])
        with_claims = (
            _pinned(Engagement, move.program, move.source),
            Engagement.closed_at.is_(None),
            _HAS_CLAIM,
        )
        staying = await session.scalar(select(func.count()).select_from(Engagement).where(*with_claims))
    return MoveBatch(previews, waiting, staying or 0)


def summary_of(previews: Sequence[MovePreview], at: datetime) -> MoveSummary:
    """Return previews in numbers."""
    results = [each.result for each in previews if each.result]
    effects = [effect for result in results for effect in result.effects]
    by_change = {
        name: sum(effect.change == name for effect in effects) for name in ("moved", "not_sent", "added")
    }
    return MoveSummary(
        unchanged=sum(not is_changed(result) for result in results),
        now=sum(effect.due is not None and effect.due <= at for effect in effects),
        states=sum(result.before != result.state for result in results),
        refused=sum(bool(each.refused) for each in previews),
        **by_change,
    )


def is_changed(result: ActResult) -> bool:
    """Return whether another version changes anything that people notice."""
    return bool(
        result.effects or result.coming or result.tasks or result.starts or result.before != result.state
    )


# long: which lifecycles go where, and who says so why
async def move_batch(
    database: Database,
    client: Client,
    programs: Programs,
    move: VersionMove,
    workflows: Sequence[str],
    at: datetime,
    *,
    actor: str,
    reason: str,
) -> MoveResult:
    """Move these lifecycles, each in a transaction of its own, and have their workflows plan again.

    Doing it again moves nothing twice: it goes on where it was interrupted. Raises MoveRefused.
    """
    async with database.reading() as session:
        version = await target_of(session, programs, move)
        source = await session.get(ProgramVersion, move.source)
    before = program_versions.label_of(source) if source else move.source[:12]
    data = {"act": "version moved", "from": before, "to": version.version}
    moved: list[str] = []
    for workflow in workflows:
        async with database.begin() as session:
            await audit.lock(session, workflow)
            row = await _still_waiting(session, move, workflow)
            if row is None or (await _preview(session, row, version, programs, at)).refused:
                continue
            row.program_version, row.policy_version = version.fingerprint, version.policy_version
            # Its plan is due. The watchdog looks for plans that were due long ago.
            row.next_at = at
            veiled = {"reason": reason} if reason else None
            await audit.append(
                session, workflow, "act", at.replace(microsecond=0), data, actor=actor, veiled=veiled
            )
            moved.append(workflow)
    skipped = tuple(each for each in workflows if each not in moved)
    return MoveResult(tuple(moved), skipped, await _have_planned(client, moved))


async def _have_planned(client: Client, workflows: Sequence[str]) -> int:
    """Have workflows plan again; return how many could not be reached."""
    unreached = 0
    for position, workflow in enumerate(workflows):
        try:
            await client.get_workflow_handle(workflow).signal("replan")
        except RPCError as error:
            log.warning("replan_not_signalled", workflow=workflow, status=error.status.name)
            if error.status != RPCStatusCode.NOT_FOUND:
                # Temporal is away: each further try would wait as long.
                return unreached + len(workflows) - position
            unreached += 1
    return unreached


async def _preview(
    session: AsyncSession, row: Lifecycle, version: Program, programs: Programs, at: datetime
) -> MovePreview:
    try:
        outcome = await outcome_under(session, row, version, programs, at)
        seen = await preview_of(session, row, outcome, at, load_catalogue())
    except (NotOnRecord, ProgramVersionRefused) as refused:
        return MovePreview(row.workflow, None, str(refused))
    return MovePreview(row.workflow, await act_result(session, programs, seen))


_HAS_CLAIM: Final = select(Claim.workflow).where(Claim.engagement_id == Engagement.id).exists()


def _pinned(table: type[Any], program: str, version: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (table.program == program) & (table.program_version == version)
    return found


def _movable(table: type[Any], move: VersionMove) -> list[ColumnElement[bool]]:
    """Return the conditions of the lifecycles that a move is about."""
    found = [_pinned(table, move.program, move.source), table.closed_at.is_(None)]
    return [*found, ~_HAS_CLAIM] if table is Engagement else found


async def _waiting(
    session: AsyncSession, move: VersionMove, after: str, most: int
) -> tuple[list[Lifecycle], int]:
    """Return the first lifecycles behind `after`, and how many there are behind it."""
    begin = after.partition("/")[0]
    first = MOVABLE.index(begin) if begin in MOVABLE else 0
    rows: list[Lifecycle] = []
    waiting = 0
    for kind in MOVABLE[first:]:
        table: type[Any] = LIFECYCLES[kind].table
        wanted = [*_movable(table, move), *([table.workflow > after] if kind == begin else [])]
        waiting += await session.scalar(select(func.count()).select_from(table).where(*wanted)) or 0
        if len(rows) < most:
            query = select(table).where(*wanted).order_by(table.workflow).limit(most - len(rows))
            rows += await session.scalars(query)
    return rows, waiting


async def _still_waiting(session: AsyncSession, move: VersionMove, workflow: str) -> Lifecycle | None:
    """Return the locked row of a lifecycle that a move is about; None if that is over."""
    if workflow.partition("/")[0] not in MOVABLE:
        return None
    table: type[Any] = lifecycle_of(workflow).table
    query = select(table).where(table.workflow == workflow, *_movable(table, move)).with_for_update()
    row: Lifecycle | None = await session.scalar(query)
    return row
