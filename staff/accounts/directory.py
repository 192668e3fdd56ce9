"""The accounts of staff: made, changed, closed, and the members assigned to coordinators.

Each change is on the audit record of the account, `staff/ID`. Instants are those of the machine's clock.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import available_timezones

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import (
    CohortMember,
    Member,
    Profile,
    StaffAccount,
    StaffAssignment,
    StaffLink,
    StaffSession,
)
from rules.text import from_form

ROLES: Final = ("viewer", "coordinator", "manager")
LANGUAGES: Final = ("en", "es")

_ADDRESS: Final = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,250}")
_RIGHTS: Final = ("role", "may_send", "may_set")


class AccountChangeRefused(ValueError):
    """A change to an account that cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class StaffMember:
    """Somebody of the staff who is signed in."""

    id: str
    name: str
    email: str
    role: str
    may_send: bool
    """Whether the person may act on mail and members."""
    may_set: bool
    """Whether the person may change settings."""
    language: str
    zone: str

    @property
    def actor(self) -> str:
        """Whom the audit record names."""
        return self.email

    @property
    def is_manager(self) -> bool:
        """Whether the person reads what only managers may read."""
        return self.role == "manager"

    @property
    def sees_all(self) -> bool:
        """Whether the person sees every member, and not only those who are assigned."""
        return self.role != "coordinator"

    @property
    def may_act(self) -> bool:
        """Whether the person may act on the people whom the person sees."""
        return self.role == "coordinator" or (self.is_manager and self.may_send)


def staff_member(account: StaffAccount) -> StaffMember:
    """Return the value of an account."""
    return StaffMember(
        id=account.id,
        name=account.name,
        email=account.email,
        role=account.role,
        may_send=account.may_send,
        may_set=account.may_set,
        language=account.language,
        zone=account.zone,
    )


async def find_account(session: AsyncSession, email: str) -> StaffAccount | None:
    """Return the account of an address that is not closed; None without one."""
    found: StaffAccount | None = await session.scalar(
        select(StaffAccount).where(
            StaffAccount.email == email.strip().lower(), StaffAccount.closed_at.is_(None)
        )
    )
    return found


async def accounts(session: AsyncSession) -> Sequence[StaffAccount]:
    """Return all accounts, open ones first, in the order of their names."""
    found = await session.scalars(select(StaffAccount))
    return sorted(found, key=lambda each: (each.closed_at is not None, each.name.lower(), each.id))


async def add_account(
    session: AsyncSession, email: str, values: Mapping[str, object], actor: str, at: datetime
) -> StaffAccount:
    """Make an account, or open a closed one of the address with these values. Raises AccountChangeRefused.

    `values` are columns of the account. Managers may send and set unless they say otherwise.
    """
    address = email.strip().lower()
    if not _ADDRESS.fullmatch(address):
        raise AccountChangeRefused("an account needs one mail address, like ana@example.org")
    account = await session.scalar(select(StaffAccount).where(StaffAccount.email == address))
    if account is not None and account.closed_at is None:
        raise AccountChangeRefused(f"{address} has an account already")
    manages = values.get("role") == "manager"
    usual = {"role": "viewer", "may_send": manages, "may_set": manages, "language": "en", "zone": "UTC"}
    checked = _checked({**usual, "name": address.partition("@")[0], **values})
    if account is None:
        account = StaffAccount(id=secrets.token_hex(8), email=address, created_at=at)
        session.add(account)
    account.closed_at = account.oidc_subject = account.password = None
    for name, value in checked.items():
        setattr(account, name, value)
    await session.flush()
    rights = {name: checked[name] for name in _RIGHTS}
    await _record(session, account, "account added", rights, actor, at)
    return account


async def change_account(
    session: AsyncSession, account: StaffAccount, values: Mapping[str, object], actor: str, at: datetime
) -> None:
    """Change columns of an account. A change of rights or password ends its sessions. Raises AccountChangeRefused."""
    checked = _checked({"role": account.role, **values})
    if "role" in values and account.role != "manager" and checked["role"] == "manager":
        checked = {"may_send": True, "may_set": True, **checked}
    if checked["role"] != "manager":
        checked |= {"may_send": False, "may_set": False}
    changed = {name: value for name, value in checked.items() if getattr(account, name) != value}
    for name, value in changed.items():
        setattr(account, name, value)
    if changed.keys() & {*_RIGHTS, "password"}:
        await end_sessions(session, account.id)
    if changed:
        shown = {name: value for name, value in changed.items() if name in _RIGHTS}
        data = {**shown, "changed": sorted(changed)}
        await _record(session, account, "account changed", data, actor, at)


