"""Plain Temporal, as its samples show it: a workflow that sends, sleeps and sends, with an activity that sends.

`python -m benchmarks.alternatives.plain_temporal TEMPORAL_PORT` runs its worker.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from benchmarks.alternatives.cron_script import Mailer

QUEUE = "plain"


@dataclass
class PlainRequest:
    """A request of a mentee to a mentor, who accepts after some seconds."""

    mentor: str
    mentee: str
    seconds: float
    smtp_port: int


@dataclass
class PlainMail:
    """A message."""

    address: str
    subject: str
    smtp_port: int


@activity.defn
def send_plain_mail(mail: PlainMail) -> None:
    """Send it."""
    with Mailer(mail.smtp_port) as mailer:
        mailer.send(mail.address, mail.subject)


@workflow.defn
class PlainRequestWorkflow:
    """Mails both of the request, and both of the match."""

    @workflow.run
    async def run(self, request: PlainRequest) -> None:
        """Send, sleep, send."""
        await self._send(request, "request")
        await workflow.sleep(timedelta(seconds=request.seconds))
        await self._send(request, "match")

    async def _send(self, request: PlainRequest, subject: str) -> None:
        for address in (request.mentor, request.mentee):
            await workflow.execute_activity(
                send_plain_mail,
                PlainMail(address, subject, request.smtp_port),
                start_to_close_timeout=timedelta(seconds=10),
            )


async def _work(port: str) -> None:
    client = await Client.connect(f"127.0.0.1:{port}")
    with ThreadPoolExecutor(10) as threads:
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[PlainRequestWorkflow],
            activities=[send_plain_mail],
            activity_executor=threads,
            max_concurrent_activities=10,
        )
        await worker.run()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
