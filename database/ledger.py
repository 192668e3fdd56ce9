"""The delivery ledger: every message an intent, every intent one decision (MAIL1–MAIL4).

Only this module and `staff_orders` change the state of a delivery. Each step runs in the caller's transaction. A step
that finds the row in another state than it expects changes nothing and returns so.
"""

# long: the states of a delivery, in one place

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, mail_bodies
from database.key_ring import KeyRing
from database.models import DECISIONS, AuditRecord, Message, PersonKey
from database.staff_orders import is_on_hold, is_sent_early
from database.tasks import close_task_of
from rules.agenda import MessageChange, PlannedMail, recorded_at
from rules.messages import CATALOGUE

FIRST_RESEND_OCCURRENCE: Final = 1000
"""Occurrences from here on are copies that staff requested; no agenda plans, moves or drops them."""

_QUOTED: Final = re.compile(r"(by (?:staff|the mentor|the mentee)): .+", re.DOTALL)
"""A reason that quotes a person. In the audit record the words stand in the veil: they can be erased (STA5)."""

RESENDABLE: Final = frozenset({"ambiguous", "failed", "skipped"})
"""The decisions after which staff may have a message sent again (MAIL2, MAIL3, T8)."""


@dataclass(slots=True)
class AgendaChanges:
    """The effect of a new agenda on the planned messages of a workflow (STA1)."""

    added: list[MessageChange] = field(default_factory=list)
    moved: list[MessageChange] = field(default_factory=list)
    dropped: list[MessageChange] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list, compare=False, kw_only=True)
    """The messages without a decision that have a due instant and no hold of staff, in order of that instant."""


def delivery_id(keys: KeyRing | None, workflow: str, step: str, occurrence: int) -> str:
    """Return a new id for a delivery, which its envelope and headers carry (MAIL2, MAIL7).

    Who knows a workflow's id must not be able to compute it: a report that names a delivery can silence an address. So
    it is an HMAC of the message's key, the same each time. A command without secrets gets a random one. It is made
    once and stored with the row.
    """
    if keys is None:
        return secrets.token_hex(16)
    return keys.mac("throughline.delivery", f"{workflow}|{step}|{occurrence}")[:32]


def plain_delivery_id(workflow: str, step: str, occurrence: int) -> str:
    """Return the id that a delivery had before ids were signed: anybody can compute it."""
    return hashlib.sha256(f"{workflow}|{step}|{occurrence}".encode()).hexdigest()[:32]


def _new_id(session: AsyncSession, workflow: str, step: str, occurrence: int) -> str:
    return delivery_id(session.info.get("keys"), workflow, step, occurrence)


def replace_plain_id(session: AsyncSession, row: Message) -> None:
    """Give a message that has not been rendered a signed id, if an earlier version planned it with a plain one.

    What is out already keeps its id, by which reports still find it. So does a copy: its workflow is named by it.
    """
    if row.content is not None or row.message_id is not None or row.occurrence >= FIRST_RESEND_OCCURRENCE:
        return
    key = (row.workflow, row.step, row.occurrence)
    if row.delivery == plain_delivery_id(*key):
        row.delivery = _new_id(session, *key)


def compare(rows: Iterable[Message], mails: Sequence[PlannedMail]) -> AgendaChanges:
    """Return what planning `mails` would change among the rows of one workflow, without changing it (STA1)."""
    found = {(row.step, row.occurrence): row for row in rows}
    wanted = {(mail.step, mail.occurrence): mail for mail in mails}
    changes = AgendaChanges()
    for key, mail in wanted.items():
        row = found.get(key)
        if row is None:
            changes.added.append(
                MessageChange(mail.key, mail.message, mail.number, mail.to, None, mail.due_if_waiting)
            )
        elif row.state not in DECISIONS and _is_moved(row, mail):
            changes.moved.append(
                MessageChange(mail.key, mail.message, mail.number, mail.to, row.due_at, mail.due_if_waiting)
            )
    for key, row in found.items():
        if key not in wanted and row.state in ("planned", "claimed"):
            changes.dropped.append(
                MessageChange(row.key, row.message, row.number, row.to_profile, row.due_at, None)
            )
    return changes


def _is_moved(row: Message, mail: PlannedMail) -> bool:
    """Return whether an agenda moves a message. What staff send early only a pause still stops (MAIL4)."""
    if is_sent_early(row) and mail.due_if_waiting is not None:
        return False
    return (row.postponed_from or row.due_at) != mail.due_if_waiting


