"""What happened, in words: once for commands, browser and demo (STA3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spaced(name: str) -> str:
    """Return a name such as `past_due` with spaces."""
    return name.replace("_", " ")


def happening(kind: str, subject: str, data: Mapping[str, Any]) -> str:
    """Return what a record of the audit record says about its subject; empty for a kind that has its own words.

    `data` are those of the record, or a row of the timeline.
    """
    match kind:
        case "state":
            return f"{subject.partition('/')[0]} is {spaced(data['state'])}"
        case "task":
            return spaced(data["task"])
        case "credit":
            return f"claim for {subject.rpartition('/')[2]} is {spaced(data['status'])}"
        case "refused":
            return str(data.get("event") or data.get("act") or "")
    return ""


def credit_counted(data: Mapping[str, Any]) -> str:
    """Return how much of a claim's credit counts (CPE9); empty where none is earned."""
    if not data["earned"]:
        return ""
    return f"{data['earned']} credits earned, {data['countable']} of them countable"
