"""A request's workflow as another release may have it: with a timer more before each plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.request import RequestFacts

from workflows.request import RequestWorkflow

PATCH = "a moment before each plan"


@workflow.defn(name="Request")
class RequestWithATimer(RequestWorkflow):
    """The change without a patch: what ran before does not go on under it."""

    @workflow.init
    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts)

    @workflow.run
    async def run(self, facts: RequestFacts) -> str:
        """Run as before."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        await workflow.sleep(timedelta(milliseconds=5), summary=PATCH)
        return await super()._plan(at, acts)


@workflow.defn(name="Request")
class RequestBehindAPatch(RequestWorkflow):
    """The same change behind a patch: what ran before goes on as before."""

    @workflow.init
    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts)

    @workflow.run
    async def run(self, facts: RequestFacts) -> str:
        """Run as before."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        if workflow.patched(PATCH):
            await workflow.sleep(timedelta(milliseconds=5), summary=PATCH)
        return await super()._plan(at, acts)


def with_request(changed: type, workflows: Sequence[type]) -> tuple[type, ...]:
    """Return workflow types with another one in place of the request's."""
    return tuple(changed if each is RequestWorkflow else each for each in workflows)
