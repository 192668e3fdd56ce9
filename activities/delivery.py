"""Deliveries: claim, render, hand over, decide (MAIL1–MAIL4, MAIL8, T8).

The order of the steps is what makes a delivery neither lost nor doubled: the claim with the rendered bytes is
committed before a socket opens, `handed_over` right before the last byte of the body, the decision after the
server's answer. Whatever ends in between leaves a row that tells the next attempt what may have happened.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeat import heartbeats
from database import ledger, suppressions
from database.links import Links
from database.models import DECISIONS, Message
from database.session import Database
from database.tasks import open_task
from lifecycles.participants import Programs, program_of
from mail.addresses import AddressRefused
from mail.composer import Composer
from mail.context import Correspondence, correspondence
from mail.mime import build_mail
from mail.smtp.settings import PROBE_INTERVAL
from mail.smtp.verdicts import (
    Acceptance,
    Ambiguous,
    AuthenticationRefused,
    ContentRefused,
    DeliveryError,
    RecipientRefused,
    TryLater,
)
from rules.agenda import MINUTE
from rules.messages import MessageClass
from rules.program import Program

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SendMail:
    """The messages of one workflow that are due now, by key."""

    workflow: str
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: its decision and the instant of it, or `held` while it waits for a resume."""

    key: str
    decision: str
    at: datetime | None = None


class Channel(Protocol):
    """A way to hand a message over (see `activities.smtp.SmtpChannel`)."""

    async def deliver(
        self, sender: str, recipient: str, content: bytes, *, before_last_byte: Callable[[], Awaitable[None]]
    ) -> Acceptance:
        """Deliver, or raise one of the DeliveryErrors."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Whom this deployment may mail (MAIL8): everybody in production, else addresses that match `allowed`."""

    production: bool
    allowed: tuple[str, ...] = ()

    def allows(self, address: str) -> bool:
        """Whether an address may be mailed; patterns are `*`, `*@example.org`, `ana@example.org`."""
        return self.production or any(
            fnmatch.fnmatch(address.lower(), pattern.lower()) for pattern in self.allowed
        )


class DeliveryCancelled(Exception):
    """The message was cancelled or held between its claim and its last byte."""


@dataclass(slots=True)
class _InFlightDelivery:
    """A delivery on its way in this process, with its row as it was claimed, until its outcome is recorded.

    From `begun` on it is not interrupted.
    """

    row: Message
    task: asyncio.Task[Acceptance]
    begun: bool = False

    @property
    def kept_here(self) -> bool:
        """Whether the database failed at the record before the last byte: that may stand, but the byte never left."""
        return (
            self.task.done() and not self.task.cancelled() and isinstance(self.task.exception(), DBAPIError)
        )


