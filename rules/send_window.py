"""The morning peak, spread: scheduled mail leaves over some minutes after the send time (T4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rules.agenda import Agenda, PlannedMail
from rules.calendar import Calendar


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person as the window counts: the member's id, and the calendar that has the send time."""

    member: str
    calendar: Calendar


def offset(member: str, minutes: int) -> timedelta:
    """Return how long after the send time a person's mail leaves: whole seconds, less than `minutes`.

    It follows from the member's id alone. So a plan that is made again moves nothing, and what one person gets on a
    morning stays together, in its order.
    """
    if not minutes:
        return timedelta(0)
    number = int.from_bytes(hashlib.sha256(member.encode()).digest()[:8], "big")
    return timedelta(seconds=number % (60 * minutes))


def spread(agenda: Agenda, recipients: Mapping[str, Recipient]) -> Agenda:
    """Return an agenda whose mails of the send time leave within the window; `recipients` are by profile.

    Everything else keeps its instant: mail that answers an event or a deadline, states, tasks.
    """
    mails = tuple(
        _spread_mail(mail, recipients[mail.to]) if mail.to in recipients else mail for mail in agenda.mails
    )
    return replace(agenda, mails=mails)


def _spread_mail(mail: PlannedMail, to: Recipient) -> PlannedMail:
    return replace(mail, due=_moved(mail.due, to), after_pause=_moved(mail.after_pause, to))


def _moved(due: datetime | None, to: Recipient) -> datetime | None:
    """Return an instant, moved within the window if it is the person's send time on a business day."""
    hours = to.calendar.hours
    if due is None or not hours.send_window or due != to.calendar.send_at(to.calendar.date_of(due)):
        return due
    return due + offset(to.member, hours.send_window)
