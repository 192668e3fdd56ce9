"""Runs every benchmark of this room, one after the other: `python -m benchmarks`, or with the names of some."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks that are named, or all."""
    found = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    for name in sys.argv[1:] or found:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
