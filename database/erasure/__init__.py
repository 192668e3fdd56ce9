"""The erasure of a person: what is deleted, what becomes unreadable, what has to be kept and until when (STA5)."""

from __future__ import annotations

from database.erasure.compaction import CompactionError, compact
from database.erasure.erasing import REASON, erase, preview, remove_expired
from database.erasure.report import ErasureItem, ErasureReport, Fate

__all__ = [
    "REASON",
    "CompactionError",
    "ErasureItem",
    "ErasureReport",
    "Fate",
    "compact",
    "erase",
    "preview",
    "remove_expired",
]
