"""Fixtures of the room: the command on a prepared database."""

from __future__ import annotations

from tests.support.cli import world

__all__ = ["world"]
