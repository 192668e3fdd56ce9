"""The servers that the other tests stand on."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib
import pytest
from playwright.async_api import Browser
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.testing import WorkflowEnvironment

from tests.support.servers.capturing_smtp import CapturingSmtp
from tests.support.servers.postgres_server import PostgresServer


@pytest.mark.parametrize("time", [1, 2])
async def test_every_test_gets_an_empty_database(database_url: str, time: int) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE left_by_a_test (id INTEGER)"))
    await engine.dispose()


async def test_postgresql_can_crash_and_return_on_the_same_address(postgres: PostgresServer) -> None:
    name = postgres.create_database()
    engine = create_async_engine(postgres.url(name))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE kept (id INTEGER)"))
    postgres.stop(abruptly=True)
    try:
        with pytest.raises(OperationalError):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT count(*) FROM kept"))
    finally:
        postgres.start()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM kept")) == 0
    await engine.dispose()
    postgres.drop_database(name)


async def test_mail_sink_keeps_bytes_and_envelope(smtp_sink: CapturingSmtp) -> None:
    host, port = smtp_sink.address
    message = EmailMessage()
    message["From"], message["To"] = "Lina <lina@example.org>", "Ana <ana@example.org>"
    message["Subject"] = "¿Ya encontraste mentor?"
    message.set_content(".a line that starts with a dot\n")
    await aiosmtplib.send(message, hostname=host, port=port, recipients=["ana@example.org"])
    (received,) = await smtp_sink.wait_for(1)
    assert (received.sender, received.recipients) == ("lina@example.org", ("ana@example.org",))
    assert received.message["Subject"] == "¿Ya encontraste mentor?"
    assert received.message.get_content() == ".a line that starts with a dot\r\n"


async def test_mail_sink_times_out_on_a_missing_message(smtp_sink: CapturingSmtp) -> None:
    with pytest.raises(TimeoutError):
        await smtp_sink.wait_for(1, seconds=0.05)


async def test_temporal_server_answers(temporal_dev: WorkflowEnvironment) -> None:
    assert await temporal_dev.client.service_client.check_health()


async def test_browser_shows_a_page(chromium: Browser) -> None:
    context = await chromium.new_context(locale="es")
    page = await context.new_page()
    await page.set_content("<h1>Programa de mentoría</h1>")
    assert await page.inner_text("h1") == "Programa de mentoría"
    await context.close()