async def close_account(session: AsyncSession, account: StaffAccount, actor: str, at: datetime) -> None:
    """Close an account: its sessions and links end, and nobody is assigned to it."""
    account.closed_at, account.password = at, None
    await end_sessions(session, account.id)
    await session.execute(delete(StaffAssignment).where(StaffAssignment.account_id == account.id))
    await _record(session, account, "account closed", {}, actor, at)


async def end_sessions(session: AsyncSession, account: str) -> None:
    """End all sessions and unused links of an account."""
    for table in (StaffSession, StaffLink):
        await session.execute(delete(table).where(table.account_id == account))


async def assign(
    session: AsyncSession, account: StaffAccount, subject: str, actor: str, at: datetime
) -> bool:
    """Let a coordinator see a member, a program or a partner of one; return whether that is new.

    Raises AccountChangeRefused.
    """
    if account.role != "coordinator":
        raise AccountChangeRefused(
            f"{account.email} is a {account.role}: only coordinators have members assigned"
        )
    kind, _, name = subject.partition("/")
    in_cohort = CohortMember.cohort_id + "/" + CohortMember.partner == name
    known = {"member": select(Member.id).where(Member.id == name)}
    known["program"] = select(Profile.id).where(Profile.program == name).limit(1)
    of_partner = or_(
        Profile.program + "/" + Profile.partner == name,
        Profile.id.in_(select(CohortMember.profile_id).where(in_cohort)),
    )
    known["partner"] = select(Profile.id).where(of_partner).limit(1)
    if kind not in known or await session.scalar(known[kind]) is None:
        raise AccountChangeRefused(
            f"there is no {subject}: name a member/…, or a program/… or partner/COHORT/PARTNER with profiles"
        )
    if await session.get(StaffAssignment, (account.id, subject)) is not None:
        return False
    session.add(StaffAssignment(account_id=account.id, subject=subject, since=at))
    await _record(session, account, "assigned", {"to": subject}, actor, at)
    return True


async def unassign(
    session: AsyncSession, account: StaffAccount, subject: str, actor: str, at: datetime
) -> bool:
    """Take an assignment back; return whether there was one."""
    found = await session.get(StaffAssignment, (account.id, subject))
    if found is None:
        return False
    await session.delete(found)
    await _record(session, account, "assignment ended", {"to": subject}, actor, at)
    return True


async def assignments_of(session: AsyncSession, account: str) -> tuple[str, ...]:
    """Return what is assigned to an account."""
    found = await session.scalars(
        select(StaffAssignment.subject)
        .where(StaffAssignment.account_id == account)
        .order_by(StaffAssignment.subject)
    )
    return tuple(found)


def _checked(values: Mapping[str, object]) -> dict[str, object]:
    checked = dict(values)
    if checked["role"] not in ROLES:
        raise AccountChangeRefused(f"the role is one of {', '.join(ROLES)}")
    if "language" in checked and checked["language"] not in LANGUAGES:
        raise AccountChangeRefused(f"the language is one of {', '.join(LANGUAGES)}")
    if "zone" in checked and checked["zone"] not in available_timezones():
        raise AccountChangeRefused(f"{checked['zone']} is no time zone; one looks like America/Bogota")
    if "name" in checked:
        checked["name"] = from_form(str(checked["name"]))[:200]
        if not checked["name"]:
            raise AccountChangeRefused("an account needs a name")
    if checked["role"] != "manager" and (checked.get("may_send") or checked.get("may_set")):
        raise AccountChangeRefused("only managers have the rights to send and to set")
    return checked


async def _record(
    session: AsyncSession,
    account: StaffAccount,
    act: str,
    data: Mapping[str, object],
    actor: str,
    at: datetime,
) -> None:
    when = at.replace(microsecond=0)
    await audit.append(session, f"staff/{account.id}", "act", when, {"act": act, **data}, actor=actor)
