"""Signing in at the mail server by access tokens (XOAUTH2), as Microsoft 365 and Google want it (MAIL3)."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from mail.smtp.channel import SmtpChannel
from mail.smtp.oauth2 import OAuth2Settings, TokenSource
from mail.smtp.settings import SmtpSettings
from mail.smtp.verdicts import AuthenticationRefused, TryLater
from tests.support.servers.oauth_mail import USER, SignIn, oauth_smtp, sign_in
from worker.settings import Settings

CONTENT = b"From: mentoring@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


def app(at: SignIn, refresh_token: str = "") -> OAuth2Settings:
    return OAuth2Settings(at.url, "client-1", "the client's secret", refresh_token, "mail.send")


async def send(channel: SmtpChannel) -> None:
    async def recorded() -> None:
        return None

    await channel.deliver(USER, "ana@example.org", CONTENT, before_last_byte=recorded)


def channel_to(port: int, oauth2: OAuth2Settings) -> SmtpChannel:
    return SmtpChannel(
        SmtpSettings(
            host="127.0.0.1",
            port=port,
            username=USER,
            oauth2=oauth2,
            helo_name="mx.example.org",
            max_messages_per_connection=1,
        )
    )


@pytest.mark.rule("MAIL3")
async def test_token_signs_in_and_is_kept_for_the_next_connection() -> None:
    async with sign_in() as at, oauth_smtp(at.valid) as server:
        channel = channel_to(server.port, app(at))
        await send(channel)
        await send(channel)
        await channel.aclose()
    assert server.received == [(USER, "ana@example.org")] * 2
    assert at.asked == [
        {
            "client_id": "client-1",
            "client_secret": "the client's secret",
            "scope": "mail.send",
            "grant_type": "client_credentials",
        }
    ]


@pytest.mark.rule("MAIL3")
async def test_refused_token_is_renewed_once_and_the_mail_goes_out() -> None:
    async with sign_in() as at, oauth_smtp(at.valid) as server:
        channel = channel_to(server.port, app(at))
        await send(channel)
        at.valid.clear()
        await send(channel)
        assert len(at.asked) == 2
        assert not channel.circuit.open
        await channel.aclose()
    assert len(server.received) == 2


@pytest.mark.rule("MAIL3", "MEM6")
async def test_account_that_no_token_opens_stops_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with sign_in() as at, oauth_smtp(set()) as server:
        channel = channel_to(server.port, app(at))
        with capture_logs() as logs, pytest.raises(AuthenticationRefused) as refused:
            await send(channel)
        assert (refused.value.code, len(at.asked), channel.circuit.open) == (535, 2, True)
        at.refuse = "invalid_client"
        other = channel_to(server.port, app(at))
        with pytest.raises(AuthenticationRefused) as denied:
            await send(other)
        assert "invalid_client" in denied.value.response
        for one in (channel, other):
            await one.aclose()
    said = f"{logs} {caplog.text} {refused.value} {denied.value} {denied.value.response} {app(at)!r}"
    for secret in ("token-1", "token-2", "the client's secret"):
        assert secret not in said


@pytest.mark.rule("MAIL3")
async def test_token_is_renewed_before_it_expires_with_the_newest_refresh_token() -> None:
    async with sign_in() as at:
        source = TokenSource(app(at, "refresh-0"))
        assert (await source.token(), await source.token()) == ("token-1", "token-1")
        source._renew_at = 0.0
        assert await source.token() == "token-2"
        assert [(one["grant_type"], one["refresh_token"]) for one in at.asked] == [
            ("refresh_token", "refresh-0"),
            ("refresh_token", "refresh-1"),
        ]


@pytest.mark.rule("MAIL3")
async def test_sign_in_that_is_away_is_tried_later() -> None:
    async with sign_in() as at:
        at.status = 503
        with pytest.raises(TryLater):
            await TokenSource(app(at)).token()
    with pytest.raises(TryLater):
        await TokenSource(app(at)).token()


def test_settings_name_the_sign_in_of_each_provider() -> None:
    assert Settings().oauth2 is None
    microsoft = Settings(
        oauth_provider="microsoft",
        oauth_tenant="t-1",
        oauth_client_id="c",
        oauth_client_secret=SecretStr("s"),
    ).oauth2
    assert microsoft is not None
    assert microsoft.token_url == "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
    assert microsoft.scope == "https://outlook.office365.com/.default"
    google = Settings(oauth_provider="google", oauth_client_id="c", oauth_refresh_token=SecretStr("r")).oauth2
    assert google is not None
    assert google.token_url == "https://oauth2.googleapis.com/token"
    with pytest.raises(ValueError, match="oauth_tenant, oauth_client_id, oauth_refresh_token"):
        Settings(oauth_provider="microsoft").oauth2  # noqa: B018 - the property raises
