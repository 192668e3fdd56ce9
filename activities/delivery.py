"""Deliveries: claim, render, hand over, decide (MAIL1–MAIL4, MAIL8, T8).

The order of the steps is what makes a delivery neither lost nor doubled: the claim with the rendered bytes is
committed before a socket opens, `handed_over` right before the last byte of the body, the decision after the
server's answer. An attempt that ends in between leaves a row from which the next attempt sees what may have happened.
"""

# long: the steps of one delivery, read in their order

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeat import heartbeats
from activities.in_flight import ClaimedMessage, DeliveryCancelled, InFlightDeliveries, InFlightDelivery
from database import ledger, person_keys, staff_orders, traces
from database.links import Links
from database.models import DECISIONS, Message
from database.session import Database, is_conflict
from lifecycles.participants import Programs, program_of
from lifecycles.registry import program_of_message
from mail.addresses import AddressRefused, return_path
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from mail.context import PreparedMail, prepare_mail
from mail.decisions import (
    decide_ambiguous,
    decide_refused,
    decide_unusable_address,
    open_channel_task,
    settle_channel_tasks,
    withhold,
)
from mail.meetups.claim_check import is_withheld
from mail.mime import build_mail
from mail.smtp import channel_stop
from mail.smtp.refusal_watch import RefusalWatch
from mail.smtp.settings import PROBE_INTERVAL
from mail.smtp.verdicts import (
    Acceptance,
    AccountRefused,
    ChannelRefused,
    ContentRefused,
    DeliveryError,
    TryLater,
)
from mail.turns.nudge_cap import postpone, take_place
from mail.turns.shared_mail import is_shared, turn_of
from rules.agenda import MINUTE
from rules.program import Program

log = structlog.get_logger()

RECORD_TRIES = 10
"""How often an outcome is recorded before the attempt fails, where the database prefers other transactions."""


_TURN = 0.05
"""Seconds between two looks at what other claims plan."""
_TURNS = 100
"""How often a message looks. A claim beside it is planned within a fraction of a second, unless the worker is down."""


_STOPPED = "the channel is stopped: mail came back for our own account or quota"


class _NotItsTurn(Exception):
    """Another claim of the same person speaks first, or is about to join; or another nudge took the day's place."""


