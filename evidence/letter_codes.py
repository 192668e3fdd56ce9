"""The code of a letter, which a reader of the printed page can type to verify it (CPE11)."""

from __future__ import annotations

import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and letters that do not look alike in print: neither 0 and O, nor 1, I and L, nor U beside V."""

_GROUPS, _GROUP = 4, 4
"""16 characters are 78 bits: more than anybody can guess at a web page."""


def new_code() -> str:
    """Return a new code, as `7KQ2-M9TX-4HBC-WD3R`."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def as_written(typed: str) -> str:
    """Return the code that somebody typed with other spaces, hyphens or small letters; else the text as it is."""
    plain = "".join(typed.split()).replace("-", "").upper()
    if len(plain) != _GROUPS * _GROUP or not set(plain) <= set(ALPHABET):
        return typed
    return "-".join(plain[start : start + _GROUP] for start in range(0, len(plain), _GROUP))