# Built once: these statements run for every planning, many thousand times.
_OF_AGENDA = (
    select(Message)
    .where(Message.workflow == bindparam("workflow"), Message.occurrence < FIRST_RESEND_OCCURRENCE)
    .order_by(Message.due_at, Message.id)
)
_OF_AGENDA_LOCKED = _OF_AGENDA.with_for_update()
_ONE = select(Message).where(
    Message.workflow == bindparam("workflow"),
    Message.step == bindparam("step"),
    Message.occurrence == bindparam("occurrence"),
)
_ONE_LOCKED = _ONE.with_for_update()
OF_KEYS: Final = and_(
    Message.workflow == bindparam("workflow"),
    tuple_(Message.step, Message.occurrence).in_(bindparam("keys", expanding=True)),
)
"""The condition of several messages of a workflow, for a statement with the parameters of `named`."""
_SEVERAL = select(Message).where(OF_KEYS).order_by(Message.id)
_SEVERAL_LOCKED = _SEVERAL.with_for_update()
_TO_DECIDE = (
    _SEVERAL.add_columns(PersonKey, AuditRecord)
    .outerjoin(PersonKey, PersonKey.member_id == Message.member_id)
    .outerjoin(AuditRecord, audit.IS_LAST)
    .with_for_update(of=Message)
)


async def rows_of(session: AsyncSession, workflow: str, *, lock: bool = False) -> list[Message]:
    """Return the messages of a workflow's agenda, without copies, in the order in which they are due."""
    return list(await session.scalars(_OF_AGENDA_LOCKED if lock else _OF_AGENDA, {"workflow": workflow}))


# long: the columns of a planned message that its lifecycle decides
async def plan(
    session: AsyncSession,
    workflow: str,
    program: str,
    mails: Sequence[PlannedMail],
    at: datetime,
    because: str,
    members: dict[str, str],
) -> AgendaChanges:
    """Write a workflow's agenda into its planned messages, and return what changed.

    Messages that the agenda no longer has are decided as `cancelled`. Claimed ones that it moved return to `planned`,
    unless they were already handed over (MAIL4). `members` gives the member of each profile, for "why did X get this".
    """
    await audit.lock(session, workflow)
    rows = await rows_of(session, workflow, lock=True)
    changes = await plan_among(session, (workflow, program), rows, mails, at, because, members)
    # Those of one instant stand in the order of their numbers: what is new has none yet, and comes last.
    changes.waiting = sorted(
        (row for row in rows if row.due_at and row.state not in DECISIONS and not is_on_hold(row)),
        key=lambda row: (row.due_at, row.id or math.inf),
    )
    return changes


# long: as `plan`, among the rows that the caller has read
async def plan_among(
    session: AsyncSession,
    of: tuple[str, str],
    rows: list[Message],
    mails: Sequence[PlannedMail],
    at: datetime,
    because: str,
    members: dict[str, str],
) -> AgendaChanges:
    """Write a part of a workflow's agenda into its planned messages, as `plan` does for all of it.

    `of` is workflow and program. `rows` are the messages that the part may change; the caller has the chain's lock, and
    writes what is planned by a flush. `waiting` of the result is empty.
    """
    workflow, program = of
    changes = compare(rows, mails)
    by_key = {row.key: row for row in rows}
    wanted = {mail.key: mail for mail in mails}
    for change in changes.added:
        mail = wanted[change.key]
        row = _planned(session, workflow, program, replace(mail, due=change.due), at, members.get(mail.to))
        session.add(row)
        rows.append(row)
    for change in changes.moved:
        row = by_key[change.key]
        row.due_at, row.postponed_from = change.due, None
        row.staff_order = None if is_sent_early(row) else row.staff_order
        if row.state == "claimed":
            row.state, row.claimed_by = "planned", None
    for key, mail in wanted.items():
        if key in by_key and by_key[key].state == "planned" and by_key[key].context != mail.context:
            by_key[key].context = mail.context
            by_key[key].content = None
    for change in changes.dropped:
        await decide(session, by_key[change.key], "cancelled", because, at)
    return changes


def _planned(
    session: AsyncSession, workflow: str, program: str, mail: PlannedMail, at: datetime, member: str | None
) -> Message:
    return Message(
        delivery=_new_id(session, workflow, mail.step, mail.occurrence),
        workflow=workflow,
        step=mail.step,
        occurrence=mail.occurrence,
        message=mail.message,
        number=mail.number,
        message_class=CATALOGUE[mail.message].message_class.value,
        program=program,
        to_profile=mail.to,
        member_id=member,
        context=mail.context,
        planned_at=at,
        due_at=mail.due,
        state="planned",
    )


