"""A restored database has nobody back who is in the file of erased people (STA5)."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from database import person_keys
from database.erased_file import ErasedFile, ErasedFileError
from database.erasure import erase
from database.key_ring import KeyRing
from database.models import Event, Member
from database.session import Database
from rules.text import ERASED
from tests.support.temporal_workers import TemporalFixture, running_workers, terminate_workflows
from worker.configuration.findings import SettingFinding
from worker.configuration.servers import check_erased_file
from worker.erasures import apply_erasures
from worker.settings import Settings

AT = datetime(2028, 3, 6, 15, tzinfo=UTC)
KEYS = KeyRing(("a key for tests only",))


async def add(database: Database, *names: str) -> None:
    """Members."""
    async with database.begin() as session:
        for name in names:
            of = {"email": f"{name}@example.org", "standing": "good", "standing_since": AT, "updated_at": AT}
            session.add(Member(id=name, name=name.title(), **of))


async def names(database: Database) -> dict[str, str]:
    """The name of each member."""
    async with database.reading() as session:
        return {row.id: row.name for row in await session.scalars(select(Member))}


@pytest.mark.rule("STA5")
async def test_member_in_the_file_is_erased_again(database: Database, tmp_path: Path) -> None:
    file = ErasedFile(tmp_path / "erased.jsonl", KEYS)
    await add(database, "ana", "luis")
    await file.add([("ana", AT), ("gone-before-the-backup", AT)])
    assert await apply_erasures(database, file, AT) == 1
    assert await names(database) == {"ana": ERASED, "luis": "Luis"}
    async with database.reading() as session:
        (event,) = await session.scalars(select(Event))
        assert (event.type, event.subject, event.state) == ("member.erased", "member/ana", "stored")
        assert await person_keys.is_destroyed(session, "ana")
    assert await apply_erasures(database, file, AT) == 0
    assert [person.member for person in await file.read()] == ["ana", "gone-before-the-backup"]


@pytest.mark.rule("STA5")
async def test_erasure_that_the_file_lacks_is_added(database: Database, tmp_path: Path) -> None:
    file = ErasedFile(tmp_path / "erased.jsonl", KEYS)
    await add(database, "ana")
    async with database.begin() as session:
        await erase(session, "ana", "lina", True, AT)
    assert await apply_erasures(database, file, AT) == 0
    assert [person.member for person in await file.read()] == ["ana"]


@pytest.mark.rule("STA5")
async def test_changed_file_erases_nobody(database: Database, tmp_path: Path) -> None:
    file = ErasedFile(tmp_path / "erased.jsonl", KEYS)
    await add(database, "ana", "luis")
    await file.add([("ana", AT)])
    file.path.write_text(file.path.read_text().replace('"ana"', '"luis"'))
    with pytest.raises(ErasedFileError, match="line 1 was changed"):
        await apply_erasures(database, file, AT)
    assert await names(database) == {"ana": "Ana", "luis": "Luis"}


@pytest.mark.rule("STA5")
async def test_restored_backup_mails_nobody_who_was_erased(
    temporal_dev: WorkflowEnvironment, tmp_path: Path
) -> None:
    """A backup of before the erasure is put back, and the workers start on it."""
    place, backup = tmp_path / "throughline.db", tmp_path / "backup.db"
    file = ErasedFile(tmp_path / "erased.jsonl", KEYS)
    url = f"sqlite:///{place}"
    async with running_workers(temporal_dev.client, url, keys=KEYS, erased=file) as (database, catcher):
        fixture = TemporalFixture(temporal_dev.client, database, catcher)
        await fixture.sign_up()
        await fixture.ask()
        member = fixture.profile("mentee")
    shutil.copy(place, backup)
    await file.add([(member, AT)])
    shutil.copy(backup, place)
    for rest in (place.with_name("throughline.db-wal"), place.with_name("throughline.db-shm")):
        rest.unlink(missing_ok=True)
    async with running_workers(temporal_dev.client, url, keys=KEYS, erased=file) as (database, catcher):
        restored = TemporalFixture(temporal_dev.client, database, catcher, mark=fixture.mark)
        assert (await names(database))[member] == ERASED
        await restored.send_events()
        # The mentor learns that the request is withdrawn: the workflow has ended.
        await restored.catcher_has(1)
        assert {caught.recipient for caught in catcher.caught} == {f"mentor-{fixture.mark}@example.org"}
        await terminate_workflows(temporal_dev.client, fixture.mark)


async def finding(**settings: object) -> SettingFinding:
    """What `config check` says of the file."""
    given = Settings(secret="a key for tests only", _env_file=None, **settings)  # type: ignore[call-arg,arg-type]
    (found,) = [each async for each in check_erased_file(given)]
    return found


@pytest.mark.rule("STA5")
async def test_config_check_says_how_the_file_is(tmp_path: Path) -> None:
    assert (await finding(erased_file=None)).verdict == "off"
    missing = await finding(erased_file=None, production=True)
    assert "THROUGHLINE_ERASED_FILE is missing" in missing.words
    place = tmp_path / "erased.jsonl"
    await ErasedFile(place, KEYS).add([("ana", AT)])
    assert (await finding(erased_file=place)).words == f"1 in {place}"
    place.write_text("no list\n")
    assert "line 1 was changed" in (await finding(erased_file=place)).words
    nowhere = await finding(erased_file=tmp_path / "missing" / "erased.jsonl")
    assert "No such file or directory" in nowhere.words
