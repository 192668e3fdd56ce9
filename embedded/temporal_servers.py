"""The bundled Temporal servers: one whose clock skips, for rehearsals, and a dev server on real time.

All peculiarities of the skipping test server are kept in this module, so that it can be replaced. It has one global
clock, which skips only while no workflow task and no activity runs. Never ask it for a workflow's result.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client

from activities.search_attributes import NAMES, register_attributes

HOST = "127.0.0.1"
SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 10.0

# The server gets a session of its own, so that Ctrl-C in a terminal does not reach it before its workers are done;
# and the kernel (Linux: PR_SET_PDEATHSIG) ends it when the process that started it is killed.
_LAUNCH = """
import ctypes, os, signal, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl:
    prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def binary(name: str) -> str:
    """The path of a bundled command. Raises RuntimeError if it is not installed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"the command {name} is missing: run make setup")
    return found


def free_port(wished: int | None = None) -> int:
    """A TCP port of this machine that is free now: the wished one if it can be had, else any.

    The caller binds it a moment later. It lies below the ephemeral range, since an outgoing connection could take a
    port of that range in the meantime.
    """
    for port in (*([wished] if wished else []), *SystemRandom().sample(range(15_000, 32_768), 100), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("this machine has no free port")


class SkippingClock:
    """A Temporal server whose clock one driver moves."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def now(self) -> datetime:
        """Return the server's present instant."""
        answer = await self.client.test_service.get_current_time(Empty())
        return answer.time.ToDatetime(UTC)

    async def advance(self, target: datetime) -> None:
        """Let the clock run to `target`; returns at once if it is there already.

        All that falls due on the way happens at its own instant.
        """
        remaining = target - await self.now()
        if remaining > timedelta(0):
            duration = Duration()
            duration.FromTimedelta(remaining)
            # Without a limit of its own the call has ten seconds of real time; a busy month needs more.
            await self.client.test_service.unlock_time_skipping_with_sleep(
                SleepRequest(duration=duration), timeout=timedelta(hours=1)
            )


@asynccontextmanager
async def skipping_clock() -> AsyncIterator[SkippingClock]:
    """Run a server with a skipping clock within the block."""
    port = free_port()
    async with _running([binary("temporal-test-server"), str(port)], port) as client:
        yield SkippingClock(client)


@dataclass(frozen=True, slots=True)
class DevServer:
    """A Temporal dev server that runs: a client of it, and its ports."""

    client: Client
    port: int
    ui_port: int | None


@asynccontextmanager
async def dev_server(
    file: Path | None,
    *,
    port: int | None = None,
    ui_port: int | None = None,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> AsyncIterator[DevServer]:
    """A Temporal dev server in real time, stopped at the end of the block; with `file` it keeps its state.

    Without `ui_port` it has no pages. What it says is appended to the file `log`. `keep` are descriptors that stay
    open in it, so that a lock on them lasts as long as the server. Raises RuntimeError if it does not start.
    """
    port = port or free_port()
    command = [binary("temporal"), "server", "start-dev", "--ip", HOST, "--port", str(port)]
    command += ["--log-level", "error", "--dynamic-config-value", "frontend.enableServerVersionCheck=false"]
    command += ["--ui-port", str(ui_port)] if ui_port else ["--headless"]
    command += ["--db-filename", str(file)] if file else []
    command += [word for name in NAMES for word in ("--search-attribute", f"{name}=Keyword")]
    async with _running(command, port, log, keep) as client:
        # `--search-attribute` does nothing for a namespace that exists already, and saves two seconds for a new one.
        await register_attributes(client)
        yield DevServer(client, port, ui_port)


@asynccontextmanager
async def _running(
    command: Sequence[str], port: int, log: Path | None = None, keep: Sequence[int] = ()
) -> AsyncIterator[Client]:
    """A server as a child process, as soon as it answers; stopped at the end of the block."""
    said = log.open("ab") if log else None
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCH, *command),
            stdin=subprocess.DEVNULL,
            stdout=said or subprocess.DEVNULL,
            stderr=said or subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=keep,
        )
    finally:
        if said:
            said.close()
    try:
        yield await _answering(process, port)
    finally:
        await _stopped(process)


async def _answering(process: asyncio.subprocess.Process, port: int) -> Client:
    try:
        async with asyncio.timeout(SECONDS_TO_START):
            while process.returncode is None:
                try:
                    return await Client.connect(f"{HOST}:{port}")
                except RuntimeError:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError(
            f"the Temporal server did not answer within {SECONDS_TO_START:g} seconds"
        ) from None
    raise RuntimeError(f"the Temporal server ended at once, with status {process.returncode}")


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Stop the server and wait for its end, also where the wait is interrupted."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(SECONDS_TO_STOP):
            await process.wait()
    except BaseException as error:
        process.kill()
        if not isinstance(error, TimeoutError):
            raise
        await process.wait()
