"""Commands that look up what an erased person took part in (STA5)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from database import erasure
from database.session import Database
from tests.support.cli import CliFixture
from tests.support.programs.erased_life import AT, KEYS, NAME, live

LOOK_UPS = (
    ("show", "member/ana"),
    ("show", "engagement/r-2"),
    ("show", "request/r-2"),
    ("show", "onboarding/p-ana"),
    ("show", "claim/r-2/mentor/CPP"),
    ("show", "survey/r-2/mentee"),
    ("show", "profile/p-ana"),
    ("why", "ana"),
    ("why", "marcus"),
    ("mail", "log"),
    ("mail", "ahead"),
    ("mail", "suppressions", "list"),
    ("mail", "show", "d-1"),
    ("mail", "show", "d-2"),
    ("task", "list"),
    ("event", "list"),
    ("report", "list"),
    ("feedback", "list"),
    ("survey", "results"),
    ("meetup", "show", "m-1"),
)


@pytest.mark.rule("STA5")
async def test_look_ups_show_what_was_erased_as_erased(tmp_path: Path, migrated_file: Path) -> None:
    """And the dossier of the pair verifies."""
    shutil.copy(migrated_file, tmp_path / "throughline.db")
    cli = CliFixture(tmp_path)
    database = Database(cli.url, keys=KEYS)
    async with database.begin() as session:
        await live(session)
    async with database.begin() as session:
        await erasure.erase(session, "ana", "lina", True, AT)
    await database.close()
    said = {words: await cli.throughline(*words) for words in LOOK_UPS}
    assert {words: each.err for words, each in said.items() if each.status} == {}
    readable = [words for words, each in said.items() if NAME[:3] in each.out or "qz" in each.out]
    assert readable == []
    assert "erased" in said["show", "engagement/r-2"].out
    assert "The body was erased" in said["mail", "show", "d-1"].out
    dossier = tmp_path / "dossier.zip"
    exported = await cli.throughline("audit", "export", "r-2", "--out", dossier)
    verified = await cli.throughline("audit", "verify", dossier)
    assert (exported.status, verified.status) == (0, 0), exported.err + verified.out
    await cli.database.close()
