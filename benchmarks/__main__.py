"""Runs the benchmarks of this room, one after the other: `python -m benchmarks`; a long one by its name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

LONG = ("chaos", "crowd", "fan_out")


def main() -> None:
    """Run the benchmark that is named, or all but the long ones."""
    found = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py") if file.stem not in LONG)
    for name in sys.argv[1:2] or found:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
