"""Runs the benchmarks of this room: `python -m benchmarks` the quick ones, `long` the long ones, or one by its name."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.mail import SHOWN, show

LONG = ("chaos", "comparison", "console_pages", "crowd", "fan_out", "peak")
"""What takes many minutes each."""


def machine() -> str:
    """Return the size of this machine, which figures depend on."""
    with Path("/proc/meminfo").open(encoding="ascii") as lines:
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal"))
    busy = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {kilobytes / 2**20:.0f} GB, load {busy:.1f} at the start"


def main() -> None:
    """Run the benchmark that is named, those of a group, and print the bars of all together."""
    found = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    wished = sys.argv[1] if len(sys.argv) > 1 else ""
    groups = {"": [name for name in found if name not in LONG], "long": list(LONG)}
    names = groups.get(wished, [wished])
    where, began = machine(), time.monotonic()
    Console().print(f"Machine: {where}")
    for name in names:
        importlib.import_module(f"benchmarks.{name}").main()
    if len(names) > 1:
        minutes = (time.monotonic() - began) / 60
        show([figure for figure in SHOWN if figure.bar], f"All bars, in {minutes:.0f} minutes: {where}")


if __name__ == "__main__":
    main()
