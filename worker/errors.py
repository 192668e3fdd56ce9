"""The error of a command or process that failed for a reason that its text names."""

from __future__ import annotations


class Failure(Exception):
    """What was asked for failed; `lines` say why, for whoever asked."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
