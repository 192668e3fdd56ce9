"""Claims: what is asked of a message before it goes out, and its bytes (MAIL1, MAIL2, MAIL4, MAIL8, T8).

All is asked in the transaction of the claim, which commits before a socket opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.delivery.in_flight import ClaimedMessage, InFlightDeliveries
from activities.delivery.outcome import Outcome, decided, held, waits
from database import ledger, person_keys, staff_orders, suppressions
from database.links import Links
from database.models import DECISIONS, Message
from database.session import Database
from lifecycles.participants import Programs
from lifecycles.registry import program_of_message
from lifecycles.together import locked_messages
from mail.addresses import AddressRefused
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from mail.context import PreparedMail, prepare_mail
from mail.decisions import decide_ambiguous, decide_unusable_address, withhold
from mail.meetups.claim_check import is_withheld
from mail.mime import build_mail
from mail.smtp import channel_stop
from mail.smtp.verdicts import TryLater
from mail.turns.nudge_cap import postpone, take_place
from mail.turns.shared_mail import is_shared, turn_of
from rules.program import Program

_TURN = 0.05
"""Seconds between two looks at what other claims plan."""
_TURNS = 100
"""How often a message looks. A claim beside it is planned within a fraction of a second, unless the worker is down."""

STOPPED = "the channel is stopped: mail came back for our own account or quota"

Sign = Callable[[bytes], Awaitable[bytes]]
"""Returns a message as it goes out, with a signature where the channel has a key."""

Claim = Outcome | ClaimedMessage | timedelta
"""A claimed message; or its outcome where it is not to go out; or how long it waits for a stopped channel (MAIL10)."""


class _NotItsTurn(Exception):
    """Another claim of the same person speaks first, or is about to join; or another nudge took the day's place."""


