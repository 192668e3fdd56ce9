"""Passwords of staff, kept as argon2id hashes."""

from __future__ import annotations

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
"""Characters (NIST SP 800-63B asks for eight where there is a second factor, and for more without)."""
LONGEST: Final = 200
"""Characters; the hash takes any length, but nobody types more."""

_HASHER: Final = PasswordHasher()
_AT_ONCE: Final = asyncio.Semaphore(2)
"""A hash takes 64 MiB and a core for its time: guesses must not take the gateway's memory."""
_NOBODY: Final = _HASHER.hash("the password of an account that does not exist")


class PasswordRefused(ValueError):
    """A password that cannot be taken; the text says why."""


def hashed(password: str) -> str:
    """Return the hash of a new password. Raises PasswordRefused."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(f"a password has {SHORTEST} to {LONGEST} characters")
    return _HASHER.hash(password)


async def matches(kept: str | None, password: str) -> bool:
    """Return whether a password is the kept one. An account without one takes as long as any other."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_matches, kept, password[:LONGEST])


def _matches(kept: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(kept or _NOBODY, password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False
