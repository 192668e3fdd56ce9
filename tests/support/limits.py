"""How long tests wait, and how much they try."""

from __future__ import annotations

import os

from hypothesis import settings

PATIENCE = 120.0
"""Seconds to wait for what comes at once on an idle machine: only a broken test uses them up, a busy machine never."""

SOAK = max(1, int(os.environ.get("SOAK", "1")))
"""How many times the usual number of generated examples are tried; `make soak` sets it."""

USUAL_EXAMPLES = 60
"""The examples of a property in a usual run."""


def examples(number: int) -> int:
    """The examples of a property that tries `number` in a usual run, for the profile of hypothesis in use."""
    return max(1, number * settings().max_examples // USUAL_EXAMPLES)
