"""What of an engagement's record the two parties must not learn (ENG8).

A suspension must look like a pause to them, also in an exported dossier: so pauses are set apart as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rules.engagement.facts import MISCONDUCT

SUSPENDED: Final = "suspended"
"""The state of an engagement after a report of misconduct."""

PAUSED_BY_STAFF: Final = "paused by staff"
"""The cause of a pause, in words for staff."""

DROPPED_BY_SUSPENSION: Final = "the engagement is suspended"
"""Why a suspension drops messages; a pause holds them and records nothing."""

NEUTRAL: Final = "this engagement cannot be changed here; please write to the program's mailbox"
"""The answer to the parties after a report of misconduct: the text must not disclose the report."""

_ACTS: Final = frozenset({MISCONDUCT, "pause", "resume", "report read"})
_NOTICE: Final = "staff.misconduct"


def is_confidential(subject: str, kind: str, data: Mapping[str, Any]) -> bool:
    """Return whether a record of an engagement stands in the chain that only staff export."""
    if not subject.startswith("engagement/"):
        return False
    match kind:
        case "act":
            return (
                data.get("act") in _ACTS or data.get("task") == MISCONDUCT or data.get("message") == _NOTICE
            )
        case "task":
            return data.get("task") == MISCONDUCT
        case "mail":
            return data.get("message") == _NOTICE or data.get("reason") == DROPPED_BY_SUSPENSION
        case "state":
            return data.get("state") == SUSPENDED
        case "refused":
            return MISCONDUCT in str(data.get("event")) or data.get("reason") == NEUTRAL
    return False
