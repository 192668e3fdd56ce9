"""Serves a web application in this process: on a socket opened beforehand, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from worker.errors import Failure
from worker.http_deadlines import ConnectionLimits, protocol_with

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Open a socket on a port of this machine, 0 for any. Raises Failure if the port is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise Failure(f"port {port} cannot be used ({error.strerror}): choose another with --port") from None
    return listening


def address(listening: socket.socket) -> str:
    """Return the web address of a socket."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command."""
        yield


@asynccontextmanager
async def served(
    app: FastAPI, listening: socket.socket, limits: ConnectionLimits | None = None
) -> AsyncIterator[None]:
    """Serve the app on the socket within the block. Raises RuntimeError if it cannot start."""
    config = uvicorn.Config(
        app,
        http=protocol_with(limits or ConnectionLimits()),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the gateway could not start")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await serving
