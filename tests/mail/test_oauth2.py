"""Signing in at the mail server by access tokens (XOAUTH2), as Microsoft 365 and Google want it (MAIL3)."""

from __future__ import annotations

import base64
import json
import logging
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
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


# --- service accounts


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def key_file(folder: Path, at: SignIn, **changed: object) -> Path:
    """A key file as Google gives it out."""
    content = {
        "type": "service_account",
        "client_email": "mailer@project.example.org",
        "private_key": PEM,
        "private_key_id": "key-1",
        "token_uri": at.url,
        **changed,
    }
    file = folder / "key.json"
    file.write_text(json.dumps(content))
    return file


def decoded(part: str) -> dict[str, object]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


@pytest.mark.rule("MAIL3", "MEM6")
async def test_service_account_opens_the_mailbox_by_an_assertion(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with sign_in() as at, oauth_smtp(at.valid) as server:
        settings = Settings(smtp_username=USER, oauth_key_file=key_file(tmp_path, at)).smtp.oauth2
        assert settings is not None
        channel = channel_to(server.port, settings)
        with capture_logs() as logs:
            await send(channel)
            at.valid.clear()
            await send(channel)
        await channel.aclose()
    assert server.received == [(USER, "ana@example.org")] * 2
    first, second = at.asked
    assert first["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(first) == set(second) == {"grant_type", "assertion"}, (
        "a refused token is renewed in the same way"
    )
    header, claims, signature = first["assertion"].split(".")
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)),
        f"{header}.{claims}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert decoded(header) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    said = decoded(claims)
    issued, expires = said.pop("iat"), said.pop("exp")
    assert said == {
        "iss": "mailer@project.example.org",
        "sub": USER,
        "scope": "https://mail.google.com/",
        "aud": at.url,
    }
    assert isinstance(issued, int)
    assert expires == issued + 3600
    assert time.time() - 120 < issued <= time.time()
    text = f"{logs} {caplog.text} {settings!r}"
    for secret in (first["assertion"], "token-1", PEM, PEM.splitlines()[1]):
        assert secret not in text


@pytest.mark.rule("MAIL3")
async def test_refused_service_account_stops_the_channel(tmp_path: Path) -> None:
    async with sign_in() as at, oauth_smtp(at.valid) as server:
        at.refuse = "unauthorized_client"
        settings = Settings(smtp_username=USER, oauth_key_file=key_file(tmp_path, at)).smtp.oauth2
        broken = Settings(
            smtp_username=USER, oauth_key_file=key_file(tmp_path, at, private_key="x")
        ).smtp.oauth2
        for one, words in ((settings, "unauthorized_client"), (broken, "cannot sign")):
            assert one is not None
            channel = channel_to(server.port, one)
            with pytest.raises(AuthenticationRefused) as refused:
                await send(channel)
            assert words in refused.value.response
            assert channel.circuit.open
            await channel.aclose()


@pytest.mark.rule("MAIL7")
async def test_service_account_reads_bounces_of_its_own_mailbox(tmp_path: Path) -> None:
    async with sign_in() as at:
        settings = Settings(
            smtp_username=USER,
            imap_host="127.0.0.1",
            imap_username="bounces@example.org",
            oauth_key_file=key_file(tmp_path, at),
        ).imap
        assert settings is not None
        assert settings.oauth2 is not None
        await TokenSource(settings.oauth2).token()
    assert decoded(at.asked[0]["assertion"].split(".")[1])["sub"] == "bounces@example.org"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"client_email": "a@example.org"}'])
def test_file_that_is_no_key_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="key file"):
        Settings(smtp_username=USER, oauth_key_file=file).oauth2  # noqa: B018 - the property raises
    with pytest.raises(ValueError, match="cannot be read"):
        Settings(smtp_username=USER, oauth_key_file=tmp_path / "gone").oauth2  # noqa: B018
