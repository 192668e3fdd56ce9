"""Reads reports in a process of its own, which can be stopped (MAIL7).

A report is foreign bytes. The parser has bounds, yet a pattern that takes minutes would hold the event loop,
and no thread can be ended from outside. A process can: after the deadline it is killed, and the report is dropped.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mail.meetups.calendar_reply import CalendarReply, reply_in
from mail.reports.bounce_report import BounceReport, bounce_in
from mail.reports.parts import LARGEST

DEADLINE = 10.0
"""Seconds for one report. The slowest of 629 public ones takes 0.14."""

_LONGEST_ANSWER = 64 * 1024
_ROOT = Path(__file__).resolve().parents[2]


class ReadingProcess:
    """One process that reads reports one after another, started with the first; `given_up` counts those dropped."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self.given_up = 0

    async def read(
        self, content: bytes, recipients: Sequence[str] = ()
    ) -> BounceReport | CalendarReply | None:
        """Return what a mail reports, or the answer of a calendar in it; None for any other one, or if given up.

        Keeps 256 KB of it.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline):
                    return await self._ask(content[:LARGEST], recipients)
            except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
                self.given_up += 1
                await self._kill()
                return None
            except BaseException:
                # An answer that nobody waits for would be taken for that of the next report.
                await self._kill()
                raise

    async def aclose(self) -> None:
        """End the process."""
        await self._kill()

    async def _ask(self, content: bytes, recipients: Sequence[str]) -> BounceReport | CalendarReply | None:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mail.reports.reading_process"),
                cwd=_ROOT,
                stdin=PIPE,
                stdout=PIPE,
                limit=_LONGEST_ANSWER,
            )
        to, answers = self._process.stdin, self._process.stdout
        if to is None or answers is None:
            raise OSError("the process has no pipes")
        head = json.dumps({"size": len(content), "recipients": list(recipients)})
        to.write(head.encode() + b"\n" + content)
        await to.drain()
        answer = json.loads(await answers.readuntil(b"\n"))
        if not answer:
            return None
        return CalendarReply(**answer["reply"]) if "reply" in answer else BounceReport(**answer["bounce"])

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _answer(content: bytes, recipients: Sequence[str]) -> dict[str, object] | None:
    if reply := reply_in(content):
        return {"reply": asdict(reply)}
    bounce = bounce_in(content, recipients)
    return {"bounce": asdict(bounce)} if bounce else None


def main() -> None:
    """Answer each report on standard input with a line of JSON, until it ends."""
    while head := sys.stdin.buffer.readline():
        order = json.loads(head)
        sys.stdout.write(
            json.dumps(_answer(sys.stdin.buffer.read(order["size"]), order["recipients"])) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
