"""The delivery activity: brings the messages of an order to their decisions (MAIL1–MAIL4, T8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy.exc import DBAPIError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.delivery.hand_over import PATIENCE, SharedHandOver
from activities.delivery.in_flight import (
    ClaimedMessage,
    DeliveryCancelled,
    InFlightDeliveries,
    InFlightDelivery,
)
from activities.delivery.message_claims import STOPPED, Claim, MessageClaims
from activities.delivery.outcome import (
    Decide,
    Outcome,
    RefusalDecision,
    SentDecision,
    decided,
    held,
    waits,
    write_decisions,
)
from activities.heartbeat import heartbeats
from database import ledger, traces
from database.links import Links
from database.models import DECISIONS
from database.session import Database, is_conflict
from lifecycles.participants import Programs, program_of
from mail.addresses import return_path
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from mail.decisions import open_channel_task, settle_channel_tasks
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
from rules.program import Program

log = structlog.get_logger()

SIDE_BY_SIDE = 4
"""How many messages of an order go side by side: one transaction claims and renders them, while others wait for it."""

RECORD_TRIES = 10
"""How often an outcome is recorded before the attempt fails, where the database prefers other transactions."""


@dataclass(frozen=True, slots=True)
class SendMail:
    """The messages of one workflow that are due now, by key."""

    workflow: str
    keys: list[str]


@dataclass(slots=True)
class _Results:
    """What became of the messages of an order."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    later: list[TryLater] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    """A message that fails, for example to render, must not delay the others."""

    def fail(self, error: BaseException) -> None:
        """Note why a message has no outcome yet."""
        if isinstance(error, TryLater):
            self.later.append(error)
        else:
            self.errors.append(error)


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

    @property
    def is_stopped(self) -> bool:
        """Whether nothing goes out but a probe."""
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
        self._channel = channel
        self._in_flight = InFlightDeliveries()
        self._claims = MessageClaims(
            database, programs, composer, channel.sign, (links, allowlist), self._in_flight
        )
        self._refusals = RefusalWatch()
        # An earlier process may have left a task: the first acceptance closes it.
        self._channel_stopped = True

    @activity.defn
    async def send_mail(self, order: SendMail) -> list[Outcome]:
        """Bring each message to its decision, or raise to be tried again later (MAIL1–MAIL3).

        Error texts name codes, never addresses (MEM6).
        """
        results, keys, began = _Results(), order.keys, _now()
        async with heartbeats():
            while keys:
                # The first one tries a stopped channel for all.
                at_once = 1 if self._channel.is_stopped else SIDE_BY_SIDE
                at = _later(activity.info().started_time, began)
                with traces.span("message", workflow=order.workflow, key=" ".join(keys[:at_once])):
                    await self._send(order.workflow, keys[:at_once], at, results)
                keys = keys[at_once:]
        if results.errors:
            raise results.errors[0]
        if later := results.later:
            hint = max((error.after or 0.0) for error in later)
            raise ApplicationError(
                f"{len(later)} of {len(order.keys)} messages wait for the mail server: {later[0]}",
                type="TryLater",
                next_retry_delay=max(timedelta(seconds=hint), _retry_delay(activity.info().attempt)),
            ) from None
        return [results.outcomes[key] for key in order.keys]

    async def _send(self, workflow: str, keys: Sequence[str], at: datetime, results: _Results) -> None:
        """Send messages side by side; one after the other where one of them cannot be claimed with the others."""
        if len(keys) > 1:
            try:
                claims = await self._claims.together(workflow, keys, at)
            except Exception:
                for key in keys:
                    await self._send(workflow, [key], at, results)
                return
        else:
            try:
                claims = [await self._claims.in_turn(workflow, keys[0], at)]
            except Exception as error:
                results.fail(error)
                return
        await self._deliver(workflow, dict(zip(keys, claims, strict=True)), at, results)

    async def _deliver(
        self, workflow: str, claims: dict[str, Claim], at: datetime, results: _Results
    ) -> None:
        """Hand over what is claimed, and record the outcomes: those in one transaction that are there together."""
        began = _now()
        shared = SharedHandOver(self._database, workflow, lambda: _later(at, began))
        pending: dict[asyncio.Task[Acceptance], InFlightDelivery] = {}
        for key, claim in claims.items():
            if isinstance(claim, Outcome):
                results.outcomes[key] = claim
            elif isinstance(claim, timedelta):
                results.fail(TryLater(STOPPED, after=claim.total_seconds()))
            else:
                in_flight = self._in_flight.own(claim.row) or self._start(claim, shared)
                pending[in_flight.task] = in_flight
        try:
            while pending:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if not all(task.done() for task in pending):
                    await asyncio.wait(pending, timeout=PATIENCE)
                ended = [in_flight for task, in_flight in pending.items() if task.done()]
                pending = {task: each for task, each in pending.items() if not task.done()}
                await self._conclude(workflow, ended, at, results)
        finally:
            for in_flight in pending.values():
                self._withdraw(in_flight)

    def _start(self, claimed: ClaimedMessage, shared: SharedHandOver) -> InFlightDelivery:
        row = claimed.row

        async def before_last_byte() -> None:
            await shared.record(in_flight)

        async def deliver() -> Acceptance:
            with traces.span("handed over by SMTP", delivery=row.delivery):
                return await self._channel.deliver(
                    return_path(program_of(self._programs, row.program).sender, row.delivery),
                    claimed.recipient,
                    claimed.content,
                    before_last_byte=before_last_byte,
                )

        in_flight = InFlightDelivery(claimed, asyncio.ensure_future(deliver()))
        shared.expect(in_flight)
        self._in_flight.add(in_flight)
        return in_flight

    def _withdraw(self, in_flight: InFlightDelivery) -> None:
        """Let go of a delivery whose attempt ends before it does, unless its last byte may be out.

        Then it is kept until its answer is recorded: the next attempt finds the answer here.
        """
        if not in_flight.hand_over_failed and (in_flight.task.done() or not in_flight.must_finish):
            self._in_flight.forget(in_flight.message.row)
            in_flight.task.cancel()

    # long: what a delivery may end in
    async def _conclude(
        self, workflow: str, ended: Sequence[InFlightDelivery], at: datetime, results: _Results
    ) -> None:
        """Record what deliveries ended in."""
        verdicts: list[tuple[ClaimedMessage, Decide]] = []
        for in_flight in ended:
            claimed, task = in_flight.message, in_flight.task
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is None:
                self._refusals.accept(_now())
                verdicts.append((claimed, SentDecision(task.result(), at)))
            elif isinstance(error, DeliveryCancelled):
                self._withdraw(in_flight)
                await self._noted(claimed, self._after_cancellation(workflow, claimed.row.key, at), results)
            elif isinstance(error, DeliveryError):
                # Kept until it is recorded: should the database be down, the next attempt finds the verdict here.
                judged = self._compared(claimed, error)
                if judged.final:
                    verdicts.append((claimed, RefusalDecision(judged, at)))
                else:
                    await self._noted(claimed, self._put_off(claimed, judged, at), results)
            else:
                self._withdraw(in_flight)
                results.fail(error)
        await self._record_verdicts(workflow, verdicts, at, results)

    async def _noted(self, claimed: ClaimedMessage, outcome: Awaitable[Outcome], results: _Results) -> None:
        try:
            results.outcomes[claimed.row.key] = await outcome
        except Exception as error:
            results.fail(error)

    def _compared(self, claimed: ClaimedMessage, error: DeliveryError) -> DeliveryError:
        """Return the verdict on an error in the light of what other recipients were answered (MAIL10)."""
        if not isinstance(error, ContentRefused):
            return error
        judged = self._refusals.judge(error, claimed.row.delivery, claimed.recipient, _now())
        if isinstance(judged, AccountRefused):
            self._channel.stop(judged)
        return judged

    async def _put_off(self, claimed: ClaimedMessage, error: DeliveryError, at: datetime) -> Outcome:
        """Release a message after a verdict that is not final. Raises why it waits."""
        await self._release(claimed, error, at)
        if isinstance(error, ChannelRefused):
            await self._report_stopped_channel(error, at)
            raise TryLater(
                error.response, code=error.code, enhanced=error.enhanced, after=PROBE_INTERVAL
            ) from None
        raise error

    async def _after_cancellation(self, workflow: str, key: str, at: datetime) -> Outcome:
        """Return the outcome of a message that was cancelled, held, moved, or claimed by another attempt meanwhile."""
        async with self._database.reading() as session:
            row = await ledger.found(session, workflow, key)
        if row is None:
            return Outcome(key, "cancelled", at)
        if row.state in DECISIONS:
            return decided(row)
        if waits(row, at):
            return held(row)
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

    async def _record_verdicts(
        self,
        workflow: str,
        verdicts: Sequence[tuple[ClaimedMessage, Decide]],
        at: datetime,
        results: _Results,
    ) -> None:
        """Record decisions together; each for itself where one of them cannot be recorded."""
        if not verdicts:
            return
        try:
            results.outcomes |= await self._record(workflow, verdicts, at)
        except Exception as error:
            if len(verdicts) == 1:
                results.fail(error)
                return
            for verdict in verdicts:
                await self._record_verdicts(workflow, [verdict], at, results)

    async def _record(
        self, workflow: str, verdicts: Sequence[tuple[ClaimedMessage, Decide]], at: datetime
    ) -> dict[str, Outcome]:
        """Record outcomes of deliveries. Only this process has them: another one would find them ambiguous."""
        settles = self._channel_stopped and any(isinstance(decide, SentDecision) for _, decide in verdicts)
        for tries_left in reversed(range(RECORD_TRIES)):
            try:
                async with self._database.begin() as session:
                    outcomes = await write_decisions(session, workflow, verdicts)
                    if settles:
                        await settle_channel_tasks(session, at)
                break
            except DBAPIError as error:
                if not tries_left or not is_conflict(error):
                    raise
                log.warning("record_repeated", delivery=verdicts[0][0].row.delivery)
        self._channel_stopped = self._channel_stopped and not settles
        for claimed, _ in verdicts:
            self._in_flight.forget(claimed.row)
        return outcomes

    async def aclose(self) -> None:
        """Wait for the answers to bodies that are in flight; record each acceptance, release each clear "later"."""
        for delivery in await self._in_flight.drain():
            claimed, task = delivery.message, delivery.task
            if task.cancelled():
                continue
            error, at = task.exception(), claimed.claimed_at
            if error is None:
                await self._record(claimed.row.workflow, [(claimed, SentDecision(task.result(), at))], at)
            elif isinstance(error, TryLater):
                await self._release(claimed, error, at)


def _now() -> float:
    """Return the event loop's clock, in seconds: answers are compared within one process."""
    return asyncio.get_running_loop().time()


def _later(at: datetime, began: float) -> datetime:
    """Return an instant of program time after what passed on the event loop's clock since `began`.

    The program's clock may skip; what a full pool or a slow server took is real. Whole seconds, so that a rehearsal has
    the same instants each time.
    """
    return at + timedelta(seconds=int(_now() - began))


def _retry_delay(attempt: int) -> timedelta:
    """Return 1, 2, 4 … minutes, then an hour."""
    return min(timedelta(minutes=2 ** min(attempt - 1, 10)), timedelta(hours=1))
