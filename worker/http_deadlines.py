"""Deadlines and a limit for connections: uvicorn has none for a request that is sent slowly or never finished."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from typing import Any, ClassVar

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger()

_DESCRIPTORS_FOR_OTHERS = 64
"""Open files that database, Temporal and logs need."""


def _most_connections() -> int:
    """Return how many connections this process may hold: its limit of open files leaves room for all else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 500
    return max(8, min(500, files - _DESCRIPTORS_FOR_OTHERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How long a client may take, and how many may be connected at a time."""

    seconds_for_headers: float = 10.0
    seconds_for_body: float = 30.0
    """For the whole body: 1 MiB at 35 kB a second."""
    most_connections: int = field(default_factory=_most_connections)
    """Beyond it, the one that has owed a part of its request for longest makes room for a new one."""


class DeadlineProtocol(H11Protocol):
    """An HTTP connection that is closed when its client does not finish a request in time."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    _deadline: asyncio.TimerHandle | None = None
    _cycle_seen: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, if need be in the place of one that owes the rest of its request."""
        if len(self.connections) >= self.limits.most_connections and not self._make_room():
            # Nothing is known of the request yet, so that there is nothing to answer.
            transport.abort()
        super().connection_made(transport)
        self._expect(self.limits.seconds_for_headers)

    def data_received(self, data: bytes) -> None:
        """Read on, and set the deadline of what is still missing."""
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._expect(None)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on with what the client has sent meanwhile, or wait for its next request."""
        super().on_response_complete()
        self._update_deadline()

    @property
    def deadline(self) -> float | None:
        """When the deadline of a client ends that owes a part of its request, by the loop's clock."""
        return self._deadline.when() if self._deadline else None

    def _update_deadline(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            if self._deadline is None:
                self._expect(self.limits.seconds_for_headers)
        elif not cycle.more_body:
            self._expect(None)
        elif cycle is not self._cycle_seen:
            self._cycle_seen = cycle
            self._expect(self.limits.seconds_for_body)

    def _expect(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._close) if seconds else None

    def _close(self) -> None:
        self._deadline = None
        log.info("http_connection_timed_out")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_TIMED_OUT)
        if self.cycle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection whose deadline ends first; return whether there was one."""
        owing = [each for each in self.connections if isinstance(each, DeadlineProtocol) and each.deadline]
        if not owing:
            log.warning("http_connections_exhausted", connections=len(self.connections))
            return False
        min(owing, key=lambda each: each.deadline or 0).transport.abort()
        return True


def protocol_with(limits: ConnectionLimits) -> type[DeadlineProtocol]:
    """Return the protocol with limits, as uvicorn takes it: a class."""
    return type("LimitedProtocol", (DeadlineProtocol,), {"limits": limits})


_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
