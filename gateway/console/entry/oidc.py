"""Sign-in at an OpenID provider: the authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from itsdangerous import BadSignature, URLSafeTimedSerializer
from joserfc import jwt
from joserfc._keys import KeySetSerialization
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from database.key_ring import KeyRing

TIMEOUT: Final = 10.0
LARGEST: Final = 1024 * 1024
STATE_HOLDS: Final = 600
"""Seconds from the start of a sign-in to the return from the provider."""
LEEWAY: Final = 60
"""Seconds by which the provider's clock may differ from ours."""
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "ES384", "ES512")
"""Signatures by the provider's own key: never one that we could make with the client's secret."""


class ProviderRefused(Exception):
    """A sign-in that the provider or its answer does not prove; the text says why, and names nobody."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """An OpenID provider, and our registration there."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    trust_email: bool = False
    """Whether an address counts although the provider does not say that it verified it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at the provider."""

    subject: str
    """Issuer and subject together: the same for ever, whatever the address becomes."""
    email: str
    """In lower case; empty where the provider gives none that counts."""


class OidcProvider:
    """Leads to the provider, and reads who comes back. `redirect_uri` is registered there."""

    def __init__(self, settings: OidcSettings, redirect_uri: str, keys: KeyRing) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._states = URLSafeTimedSerializer(keys.verifying, salt="throughline.oidc")

    async def check(self) -> None:
        """Read the provider's description of itself, and its keys. Raises ProviderRefused."""
        metadata = await self._metadata()
        keys = await self._json("GET", metadata["jwks_uri"])
        try:
            KeySet.import_key_set(cast(KeySetSerialization, dict(keys)))
        except (JoseError, ValueError, KeyError, TypeError):
            raise ProviderRefused("the provider's keys cannot be read") from None

    async def begin(self, back: str) -> tuple[str, str]:
        """Return the provider's address to go to, and the state to keep in a cookie. Raises ProviderRefused."""
        metadata = await self._metadata()
        state, nonce, verifier = generate_token(32), generate_token(32), generate_token(64)
        url = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._settings.client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope="openid email",
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url, str(self._states.dumps([state, nonce, verifier, back]))

    async def finish(self, kept: str, query: Mapping[str, str]) -> tuple[Identity, str]:
        """Return who came back, and the page that was asked for at first. Raises ProviderRefused."""
        try:
            state, nonce, verifier, back = self._states.loads(kept, max_age=STATE_HOLDS)
        except (BadSignature, ValueError, TypeError):
            raise ProviderRefused("the sign-in was not begun in this browser, or took too long") from None
        if not query.get("state") or query["state"] != state:
            raise ProviderRefused("the answer belongs to another sign-in")
        if query.get("iss", self._settings.issuer) != self._settings.issuer:
            raise ProviderRefused("the answer comes from another provider")
        if not query.get("code"):
            raise ProviderRefused("the provider did not sign you in")
        metadata = await self._metadata()
        body = prepare_token_request(
            "authorization_code", redirect_uri=self._redirect_uri, code=query["code"], code_verifier=verifier
        )
        given = await self._tokens(metadata, body)
        claims = await self._claims(metadata, given, nonce)
        return self._identity(claims), str(back)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        verified = claims.get("email_verified") is True or self._settings.trust_email
        email = claims.get("email") if verified else None
        return Identity(f"{claims['iss']}|{claims['sub']}"[:700], str(email or "").strip().lower())

    async def _metadata(self) -> Mapping[str, Any]:
        found = await self._json(
            "GET", f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        )
        if found.get("issuer") != self._settings.issuer:
            raise ProviderRefused("the provider's metadata name another issuer")
        scheme = self._settings.issuer.partition(":")[0]
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not str(found.get(name)).startswith(f"{scheme}://"):
                raise ProviderRefused(f"the provider's metadata have no {name} that can be used")
        return found

    async def _tokens(self, metadata: Mapping[str, Any], body: str) -> Mapping[str, Any]:
        settings = self._settings
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        headers, auth = {"Content-Type": "application/x-www-form-urlencoded"}, None
        if "client_secret_basic" in methods:
            auth = httpx.BasicAuth(settings.client_id, settings.client_secret)
        else:
            extra = {"client_id": settings.client_id, "client_secret": settings.client_secret}
            body = f"{body}&{httpx.QueryParams(extra)}"
        return await self._json("POST", metadata["token_endpoint"], content=body, headers=headers, auth=auth)

    async def _claims(
        self, metadata: Mapping[str, Any], given: Mapping[str, Any], nonce: str
    ) -> Mapping[str, Any]:
        keys = await self._json("GET", metadata["jwks_uri"])
        try:
            known = KeySet.import_key_set(cast(KeySetSerialization, dict(keys)))
            token = jwt.decode(str(given.get("id_token")), known, algorithms=ALGORITHMS)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "sub": {"essential": True},
                },
                {
                    "nonce": nonce,
                    "client_id": self._settings.client_id,
                    "access_token": given.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY)
        except (JoseError, ValueError, KeyError, TypeError):
            raise ProviderRefused(
                "the provider's answer is not signed as it must be, or has expired"
            ) from None
        return dict(claims)

    async def _json(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        """Return the JSON object behind an address of the provider. No redirect is followed. Raises ProviderRefused."""
        try:
            async with (
                httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client,
                client.stream(method, url, **options) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > LARGEST:
                        raise ProviderRefused("the provider's answer is too large")
        except (httpx.HTTPError, httpx.InvalidURL):
            raise ProviderRefused("the provider cannot be reached") from None
        if response.status_code != 200:
            raise ProviderRefused(f"the provider refused it with {response.status_code}")
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProviderRefused("the provider's answer is no JSON object")
        return found
