"""Names of the program in words for people."""

from __future__ import annotations

from staff.wording import spaced

__all__ = ["message_words", "spaced"]


def lifecycle_words(workflow: str) -> str:
    """Return a lifecycle's kind for people: a claim with its certification, "PSP claim"."""
    kind, _, rest = workflow.partition("/")
    return f"{rest.rpartition('/')[2]} claim" if kind == "claim" else kind


def message_words(name: str, number: int | None = None) -> str:
    """Return a message's name for people: the second `mentee.checkin` is "check-in 2"."""
    words = {"checkin": "check-in"}.get(what := name.partition(".")[2], spaced(what))
    return f"{words} {number}" if number else words
