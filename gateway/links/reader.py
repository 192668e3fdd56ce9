"""The reader of a personal page, with program and language."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncSession

from database.links import Link
from database.models import Member, Profile
from gateway.pages import PageBrand
from lifecycles.participants import Participant, Programs, participants
from lifecycles.registry import find_lifecycle
from lifecycles.situation import pinned_program
from rules.calendar import local_in
from rules.program import Program


@dataclass(frozen=True, slots=True)
class LinkReader:
    """A participant who opened a link, the program of the profile, and the language to use (MAIL5)."""

    participant: Participant
    program: Program
    language: str

    @property
    def profile(self) -> Profile:
        """The profile that the link names."""
        return self.participant.profile

    @property
    def member(self) -> Member:
        """The member whose profile it is."""
        return self.participant.member

    def today(self, at: datetime) -> date:
        """Return the date of an instant in the program's zone, which counts for engagements (ENG1)."""
        return local_in(self.program.hours.zone, at).date()


async def reader_of(
    session: AsyncSession, programs: Programs, languages: Collection[str], link: Link
) -> LinkReader | None:
    """Return the reader of a link; None if the profile is unknown, or its program is not loaded here.

    The program has the rules by which the link's subject goes on. `languages` are those that there are pages in.
    """
    participant = (await participants(session, [link.profile])).get(link.profile)
    if participant is None or participant.is_erased or participant.profile.program not in programs:
        return None
    program, subject = programs[participant.profile.program], await find_lifecycle(session, link.subject)
    if subject is not None and subject.program == program.id:
        program = await pinned_program(session, programs, subject)
    return LinkReader(participant, program, participant.locale(program, languages))


def site_context(program: Program | None) -> dict[str, object]:
    """Return what every sentence of a page may name; nothing where the program is unknown."""
    if program is None:
        return {}
    return {
        "program": program.name,
        "manager": program.manager.name,
        "mailbox": _mail_link(program.mailbox),
        "directory": program.resources["directory"],
        "brand": PageBrand.of(program),
    }


def _mail_link(address: str) -> Markup:
    return Markup('<a href="mailto:{0}">{0}</a>').format(address)


def isolated(name: str) -> Markup:
    """Return a name for use in a sentence, isolated from the direction that the sentence is written in."""
    return Markup("<bdi>{}</bdi>").format(name)