class MailActivities:
    """Sends the messages of the ledger through a channel."""

    def __init__(
        self,
        database: Database,
        programs: Programs,
        composer: Callable[[Program], Composer],
        channel: Channel,
        links: Links,
        outgoing: Outgoing,
        sign: Callable[[bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        self._database = database
        self._programs = programs
        self._composer = composer
        self._channel = channel
        self._links = links
        self._outgoing = outgoing
        self._sign = sign
        self._under_way: dict[str, _InFlightDelivery] = {}

    @activity.defn
    async def send_mail(self, order: SendMail) -> list[Outcome]:
        """Bring each message to its decision, or raise to be tried again later (MAIL1–MAIL3).

        Error texts name codes, never addresses (MEM6).
        """
        outcomes: list[Outcome] = []
        trouble: list[TryLater] = []
        broken: list[Exception] = []
        async with heartbeats():
            for key in order.keys:
                try:
                    outcomes.append(await self._deliver(order.workflow, key))
                except TryLater as later:
                    trouble.append(later)
                except Exception as error:
                    # One message that cannot be written, say, must not hold up the others.
                    broken.append(error)
        if broken:
            raise broken[0]
        if trouble:
            hint = max((later.after or 0.0) for later in trouble)
            raise ApplicationError(
                f"{len(trouble)} of {len(order.keys)} messages wait for the mail server: {trouble[0]}",
                type="TryLater",
                next_retry_delay=max(timedelta(seconds=hint), _growing(activity.info().attempt)),
            ) from None
        return outcomes

    async def _deliver(self, workflow: str, key: str) -> Outcome:
        at = activity.info().started_time
        claimed = await self._claim(workflow, key, at)
        if isinstance(claimed, Outcome):
            return claimed
        try:
            accepted = await self._hand_over(claimed, at)
        except DeliveryCancelled:
            return await self._taken_back(workflow, key, at)
        except TryLater as later:
            await self._give_back(claimed, later, at)
            raise
        except AuthenticationRefused as refused:
            await self._channel_stopped(claimed, refused, at)
            raise TryLater(
                refused.response, code=refused.code, enhanced=refused.enhanced, after=PROBE_INTERVAL
            ) from None
        except DeliveryError as error:
            return await self._decide_failure(claimed, error, at)
        outcome = await self._decide(
            claimed, "sent", None, at, response=f"{accepted.code} {accepted.response}"
        )
        self._forget(claimed)
        return outcome

    async def _taken_back(self, workflow: str, key: str, at: datetime) -> Outcome:
        """What became of a message that was cancelled, held, moved, or claimed by another attempt meanwhile."""
        async with self._database.reading() as session:
            row = await ledger.found(session, workflow, key)
        if row is None:
            return Outcome(key, "cancelled", at)
        if row.state in DECISIONS:
            return Outcome(key, row.state, row.decided_at)
        if not _due(row, at):
            return Outcome(key, "held")
        raise TryLater("the message was taken away and came back", after=1.0)

    async def _give_back(self, row: Message, later: DeliveryError, at: datetime) -> None:
        """Return a message to `planned`, in the name of the attempt that handed it over."""
        async with self._database.begin() as session:
            await ledger.release(session, row.id, row.claimed_by or "", f"{later}", at)
        self._forget(row)

    async def _claim(self, workflow: str, key: str, at: datetime) -> Outcome | Message:
        """Take a message for this attempt, its bytes rendered and stored, or tell what became of it."""
        async with self._database.begin() as session:
            row = await ledger.locked(session, workflow, key)
            if row is None:
                return Outcome(key, "cancelled", at)
            if row.state in DECISIONS:
                self._forget(row)
                return Outcome(key, row.state, row.decided_at)
            known = self._known(row)
            if known and not known.kept_here and row.state in ("claimed", "handed_over"):
                return row
            if row.state == "handed_over":
                if not known:
                    how = "the worker ended between the last byte and the server's answer"
                    return _outcome(await decide_ambiguous(session, row, how, at))
                row.state, row.claimed_by = "planned", None
            if not _due(row, at):
                return Outcome(key, "held")
            mail = await correspondence(
                session, row, program_of(self._programs, row.program), self._links, at
            )
            refusal = await self._why_not(session, row, mail, at)
            if refusal:
                decision, reason = refusal
                await ledger.decide(session, row, decision, reason, at)
                return Outcome(key, decision, row.decided_at)
            if row.content is None:
                try:
                    await self._render(row, mail)
                except AddressRefused as refused:
                    return await self._address_failed(session, row, mail, str(refused), at)
            row.state = "claimed"
            row.claimed_at = at
            row.claimed_by = _claimant()
            row.attempts += 1
            return row

    async def _why_not(
        self, session: AsyncSession, row: Message, mail: Correspondence, at: datetime
    ) -> tuple[str, str] | None:
        """The decision, with its reason, of a message that must not go out now (T8, MAIL3, MAIL6, MAIL8)."""
        policy = mail.program.mail
        assert row.due_at is not None
        late = at - row.due_at
        if not self._outgoing.allows(mail.address):
            return "suppressed", "the address is not on this environment's allow-list"
        if reason := await suppressions.reason_for(session, mail.address):
            return "suppressed", reason
        if row.message_class == MessageClass.NUDGE and mail.unsubscribed(row.message):
            return "suppressed", "the recipient has unsubscribed from messages of this kind"
        if late > timedelta(days=policy.retry_days) and row.trouble:
            await message_task(
                session,
                row,
                "mail_failed",
                "See why the mail server did not take it; send it again with mail resend.",
                at,
            )
            return "failed", f"not accepted within {policy.retry_days} days; last: {row.trouble}"
        limit = policy.stale_after[row.message_class]
        if late > timedelta(days=limit):
            what = policy.when_stale[row.message_class]
            reason = f"held up for more than {limit} days"
            if what == "ask":
                await message_task(
                    session,
                    row,
                    "mail_failed",
                    "Decide whether it still makes sense to send it (mail resend).",
                    at,
                )
                return "skipped", f"{reason}; staff were asked"
            if what == "skip":
                return "skipped", reason
        return None

    async def _render(self, row: Message, mail: Correspondence) -> None:
        composed = self._composer(mail.program).compose(row.message, row.number, mail.locale, mail.context)
        content = build_mail(composed, mail.envelope)
        row.subject = composed.subject
        row.message_id = mail.envelope.message_id
        row.recipient = mail.address
        row.content = await self._sign(content) if self._sign else content

    async def _hand_over(self, row: Message, at: datetime) -> Acceptance:
        """Hand the bytes over; joins the attempt that is already waiting for the server's answer, if one is."""
        under_way = self._known(row)
        if under_way is None:
            claimant = row.claimed_by or ""
            assert row.content is not None
            assert row.recipient is not None

            async def before_last_byte() -> None:
                async with self._database.begin() as session:
                    if not await ledger.hand_over(session, row.id, claimant, at):
                        raise DeliveryCancelled
                    # From here on the row may say "handed over": the answer must be waited for.
                    hand_over.begun = True

            program = program_of(self._programs, row.program)
            task = asyncio.ensure_future(
                self._channel.deliver(
                    envelope_sender(program, row.delivery),
                    row.recipient,
                    row.content,
                    before_last_byte=before_last_byte,
                )
            )
            under_way = hand_over = _InFlightDelivery(row, task)
            self._under_way[row.delivery] = hand_over
        try:
            return await asyncio.shield(under_way.task)
        except DeliveryError:
            # Kept until it is recorded: should the database be away, the next attempt finds the answer here.
            raise
        except BaseException:
            if not under_way.kept_here and (under_way.task.done() or not under_way.begun):
                self._forget(row)
                under_way.task.cancel()
            raise

    def _known(self, row: Message) -> _InFlightDelivery | None:
        """What this process knows of the claim that the row names, if the claim is its own."""
        under_way = self._under_way.get(row.delivery)
        return under_way if under_way and under_way.row.claimed_by == row.claimed_by else None

    def _forget(self, row: Message) -> None:
        if self._known(row):
            del self._under_way[row.delivery]

    async def _decide(
        self, row: Message, decision: str, reason: str | None, at: datetime, *, response: str | None = None
    ) -> Outcome:
        async with self._database.begin() as session:
            current = await ledger.locked(session, row.workflow, _key(row))
            assert current is not None
            if current.state not in DECISIONS:
                when = (current.attempted_at or at) if decision == "sent" else at
                await ledger.decide(session, current, decision, reason, when, response=response)
            return Outcome(_key(row), current.state, current.decided_at)

    async def _decide_failure(self, row: Message, error: DeliveryError, at: datetime) -> Outcome:
        async with self._database.begin() as session:
            current = await ledger.locked(session, row.workflow, _key(row))
            assert current is not None
            if current.state in DECISIONS:
                outcome = Outcome(_key(row), current.state, current.decided_at)
            elif isinstance(error, Ambiguous):
                outcome = _outcome(
                    await decide_ambiguous(session, current, "the server's answer did not arrive", at)
                )
            elif isinstance(error, RecipientRefused):
                reason = f"the address was refused ({error.code})"
                await suppressions.take_in(session, current, "hard", reason, at)
                await ledger.decide(session, current, "failed", reason, at, response=error.response)
                outcome = Outcome(_key(row), "failed", current.decided_at)
            else:
                await message_task(
                    session, current, "mail_failed", "See why the mail server refused this text.", at
                )
                reason = f"the content was refused ({error.code})"
                assert isinstance(error, ContentRefused) or error.code is not None
                await ledger.decide(session, current, "failed", reason, at, response=error.response)
                outcome = Outcome(_key(row), "failed", current.decided_at)
        self._forget(row)
        return outcome

    async def _address_failed(
        self, session: AsyncSession, row: Message, mail: Correspondence, why: str, at: datetime
    ) -> Outcome:
        await open_task(
            session,
            "address_suppressed",
            f"member/{row.member_id}",
            f"unusable address for {row.delivery}",
            "Correct the member's address: no mail can be sent to it.",
            at,
        )
        await ledger.decide(session, row, "failed", why, at)
        return Outcome(_key(row), "failed", row.decided_at)

    async def _channel_stopped(self, row: Message, refused: AuthenticationRefused, at: datetime) -> None:
        """One alarm for a channel that may not log in, however many messages wait behind it (MAIL3)."""
        await self._give_back(row, refused, at)
        async with self._database.begin() as session:
            opened = await open_task(
                session,
                "mail_failed",
                "channel/smtp",
                f"authentication refused on {at.date().isoformat()}",
                "Correct the user name or password of the mail server; waiting messages then go out by themselves.",
                at,
            )
        if opened:
            log.error("mail channel stopped", code=refused.code)

    async def aclose(self) -> None:
        """Wait for the answers to bodies that are on their way, and record each yes and each clear "later"."""
        under_way, self._under_way = self._under_way, {}
        if under_way:
            await asyncio.wait([hand_over.task for hand_over in under_way.values()])
        for row, task in ((hand_over.row, hand_over.task) for hand_over in under_way.values()):
            assert row.claimed_at is not None
            if task.cancelled():
                continue
            if task.exception() is None:
                accepted = task.result()
                response = f"{accepted.code} {accepted.response}"
                await self._decide(row, "sent", None, row.claimed_at, response=response)
            elif isinstance(later := task.exception(), TryLater):
                await self._give_back(row, later, row.claimed_at)


def envelope_sender(program: Program, delivery: str) -> str:
    """The address that bounces come back to; it names the delivery (MAIL7)."""
    local, _, domain = program.sender.partition("@")
    return f"{local}+{delivery}@{domain}"


async def decide_ambiguous(session: AsyncSession, row: Message, how: str, at: datetime) -> Message:
    """Decide a message that the server may have (MAIL2): none is repeated, staff see those that are owed."""
    if row.message_class == MessageClass.NUDGE:
        reason = f"{how}; a nudge is not repeated"
    else:
        reason = f"{how}; not repeated, staff were asked"
        action = "Ask whether it arrived; if not, send it with mail resend."
        await message_task(session, row, "mail_ambiguous", action, at)
    await ledger.decide(session, row, "ambiguous", reason, at)
    return row


async def message_task(session: AsyncSession, row: Message, kind: str, action: str, at: datetime) -> bool:
    """Open a staff task about one message, once per kind (STA2); tells whether it is new."""
    return await open_task(session, kind, row.workflow, f"{kind} {_key(row)}", action, at)


def _due(row: Message, at: datetime) -> bool:
    """Whether a message may go out now: not held, nor moved to a later day after it was asked for."""
    return row.due_at is not None and row.due_at < at + MINUTE


def _outcome(row: Message) -> Outcome:
    return Outcome(_key(row), row.state, row.decided_at)


def _key(row: Message) -> str:
    return f"{row.step}/{row.occurrence}"


def _claimant() -> str:
    """A name for one claim. Attempts alone do not tell them apart: staff can have Temporal count them anew."""
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}/{info.attempt}/{uuid4().hex[:12]}"


def _growing(attempt: int) -> timedelta:
    """1, 2, 4 … minutes, then every hour."""
    return min(timedelta(minutes=2 ** min(attempt - 1, 10)), timedelta(hours=1))
