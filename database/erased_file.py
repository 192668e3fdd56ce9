"""The list of erased people, in a file outside of the database: what a restored backup is compared with (STA5).

The file only grows, by a line for each erasure: its number, the member's id, the instant, the hash of the line before,
and a MAC by the key ring. Ids stand as they are: they name nobody, and a list of digests under a key would be of no use
once that key has left the ring. So a line that was changed, removed or forged shows.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from database.key_ring import KeyRing

_PURPOSE: Final = "throughline.erased"
_FIRST: Final = "0" * 64
_TAIL: Final = 65_536
"""Bytes at the end of the file that an append reads: the last line is among them, and a line has about 300."""


class ErasedFileError(Exception):
    """A file of erased people that cannot be read or written, or was changed; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class ErasedPerson:
    """A line of the file."""

    number: int
    member: str
    at: datetime
    """When the erasure was ordered, in program time."""


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """The file of a deployment. Processes of several hosts share it over a volume on which `flock` works."""

    path: Path
    keys: KeyRing

    async def add(self, people: Iterable[tuple[str, datetime]]) -> None:
        """Append members with their instants, and return once the disk has them. Raises ErasedFileError."""
        wanted = list(people)
        if wanted:
            await asyncio.to_thread(self._guarded, self._append, wanted)

    async def read(self) -> Sequence[ErasedPerson]:
        """Return all lines; none where there is no file yet. Raises ErasedFileError for a line that was changed."""
        found: list[ErasedPerson] = await asyncio.to_thread(self._guarded, self._checked)
        return found

    async def check(self) -> int:
        """Return the number of lines, once the file has proved whole and writable. Raises ErasedFileError."""
        await asyncio.to_thread(self._guarded, self._touch)
        return len(await self.read())

    def _guarded(self, work: Any, *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except OSError as error:
            raise ErasedFileError(f"{self.path}: {error.strerror or error}") from None

    def _touch(self) -> None:
        with self._locked():
            pass

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file for one writer at a time, its name safe on the disk."""
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_new:
                folder = os.open(self.path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            yield descriptor
        finally:
            os.close(descriptor)

    def _append(self, people: Sequence[tuple[str, datetime]]) -> None:
        with self._locked() as descriptor:
            size = _without_torn_line(descriptor)
            last = _last_line(descriptor, size)
            number, previous = (json.loads(last)["number"], _hash(last)) if last else (0, _FIRST)
            lines = b""
            for member, at in people:
                number += 1
                line = self._line(number, member, at, previous)
                lines, previous = lines + line + b"\n", _hash(line)
            while lines:
                lines = lines[os.write(descriptor, lines) :]
            os.fsync(descriptor)

    def _line(self, number: int, member: str, at: datetime, previous: str) -> bytes:
        content = {
            "number": number,
            "member": member,
            "at": at.isoformat(),
            "previous": previous,
            "key": self.keys.fingerprints[0],
        }
        return _json({**content, "mac": self.keys.mac(_PURPOSE, _json(content).decode())})

    def _checked(self) -> list[ErasedPerson]:
        """Read and check the file. A last line without an end was never confirmed: its erasure did not commit."""
        try:
            whole = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found: list[ErasedPerson] = []
        previous = _FIRST
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            found.append(self._person(number, line, previous))
            previous = _hash(line)
        return found

    def _person(self, number: int, line: bytes, previous: str) -> ErasedPerson:
        wrong = ErasedFileError(f"{self.path}: line {number} was changed, or a line before it is gone")
        try:
            content = json.loads(line)
            mac = content.pop("mac")
            person = ErasedPerson(content["number"], content["member"], datetime.fromisoformat(content["at"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise wrong from None
        if person.number != number or content.get("previous") != previous:
            raise wrong
        # A key that has left the ring proves nothing more; the hashes still do.
        if self.keys.proves(_PURPOSE, _json(content).decode(), mac, content.get("key")) is False:
            raise wrong
        return person


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _without_torn_line(descriptor: int) -> int:
    """Remove a last line that a crash cut off, and return the size."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        size -= torn
        os.ftruncate(descriptor, size)
    return size


def _last_line(descriptor: int, size: int) -> bytes:
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    return tail.rstrip(b"\n").rpartition(b"\n")[2]
