"""The one movable wait that every lifecycle uses.

A planning activity turns a lifecycle's facts into an agenda (T7). The loop waits for the next due instant or for a
change of facts. On a change it asks for a new agenda; when messages are due it has them sent by key. It has no other
timer, and knows nothing of what the messages are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import MailActivities, Outcome, SendMail
    from activities.inbox import InboxActivities
    from lifecycles.recording import DueMail, Planned
    from lifecycles.workflow_commands import WorkflowCommand
    from rules.acts import Act
    from rules.agenda import GRACE_PERIOD
    from workflows.messages import Answer


MAIL_QUEUE = "throughline-mail"
"""The task queue of deliveries. It is separate, so that a rate limit or a slow mail server delays nothing else."""

DEAD_AFTER = timedelta(seconds=20)
"""Heartbeat timeout of a delivery: after so long without a heartbeat it is retried."""

ONE_TIMER = "one timer"
"""The patch since which a lifecycle keeps its timer over changes that move no due instant."""

PLAN_ATTEMPTS = 12
"""How often a plan is tried in a row: over half an hour. Each try adds six events to the history."""

PLAN_AGAIN_AFTER = timedelta(minutes=5)
"""The wait after so many tries. Then the plan is tried as often again."""

UNPLANNED = "it cannot be done now, and nothing has changed: the database does not answer. Try again later."
"""What the sender of an update reads when no plan can be made."""

GIVES_WAY = Priority(priority_key=4)
"""The priority of a delivery of nudges alone: Temporal's default is 3, and lower numbers go first.

It decides only where deliveries wait, such as at nine in a zone of many people.
"""

MOST_KEYS = 25
"""How many messages one delivery activity sends, a few at a time. More go side by side in several.

A lifecycle of two people never has so many; a meetup has. A summary of more keys would exceed what Temporal takes.
"""

MOST_NAMED = 6
"""How many keys the summary of a delivery activity names. Temporal takes 400 bytes."""

MOST_EVENTS_UNPLANNED = 1_000
"""The length of a history at which a run that cannot plan continues as new.

Temporal ends a workflow at 51,200 events. An outage of the database of some weeks reaches them.
"""

Order = TypeVar("Order")
Result = TypeVar("Result")


class PlanFailed(Exception):
    """A plan that was tried PLAN_ATTEMPTS times. No failure of Temporal's kind: that would fail the workflow."""


async def plan_locally(activity: Callable[[Any, Order], Coroutine[Any, Any, Result]], order: Order) -> Result:
    """Run a planning activity: local, and retried for a while if the database does not answer.

    Retries wait on the server's clock, not in the worker: a database outage of hours holds no worker slot. Raises
    PlanFailed after PLAN_ATTEMPTS.
    """
    try:
        return await workflow.execute_local_activity_method(
            activity,
            order,
            start_to_close_timeout=timedelta(seconds=30),
            local_retry_threshold=timedelta(milliseconds=1),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=2),
                backoff_coefficient=2,
                maximum_interval=timedelta(minutes=5),
                maximum_attempts=PLAN_ATTEMPTS,
            ),
            summary="plan",
        )
    except FailureError as failure:
        # A local activity's failure is not wrapped in an ActivityError once it was retried by a timer of the server.
        if is_cancelled_exception(failure):
            raise
        raise PlanFailed from failure


async def send_commands(commands: list[WorkflowCommand], summary: str) -> None:
    """Start or signal other lifecycles; retried until it is done."""
    await workflow.execute_activity_method(
        InboxActivities.perform_commands,
        commands,
        start_to_close_timeout=timedelta(minutes=1),
        retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
        summary=summary,
    )


def _grace_period() -> timedelta:
    return GRACE_PERIOD if workflow.patched(ONE_TIMER) else timedelta(0)