class MessageClaims:
    """Claims messages for an attempt of this process; `in_flight` are those that an earlier attempt has left."""

    def __init__(
        self,
        database: Database,
        programs: Programs,
        composer: Callable[[Program], Composer],
        sign: Sign,
        recipients: tuple[Links, RecipientAllowlist],
        in_flight: InFlightDeliveries,
    ) -> None:
        self._database = database
        self._programs = programs
        self._composer = composer
        self._sign = sign
        self._links, self._allowlist = recipients
        self._in_flight = in_flight

    async def together(self, workflow: str, keys: Sequence[str], at: datetime) -> list[Claim]:
        """Claim messages of one workflow in one transaction.

        Raises what one of them raises, and then claims none: each is then to be claimed for itself.
        """
        async with self._database.begin() as session:
            rows = await locked_messages(session, workflow, keys)
            return [await self._claim(session, key, rows.get(key), at) for key in keys]

    async def in_turn(self, workflow: str, key: str, at: datetime) -> Claim:
        """Claim a message once other claims have planned theirs, so that one mail speaks for all (CPE7).

        Raises TryLater where it is not its turn for long.
        """
        for turn in range(_TURNS + 1):
            try:
                async with self._database.begin() as session:
                    row = (await locked_messages(session, workflow, [key])).get(key)
                    return await self._claim(session, key, row, at, patient=turn < _TURNS)
            except _NotItsTurn:
                if turn < _TURNS:
                    await asyncio.sleep(_TURN)
        raise TryLater("another message took the place of the day")

    # long: what may keep a message from going out, in the order in which it is asked
    async def _claim(
        self, session: AsyncSession, key: str, row: Message | None, at: datetime, *, patient: bool = True
    ) -> Claim:
        """Claim a message for this attempt, its bytes rendered and stored, or return why it does not go out.

        Raises _NotItsTurn, if `patient`, while another claim may still join the mail or speaks first.
        """
        if row is None:
            return Outcome(key, "cancelled", at)
        if row.state in DECISIONS:
            self._in_flight.forget(row)
            return decided(row)
        own = self._in_flight.own(row)
        if own and not own.hand_over_failed and row.state in ("claimed", "handed_over"):
            return own.message
        if row.state == "handed_over":
            if not own:
                cause = "the worker ended between the last byte and the server's answer"
                await decide_ambiguous(session, row, cause, at)
                return decided(row)
            row.state, row.claimed_by = "planned", None
        if waits(row, at):
            return held(row)
        if await _decide_by_order(session, row, at):
            return decided(row)
        program = await program_of_message(session, self._programs, row)
        if await is_withheld(session, row, program, at):
            return decided(row) if row.state in DECISIONS else Outcome(row.key, "held", at)
        if row.content is None and await postpone(session, row, program, at):
            return held(row)
        if await self._is_spoken_for(session, row, program, at, patient):
            return decided(row)
        ledger.replace_plain_id(session, row)
        mail = await prepare_mail(session, row, program, self._links, at)
        await suppressions.read_obstacles(session, (mail.address, *mail.people))
        if await withhold(session, row, mail, self._allowlist, _lateness(row, at), at):
            return decided(row)
        if wait := await channel_stop.wait_for(session, row, at):
            row.trouble = STOPPED
            return wait
        if not await take_place(session, row, program, at) and row.content is None:
            raise _NotItsTurn
        try:
            return await self._render_and_claim(session, row, mail, at)
        except AddressRefused as refused:
            await decide_unusable_address(session, row, str(refused), at)
            return decided(row)

    async def _is_spoken_for(
        self, session: AsyncSession, row: Message, program: Program, at: datetime, patient: bool
    ) -> bool:
        """Return whether the mail of another claim has said this; else note for which claims this one speaks (CPE7).

        Raises _NotItsTurn, if `patient`, or TryLater while another claim may still join or speaks first.
        """
        if not is_shared(row) or row.content is not None:
            return False
        turn = await turn_of(session, row, program)
        if turn.spoken_for_by:
            await ledger.decide(session, row, "cancelled", f"in one mail with {turn.spoken_for_by}", at)
            return True
        if patient and (turn.waits or turn.incomplete):
            raise _NotItsTurn
        if turn.waits:
            raise TryLater("the mail of another claim speaks for this one")
        if turn.others:
            row.context = {**row.context, "with": " ".join(turn.others)}
        return False

    async def _render_and_claim(
        self, session: AsyncSession, row: Message, mail: PreparedMail, at: datetime
    ) -> ClaimedMessage:
        """Claim a message; render it unless an earlier attempt did: each attempt sends the same bytes (MAIL2)."""
        if row.member_id:
            # Made here, before anything is out, so that nothing more can fail after the server's answer.
            await person_keys.ensure(session, row.member_id, at)
        recipient, content = row.recipient, row.content
        if recipient is None or content is None:
            composed = self._composer(mail.program).compose(
                row.message, row.number, mail.locale, mail.context
            )
            recipient = row.recipient = mail.address
            content = row.content = await self._sign(build_mail(composed, mail.envelope))
            row.subject, row.message_id = composed.subject, mail.envelope.message_id
            row.text_version = composed.text_version
        row.state, row.claimed_at, row.claimed_by = "claimed", at, _new_claim()
        row.attempts += 1
        return ClaimedMessage(row, recipient, content, row.claimed_by, at)


def _lateness(row: Message, at: datetime) -> timedelta:
    """Return how late a message is. Mail about what the engine heard of late was held up by nobody until then (T9)."""
    return at - max(row.due_at or row.planned_at, row.planned_at)


async def _decide_by_order(session: AsyncSession, row: Message, at: datetime) -> bool:
    """Decide a message that staff ordered to skip; return whether it was one."""
    if row.staff_order != staff_orders.SKIP:
        return False
    await ledger.decide(session, row, "skipped", staff_orders.SKIPPED, at)
    return True


def _new_claim() -> str:
    """Return a name for one claim. The attempt's number is not enough: a reset in Temporal starts it at 1 again."""
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}/{info.attempt}/{uuid4().hex[:12]}"
