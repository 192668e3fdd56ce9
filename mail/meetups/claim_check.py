"""Whether a message of a meetup still goes out, asked in the transaction of its claim (MAIL4, MEE1).

People are planned in batches, so that the facts may be newer than a message. The agenda of its one reader decides, by
the function that plans use.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.ledger import FIRST_RESEND_OCCURRENCE
from database.models import Meetup, MeetupInvitation, Member, Message
from lifecycles.facts import facts_from_row
from lifecycles.meetups.invitations import Invited, active_members, agenda_of, invited_where, messages_of
from rules.meetup import MeetupFacts, over_because, parts_of_step
from rules.program import Program

_FOR_PARTICIPANTS = ("invitation", "reminder", "resources")
"""What only those get who take part. A change or a cancellation goes to all who have the invitation."""


async def is_withheld(session: AsyncSession, row: Message, program: Program, at: datetime) -> bool:
    """Return whether a message must not go out now, because it is of a meetup that says otherwise.

    It is then decided, or its reader is planned again, as after a change that came meanwhile.
    """
    meetup = await session.get(Meetup, row.workflow) if row.workflow.startswith("meetup/") else None
    if meetup is None:
        return False
    facts = facts_from_row(MeetupFacts, meetup.facts)
    what, number = parts_of_step(row.step)
    if reason := over_because(facts, what, at):
        await ledger.decide(session, row, "skipped", reason, at)
        return True
    of_person = [MeetupInvitation.workflow == row.workflow, MeetupInvitation.number == number]
    invited = next(iter(await invited_where(session, of_person, 1)), None)
    if invited is None:
        await ledger.decide(session, row, "cancelled", "the reader is not invited any more", at)
        return True
    if what in _FOR_PARTICIPANTS and not await _takes_part(session, invited, facts):
        await _take_back(session, row, invited, what, at)
        return True
    if row.occurrence >= FIRST_RESEND_OCCURRENCE or await _is_in_agenda(
        session, row, invited, facts, program
    ):
        return False
    invited.invitation.planned_for = 0
    return True


async def _takes_part(session: AsyncSession, invited: Invited, facts: MeetupFacts) -> bool:
    member = invited.invitation.member_id
    found = await session.scalar(
        select(Member.id).where(Member.id == member, active_members(facts.program, facts.cohort))
    )
    return found is not None


async def _take_back(session: AsyncSession, row: Message, invited: Invited, what: str, at: datetime) -> None:
    """Decide a message to somebody who takes part no longer. Who comes back before the meetup is invited then."""
    await ledger.decide(session, row, "cancelled", "the reader does not take part any more", at)
    if what == "invitation":
        rows = (await messages_of(session, row.workflow, [invited.invitation.number]))[
            invited.invitation.number
        ]
        for other in rows:
            if other.state in ("planned", "claimed"):
                reason = "the reader does not take part any more"
                await ledger.decide(session, other, "cancelled", reason, at)
        await session.delete(invited.invitation)


async def _is_in_agenda(
    session: AsyncSession, row: Message, invited: Invited, facts: MeetupFacts, program: Program
) -> bool:
    rows = (await messages_of(session, row.workflow, [invited.invitation.number]))[invited.invitation.number]
    mail = next((each for each in agenda_of(facts, invited, rows, program) if each.key == row.key), None)
    if mail is None or mail.due is None:
        return False
    return all(row.context.get(name) == value for name, value in mail.context.items())
