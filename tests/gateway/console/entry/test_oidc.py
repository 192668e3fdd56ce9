"""Sign-in at an OpenID provider, against one that answers on a port of this machine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from database.models import StaffAccount
from gateway.app import create_app
from gateway.console.entry.oidc import OidcSettings
from tests.support.console.staff import BASE, ConsoleFixture
from worker.http_server import address, listen, served

KEY = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})


@dataclass
class Provider:
    """An OpenID provider that says what a test wants."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    """In place of what an honest provider would say."""
    key: RSAKey = field(default_factory=lambda: KEY)
    algorithm: str = "RS256"
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    nonce: str = ""

    def app(self) -> FastAPI:
        """Its three addresses."""
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        async def configuration() -> dict[str, Any]:
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                **self.metadata,
            }

        @app.get("/keys")
        async def keys() -> dict[str, Any]:
            return {"keys": [KEY.as_dict(private=False)]}

        @app.post("/token")
        async def token(request: Request) -> Response:
            body = parse_qs((await request.body()).decode())
            self.asked.append({name: values[0] for name, values in body.items()})
            now = int(time.time())
            claims = {
                "iss": self.url,
                "aud": "client",
                "sub": "248289",
                "iat": now,
                "exp": now + 300,
                "nonce": self.nonce,
                "email": "Mia@staff.example",
                "email_verified": True,
                **self.claims,
            }
            kept = {name: value for name, value in claims.items() if value is not None}
            signed = jwt.encode({"alg": self.algorithm, "kid": "one"}, kept, self.key)
            return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

        return app


@asynccontextmanager
async def signing_in(console: ConsoleFixture, provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has been led to the provider, for a gateway that uses it."""
    listening = listen(0)
    provider.url = address(listening)
    services = replace(console.gateway.services, oidc=OidcSettings(provider.url, "client", "s3cret & more"))
    transport = httpx.ASGITransport(create_app(services, webhook_secrets=[]), raise_app_exceptions=False)
    async with (
        served(provider.app(), listening),
        httpx.AsyncClient(transport=transport, base_url=BASE) as client,
    ):
        yield client
    listening.close()


async def lead(client: httpx.AsyncClient, provider: Provider) -> dict[str, str]:
    """Follow the button to the provider; return what the browser brings there."""
    answer = await client.get("/staff/sign-in/provider?back=/staff%3Ftasks%3Dall")
    assert answer.status_code == 303
    target = urlsplit(answer.headers["location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{provider.url}/authorize"
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    provider.nonce = query["nonce"]
    return query


async def come_back(client: httpx.AsyncClient, **query: str) -> httpx.Response:
    return await client.get("/staff/sign-in/return", params=query, headers={"sec-fetch-site": "cross-site"})


async def test_provider_signs_in_who_has_an_account(console: ConsoleFixture) -> None:
    provider = Provider()
    async with signing_in(console, provider) as client:
        query = await lead(client, provider)
        assert query["redirect_uri"] == f"{BASE}/staff/sign-in/return"
        assert query["code_challenge_method"] == "S256"
        answer = await come_back(client, code="c-1", state=query["state"])
        assert (answer.status_code, answer.headers["location"]) == (303, "/staff?tasks=all")
        [asked] = provider.asked
        assert asked["grant_type"] == "authorization_code"
        assert len(asked["code_verifier"]) >= 43
        assert (await client.get("/staff")).status_code == 200
    [mia] = [each for each in await console.gateway.all(StaffAccount) if each.name == "Mia Manager"]
    assert mia.oidc_subject == f"{provider.url}|248289"


WRONG: dict[str, Provider] = {
    "another nonce": Provider(claims={"nonce": "of another sign-in"}),
    "no nonce": Provider(claims={"nonce": None}),
    "another client": Provider(claims={"aud": "another"}),
    "another issuer": Provider(claims={"iss": "https://evil.example"}),
    "expired": Provider(claims={"exp": 1, "iat": 0}),
    "another key": Provider(key=OTHER_KEY),
    "an address that is not verified": Provider(claims={"email_verified": False}),
    "an address of nobody here": Provider(claims={"email": "x@staff.example"}),
    "no address": Provider(claims={"email": None}),
    "metadata of another": Provider(metadata={"issuer": "https://evil.example"}),
}


@pytest.mark.parametrize("name", WRONG)
async def test_answer_that_proves_nothing_signs_nobody_in(console: ConsoleFixture, name: str) -> None:
    provider = replace(WRONG[name], asked=[], metadata={})
    async with signing_in(console, provider) as client:
        query = await lead(client, provider)
        provider.metadata = WRONG[name].metadata
        answer = await come_back(client, code="c-1", state=query["state"])
        assert answer.status_code == 403
        assert (await client.get("/staff")).status_code == 303


async def test_answer_to_another_sign_in_is_refused(console: ConsoleFixture) -> None:
    provider = Provider()
    async with signing_in(console, provider) as client:
        query = await lead(client, provider)
        assert (await come_back(client, code="c-1", state="of another")).status_code == 403
        assert (await come_back(client, state=query["state"], error="access_denied")).status_code == 403
        client.cookies.clear()
        assert (await come_back(client, code="c-1", state=query["state"])).status_code == 403
    assert provider.asked == []


async def test_address_given_to_somebody_else_does_not_open_the_account(console: ConsoleFixture) -> None:
    provider = Provider()
    async with signing_in(console, provider) as client:
        query = await lead(client, provider)
        assert (await come_back(client, code="c-1", state=query["state"])).status_code == 303
        client.cookies.clear()
        provider.claims = {"sub": "a successor with the same address"}
        query = await lead(client, provider)
        assert (await come_back(client, code="c-2", state=query["state"])).status_code == 403


async def test_provider_that_is_away_leaves_the_other_ways(console: ConsoleFixture) -> None:
    provider = Provider()
    async with signing_in(console, provider) as client:
        provider.metadata = {"token_endpoint": "file:///etc/passwd"}
        assert (await client.get("/staff/sign-in/provider")).status_code == 403
        assert "Sign in with your organization" in (await client.get("/staff/sign-in")).text