async def add(session: AsyncSession, workflow: str, program: str, mail: PlannedMail, at: datetime) -> Message:
    """Plan a message to staff about a lifecycle that is over: its occurrence lies beyond those of any agenda."""
    last = await session.scalar(
        select(func.max(Message.occurrence)).where(
            Message.workflow == workflow,
            Message.step == mail.step,
            Message.occurrence >= FIRST_RESEND_OCCURRENCE,
        )
    )
    copied = replace(mail, occurrence=(last or FIRST_RESEND_OCCURRENCE - 1) + 1)
    row = _planned(session, workflow, program, copied, at, None)
    session.add(row)
    await session.flush()
    return row


# long: one row, with a line for each column that a copy takes over or starts with
async def copy(session: AsyncSession, delivery: str, actor: str, reason: str, at: datetime) -> Message:
    """Plan a copy of a message that staff want sent again, due at `at`, with the act in the audit record (STA3).

    A copy without a decision is returned as it is, so that a repeated request sends once. Raises ValueError if
    there is no such delivery, or its decision is not one of `RESENDABLE`.
    """
    original = await _locked_resendable(session, delivery)
    copies = await _copies_of(session, original)
    for waiting in copies:
        if waiting.state not in DECISIONS and waiting.context.get("copy_of") == delivery:
            return waiting
    occurrence = copies[-1].occurrence + 1 if copies else FIRST_RESEND_OCCURRENCE
    row = _copy(session, original, occurrence, at)
    session.add(row)
    await audit.append(
        session,
        original.workflow,
        "act",
        at.replace(microsecond=0),
        {"id": row.delivery, "act": "resend", "delivery": delivery, "message": original.message},
        actor=actor,
        veiled={"reason": reason} if reason else None,
    )
    return row


async def _locked_resendable(session: AsyncSession, delivery: str) -> Message:
    """Return a delivery that may be sent again, locked. Raises ValueError."""
    original = await locked_delivery(session, Message.delivery == delivery)
    if original is None:
        raise ValueError(f"there is no delivery {delivery}")
    if original.state not in RESENDABLE and original.came_back is None:
        raise ValueError(
            f"{delivery} is {original.state}: only what is {', '.join(sorted(RESENDABLE))} is sent again"
        )
    return original


async def _copies_of(session: AsyncSession, original: Message) -> list[Message]:
    """Return the copies of a message's step, in the order in which they were planned."""
    copies = select(Message).where(
        Message.workflow == original.workflow,
        Message.step == original.step,
        Message.occurrence >= FIRST_RESEND_OCCURRENCE,
    )
    return list(await session.scalars(copies.order_by(Message.occurrence)))


def _copy(session: AsyncSession, original: Message, occurrence: int, at: datetime) -> Message:
    return Message(
        delivery=_new_id(session, original.workflow, original.step, occurrence),
        workflow=original.workflow,
        step=original.step,
        occurrence=occurrence,
        message=original.message,
        number=original.number,
        message_class=original.message_class,
        program=original.program,
        to_profile=original.to_profile,
        member_id=original.member_id,
        context={**original.context, "copy_of": original.delivery},
        planned_at=at,
        due_at=at,
        state="planned",
    )


async def decide(
    session: AsyncSession,
    row: Message,
    decision: str,
    reason: str | None,
    at: datetime,
    *,
    response: str | None = None,
) -> None:
    """Write a message's one decision and its audit record (MAIL1).

    The rendered bytes are deleted; of what was sent, or may have been, they are kept as a `MailBody`.

    Raises ValueError if it is decided already.
    """
    if row.state in DECISIONS:
        raise ValueError(f"message {row.id} is already decided as {row.state}")
    decided_at = recorded_at(row.due_at, at) if decision == "sent" else at.replace(microsecond=0)
    # Before the row changes: the look-up of the key would write it a first time.
    is_kept = decision in ("sent", "ambiguous") and await mail_bodies.keep(session, row, decided_at)
    row.state, row.reason, row.decided_at, row.response = decision, reason, decided_at, response
    if is_kept or decision != "ambiguous":
        row.content = None
    data: dict[str, Any] = {
        "message": row.message,
        "to": row.to_profile,
        "workflow": row.workflow,
        "decision": decision,
        "delivery": row.delivery,
    }
    if row.number is not None:
        data["number"] = row.number
    veiled = {"subject": row.subject} if row.subject else {}
    if reason:
        data["reason"] = _QUOTED.sub(r"\1", reason)
        if data["reason"] != reason:
            veiled["reason"] = reason
    await audit.append(session, row.workflow, "mail", decided_at, data, veiled=veiled or None)
    if decision == "sent" and "copy_of" in row.context:
        await _settle_tasks_of_originals(session, row, decided_at)


async def _settle_tasks_of_originals(session: AsyncSession, copy: Message, at: datetime) -> None:
    """Close the tasks about a message once a copy of it was sent (STA2)."""
    original: Message | None = copy
    while original is not None and (delivery := original.context.get("copy_of")):
        original = await session.scalar(select(Message).where(Message.delivery == delivery))
        for kind in ("mail_failed", "mail_ambiguous") if original else ():
            cause = f"{kind} {original.key}" if original else ""
            await close_task_of(session, copy.workflow, cause, "the message was sent again", at)


