"""What a check of the settings found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How one thing is."""

    OK = "ok"
    OFF = "off"
    """It is not configured, and need not be."""
    WARNING = "warning"
    """It works, and is seldom what a production deployment wants."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class SettingFinding:
    """One line: what was looked at, how it is, and why. It holds no secret."""

    about: str
    verdict: Verdict
    words: str


def ok(about: str, words: str) -> SettingFinding:
    """Return that a thing is right."""
    return SettingFinding(about, Verdict.OK, words)


def off(about: str, words: str) -> SettingFinding:
    """Return that a thing is not configured."""
    return SettingFinding(about, Verdict.OFF, words)


def warning(about: str, words: str) -> SettingFinding:
    """Return that a thing works and is doubtful."""
    return SettingFinding(about, Verdict.WARNING, words)


def wrong(about: str, words: str) -> SettingFinding:
    """Return that a thing is wrong: with it a process does not start, or does not do its work."""
    return SettingFinding(about, Verdict.WRONG, words)
