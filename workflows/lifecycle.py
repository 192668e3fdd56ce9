"""What the workflows of all lifecycles share: receiving signals, updates and a cancellation, and going on as new.

Handlers are dynamic: Temporal passes the bytes of an input as they came. The SDK decodes the input of any other handler
itself. It drops a signal that it cannot decode, and an update whose input is missing stops the whole workflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.search_attributes import KIND, PROGRAM, STATE
    from lifecycles.recording import Planned
    from rules.acts import NOBODY, Act, Received
    from rules.text import for_database
    from workflows.messages import (
        LONGEST_NAME,
        ActInput,
        Answer,
        InvalidInput,
        Matched,
        MessageSpec,
        Specs,
        read_as_before,
        read_input,
        update_act_id,
    )

from workflows.agenda_loop import AgendaLoop

CHECKED_INPUT = "checked input"
"""The patch since which an input is checked, and the ids of acts come from updates and a count of signals."""

MOST_UPDATES = 200
"""How many ids of applied updates a workflow keeps."""

MOST_PENDING = 100
"""How many acts that no plan has applied yet a next run receives."""

MOST_SHOWN = 5
"""How many messages ahead the details of a workflow name."""

TEMPORAL = "temporal"
"""The actor of a cancellation that came by Temporal itself: from its page, its command or its API."""

Facts = TypeVar("Facts", bound=Any)


class LifecycleWorkflow(Generic[Facts]):
    """Base of the lifecycles' workflows. `SIGNALS` and `UPDATES` list what each receives."""

    SIGNALS: ClassVar[Specs]
    UPDATES: ClassVar[Specs]

    def _begin(self, facts: Facts, state: str) -> None:
        """Set up a run from its facts; `state` is the one before the first plan."""
        received: Received = facts.received
        self._facts: Facts = replace(facts, received=Received())
        self._state = state
        self._signals = received.signals
        self._applied = list(received.updates)
        self._is_canceled = False
        self._agenda = AgendaLoop(self._plan_and_show, self._decided, received.pending)

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        """Have an agenda planned from the facts and acts, and keep the new facts and state."""
        raise NotImplementedError

    async def _plan_and_show(self, at: datetime, acts: list[Act]) -> Planned:
        """Plan, and show in Temporal's own pages what came of it."""
        planned = await self._plan(at, acts)
        workflow.set_current_details(_in_words(planned))
        attributes = workflow.info().typed_search_attributes
        # The start has the kind only where the namespace has all of them. An upsert of one that it lacks would fail the
        # workflow task; and a history without the kind has no upserts.
        if attributes.get(KIND):
            found = ((PROGRAM, planned.program), (STATE, planned.state))
            changes = [key.value_set(value) for key, value in found if value and attributes.get(key) != value]
            if changes:
                workflow.upsert_search_attributes(changes)
        return planned

    def _decided(self, outcome: Outcome) -> bool:
        """Take the outcome of a delivery, and return whether it changes the facts."""
        return False

    def _closed_because(self) -> str:
        """Return in which words an act is refused once the lifecycle is over (REQ10)."""
        raise NotImplementedError

    async def _run(self) -> str:
        """Run until the lifecycle is over; return its last state."""
        while True:
            try:
                closed = await self._agenda.run()
            except (asyncio.CancelledError, FailureError) as error:
                if not self._takes_cancellation(error):
                    raise
                continue
            await self._finish_run()
            if not closed:
                workflow.continue_as_new(replace(self._facts, received=self._carried()))
            return self._state

    async def _finish_run(self) -> None:
        """Wait for what a workflow does beside its agenda, before it ends or goes on as new."""

    def _takes_cancellation(self, error: BaseException) -> bool:
        """Make Temporal's own cancellation the act `cancel`; return whether it was one.

        It comes once. A later error of this kind ends the run in the worker's memory only.
        """
        if not is_cancelled_exception(error) or workflow.cancellation_reason() is None or self._is_canceled:
            return False
        self._is_canceled = True
        reason = for_database(workflow.cancellation_reason() or "") or "cancelled in Temporal"
        act_id = f"cancellation of run {workflow.info().run_id}"
        self._take(Act(act_id, "cancel", TEMPORAL, reason, at=workflow.now(), signal=True))
        return True

    def _carried(self) -> Received:
        pending = self._agenda.pending
        if len(pending) > MOST_PENDING:
            workflow.logger.error("%s acts are dropped: no plan took them", len(pending) - MOST_PENDING)
        return Received(self._signals, self._applied[-MOST_UPDATES:], pending[:MOST_PENDING])

    def _take(self, act: Act) -> None:
        """Have a signal's act applied."""
        self._agenda.change(act)

    async def _answer(self, act: Act) -> Answer:
        """Have an update's act applied, and answer with what it changed. Raises ApplicationError if it is refused."""
        if self._agenda.closed:
            raise ApplicationError(self._closed_because(), type="Refused")
        return await self._agenda.answer(act)

    @workflow.signal(dynamic=True)
    def receive_signal(self, name: str, given: Sequence[RawValue]) -> None:
        """Take a signal of SIGNALS. One that cannot be read changes nothing and is recorded as refused (STA3)."""
        is_checked = workflow.patched(CHECKED_INPUT)
        self._signals += 1
        act_id = f"signal {self._signals}" if is_checked else str(workflow.uuid4())
        spec = self.SIGNALS.get(name)
        try:
            if spec is None:
                raise InvalidInput("there is no signal of this name")
            if spec.replans_only:
                self._agenda.change()
                return
            read = read_input(spec, given) if is_checked else read_as_before(spec, given)
            act = read.to_act(name, act_id, signal=is_checked)
        except InvalidInput as invalid:
            workflow.logger.warning("a signal is refused: %s", invalid)
            if is_checked:
                self._agenda.change(_unreadable(name, act_id, str(invalid)))
            return
        self._take(act)

    @workflow.update(dynamic=True)
    async def receive_update(self, name: str, given: Sequence[RawValue]) -> Answer:
        """Take an update of UPDATES, and answer with what it changed (STA1). The same id again is applied once."""
        is_checked = workflow.patched(CHECKED_INPUT)
        info = workflow.current_update_info()
        act_id = update_act_id(info.id) if is_checked and info else str(workflow.uuid4())
        act = self._read_update(name, given).to_act(name, act_id)
        if is_checked and act.id in self._applied:
            return Answer(self._state)
        answer = await self._answer(act)
        if is_checked:
            self._applied.append(act.id)
        return answer

    @receive_update.validator
    def check_update(self, name: str, given: Sequence[RawValue]) -> None:
        """Refuse an update without or with wrong input at once, with the reason: nothing of it is recorded."""
        try:
            read_input(self._update_spec(name), given)
        except InvalidInput as invalid:
            raise ApplicationError(f"{name}: {invalid}", type="Refused") from None

    def _update_spec(self, name: str) -> MessageSpec:
        spec = self.UPDATES.get(name)
        if spec is None:
            raise InvalidInput(f"there is no update of this name, only {', '.join(sorted(self.UPDATES))}")
        return spec

    def _read_update(self, name: str, given: Sequence[RawValue]) -> ActInput | Matched:
        spec = self._update_spec(name)
        try:
            return read_input(spec, given)
        except InvalidInput:
            # It was accepted by a run that began before inputs were checked.
            return read_as_before(spec, given)


def _in_words(planned: Planned) -> str:
    """Return what a plan says, as the details of a workflow: ids and instants only (MEM6)."""
    ahead = [f"{mail.due:%Y-%m-%d %H:%M} UTC: {mail.key}" for mail in planned.mails[:MOST_SHOWN]]
    if (more := len(planned.mails) - MOST_SHOWN) > 0:
        ahead.append(f"and {more} more")
    return "\n\n".join([f"State: {planned.state}", *ahead])


def _unreadable(name: str, act_id: str, reason: str) -> Act:
    shown = for_database(name)[:LONGEST_NAME]
    return Act(act_id, shown, NOBODY, at=workflow.now(), signal=True, unreadable=reason)
