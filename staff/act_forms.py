"""Acts as staff ask for them in forms: what their fields mean, and what their previews are bound to (STA1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakValueDictionary

from database import audit
from database.models import Lifecycle
from database.session import Database
from rules.credit import REVOCATIONS
from rules.engagement import END_REASONS
from rules.kinds import KINDS
from staff.acts import ActResult, StaffAct

MOST_UNITS: Final = 120

CHANGES: Final = ("not_sent", "moved", "added")
"""What an act does to messages."""

_REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"end": tuple(END_REASONS), "revoke": tuple(REVOCATIONS)}
)

_LOCKS: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class ActForm:
    """An act as it was asked for."""

    act: StaffAct
    given: Mapping[str, str]
    """The fields that decide what the preview shows, as they were typed."""
    wrong: str = ""
    """The key of what is wrong or missing in them; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class ActChoices:
    """What a form asks for an act: one of these units, or one of these reasons; nothing where both are empty."""

    units: tuple[str, ...]
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.units or self.reasons)


def choices_of(act: str, kind: str) -> ActChoices:
    """Return what a form asks for an act on a kind of lifecycle."""
    return ActChoices(KINDS[kind].units if act == "extend" else (), _REASONS.get(act, ()))


def read_act(act: StaffAct, given: Mapping[str, str]) -> ActForm:
    """Return an act with the fields that it needs, read from a form.

    The rules refuse to revoke or reject without a reason: until the person's own is known, a dash takes its place.
    """
    if act.name == "extend":
        return _extension(act, given)
    if act.name == "reject":
        return ActForm(replace(act, reason="-"), {})
    if act.name not in _REASONS:
        return ActForm(act, {})
    because = str(given.get("because", ""))
    typed = {"because": because} if because else {}
    if because not in _REASONS[act.name]:
        return ActForm(act, typed, "because")
    if act.name == "end":
        return ActForm(replace(act, reason=because), typed)
    return ActForm(replace(act, reason="-", details={"answer": because}), typed)


def with_reason(act: StaffAct, reason: str) -> StaffAct:
    """Return an act with the reason that goes on record. The reason of an end is among its fields."""
    return act if act.name == "end" else replace(act, reason=reason)


def numbers_of(result: ActResult) -> dict[str, int]:
    """Return how many messages vanish, move and appear, with those of claims."""
    effects = [
        effect for each in (result, *(claim.result for claim in result.claims)) for effect in each.effects
    ]
    return {name: sum(effect.change == name for effect in effects) for name in CHANGES}


def bound_to(act: StaffAct, row: Lifecycle, result: ActResult) -> list[Any]:
    """Return what an act is bound to. Instants count by their day: an hour more of a pause is no other preview."""
    facts = {name: value for name, value in row.facts.items() if name != "received"}
    return [act.target, act.name, act.reason, dict(act.details), row.state, facts, outcome_shown(result)]


def outcome_shown(result: ActResult) -> list[Any]:
    """Return what a preview shows, with instants by their day."""
    return [
        result.before,
        result.state,
        [[e.change, e.message, e.number, e.to, _day(e.was), _day(e.due)] for e in result.effects],
        [[e.change, e.kind, e.what, _day(e.was), _day(e.due)] for e in result.coming],
        [[task.change, task.task, task.number] for task in result.tasks],
        [[claim.claim, outcome_shown(claim.result)] for claim in result.claims],
        list(result.starts),
    ]


@asynccontextmanager
async def acting_alone(database: Database, target: str) -> AsyncIterator[None]:
    """Let one act on a lifecycle follow another, so that none comes between a comparison and its act.

    By the lock of the process, and by one that all gateways share.
    """
    lock = _LOCKS.setdefault(target, asyncio.Lock())
    async with lock, database.reading() as session:
        await audit.lock(session, f"console {target}")
        yield


def _extension(act: StaffAct, given: Mapping[str, str]) -> ActForm:
    units = KINDS[act.target.partition("/")[0]].units
    typed = {unit: str(given.get(unit, ""))[:20].strip() for unit in units if given.get(unit)}
    if len(typed) != 1:
        return ActForm(act, typed, "one_unit")
    [(unit, text)] = typed.items()
    if unit == "end":
        return ActForm(replace(act, details={"end": text}), typed)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_UNITS):
        return ActForm(act, typed, "number")
    return ActForm(replace(act, details={unit: int(text)}), typed)


def _day(at: Any) -> str:
    return at.date().isoformat() if at else ""
