"""Fixtures of the room: the command on a prepared database."""

from __future__ import annotations

from tests.support.cli import cli

__all__ = ["cli"]