@dataclass(frozen=True, slots=True)
class SendMail:
    """The messages of one workflow that are due now, by key."""

    workflow: str
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision about a message and its instant, or `held` while it waits: for a resume, or until `at` (MAIL11)."""

    key: str
    decision: str
    at: datetime | None = None


class Channel(Protocol):
    """A way to hand a message over (see `mail.smtp.channel.SmtpChannel`)."""

    async def sign(self, content: bytes) -> bytes:
        """Return the message as it goes out, with a signature where the channel has a key."""
        ...

    async def deliver(
        self, sender: str, recipient: str, content: bytes, *, before_last_byte: Callable[[], Awaitable[None]]
    ) -> Acceptance:
        """Deliver, or raise one of the DeliveryErrors."""
        ...

    def stop(self, refusal: AccountRefused) -> None:
        """Stop deliveries until a probe succeeds."""
        ...


class MailActivities:
    """Sends the messages of the ledger through a channel."""

    def __init__(
        self,
        database: Database,
        programs: Programs,
        composer: Callable[[Program], Composer],
        channel: Channel,
        links: Links,
        allowlist: RecipientAllowlist,
    ) -> None:
        self._database = database
        self._programs = programs
        self._composer = composer
        self._channel = channel
        self._links = links
        self._allowlist = allowlist
        self._in_flight = InFlightDeliveries()
        self._refusals = RefusalWatch()
        # An earlier process may have left a task: the first acceptance closes it.
        self._channel_stopped = True

    @activity.defn
    async def send_mail(self, order: SendMail) -> list[Outcome]:
        """Bring each message to its decision, or raise to be tried again later (MAIL1–MAIL3).

        Error texts name codes, never addresses (MEM6).
        """
        outcomes: list[Outcome] = []
        later: list[TryLater] = []
        errors: list[Exception] = []
        began = _now()
        async with heartbeats():
            for key in order.keys:
                at = _later(activity.info().started_time, began)
                try:
                    outcomes.append(await self._deliver(order.workflow, key, at))
                except TryLater as error:
                    later.append(error)
                except Exception as error:
                    # A message that fails, for example to render, must not delay the others.
                    errors.append(error)
        if errors:
            raise errors[0]
        if later:
            hint = max((error.after or 0.0) for error in later)
            raise ApplicationError(
                f"{len(later)} of {len(order.keys)} messages wait for the mail server: {later[0]}",
                type="TryLater",
                next_retry_delay=max(timedelta(seconds=hint), _retry_delay(activity.info().attempt)),
            ) from None
        return outcomes

    async def _deliver(self, workflow: str, key: str, at: datetime) -> Outcome:
        with traces.span("message", workflow=workflow, key=key):
            return await self._bring_to_decision(workflow, key, at)

    async def _bring_to_decision(self, workflow: str, key: str, at: datetime) -> Outcome:
        claimed = await self._claim_in_turn(workflow, key, at)
        if isinstance(claimed, Outcome):
            return claimed
        if isinstance(claimed, timedelta):
            raise TryLater(_STOPPED, after=claimed.total_seconds())
        try:
            accepted = await self._hand_over(claimed, at)
        except DeliveryCancelled:
            return await self._after_cancellation(workflow, key, at)
        except DeliveryError as error:
            return await self._after_error(claimed, self._compared(claimed, error), at)
        self._refusals.accept(_now())
        return await self._record_acceptance(claimed, accepted, at)

    def _compared(self, claimed: ClaimedMessage, error: DeliveryError) -> DeliveryError:
        """Return the verdict on an error in the light of what other recipients were answered (MAIL10)."""
        if not isinstance(error, ContentRefused):
            return error
        judged = self._refusals.judge(error, claimed.row.delivery, claimed.recipient, _now())
        if isinstance(judged, AccountRefused):
            self._channel.stop(judged)
        return judged

    async def _after_error(self, claimed: ClaimedMessage, error: DeliveryError, at: datetime) -> Outcome:
        """Record a verdict that is final, and return the decision; else release the message and raise TryLater."""
        if error.final:
            return await self._record_refusal(claimed, error, at)
        await self._release(claimed, error, at)
        if isinstance(error, ChannelRefused):
            await self._report_stopped_channel(error, at)
            raise TryLater(
                error.response, code=error.code, enhanced=error.enhanced, after=PROBE_INTERVAL
            ) from None
        raise error

    async def _claim_in_turn(
        self, workflow: str, key: str, at: datetime
    ) -> Outcome | ClaimedMessage | timedelta:
        """Claim a message once other claims have planned theirs, so that one mail speaks for all (CPE7)."""
        for _ in range(_TURNS):
            try:
                return await self._claim(workflow, key, at)
            except _NotItsTurn:
                await asyncio.sleep(_TURN)
        try:
            return await self._claim(workflow, key, at, patient=False)
        except _NotItsTurn:
            raise TryLater("another message took the place of the day") from None

    # long: what may keep a message from going out, in the order in which it is asked
    async def _claim(
        self, workflow: str, key: str, at: datetime, *, patient: bool = True
    ) -> Outcome | ClaimedMessage | timedelta:
        """Claim a message for this attempt, its bytes rendered and stored, or return its outcome.

        Return how long it waits where reports have stopped the channel (MAIL10). Raises _NotItsTurn, if `patient`,
        while another claim may still join the mail or speaks first.
        """
        async with self._database.begin() as session:
            row = await ledger.locked(session, workflow, key)
            if row is None:
                return Outcome(key, "cancelled", at)
            if row.state in DECISIONS:
                self._in_flight.forget(row)
                return _outcome(row)
            own = self._in_flight.own(row)
            if own and not own.hand_over_failed and row.state in ("claimed", "handed_over"):
                return own.message
            if row.state == "handed_over":
                if not own:
                    cause = "the worker ended between the last byte and the server's answer"
                    await decide_ambiguous(session, row, cause, at)
                    return _outcome(row)
                row.state, row.claimed_by = "planned", None
            if _waits(row, at):
                return _held(row)
            if await _decide_by_order(session, row, at):
                return _outcome(row)
            program = await program_of_message(session, self._programs, row)
            if await is_withheld(session, row, program, at):
                return _outcome(row) if row.state in DECISIONS else Outcome(row.key, "held", at)
            if row.content is None and await postpone(session, row, program, at):
                return _held(row)
            if await self._is_spoken_for(session, row, program, at, patient):
                return _outcome(row)
            ledger.replace_plain_id(session, row)
            mail = await prepare_mail(session, row, program, self._links, at)
            if await withhold(session, row, mail, self._allowlist, _lateness(row, at), at):
                return _outcome(row)
            if wait := await channel_stop.wait_for(session, row, at):
                row.trouble = _STOPPED
                return wait
            if not await take_place(session, row, program, at) and row.content is None:
                raise _NotItsTurn
            try:
                return await self._render_and_claim(session, row, mail, at)
            except AddressRefused as refused:
                await decide_unusable_address(session, row, str(refused), at)
                return _outcome(row)

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
            content = row.content = await self._channel.sign(build_mail(composed, mail.envelope))
            row.subject, row.message_id = composed.subject, mail.envelope.message_id
            row.text_version = composed.text_version
        row.state, row.claimed_at, row.claimed_by = "claimed", at, _new_claim()
        row.attempts += 1
        return ClaimedMessage(row, recipient, content, row.claimed_by, at)

    async def _hand_over(self, claimed: ClaimedMessage, at: datetime) -> Acceptance:
        """Hand the bytes over, or join the earlier attempt that still waits for the server's answer."""
        in_flight = self._in_flight.own(claimed.row) or self._start(claimed, at)
        try:
            with traces.span("handed over by SMTP", delivery=claimed.row.delivery):
                return await asyncio.shield(in_flight.task)
        except DeliveryError:
            # Kept until it is recorded: should the database be down, the next attempt finds the verdict here.
            raise
        except BaseException:
            if not in_flight.hand_over_failed and (in_flight.task.done() or not in_flight.must_finish):
                self._in_flight.forget(claimed.row)
                in_flight.task.cancel()
            raise

    def _start(self, claimed: ClaimedMessage, at: datetime) -> InFlightDelivery:
        row = claimed.row

        began = _now()

        async def before_last_byte() -> None:
            handed_over_at = _later(at, began)
            async with self._database.begin() as session:
                if not await ledger.hand_over(session, row.id, claimed.claimed_by, handed_over_at):
                    raise DeliveryCancelled
                # The commit that follows may succeed even where its confirmation is lost.
                in_flight.must_finish = True

        delivery = self._channel.deliver(
            return_path(program_of(self._programs, row.program).sender, row.delivery),
            claimed.recipient,
            claimed.content,
            before_last_byte=before_last_byte,
        )
        in_flight = InFlightDelivery(claimed, asyncio.ensure_future(delivery))
        self._in_flight.add(in_flight)
        return in_flight

    async def _after_cancellation(self, workflow: str, key: str, at: datetime) -> Outcome:
        """Return the outcome of a message that was cancelled, held, moved, or claimed by another attempt meanwhile."""
        async with self._database.reading() as session:
            row = await ledger.found(session, workflow, key)
        if row is None:
            return Outcome(key, "cancelled", at)
        if row.state in DECISIONS:
            return _outcome(row)
        if _waits(row, at):
            return _held(row)
        raise TryLater("the message was withdrawn, and is due again", after=1.0)

    async def _release(self, claimed: ClaimedMessage, error: DeliveryError, at: datetime) -> None:
        """Return a message to `planned`, on behalf of the attempt that claimed it."""
        async with self._database.begin() as session:
            await ledger.release(session, claimed.row.id, claimed.claimed_by, f"{error}", at)
        self._in_flight.forget(claimed.row)

    async def _report_stopped_channel(self, refused: ChannelRefused, at: datetime) -> None:
        self._channel_stopped = True
        async with self._database.begin() as session:
            opened = await open_channel_task(session, refused, at)
        if opened:
            log.error("mail_channel_stopped", code=refused.code, kind=type(refused).__name__)

    async def _record_acceptance(
        self, claimed: ClaimedMessage, accepted: Acceptance, at: datetime
    ) -> Outcome:
        settled = False

        async def decide(session: AsyncSession, row: Message) -> None:
            nonlocal settled
            response = f"{accepted.code} {accepted.response}"
            await ledger.decide(session, row, "sent", None, row.attempted_at or at, response=response)
            if self._channel_stopped:
                await settle_channel_tasks(session, at)
                settled = True

        outcome = await self._record(claimed, decide)
        self._channel_stopped = self._channel_stopped and not settled
        return outcome

    async def _record_refusal(self, claimed: ClaimedMessage, error: DeliveryError, at: datetime) -> Outcome:
        async def decide(session: AsyncSession, row: Message) -> None:
            await decide_refused(session, row, error, at)

        return await self._record(claimed, decide)

    async def _record(
        self, claimed: ClaimedMessage, decide: Callable[[AsyncSession, Message], Awaitable[None]]
    ) -> Outcome:
        """Record the outcome of a delivery. Only this process has it: another one would find it ambiguous."""
        for tries_left in reversed(range(RECORD_TRIES)):
            try:
                async with self._database.begin() as session:
                    row = await ledger.locked(session, claimed.row.workflow, claimed.row.key)
                    if row is None:
                        raise NoResultFound
                    if row.state not in DECISIONS:
                        await decide(session, row)
                    outcome = _outcome(row)
                break
            except DBAPIError as error:
                if not tries_left or not is_conflict(error):
                    raise
                log.warning("record_repeated", delivery=claimed.row.delivery)
        self._in_flight.forget(claimed.row)
        return outcome

    async def aclose(self) -> None:
        """Wait for the answers to bodies that are in flight; record each acceptance, release each clear "later"."""
        for delivery in await self._in_flight.drain():
            claimed, task = delivery.message, delivery.task
            if task.cancelled():
                continue
            error = task.exception()
            if error is None:
                await self._record_acceptance(claimed, task.result(), claimed.claimed_at)
            elif isinstance(error, TryLater):
                await self._release(claimed, error, claimed.claimed_at)


