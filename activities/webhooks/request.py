"""One request that carries one event: signed after Standard Webhooks, to an address that was judged, within 15 seconds.

The answer's status is all that is read: an endpoint cannot make a worker read or follow anything.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpcore
from standardwebhooks import Webhook

from activities.webhooks.reachable import AddressPolicy, Location, TargetRefused, read_url
from database.models import OutboxEvent
from database.webhook_endpoints import Target

TIMEOUT: Final = 15.0
"""Seconds for an attempt as a whole: finding the name, connecting, sending, and the head of the answer."""

GONE: Final = 410

CONTENT_TYPE: Final = "application/cloudevents+json"

LARGEST: Final = 20_000
"""Octets of an event at most: receivers with a limit of 20 kB take every one."""


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What an attempt ended in: `words` for staff, without anything that the endpoint wrote."""

    words: str
    status: int = 0
    """The status of the answer; 0 where none came."""
    rest: timedelta | None = None
    """How long the endpoint asked to wait."""

    @property
    def is_success(self) -> bool:
        """Whether the endpoint took the event."""
        return 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants no more events."""
        return self.status == GONE


def envelope_of(row: OutboxEvent, source: str) -> dict[str, Any]:
    """Return an event as a CloudEvent 1.0. Its sequence, of fixed length, orders the events of its subject."""
    return {
        "specversion": "1.0",
        "id": row.event_id,
        "source": source,
        "type": row.type,
        "subject": row.subject,
        "sequence": f"{row.sequence:010d}",
        "time": row.at.astimezone(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": row.data,
    }


class WebhookSender:
    """Sends events. `clock` is the machine's: the signature carries the moment at which it is made, on real time.

    `source` names the deployment in each event. `trust` has the trusted certificates; by default, the system's.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        source: str,
        clock: Callable[[], datetime],
        *,
        trust: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.policy = policy
        self.source = source
        self._clock = clock
        self._trust = trust
        self._timeout = timeout

    async def check(self, url: str) -> None:
        """Raise TargetRefused unless events may go to an address, as its name resolves now."""
        where = read_url(url)
        await self.policy.addresses(where.host, where.port, secure=where.secure)

    async def send(self, target: Target, event: Mapping[str, Any]) -> EndpointAnswer:
        """Send an event, and return what came of it. Nothing is raised."""
        body = json.dumps(dict(event), separators=(",", ":"), ensure_ascii=False).encode()
        try:
            where = read_url(target.url)
            async with asyncio.timeout(self._timeout):
                return await self._post(where, self._headers(where, target, str(event["id"]), body), body)
        except TargetRefused as refused:
            return EndpointAnswer(f"not sent: {refused}")
        except TimeoutError:
            return EndpointAnswer(f"no answer within {self._timeout:g} seconds")
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            return EndpointAnswer(f"no connection: {_cause(error)}")
        except httpcore.ProtocolError:
            # The library's text quotes what came.
            return EndpointAnswer("the answer ended early, or is not HTTP")
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            return EndpointAnswer(f"the connection failed: {_cause(error)}")

    def _headers(self, where: Location, target: Target, id: str, body: bytes) -> list[tuple[str, str]]:
        now = self._clock()
        signatures = [Webhook(secret).sign(id, now, body.decode()) for secret in target.secrets]
        return [
            ("host", where.authority),
            ("content-type", CONTENT_TYPE),
            ("content-length", str(len(body))),
            ("user-agent", "Throughline"),
            ("accept", "*/*"),
            ("connection", "close"),
            ("webhook-id", id),
            ("webhook-timestamp", str(int(now.timestamp()))),
            ("webhook-signature", " ".join(signatures)),
        ]

    async def _post(self, where: Location, headers: list[tuple[str, str]], body: bytes) -> EndpointAnswer:
        if self._trust is None:
            self._trust = await asyncio.to_thread(ssl.create_default_context)
        # A connection of its own for each attempt: the address is judged each time, and none stays open.
        connecting = _JudgedConnections(self.policy, secure=where.secure)
        host = f"[{where.host}]" if ":" in where.host else where.host
        scheme = "https" if where.secure else "http"
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._trust, max_keepalive_connections=0, network_backend=connecting
            ) as pool,
            pool.stream(
                "POST", f"{scheme}://{host}:{where.port}{where.path}", headers=headers, content=body
            ) as response,
        ):
            # Its body is never read: it may be endless, and says nothing that counts.
            return EndpointAnswer(f"{response.status}", response.status, self._rest(dict(response.headers)))

    def _rest(self, headers: Mapping[bytes, bytes]) -> timedelta | None:
        """Return what `Retry-After` asks for: seconds, or a date."""
        asked = next((value for name, value in headers.items() if name.lower() == b"retry-after"), b"")
        text = asked.decode("ascii", "replace").strip()
        if text.isdecimal():
            return timedelta(seconds=min(int(text[:9]), 10**8))
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        return max(timedelta(0), (until if until.tzinfo else until.replace(tzinfo=UTC)) - self._clock())


class _JudgedConnections(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the policy has judged, and to no other that the name may have a moment later.

    TLS still checks the certificate for the name.
    """

    def __init__(self, policy: AddressPolicy, *, secure: bool) -> None:
        self._policy = policy
        self._secure = secure
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises TargetRefused, ConnectError."""
        failed: Exception = httpcore.ConnectError("no address answers")
        for address in await self._policy.addresses(host.strip("[]"), port, secure=self._secure):
            try:
                stream = await self._plain.connect_tcp(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            return await self._judged(stream)
        raise failed

    async def _judged(self, stream: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
        try:
            self._policy.check(str(stream.get_extra_info("server_addr")[0]), secure=self._secure)
        except TargetRefused:
            await stream.aclose()
            raise
        return stream


def _cause(error: BaseException) -> str:
    """Return what the operating system or TLS says of a failure, in one line."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    words = getattr(cause, "strerror", None) or getattr(cause, "reason", None) or str(cause)
    return " ".join(str(words).split()) or type(error).__name__