CAME_BACK: Final = ("soft", "refused", "hard", "complaint")
"""What can come back for a message, the weightiest last."""


async def came_back(session: AsyncSession, row: Message, kind: str, reason: str, at: datetime) -> None:
    """Record that a message came back, beside its decision, with an audit record (MAIL10). A weightier kind stays.

    `reason` names a cause and codes, and no address.
    """
    if row.came_back is None or CAME_BACK.index(kind) > CAME_BACK.index(row.came_back):
        row.came_back, row.came_back_at, row.came_back_reason = kind, at, reason
    data = {
        "message": row.message,
        "to": row.to_profile,
        "workflow": row.workflow,
        "class": kind,
        "reason": reason,
        "delivery": row.delivery,
    }
    await audit.append(session, row.workflow, "came_back", at.replace(microsecond=0), data)


async def found(session: AsyncSession, workflow: str, key: str) -> Message | None:
    """Return the row of one message; None if there is none."""
    return await session.scalar(_ONE, _named(workflow, key))


async def locked(session: AsyncSession, workflow: str, key: str) -> Message | None:
    """Return the row of one message, locked until the transaction ends; None if there is none.

    The chain of its records is locked first, as by every transaction that decides or plans messages.
    """
    return (await locked_rows(session, workflow, [key])).get(key)


async def locked_rows(session: AsyncSession, workflow: str, keys: Sequence[str]) -> dict[str, Message]:
    """Return messages of a workflow by key, locked as by `locked`; unknown ones are left out."""
    await audit.lock(session, workflow)
    if len(keys) == 1:
        rows = await session.scalars(_ONE_LOCKED, _named(workflow, keys[0]))
    else:
        rows = await session.scalars(_SEVERAL_LOCKED, named(workflow, keys))
    return {row.key: row for row in rows}


async def locked_to_decide(session: AsyncSession, workflow: str, keys: Sequence[str]) -> dict[str, Message]:
    """Return messages as `locked_rows` does, and read with them what `decide` needs: it reads nothing more."""
    await audit.lock(session, workflow)
    chain = audit.chain_of(workflow)
    found: dict[str, Message] = {}
    for row, _, last in await session.execute(_TO_DECIDE, {**named(workflow, keys), "chain": chain}):
        found[row.key] = row
        if last is not None:
            audit.know_head(session, chain, audit.ChainEnd(last.sequence, last.hash))
    return found


async def locked_delivery(session: AsyncSession, condition: ColumnElement[bool]) -> Message | None:
    """Return the first message of a condition, locked as by `locked`; None if there is none."""
    known = await session.execute(
        select(Message.workflow, Message.id).where(condition).order_by(Message.id).limit(1)
    )
    for workflow, number in known:
        await audit.lock(session, workflow)
        return await session.get(Message, number, with_for_update=True, populate_existing=True)
    return None


def _named(workflow: str, key: str) -> dict[str, str | int]:
    step, _, occurrence = key.rpartition("/")
    return {"workflow": workflow, "step": step, "occurrence": int(occurrence)}


def named(workflow: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `OF_KEYS`."""
    each = [_named(workflow, key) for key in keys]
    return {"workflow": workflow, "keys": [(name["step"], name["occurrence"]) for name in each]}


async def hand_over(
    session: AsyncSession, workflow: str, claims: Mapping[int, str], at: datetime
) -> set[int]:
    """Mark claimed messages of a workflow as handed over, right before their last bytes; return which (MAIL4).

    `claims` names the claim of each by its number. One that was released meanwhile is left as it is.
    """
    if len(claims) > 1:
        # Who locks several rows of a workflow has its chain.
        await audit.lock(session, workflow)
    handed_over = await session.scalars(
        update(Message)
        .where(
            Message.id.in_(claims), Message.state == "claimed", Message.claimed_by.in_(list(claims.values()))
        )
        .values(state="handed_over", attempted_at=at)
        .returning(Message.id)
        .execution_options(synchronize_session=False)
    )
    return set(handed_over)


async def release(session: AsyncSession, message: int, claimed_by: str, trouble: str, at: datetime) -> None:
    """Return a claimed message to `planned` after an attempt that certainly did not deliver (MAIL3)."""
    await session.execute(
        update(Message)
        .where(
            Message.id == message,
            Message.claimed_by == claimed_by,
            or_(Message.state == "claimed", Message.state == "handed_over"),
        )
        .values(state="planned", claimed_by=None, trouble=trouble, attempted_at=at)
    )
