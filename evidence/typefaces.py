"""The typefaces of letters: Latin, Greek and Cyrillic from typst itself, other scripts from packages (CPE8).

No typeface of the machine is used, so that the same letter has the same bytes everywhere.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = (
    "justmytype_intl_rtl",
    "justmytype_intl_south_asia",
    "justmytype_intl_sea",
    "justmytype_intl_africa",
    "justmytype_intl_cjk",
)
"""Packages with open typefaces. The last is large, and comes with the extra `cjk`."""

_LATIN = ("Libertinus Serif", "New Computer Modern")
_SCRIPTS = (
    "Noto Sans Devanagari",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Thai",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
    "Noto Sans Lao",
    "Noto Sans Khmer",
    "Noto Sans Myanmar",
    "Noto Sans Ethiopic",
)
_HAN = ("Noto Sans SC", "Noto Sans TC", "Noto Sans JP", "Noto Sans KR")
_SYMBOLS = ("DejaVu Sans Mono",)
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")


def folders() -> list[str]:
    """Return the folders with the typefaces of the installed packages."""
    found = [find_spec(package) for package in _PACKAGES]
    return [
        str(Path(place) / "fonts")
        for spec in found
        if spec
        for place in spec.submodule_search_locations or ()
    ]


def in_order(text: str) -> list[str]:
    """Return the names of typefaces for a text, the first that has a character wins.

    Chinese, Japanese and Korean share code points and draw them differently: kana or Hangul in the text decide.
    """
    first = "Noto Sans JP" if _KANA.search(text) else "Noto Sans KR" if _HANGUL.search(text) else _HAN[0]
    han = sorted(_HAN, key=lambda name: name != first)
    return [*_LATIN, *_SCRIPTS, *han, *_SYMBOLS]


def installed(names: list[str], families: list[str]) -> list[str]:
    """Return those names that are among the installed families; typst warns of any other."""
    return [name for name in names if name in families]
