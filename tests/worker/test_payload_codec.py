"""Encryption of what Temporal stores: a life under it, switched on while a workflow runs, and a rotation of keys."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from tests.support.temporal_workers import TemporalFixture, running_workers, terminate_workflows
from worker.configuration.findings import Verdict
from worker.configuration.own_settings import check_payload_keys
from worker.connections import payload_encryption
from worker.errors import Failure
from worker.payload_codec import PayloadEncryption, PayloadKeyMissing
from worker.settings import Settings
from worker.workflow_runtime import WORKFLOWS, workflow_runner

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
GIVEN = Payload(metadata={"encoding": b"json/plain"}, data=b'"p-ana"')


async def test_payload_is_read_by_its_key_and_by_no_other() -> None:
    old, both, new = PayloadEncryption([OLD]), PayloadEncryption([NEW, OLD]), PayloadEncryption([NEW])
    [stored] = await old.encode([GIVEN])
    assert b"p-ana" not in stored.SerializeToString()
    assert b"json" not in stored.SerializeToString()
    assert await both.decode([stored]) == [GIVEN]
    [renewed] = await both.encode([GIVEN])
    assert await new.decode([renewed]) == [GIVEN]
    with pytest.raises(PayloadKeyMissing, match=old.key_ids[0]):
        await new.decode([stored])


async def test_same_payload_is_never_stored_alike() -> None:
    codec = PayloadEncryption([OLD])
    first, second = await codec.encode([GIVEN, GIVEN])
    assert first.data != second.data


async def test_payload_from_before_encryption_is_read_as_it_is() -> None:
    assert await PayloadEncryption([OLD]).decode([GIVEN]) == [GIVEN]


@pytest.mark.parametrize("position", [0, 20, -1])
async def test_altered_payload_is_refused(position: int) -> None:
    codec = PayloadEncryption([OLD])
    [stored] = await codec.encode([GIVEN])
    octets = bytearray(stored.data)
    octets[position] ^= 1
    stored.data = bytes(octets)
    with pytest.raises(PayloadKeyMissing, match="does not fit the key"):
        await codec.decode([stored])


async def test_truncated_payload_and_unknown_key_are_refused() -> None:
    codec = PayloadEncryption([OLD])
    [stored] = await codec.encode([GIVEN])
    stored.data = stored.data[:5]
    with pytest.raises(PayloadKeyMissing):
        await codec.decode([stored])
    stored.metadata["encryption-key-id"] = b"\xff"
    with pytest.raises(PayloadKeyMissing):
        await codec.decode([stored])


@pytest.mark.parametrize("keys", ["short", "c2hvcnQ=", f"{OLD},x"])
def test_key_of_another_length_is_refused_without_being_shown(keys: str) -> None:
    with pytest.raises(Failure, match="THROUGHLINE_PAYLOAD_KEYS: a key must be") as refused:
        payload_encryption(Settings(payload_keys=SecretStr(keys)))
    assert "short" not in str(refused.value)
    assert payload_encryption(Settings(payload_keys=SecretStr(""))) is None


def test_configuration_check_names_the_keys_by_their_ids() -> None:
    [found] = check_payload_keys(Settings(payload_keys=SecretStr(f"{NEW},{OLD}")))
    assert found.verdict is Verdict.OK
    assert all(each in found.words for each in PayloadEncryption([NEW, OLD]).key_ids)
    assert NEW not in found.words
    [found] = check_payload_keys(Settings(payload_keys=SecretStr("short")))
    assert found.verdict is Verdict.WRONG
    [found] = check_payload_keys(Settings(payload_keys=SecretStr("")))
    assert found.verdict is Verdict.OFF


def with_keys(client: Client, *keys: str) -> Client:
    """A client of the same server that encrypts."""
    converter = replace(DataConverter.default, payload_codec=PayloadEncryption(keys))
    return Client(client.service_client, namespace=client.namespace, data_converter=converter)


@asynccontextmanager
async def workers_of(client: Client, url: str) -> AsyncIterator[TemporalFixture]:
    async with running_workers(client, url) as (database, catcher):
        yield TemporalFixture(client, database, catcher, mark="codec")


@pytest.mark.rule("T6", "MEM6")
async def test_workflow_goes_on_as_encryption_begins_and_its_keys_rotate(
    temporal_dev: WorkflowEnvironment, tmp_path: Path
) -> None:
    """A signal, an update, an activity and a plan under each; the whole history replays with all keys."""
    plain, url = temporal_dev.client, f"sqlite:///{tmp_path / 'throughline.db'}"
    async with workers_of(plain, url) as people:
        await people.sign_up()
        request = (await people.ask()).id
    async with workers_of(with_keys(plain, OLD), url) as people:
        handle = people.client.get_workflow_handle(request)
        await handle.execute_update("extend", {"business_days": 1, "actor": "lina"})
    encrypting = with_keys(plain, NEW, OLD)
    async with workers_of(encrypting, url) as people:
        handle = people.client.get_workflow_handle(request)
        await handle.signal("extend", {"business_days": 1, "actor": "mona"})
        await people.close(handle)
    history = await handle.fetch_history()
    stored = b"".join(event.SerializeToString() for event in history.events)
    for key in PayloadEncryption([OLD, NEW]).key_ids:
        assert key.encode() in stored
    assert b"lina" not in stored
    assert b"mona" not in stored
    replayer = Replayer(
        workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=encrypting.data_converter
    )
    await replayer.replay_workflow(history)
    await terminate_workflows(plain, "codec")
