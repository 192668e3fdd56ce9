"""What the mail servers from Debian share: where they are, a folder that their users can enter, and a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.limits import PATIENCE

SYSTEM_PATH = "/usr/sbin:/usr/lib/dovecot:/usr/lib/postfix/sbin:/usr/local/sbin:/usr/bin:/bin"


def found(command: str) -> str | None:
    """The path of a server's command, also outside the search path of a plain user."""
    return shutil.which(command) or shutil.which(command, path=SYSTEM_PATH)


def missing() -> list[str]:
    """What this machine lacks to run them."""
    lacks = [f"the command `{name}`" for name in ("postfix", "dovecot") if found(name) is None]
    # Both start as root only, and give up its rights.
    return lacks if os.geteuid() == 0 else [*lacks, "the rights of root"]


def needed(command: str) -> str:
    """The path of a server's command; fails where it is missing."""
    path = found(command)
    assert path, (
        f"`{command}` is missing: run `make mailservers`, or install Debian's postfix and dovecot-imapd"
    )
    assert os.geteuid() == 0, f"`{command}` starts as root only"
    return path


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder of the test's own that every user may enter; pytest's own ones are closed."""
    with TemporaryDirectory(prefix="throughline-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server within the block, once it listens; fails with its own log where it does not."""
    with (log.parent / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            _until_it_listens(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                process.wait()


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            said = "".join(file.read_text() for file in (log, log.parent / "output.txt") if file.exists())
            raise AssertionError(f"the server does not listen:\n{said}")
        time.sleep(0.05)
