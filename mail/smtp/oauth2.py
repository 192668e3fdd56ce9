"""Access tokens for a mailbox (OAuth 2.0), as Microsoft 365 and Google want them instead of a password.

A token is kept in memory until shortly before it expires. No token, secret or answer of the sign-in is ever logged.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mail.smtp.service_account import GRANT, ServiceAccount
from mail.smtp.verdicts import AuthenticationRefused, TryLater

EARLY = 300.0
"""Seconds before its end at which a token is renewed: a delivery takes at most that long."""

LIFETIME = 3600.0
"""Seconds that a token holds whose end the sign-in does not say."""

TIMEOUT = 20.0
_ERROR = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """How to get a token: by a service account's key, by a refresh token, else by the client's own credentials."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    service_account: ServiceAccount | None = None


class TokenSource:
    """The access token of one mailbox. Its callers share one request to the sign-in."""

    def __init__(self, settings: OAuth2Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """Return a token that holds. Raises AuthenticationRefused, or TryLater where the sign-in is away."""
        async with self._lock:
            if not self._token or asyncio.get_running_loop().time() >= self._renew_at:
                await self._renew()
            return self._token

    def discard(self, refused: str) -> None:
        """Forget a token that a mail server refused, so that the next one is new."""
        if self._token == refused:
            self._token = ""

    async def _renew(self) -> None:
        answer = await self._ask()
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise TryLater("the sign-in gave no token")
        lifetime = answer.get("expires_in")
        seconds = (
            float(lifetime) if isinstance(lifetime, int | float | str) and _is_number(lifetime) else LIFETIME
        )
        # A token of minutes is renewed at its half, so that it is used at all.
        self._renew_at = asyncio.get_running_loop().time() + max(seconds - EARLY, seconds / 2)
        self._token = token
        # Microsoft gives a new refresh token with each access token.
        if (refresh := answer.get("refresh_token")) and self._settings.refresh_token:
            self._settings = replace(self._settings, refresh_token=str(refresh))

    async def _ask(self) -> dict[str, Any]:
        # Imported when called: it takes a while to load, and every command reads the settings.
        import httpx

        settings = self._settings
        form = self._form()
        code, answer = 0, {}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT) as client:
                response = await client.post(
                    settings.token_url, data={name: value for name, value in form.items() if value}
                )
            code, answer = response.status_code, response.json()
        except (httpx.HTTPError, ValueError):
            # The context of an error could hold the form: the verdict is raised outside.
            pass
        if code == 200 and isinstance(answer, dict):
            return answer
        if code in (400, 401, 403):
            named = _ERROR.fullmatch(str(answer.get("error", ""))) if isinstance(answer, dict) else None
            raise AuthenticationRefused(f"the sign-in was refused: {named[0] if named else code}", code=535)
        raise TryLater(f"the sign-in cannot be reached ({code or 'no answer'})")

    def _form(self) -> dict[str, str]:
        """Return what the sign-in is asked for a token by. Raises AuthenticationRefused for a key that cannot sign."""
        settings = self._settings
        if settings.service_account is not None:
            assertion = ""
            # The text of an error may quote the key: the verdict is raised without it.
            with suppress(ValueError, TypeError):
                assertion = settings.service_account.assertion(settings.token_url, settings.scope)
            if not assertion:
                raise AuthenticationRefused("the key of the service account cannot sign", code=535)
            return {"grant_type": GRANT, "assertion": assertion}
        return {
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "scope": settings.scope,
            "refresh_token": settings.refresh_token,
            "grant_type": "refresh_token" if settings.refresh_token else "client_credentials",
        }


def _is_number(value: object) -> bool:
    try:
        return float(str(value)) > 0
    except ValueError:
        return False


def xoauth2(user: str, token: str) -> bytes:
    """Return the initial response of the XOAUTH2 mechanism, before base64."""
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
