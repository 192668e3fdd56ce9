"""Runs a command whose wall clock is ahead of the machine's: `clock_launcher.py SECONDS COMMAND…`.

Each further line of seconds on the standard input sets the clock, and `ok` answers it. Only CLOCK_REALTIME moves, as
when an administrator sets a clock. The monotonic clock, which time-outs of connections run on, does not.

A Go program makes no call to libc for the time. It calls the kernel's vDSO, code that the kernel maps into each
process. So that code is replaced in the one process, before its first instruction, through ptrace(2). The new code
asks the kernel and adds the seconds that stand behind it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from types import FrameType
from typing import Final

PTRACE_TRACEME, PTRACE_DETACH = 0, 17
PR_SET_PDEATHSIG = 1
FUNCTION: Final = b"__vdso_clock_gettime"

CODE: Final = bytes.fromhex(
    "b8e4000000"  # mov eax, 228 (clock_gettime)
    "0f05"  # syscall
    "85c0 750e"  # test eax, eax; jne ret
    "85ff 750a"  # test edi, edi (CLOCK_REALTIME is 0); jne ret
    "488b0d04000000"  # mov rcx, [the seconds behind this code]
    "48010e"  # add [rsi], rcx
    "c3"  # ret
)


class ClockError(RuntimeError):
    """A clock that cannot be moved here."""


class MovedClock:
    """The wall clock of one stopped process, and where its seconds are kept."""

    def __init__(self, pid: int) -> None:
        if os.uname().machine != "x86_64":
            raise ClockError(f"no code for {os.uname().machine}, only for x86_64")
        start, end = _vdso(pid)
        self._memory = open(f"/proc/{pid}/mem", "r+b", buffering=0)  # noqa: SIM115 - kept as long as the process
        self._memory.seek(start)
        function = start + _offset(self._memory.read(end - start))
        self._memory.seek(function)
        self._memory.write(CODE)
        self._seconds = function + len(CODE)

    def set(self, ahead: int) -> None:
        """Set the clock so many seconds ahead of the machine's."""
        self._memory.seek(self._seconds)
        self._memory.write(struct.pack("<q", ahead))


def _vdso(pid: int) -> tuple[int, int]:
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            if line.rstrip().endswith("[vdso]"):
                start, end = line.split()[0].split("-")
                return int(start, 16), int(end, 16)
    raise ClockError("the process has no vDSO")


def _offset(image: bytes) -> int:
    """Return where a vDSO has its clock_gettime, by the dynamic symbols of its ELF image."""
    headers, count = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    for header in range(headers, headers + 56 * count, 56):
        kind, _, at, _, _, size = struct.unpack_from("<IIQQQQ", image, header)
        if kind == 2:  # PT_DYNAMIC
            tags = dict(struct.iter_unpack("<QQ", image[at : at + size]))
            names, symbols = tags[5], tags[6]  # DT_STRTAB, DT_SYMTAB
            for symbol in range(symbols, names, 24):
                name, _, _, _, value = struct.unpack_from("<IBBHQ", image, symbol)
                if image[names + name :].startswith(FUNCTION + b"\0"):
                    return int(value)
    raise ClockError(f"the vDSO has no {FUNCTION.decode()}")


def _start(command: list[str]) -> int:
    """Start a command that stops before its first instruction, and dies with this process; its pid."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execv(command[0], command)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise ClockError("the process may not be traced")
    return pid


def _ended(number: int, frame: FrameType | None) -> None:
    os._exit(1)


def main() -> None:
    """Run the command until it or the standard input ends."""
    pid = _start(sys.argv[2:])
    clock = MovedClock(pid)
    clock.set(int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, _ended)
    ctypes.CDLL(None).ptrace(PTRACE_DETACH, pid, None, None)
    for line in sys.stdin:
        clock.set(int(line))
        print("ok", flush=True)


if __name__ == "__main__":
    main()
