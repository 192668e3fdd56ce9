"""The catalogue: every message that goes out, who reads it, and what may stop it.

A message's name is `<audience>.<what>`; its texts are files of that name in `templates/mail/`. The names are promises
to the outside and are never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Audience(StrEnum):
    """Who reads a message; `member` where mentors and mentees get the same one."""

    MENTOR = "mentor"
    MENTEE = "mentee"
    MEMBER = "member"
    STAFF = "staff"


class MessageClass(StrEnum):
    """Why a message goes out, which decides what may stop it (MAIL2, MAIL6; decided here)."""

    OWED = "owed"
    """The answer to something that happened: a request, a match, a cancellation."""

    NUDGE = "nudge"
    """An offer, a question or a reminder that its reader may decline to get."""

    COMPLIANCE = "compliance"
    """What a rule of the program or of a certification obliges us to say."""

    @property
    def stoppable(self) -> bool:
        """True where the reader's unsubscribe stops it, and the mail carries the link to do so (MAIL6)."""
        return self is MessageClass.NUDGE

    @property
    def ambiguity_opens_task(self) -> bool:
        """True where a copy that was handed over but never confirmed becomes a staff task (MAIL2).

        No class repeats such a copy: two of the same letter do more harm than none. A nudge is dropped with the
        reason recorded; for the others a person decides.
        """
        return self is not MessageClass.NUDGE


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message of the catalogue.

    `rules` are the ids of the rulebook that ask for it. `thread` names the message whose conversation it joins in
    the reader's mailbox; its own name means that the numbers after the first join the first. `numbers` are the
    occurrences every program sends; `open_ended` says that staff or a long engagement may go beyond them.
    """

    name: str
    message_class: MessageClass
    audience: Audience
    rules: tuple[str, ...]
    thread: str | None = None
    numbers: tuple[int, ...] = ()
    open_ended: bool = False

    @property
    def occurrences(self) -> tuple[int | None, ...]:
        """The numbers to try a text with: all planned ones, and one beyond where more may come."""
        if not self.numbers:
            return (None,)
        return (*self.numbers, self.numbers[-1] + 1) if self.open_ended else self.numbers


def _message(
    message_class: MessageClass,
    name: str,
    *rules: str,
    thread: str | None = None,
    numbers: tuple[int, ...] = (),
    open_ended: bool = False,
) -> MessageType:
    audience = Audience(name.partition(".")[0])
    return MessageType(name, message_class, audience, rules, thread, numbers, open_ended)


_OWED, _NUDGE, _COMPLIANCE = MessageClass.OWED, MessageClass.NUDGE, MessageClass.COMPLIANCE
_REQUEST_AND_REMINDERS = (1, 2, 3, 4)

_MESSAGES = (
    # onboarding
    _message(_COMPLIANCE, "member.standing_lapsed", "MEM1", "MEM2"),
    _message(_OWED, "mentor.welcome", "ONB1", "ONB7"),
    _message(_NUDGE, "mentee.checkin", "ONB2", "ONB5", "ONB7", numbers=(1, 2, 3, 4), open_ended=True),
    # requests
    _message(_OWED, "mentor.request_received", "REQ1"),
    _message(_OWED, "mentee.request_sent", "REQ1"),
    _message(_NUDGE, "mentor.request_reminder", "REQ2", thread="mentor.request_received"),
    _message(_NUDGE, "mentor.request_past_due", "REQ3", thread="mentor.request_received"),
    _message(_OWED, "mentee.request_unanswered", "REQ4", thread="mentee.request_sent"),
    _message(_OWED, "mentee.request_declined", "REQ6", thread="mentee.request_sent"),
    _message(_NUDGE, "mentor.declined_checkin", "REQ6", thread="mentor.request_received"),
    _message(_OWED, "mentor.request_canceled", "REQ7", "REQ9", thread="mentor.request_received"),
    _message(_OWED, "mentee.request_canceled", "REQ7", "REQ9", thread="mentee.request_sent"),
    _message(_OWED, "mentor.request_expired", "REQ8", thread="mentor.request_received"),
    _message(_OWED, "mentee.request_expired", "REQ8", thread="mentee.request_sent"),
    _message(_OWED, "mentee.mentor_unavailable", "MEM4"),
    # engagements
    _message(_OWED, "mentor.match", "ENG1", "REQ5"),
    _message(_OWED, "mentee.match", "ENG1", "REQ5"),
    _message(_NUDGE, "mentor.discovery", "ENG2", thread="mentor.discovery", numbers=(1, 2)),
    _message(_NUDGE, "mentee.discovery", "ENG2", thread="mentee.discovery", numbers=(1, 2)),
    _message(_NUDGE, "mentor.pulse", "ENG4", numbers=(1, 2), open_ended=True),
    _message(_NUDGE, "mentee.pulse", "ENG4", numbers=(1, 2), open_ended=True),
    _message(_NUDGE, "mentor.curriculum", "COH4", numbers=(1, 2), open_ended=True),
    _message(_NUDGE, "mentee.curriculum", "COH4", numbers=(1, 2), open_ended=True),
    _message(_NUDGE, "mentor.wrap_up", "ENG5"),
    _message(_NUDGE, "mentee.wrap_up", "ENG5"),
    _message(_OWED, "mentor.extended", "ENG5", "ENG6"),
    _message(_OWED, "mentee.extended", "ENG5", "ENG6"),
    _message(_OWED, "mentor.completed", "ENG7", "ENG9"),
    _message(_OWED, "mentee.completed", "ENG7", "ENG9"),
    _message(_OWED, "mentor.ended", "ENG2", "ENG7"),
    _message(_OWED, "mentee.ended", "ENG2", "ENG7"),
    _message(_OWED, "mentor.canceled", "ENG6"),
    _message(_OWED, "mentee.canceled", "ENG6"),
    # cohorts
    _message(_OWED, "member.window_closed", "COH1"),
    _message(_OWED, "mentor.paired", "COH2"),
    _message(_OWED, "mentee.paired", "COH2"),
    _message(_OWED, "member.unpaired", "COH2"),
    _message(_OWED, "member.graduation", "COH3"),
    # credit
    _message(_NUDGE, "mentor.credit_precheck", "CPE7"),
    _message(_NUDGE, "mentee.credit_precheck", "CPE7"),
    _message(
        _COMPLIANCE,
        "mentee.sign_confirmation",
        "CPE5",
        "CPE7",
        thread="mentee.sign_confirmation",
        numbers=_REQUEST_AND_REMINDERS,
    ),
    _message(
        _COMPLIANCE,
        "mentor.write_letter",
        "CPE6",
        "CPE7",
        thread="mentor.write_letter",
        numbers=_REQUEST_AND_REMINDERS,
    ),
    _message(_COMPLIANCE, "mentor.credit_ready", "CPE10"),
    _message(_COMPLIANCE, "mentee.credit_ready", "CPE10"),
    _message(_COMPLIANCE, "mentor.credit_outside_cycle", "CPE4"),
    _message(_COMPLIANCE, "mentee.credit_outside_cycle", "CPE4"),
    _message(_COMPLIANCE, "mentor.credit_accepted", "CPE13"),
    _message(_COMPLIANCE, "mentee.credit_accepted", "CPE13"),
    _message(_COMPLIANCE, "mentor.credit_rejected", "CPE13"),
    _message(_COMPLIANCE, "mentee.credit_rejected", "CPE13"),
    _message(_COMPLIANCE, "mentor.credit_reopened", "CPE13"),
    _message(_COMPLIANCE, "mentee.credit_reopened", "CPE13"),
    _message(_COMPLIANCE, "mentor.credit_revoked", "CPE13"),
    _message(_COMPLIANCE, "mentee.credit_revoked", "CPE13"),
    _message(_OWED, "mentor.certificate", "CPE3"),
    _message(_OWED, "mentee.certificate", "CPE3"),
    # surveys
    _message(_NUDGE, "mentor.survey", "SUR2", thread="mentor.survey", numbers=_REQUEST_AND_REMINDERS),
    _message(_NUDGE, "mentee.survey", "SUR2", thread="mentee.survey", numbers=_REQUEST_AND_REMINDERS),
    # meetups
    _message(_NUDGE, "member.meetup_invitation", "MEE1"),
    _message(_OWED, "member.meetup_changed", "MEE1", thread="member.meetup_invitation"),
    _message(_OWED, "member.meetup_canceled", "MEE1", thread="member.meetup_invitation"),
    _message(_NUDGE, "member.meetup_reminder", "MEE1", thread="member.meetup_invitation"),
    _message(_NUDGE, "member.meetup_resources", "MEE1", "MEE2", thread="member.meetup_invitation"),
    # staff
    _message(_OWED, "staff.misconduct", "ENG8"),
    _message(_OWED, "staff.alarm", "MAIL3", "T8"),
    _message(_COMPLIANCE, "staff.checkpoint", "CPE11"),
    _message(_OWED, "staff.digest", "STA4"),
    _message(_OWED, "staff.coordinator_digest", "STA4", "COH4"),
)

_MOST_URGENT_FIRST = (
    "request_reminder",
    "meetup_reminder",
    "request_past_due",
    "wrap_up",
    "credit_precheck",
    "discovery",
    "declined_checkin",
    "meetup_invitation",
    "survey",
    "curriculum",
    "checkin",
    "pulse",
    "meetup_resources",
)
"""Nudges by what waits for their reader: another person, a date, a question, an offer."""

_URGENCY = {what: place for place, what in enumerate(_MOST_URGENT_FIRST)}


def urgency(message: str) -> int:
    """Return the place of a nudge among those of a day, the most urgent first (MAIL11)."""
    return _URGENCY.get(message.partition(".")[2], len(_URGENCY))


CATALOGUE: Mapping[str, MessageType] = MappingProxyType({message.name: message for message in _MESSAGES})
"""Every message by name (MAIL1)."""
