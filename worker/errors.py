"""The error that ends a command or process."""

from __future__ import annotations


class Failure(Exception):
    """A command or process failed; `lines` say why, for the person who started it."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