def _waits(row: Message, at: datetime) -> bool:
    """Whether a message must not go out now: it is held, or moved to a later day since the workflow asked for it."""
    return row.due_at is None or row.due_at >= at + MINUTE or staff_orders.is_on_hold(row)


def _lateness(row: Message, at: datetime) -> timedelta:
    """Return how late a message is. Mail about what the engine heard of late was held up by nobody until then (T9)."""
    return at - max(row.due_at or row.planned_at, row.planned_at)


def _held(row: Message) -> Outcome:
    """Return the outcome of a message that is not due: with an instant where its workflow does not know of it yet.

    That makes the workflow plan again: for the morning that a nudge waits for, or without what staff hold.
    """
    is_news = row.postponed_from or staff_orders.is_on_hold(row)
    return Outcome(row.key, "held", row.due_at if is_news else None)


async def _decide_by_order(session: AsyncSession, row: Message, at: datetime) -> bool:
    """Decide a message that staff ordered to skip; return whether it was one."""
    if row.staff_order != staff_orders.SKIP:
        return False
    await ledger.decide(session, row, "skipped", staff_orders.SKIPPED, at)
    return True


def _outcome(row: Message) -> Outcome:
    return Outcome(row.key, row.state, row.decided_at)


def _now() -> float:
    """Return the event loop's clock, in seconds: answers are compared within one process."""
    return asyncio.get_running_loop().time()


def _later(at: datetime, began: float) -> datetime:
    """Return an instant of program time after what passed on the event loop's clock since `began`.

    The program's clock may skip; what a full pool or a slow server took is real. Whole seconds, so that a rehearsal has
    the same instants each time.
    """
    return at + timedelta(seconds=int(_now() - began))


def _new_claim() -> str:
    """Return a name for one claim. The attempt's number is not enough: a reset in Temporal starts it at 1 again."""
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}/{info.attempt}/{uuid4().hex[:12]}"


def _retry_delay(attempt: int) -> timedelta:
    """Return 1, 2, 4 … minutes, then an hour."""
    return min(timedelta(minutes=2 ** min(attempt - 1, 10)), timedelta(hours=1))
