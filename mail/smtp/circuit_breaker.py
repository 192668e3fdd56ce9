"""The circuit breaker of the channel: a refusal of us stops all deliveries until a probe succeeds (MAIL3, MAIL10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mail.smtp.refusals import normalized_answer
from mail.smtp.verdicts import AuthenticationRefused, ChannelRefused, ContentRefused, DeliveryError


class CircuitBreaker:
    """Opens at a refused login or account. After `probe_interval` seconds it is half-open: one attempt may enter.

    Providers lock an account after repeated wrong passwords, so no attempt but that one, the probe, tries again.
    """

    refusal: ChannelRefused | None
    """The refusal that opened the circuit; None while it is closed."""

    def __init__(self, probe_interval: float) -> None:
        self._probe_interval = probe_interval
        self._next_probe = 0.0
        self._probing = False
        self.refusal = None

    @property
    def open(self) -> bool:
        """Whether deliveries are stopped."""
        return self.refusal is not None

    @contextmanager
    def enter(self) -> Iterator[bool]:
        """Admit an attempt; yield whether it is the probe. Raises ChannelRefused while the circuit is open."""
        probe = self.open
        if probe:
            now = asyncio.get_running_loop().time()
            if self._probing or now < self._next_probe:
                self.raise_if_open()
            self._probing = True
            self._next_probe = now + self._probe_interval
        try:
            yield probe
        finally:
            if probe:
                self._probing = False

    def raise_if_open(self) -> None:
        """Raise the refusal that opened the circuit, if it is open."""
        if self.refusal is not None:
            raise type(self.refusal)(
                self.refusal.response, code=self.refusal.code, enhanced=self.refusal.enhanced
            )

    @property
    def closes_at_login(self) -> bool:
        """Whether a login that succeeds is the way back; else only the answer to a whole message is."""
        return isinstance(self.refusal, AuthenticationRefused)

    def judge_probe(self, error: DeliveryError) -> None:
        """Take the verdict on a whole probe: the same answer keeps the circuit open, another final one closes it.

        Raises ChannelRefused for the same answer: the message is not to blame.
        """
        if self.refusal is None or not error.final:
            return
        if isinstance(error, ContentRefused) and normalized_answer(error.response) == normalized_answer(
            self.refusal.response
        ):
            self.raise_if_open()
        self.close()

    def trip(self, refusal: ChannelRefused) -> None:
        """Open the circuit, and let the interval to the next probe start again."""
        self.refusal = refusal
        self._next_probe = asyncio.get_running_loop().time() + self._probe_interval

    def close(self) -> None:
        """Close the circuit: deliveries may try again at once."""
        self.refusal = None