class AgendaLoop:
    """A lifecycle's wait.

    `plan` makes a new agenda from the present facts. `decided` receives the outcome of each delivery, and returns
    whether it changes the facts. `pending` are acts that an earlier run received and did not apply.
    """

    def __init__(
        self,
        plan: Callable[[datetime, list[Act]], Awaitable[Planned]],
        decided: Callable[[Outcome], bool],
        pending: Sequence[Act] = (),
    ) -> None:
        self._plan = plan
        self._decided = decided
        self._acts: list[Act] = list(pending)
        self._planned: Planned | None = None
        self._changed = True
        self._planning = asyncio.Lock()
        self._sending: dict[str, asyncio.Task[list[Outcome]]] = {}
        self._returned: list[tuple[list[str], list[Outcome]]] = []
        self._done: set[str] = set()
        self._timer: asyncio.Task[None] | None = None
        self._rings_at: datetime | None = None
        self._awaited: set[str] = set()

    def change(self, act: Act | None = None) -> None:
        """Ask for a new agenda: the facts have changed, or `act` is to be applied."""
        self._changed = True
        if act:
            self._acts.append(act)

    async def answer(self, act: Act) -> Answer:
        """Plan with an act at once, and return what that changed: the answer of an update (STA1).

        Raises ApplicationError: `Refused` with the reason if the rules refuse the act, `Unplanned` if no plan can be
        made now; the act is then not applied.
        """
        try:
            planned = await self._replan(act)
        except PlanFailed:
            raise ApplicationError(UNPLANNED, type="Unplanned") from None
        if act.id in planned.refused:
            raise ApplicationError(planned.refused[act.id], type="Refused")
        return Answer(planned.state, planned.moved, planned.dropped, planned.added)

    @property
    def pending(self) -> list[Act]:
        """The acts that no plan has applied yet."""
        return list(self._acts)

    @property
    def closed(self) -> bool:
        """Whether the last plan closed the lifecycle."""
        return self._planned is not None and self._planned.closed

    async def run(self) -> bool:
        """Plan, send and wait; return True once the lifecycle is closed, False when it should continue as new."""
        while True:
            planned = self._planned
            # When the run begins, an update may be planning already: the lock in `_replan` waits for it.
            if self._changed or planned is None:
                try:
                    planned = await self._replan()
                except PlanFailed:
                    if await self._goes_on_as_new():
                        return False
                    continue
            self._take_returned()
            if self._changed:
                continue
            now = workflow.now()
            self._awaited |= {mail.key for mail in planned.mails if mail.due > now}
            self._send([mail.key for mail in planned.mails if self._goes_at(mail) <= now])
            undecided = [mail for mail in planned.mails if mail.key not in self._done]
            if planned.closed and not self._sending and not undecided:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if not self._changed:
                    await self._stop_timer()
                    return True
                continue
            if workflow.info().is_continue_as_new_suggested() and not self._sending:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if not self._changed:
                    await self._stop_timer()
                    return False
                continue
            await self._wait(planned, now)

    async def _replan(self, act: Act | None = None) -> Planned:
        async with self._planning:
            acts, self._acts = [*self._acts, *([act] if act else [])], []
            self._changed = False
            try:
                planned = await self._plan(workflow.now(), acts)
            except BaseException:
                # The sender of an update learns that it failed; a signal waits for the next plan.
                self._acts = [each for each in acts if each is not act] + self._acts
                self._changed = True
                raise
            self._planned = planned
            # A decided message never comes back, so that its key can be forgotten once no plan has it.
            self._done &= {mail.key for mail in planned.mails}
            return planned

    async def _goes_on_as_new(self) -> bool:
        """Wait before the next tries of a plan that failed; return True if a new run should make them."""
        if workflow.info().get_current_history_length() < MOST_EVENTS_UNPLANNED or self._sending:
            await workflow.sleep(PLAN_AGAIN_AFTER, summary="until the next plan")
            return False
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._stop_timer()
        return True

    async def _wait(self, planned: Planned, now: datetime) -> None:
        upcoming = [at for at in map(self._goes_at, planned.mails) if at > now]
        if planned.wake_at:
            upcoming.append(planned.wake_at + _grace_period())
        until = min(upcoming, default=None)
        if not workflow.patched(ONE_TIMER):
            await self._wait_with_a_timer_each(planned, now, until)
            return
        if until and until <= now:
            self._look_again(planned)
            return
        timer = await self._set_timer(until, now, planned.state)
        await workflow.wait_condition(lambda: self._news(planned) or (timer is not None and timer.done()))
        self._look_again(planned)

    def _goes_at(self, mail: DueMail) -> datetime:
        """Return when a mail is sent: at once if it answers an act, after the grace period if it was waited for."""
        return mail.due + _grace_period() if mail.key in self._awaited else mail.due

    async def _set_timer(
        self, until: datetime | None, now: datetime, state: str
    ) -> asyncio.Task[None] | None:
        """Keep a running timer that fires in time: most answers move nothing, and each timer is a billed action.

        A timer that fires too early does no harm: the loop finds nothing due, and sets the next one.
        """
        if until is None:
            return None
        if self._timer and not self._timer.done():
            if self._rings_at and self._rings_at <= until:
                return self._timer
            await self._stop_timer()
        self._rings_at = until
        self._timer = asyncio.create_task(workflow.sleep(until - now, summary=f"next: {state}"))
        return self._timer

    async def _stop_timer(self) -> None:
        if self._timer and self._timer.cancel():
            with suppress(asyncio.CancelledError):
                await self._timer

    def _news(self, planned: Planned) -> bool:
        return self._changed or bool(self._returned) or self._planned is not planned

    def _look_again(self, planned: Planned) -> None:
        if planned.wake_at and planned.wake_at <= workflow.now():
            self._changed = True

    async def _wait_with_a_timer_each(self, planned: Planned, now: datetime, until: datetime | None) -> None:
        """Wait as runs do that began before the patch: with a new timer for each wait."""
        try:
            await workflow.wait_condition(
                lambda: self._news(planned),
                timeout=until - now if until else None,
                timeout_summary=f"next: {planned.state}" if until else None,
            )
        except TimeoutError:
            self._look_again(planned)

    def _send(self, keys: list[str]) -> None:
        fresh = [key for key in keys if key not in self._sending and key not in self._done]
        for start in range(0, len(fresh), MOST_KEYS):
            batch = fresh[start : start + MOST_KEYS]
            task = asyncio.create_task(self._deliver(batch))
            for key in batch:
                self._sending[key] = task

    async def _deliver(self, keys: list[str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            outcomes = await workflow.execute_activity_method(
                MailActivities.send_mail,
                SendMail(workflow.info().workflow_id, keys),
                task_queue=MAIL_QUEUE,
                start_to_close_timeout=timedelta(minutes=15),
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=1),
                    backoff_coefficient=2,
                    maximum_interval=timedelta(minutes=5),
                ),
                summary=", ".join(keys)
                if len(keys) <= MOST_NAMED
                else f"{len(keys)} messages, from {keys[0]}",
                priority=self._priority(keys),
            )
        except ActivityError:
            workflow.logger.warning("delivery ended without an outcome; retrying")
        # No delivery is cancelled from here. The ledger refuses what is no longer due, at its claim and at its last
        # byte; an attempt that is backing off learns of it at its next try (MAIL4).
        self._returned.append((keys, outcomes))
        return outcomes

    def _priority(self, keys: list[str]) -> Priority:
        mails = self._planned.mails if self._planned else []
        nudges = {mail.key for mail in mails if mail.nudge}
        return GIVES_WAY if nudges.issuperset(keys) else Priority.default

    def _take_returned(self) -> None:
        returned, self._returned = self._returned, []
        for keys, outcomes in returned:
            held = {outcome.key for outcome in outcomes if outcome.decision == "held"}
            for key in keys:
                self._sending.pop(key, None)
                if outcomes and key not in held:
                    self._done.add(key)
            for outcome in outcomes:
                # A nudge that waits for another morning is planned for it (MAIL11).
                if outcome.at if outcome.decision == "held" else self._decided(outcome):
                    self._changed = True
            if not outcomes:
                self._changed = True
