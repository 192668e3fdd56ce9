"""A disk that is really full: a small file system in memory, mounted for one process, with the database on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from gateway.health import DatabaseCheck, router
from database.session import Database
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

async def ready(database):
    app = FastAPI()
    app.include_router(router({"database": DatabaseCheck(database)}))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://worker") as client:
        answer = await client.get("/readyz")
    return [answer.status_code, answer.json()["parts"]["database"]["reason"]]

async def main(folder):
    database = Database(f"sqlite:///{folder / 'throughline.db'}")
    await database.upgrade()
    said = [await ready(database)]
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    said.append(await ready(database))
    filler.unlink()
    said.append(await ready(database))
    await database.close()
    print(json.dumps(said))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_full_disk_is_not_ready_until_there_is_room(tmp_path: Path) -> None:
    alone = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    mount = 'mount -t tmpfs -o size=24m none "$1" && exec "$2" -c "$3" "$1"'
    ended = subprocess.run(
        [*alone, "sh", "-c", mount, "sh", tmp_path, sys.executable, PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    full = [503, "the disk of the database is full"]
    assert json.loads(ended.stdout) == [[200, None], full, [200, None]]
    assert list(tmp_path.iterdir()) == [], "the file system was this process's alone"
