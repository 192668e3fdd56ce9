"""The last line of defence of logs: addresses, tokens and passwords are removed from whatever is written (MEM6).

Log calls name ids only. What a library or an error says is not ours to word: its address or token ends here.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any, Final, TextIO

from sqlalchemy.exc import OperationalError
from temporalio.service import RPCError

SECRET: Final = "[secret]"
ADDRESS: Final = "[address]"

_RULES: Final = (
    # The user and password of an address such as postgresql://user:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE), rf"\1{SECRET}@"),
    (
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|webhook-signature|password|passwd|client_secret|"
            r"refresh_token|access_token|id_token|api[_-]?key)([\"']?\s*[:=]\s*(?:[bru]?[\"'])?)"
            r"(?:(?:bearer|basic|digest|token)\s+)?[^\s\"',;&)}\]]+",
            re.IGNORECASE,
        ),
        rf"\1\2{SECRET}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {SECRET}"),
    (re.compile(r"whsec_[\w+/=-]+"), SECRET),
    # A personal link, and the one-time link by which staff sign in.
    (re.compile(r"(/(?:l|staff/sign-in)/)[\w.~%-]{8,}"), rf"\1{SECRET}"),
    # A JSON Web Token, and a signature of `itsdangerous`: base64 of JSON, then the signature.
    (re.compile(r"\b(?:eyJ|Wy|\.eJ)[\w-]{10,}\.[\w.-]{10,}"), SECRET),
    (
        re.compile(r"(?:\"[^\"\n]{1,64}\"|[^\s@<>()\"',;:\\\[\]{}=]{1,128})@(?:[\w-]+\.)+[\w-]{2,}"),
        ADDRESS,
    ),
)

_TEXT_IS_ABOUT_A_SERVER: Final = (OSError, OperationalError, RPCError, ImportError)
"""Errors whose text is about a connection, a file or a module. The text of any other one may quote a name."""


def redact(text: str) -> str:
    """Return a text without addresses of people, tokens and passwords."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


class RedactedStream:
    """A text stream that writes what comes without personal data. All else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text redacted; return its length, as the caller knows it."""
        self._stream.write(redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error and of its causes: frames and names of errors, with the text of few.

    The text of an error that nobody expected may hold a value of a row, such as a name.
    """
    chain = list(_chain(error))[::-1]
    return "\n".join(
        "".join(
            ["Traceback (most recent call last):\n", *traceback.format_tb(each.__traceback__), _name(each)]
        )
        for each in chain
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the last one first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _name(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(_name(each) for each in error.exceptions)}"
    if isinstance(error, OperationalError):
        return f"{name}: {redact(str(error.orig).strip())}"
    return f"{name}: {redact(str(error))}" if isinstance(error, _TEXT_IS_ABOUT_A_SERVER) else name
