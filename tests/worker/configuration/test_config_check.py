"""`throughline config check`: each server of a deployment, there and away, against real ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc.jwk import ECKey
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from database import environment
from database.environment import Deployment
from database.key_ring import KeyRing
from database.session import Database
from embedded.temporal_servers import free_port
from tests.support.cli import throughline
from tests.support.servers.capturing_smtp import CapturingSmtp
from tests.support.servers.imap_server import ImapServer
from worker.configuration.findings import SettingFinding
from worker.configuration.servers import (
    check_bounce_mailbox,
    check_database_server,
    check_mail_server,
    check_provider,
)
from worker.http_server import address, listen, served
from worker.settings import Settings

STRONG = "q3JtV0yZ8nKfX2sLw7RbC5uHgE1dPaMo"
KEY = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
EVENTS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def lines(check: AsyncIterator[SettingFinding]) -> list[str]:
    return [f"{each.about}: {each.verdict.value}" async for each in check]


async def words(check: AsyncIterator[SettingFinding]) -> str:
    return " ".join([each.words async for each in check])


async def deployment(
    temporal: WorkflowEnvironment, database: Database, smtp: CapturingSmtp
) -> dict[str, Any]:
    host, port = smtp.address
    return {
        "TEMPORAL_ADDRESS": temporal.client.service_client.config.target_host,
        "THROUGHLINE_DATABASE": database.engine.url.render_as_string(hide_password=False),
        "THROUGHLINE_SECRET": STRONG,
        "THROUGHLINE_WEBHOOK_SECRET": EVENTS,
        "THROUGHLINE_BASE_URL": "https://mentoring.example.org",
        "THROUGHLINE_SMTP_HOST": host,
        "THROUGHLINE_SMTP_PORT": port,
        "THROUGHLINE_ALLOW": '["*@example.org"]',
    }


async def test_right_settings_end_with_0_and_change_nothing(
    temporal_dev: WorkflowEnvironment, database: Database, smtp_sink: CapturingSmtp
) -> None:
    given = await deployment(temporal_dev, database, smtp_sink)
    found = await asyncio.to_thread(throughline, "config", "check", "--json", settings=given)
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.returncode == 0, found.stdout
    assert "Traceback" not in found.stderr
    about = {row["about"]: row["verdict"] for row in rows}
    assert {
        name: about[name] for name in ("keys", "base URL", "database", "environment", "Temporal", "SMTP")
    } == {**dict.fromkeys(("keys", "base URL", "database", "environment", "Temporal", "SMTP"), "ok")}
    assert about["task queue throughline-mail"] in ("ok", "warning")
    assert (about["IMAP"], about["OIDC"], about["DKIM"]) == ("off", "off", "off")
    assert smtp_sink.messages == []
    async with database.reading() as session:
        assert await environment.environment_name(session) is None, "a check claims no database"


async def test_each_wrong_thing_is_a_line_and_the_status_is_1(
    temporal_dev: WorkflowEnvironment, database: Database, smtp_sink: CapturingSmtp
) -> None:
    """One look shows all of it: a person repairs everything, and looks again."""
    given = await deployment(temporal_dev, database, smtp_sink)
    given |= {
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "THROUGHLINE_DATABASE": "postgresql://127.0.0.1:1/none",
        "THROUGHLINE_SMTP_PORT": free_port(),
        "THROUGHLINE_SECRET": "short",
        "THROUGHLINE_IMAP_HOST": "127.0.0.1",
        "THROUGHLINE_OIDC_ISSUER": "https://login.example",
    }
    found = await asyncio.to_thread(throughline, "config", "check", settings=given)
    assert found.returncode == 1
    wrong = [line.split()[0] for line in found.stdout.splitlines() if " wrong " in line]
    assert wrong == ["keys", "database", "Temporal", "SMTP", "IMAP", "OIDC"]
    assert "Traceback" not in found.stderr


@pytest.mark.rule("MAIL8")
async def test_database_of_another_deployment_is_wrong(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(database=url, secret=STRONG, environment="copy")  # type: ignore[arg-type]
    async with database.begin() as session:
        await environment.claim(session, Deployment("production", True, KeyRing((STRONG,))))
    assert "environment: wrong" in await lines(check_database_server(settings))
    said = await words(check_database_server(settings))
    assert "belongs to environment 'production'" in said


async def test_mail_server_is_judged_without_a_mail(smtp_sink: CapturingSmtp) -> None:
    host, port = smtp_sink.address
    good = Settings(smtp_host=host, smtp_port=port)
    assert await lines(check_mail_server(good, {})) == ["SMTP: ok"]
    needs = Settings(smtp_host=host, smtp_port=port, smtp_username="u", smtp_password="p")  # type: ignore[arg-type]
    assert await lines(check_mail_server(needs, {})) == ["SMTP: wrong"], "the server takes no sign-in"
    assert smtp_sink.messages == []


async def test_mailbox_for_bounces_is_opened_and_left_as_it_was() -> None:
    server = ImapServer(password="right")
    server.put(b"Subject: a report\n\nwords")
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        usual: dict[str, Any] = {
            "imap_host": "127.0.0.1",
            "imap_port": port,
            "imap_tls": "none",
            "imap_username": "bounces",
        }
        right = Settings(**usual, imap_password=SecretStr("right"), imap_done_folder="Done")
        assert await lines(check_bounce_mailbox(right)) == ["IMAP: ok"]
        assert await lines(check_bounce_mailbox(Settings(**usual, imap_password=SecretStr("no")))) == [
            "IMAP: wrong"
        ]
        assert await lines(check_bounce_mailbox(Settings(**usual))) == ["IMAP: wrong"]
    assert await lines(check_bounce_mailbox(Settings())) == ["IMAP: off"]
    assert server.unread() == 1


@asynccontextmanager
async def provider(**changed: str) -> AsyncIterator[str]:
    app, listening = FastAPI(), listen(0)
    url = address(listening)

    @app.get("/.well-known/openid-configuration")
    async def describe() -> dict[str, str]:
        places = {name: f"{url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        return {"issuer": url, **places, **changed}

    @app.get("/jwks_uri")
    async def keys() -> dict[str, list[Any]]:
        return {"keys": [KEY.as_dict(private=False)]}

    async with served(app, listening):
        yield url


async def test_openid_provider_is_asked_for_its_description() -> None:
    def asking(url: str) -> Settings:
        given = {"oidc_issuer": url, "oidc_client_id": "c", "oidc_client_secret": "s", "secret": STRONG}
        return Settings(**given)  # type: ignore[arg-type]

    async with provider() as url:
        assert await lines(check_provider(asking(url))) == ["OIDC: ok"]
    assert await lines(check_provider(asking(url))) == ["OIDC: wrong"], "it is away"
    async with provider(issuer="https://other.example") as url:
        assert "name another issuer" in await words(check_provider(asking(url)))
    assert await lines(check_provider(Settings(oidc_issuer=url))) == ["OIDC: wrong"]


def test_settings_that_cannot_be_read_are_lines_of_their_own(tmp_path: Path) -> None:
    found = throughline(
        "config", "check", settings={"THROUGHLINE_PORT": "none", "THROUGHLINE_SMTP_TLS": "maybe"}
    )
    assert found.returncode == 1
    assert [line.partition(":")[0] for line in found.stderr.splitlines()] == [
        "THROUGHLINE_PORT",
        "THROUGHLINE_SMTP_TLS",
    ]
