"""What an erasure does, or would do, to each kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of data when a person is erased."""

    DELETED = "deleted"
    """It is gone from the database."""
    UNREADABLE = "unreadable"
    """It is encrypted under the person's key, which is destroyed."""
    KEPT = "kept"
    """It has to be kept, until a day."""


@dataclass(frozen=True, slots=True)
class ErasureItem:
    """One kind of data in one table."""

    table: str
    what: str
    """What it is, in words for staff."""
    count: int
    """Rows that hold it."""
    outcome: Fate
    why: str = ""
    """Why it is kept."""
    until: date | None = None
    """The last day on which it is kept."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """All that the erasure of a person does, or did."""

    member: str
    is_known: bool
    """Whether the database has, or had, anything of such a member."""
    items: tuple[ErasureItem, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """The rows by outcome."""
        return {each.value: sum(i.count for i in self.items if i.outcome is each) for each in Fate}
