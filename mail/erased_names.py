"""What mail calls a person who was erased: the role that they had for the reader, never a name (STA5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_PAIRED: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("en", "mentor"): "your mentor",
        ("en", "mentee"): "your mentee",
        ("es", "mentor"): "su mentor o mentora",
        ("es", "mentee"): "su mentee",
    }
)
_ASKED: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("en", "mentor"): "the mentor you chose",
        ("en", "mentee"): "the mentee",
        ("es", "mentor"): "la persona que usted eligió",
        ("es", "mentee"): "esa persona",
    }
)


def name_of_erased(role: str, locale: str, *, is_paired: bool) -> str:
    """Return what a mail in a language calls an erased mentor or mentee, of a pair or of a request."""
    names = _PAIRED if is_paired else _ASKED
    language = locale.replace("_", "-").partition("-")[0].lower()
    return names.get((language, role)) or names["en", role]
