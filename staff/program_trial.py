"""The trial of a program as staff see it: its guests, the checklist, and the day on which it goes live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import AuditRecord, Message, Profile, ProgramTrial, StaffAccount, TrialGuest
from database.program_trials import guests_of, trial_of
from mail.smtp.settings import SmtpSettings
from rules.mail_address import AddressRejected, mail_address
from rules.program import Program


class TrialRefused(ValueError):
    """Something about a trial that is not done; the text says why."""


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """A point of the checklist: what the engine can see for itself."""

    key: str
    """`manager`, `server`, `event`, `mail` or `texts`."""
    is_met: bool
    lacking: tuple[str, ...] = ()
    """The languages of which no text was looked at."""


@dataclass(frozen=True, slots=True)
class TrialView:
    """The trial of a program."""

    program: str
    since: datetime | None
    """None for a program that never had one."""
    live_at: datetime | None
    live_by: str | None
    because: str | None
    guests: tuple[str, ...]
    points: tuple[TrialPoint, ...]

    @property
    def is_in_trial(self) -> bool:
        """Whether the program mails staff and guests only."""
        return self.since is not None and self.live_at is None

    @property
    def open_points(self) -> tuple[str, ...]:
        """The points that are not met."""
        return tuple(point.key for point in self.points if not point.is_met)


async def trial_view(session: AsyncSession, program: Program, smtp: SmtpSettings | None) -> TrialView:
    """Return the trial of a program; `smtp` is the way to the mail server, if this process has one."""
    trial = await trial_of(session, program.id)
    return TrialView(
        program.id,
        trial.since if trial else None,
        trial.live_at if trial else None,
        trial.live_by if trial else None,
        trial.live_because if trial else None,
        tuple(guest.address for guest in await guests_of(session, program.id)),
        await _checklist(session, program, smtp),
    )


async def add_guest(
    session: AsyncSession, program: Program, address: str, actor: str, reason: str, at: datetime
) -> str:
    """Have a program in trial mail an address, on record; return the address. Raises TrialRefused."""
    guest = _address(address)
    await _in_trial(session, program)
    if await session.get(TrialGuest, (program.id, guest)) is None:
        session.add(TrialGuest(program=program.id, address=guest, added_by=actor, added_at=at))
        await _record(session, program, "guest added", actor, reason, at)
    return guest


async def remove_guest(
    session: AsyncSession, program: Program, address: str, actor: str, reason: str, at: datetime
) -> None:
    """Have a program in trial no longer mail an address, on record. Raises TrialRefused."""
    guest = await session.get(TrialGuest, (program.id, _address(address)))
    if guest is None:
        raise TrialRefused("this address is not among the guests")
    await session.delete(guest)
    await _record(session, program, "guest removed", actor, reason, at)


async def begin(session: AsyncSession, program: Program, actor: str, reason: str, at: datetime) -> None:
    """Put a program into trial, on record. Raises TrialRefused for one that has people."""
    if await session.scalar(select(Profile.id).where(Profile.program == program.id).limit(1)):
        raise TrialRefused(f"{program.id} has people already: it cannot go back into trial")
    trial = await trial_of(session, program.id)
    if trial is None:
        session.add(ProgramTrial(program=program.id, since=at))
    else:
        trial.since, trial.live_at, trial.live_by, trial.live_because = at, None, None, None
    await _record(session, program, "trial begun", actor, reason, at)


async def go_live(
    session: AsyncSession, view: TrialView, program: Program, actor: str, reason: str, at: datetime
) -> None:
    """Have a program mail everybody from now on, on record with the points that are open. Raises TrialRefused.

    What was withheld in trial stays withheld.
    """
    trial = await _in_trial(session, program)
    trial.live_at, trial.live_by, trial.live_because = at, actor, reason
    await _record(session, program, "go live", actor, reason, at, view.open_points)


async def _checklist(
    session: AsyncSession, program: Program, smtp: SmtpSettings | None
) -> tuple[TrialPoint, ...]:
    managers = select(StaffAccount.id).where(
        StaffAccount.role == "manager", StaffAccount.may_send, StaffAccount.closed_at.is_(None)
    )
    event = select(Profile.id).where(Profile.program == program.id)
    mail = select(Message.id).where(Message.program == program.id, Message.state == "sent")
    tests = await session.scalars(
        select(AuditRecord).where(AuditRecord.subject == f"program/{program.id}", AuditRecord.kind == "act")
    )
    seen = {record.data.get("language") for record in tests if record.data.get("act") == "test mail"}
    lacking = tuple(language for language in program.languages if language not in seen)
    return (
        TrialPoint("manager", await session.scalar(managers.limit(1)) is not None),
        TrialPoint("server", smtp is not None and _is_trusted(smtp)),
        TrialPoint("event", await session.scalar(event.limit(1)) is not None),
        TrialPoint("mail", await session.scalar(mail.limit(1)) is not None),
        TrialPoint("texts", not lacking, lacking),
    )


def _is_trusted(smtp: SmtpSettings) -> bool:
    """Return whether mail is signed by DKIM here, or goes to a relay that knows us, and signs it."""
    signs_in = smtp.username is not None or smtp.oauth2 is not None
    return smtp.dkim is not None or (signs_in and smtp.tls != "none")


def _address(text: str) -> str:
    try:
        return mail_address(text).ascii.lower()
    except AddressRejected as rejected:
        raise TrialRefused(f"this is no address that can be mailed: {rejected}") from None


async def _in_trial(session: AsyncSession, program: Program) -> ProgramTrial:
    trial = await session.get(ProgramTrial, program.id, with_for_update=True)
    if trial is None or trial.live_at is not None:
        raise TrialRefused(f"{program.id} is not in trial: it mails everybody")
    return trial


# long: who did what, why and when
async def _record(
    session: AsyncSession,
    program: Program,
    act: str,
    actor: str,
    reason: str,
    at: datetime,
    lacking: Sequence[str] = (),
) -> None:
    # No address: the record stays for ever.
    data = {"act": act, "reason": reason, **({"open": list(lacking)} if lacking else {})}
    subject = f"program/{program.id}"
    await audit.append(session, subject, "act", at.replace(microsecond=0), data, actor=actor)
