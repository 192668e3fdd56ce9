"""What decides a lifecycle beside its facts: its people and its program, as the database has them now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from database import program_versions
from database.models import Lifecycle
from lifecycles.participants import Participant, Programs, UnknownProgram, program_of
from rules.acts import Act
from rules.agenda import Agenda, Refused, WindowRecipient, spread_mails
from rules.calendar import Calendar
from rules.program import Program

Facts = TypeVar("Facts")


class Situation(Protocol[Facts]):
    """The people and the program of one lifecycle. Plans and previews ask it the same questions."""

    @property
    def program(self) -> Program:
        """The program whose policy applies."""

    @property
    def people(self) -> Mapping[str, Participant]:
        """Those whom its mails go to, by profile."""

    @property
    def calendar(self) -> Calendar:
        """The calendar by which its days are counted when staff read of it."""

    def agenda(self, facts: Facts) -> Agenda:
        """Return all that the lifecycle does, by the rules."""

    def apply(self, facts: Facts, act: Act, now: datetime) -> Facts:
        """Return the facts after an act, by the rules. Raises Refused."""

    def closed_because(self, facts: Facts, state: str, on: date) -> str:
        """Return how it is over, for an act that comes too late; `on` is the day on which it ended."""


def in_send_window(agenda: Agenda, program: Program, people: Mapping[str, Participant]) -> Agenda:
    """Return an agenda whose mails of the send time are spread over the program's window (T4)."""
    if not program.hours.send_window:
        return agenda
    recipients = {
        profile: WindowRecipient(who.member.id, who.calendar(program)) for profile, who in people.items()
    }
    return spread_mails(agenda, recipients)


async def pinned_program(session: AsyncSession, programs: Programs, row: Lifecycle) -> Program:
    """Return the program of a lifecycle, with the rules of the version that it began with (CPE12).

    Raises UnknownProgram where the program is not loaded here, or the version is not in the database.
    """
    newest, version = program_of(programs, row.program), row.program_version
    if version in (None, newest.fingerprint):
        return newest
    kept = await program_versions.read(session, version)
    if kept is None:
        raise UnknownProgram(f"version {version[:12]} of program {row.program} is not in the database")
    return newest.governed_by(kept)


@dataclass(frozen=True, slots=True)
class AppliedActs(Generic[Facts]):
    """Facts after a round of acts."""

    facts: Facts
    done: list[Act] = field(default_factory=list)
    refused: list[tuple[Act, str]] = field(default_factory=list)
    """The acts that the rules refused, each with the reason."""

    @property
    def refusals(self) -> dict[str, str]:
        """The reasons by the ids of the acts."""
        return {act.id: reason for act, reason in self.refused}


async def apply_acts(
    facts: Facts, acts: Sequence[Act], apply: Callable[[Facts, Act], Awaitable[Facts]]
) -> AppliedActs[Facts]:
    """Apply acts one after the other. One that `apply` refuses changes nothing and stops none of the others."""
    done: list[Act] = []
    refused: list[tuple[Act, str]] = []
    for act in acts:
        if act.unreadable:
            refused.append((act, act.unreadable))
            continue
        try:
            facts = await apply(facts, act)
            done.append(act)
        except Refused as refusal:
            refused.append((act, str(refusal)))
    return AppliedActs(facts, done, refused)
