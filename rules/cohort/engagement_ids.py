"""The ids of the engagements that a cohort's pairs begin."""

from __future__ import annotations

import hashlib

LONGEST = 64
_DIGITS = 16


def engagement_id(cohort: str, mentee: str, mentor: str) -> str:
    """Return the id of a pair's engagement: `cohort.mentee.mentor`.

    Where that is too long, or a dot in an id would make two pairs alike, a digest stands in the end.
    """
    full = f"{cohort}.{mentee}.{mentor}"
    if len(full) <= LONGEST and "." not in mentee + mentor:
        return full
    digest = hashlib.sha256(f"{cohort}/{mentee}/{mentor}".encode()).hexdigest()[:_DIGITS]
    return f"{full[: LONGEST - _DIGITS - 1]}.{digest}"
