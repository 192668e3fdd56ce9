"""Signing in and out: by password, by a one-time link, or at an OpenID provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import StaffAccount
from gateway.access import Access
from gateway.console.entry.oidc import STATE_HOLDS, Identity, OidcProvider, ProviderRefused
from gateway.console.shell import HOME, SIGN_IN, Shell, form_of, go_back, safe_back
from gateway.links.page import form_text
from gateway.pages import Text
from staff.accounts import attempts
from staff.accounts.directory import find_account
from staff.accounts.passwords import LONGEST, matches
from staff.accounts.sessions import (
    ABSOLUTE,
    begin_session,
    end_session,
    link_holds,
    use_link,
)

log = structlog.get_logger()

RETURN: Final = f"{SIGN_IN}/return"
LINK: Final = "/staff/link"
"""Where the one-time links lead; a token follows."""


class SignInPages:
    """The pages on which staff sign in and out."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._database = shell.database
        self._provider: OidcProvider | None = None
        services = shell.services
        if services.oidc:
            redirect_uri = f"{services.links.base_url}{RETURN}"
            self._provider = OidcProvider(services.oidc, redirect_uri, services.links.keys)

    def routes(self) -> APIRouter:
        """Return the routes."""
        routes = self._shell.router(Access.SIGN_IN)
        routes.get(SIGN_IN)(self.show)
        routes.post(SIGN_IN)(self.by_password)
        routes.get(f"{LINK}/{{token}}")(self.show_link)
        routes.post(f"{LINK}/{{token}}")(self.by_link)
        routes.post("/staff/sign-out")(self.sign_out)
        if self._provider:
            routes.get(f"{SIGN_IN}/provider")(self.to_provider)
            routes.get(RETURN)(self.from_provider)
        return routes

    async def show(self, request: Request) -> Response:
        """Show how to sign in."""
        return self._form(request, {})

    async def by_password(self, request: Request) -> Response:
        """Sign in by password. A wrong one says nothing about whether the account exists."""
        form = await form_of(request)
        email, back = form_text(form, "email")[:320], form_text(form, "back")
        given = form.get("password")
        password = given if isinstance(given, str) else ""
        if not email or not password or len(password) > LONGEST:
            return self._form(request, {"email": Text("sign_in.wrong")}, email, back, 422)
        address, now = request.client.host if request.client else "", datetime.now(UTC)
        wait = await self._take(email, address, now)
        if wait > timedelta(0):
            minutes = ceil(wait / timedelta(minutes=1))
            log.warning("sign_in_delayed")
            errors = {"email": Text("sign_in.too_often", {"minutes": minutes})}
            headers = {"Retry-After": str(ceil(wait.total_seconds()))}
            return self._form(request, errors, email, back, 429, headers)
        async with self._database.reading() as session:
            account = await find_account(session, email)
        if not await matches(account.password if account else None, password) or account is None:
            log.warning("sign_in_refused", way="password")
            return self._form(request, {"email": Text("sign_in.wrong")}, email, back, 422)
        async with self._database.begin() as session:
            await attempts.forget(session, email, address)
            # Read once more: the account may have been closed, or its password changed, while it was compared.
            current = await find_account(session, email)
            if current is None or current.password != account.password:
                return self._form(request, {"email": Text("sign_in.wrong")}, email, back, 422)
            return await self._signed_in(session, current, "password", back)

    async def show_link(self, request: Request, token: str) -> Response:
        """Ask the person who opened a one-time link to go on: a program that only looks at links does not use it up."""
        async with self._database.reading() as session:
            holds = await link_holds(session, token, datetime.now(UTC))
        if not holds:
            return self._shell.refuse(request, "refused.link", 410)
        return self._shell.respond(request, "link.html")

    async def by_link(self, request: Request, token: str) -> Response:
        """Sign in by a one-time link."""
        async with self._database.begin() as session:
            account = await use_link(session, token, datetime.now(UTC))
            if account is not None:
                return await self._signed_in(session, account, "link", HOME)
        log.warning("sign_in_refused", way="link")
        return self._shell.refuse(request, "refused.link", 410)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        token = request.cookies.get(self._shell.cookie, "")
        if token:
            async with self._database.begin() as session:
                await end_session(session, token)
        response = RedirectResponse(f"{SIGN_IN}?said=signed_out", 303)
        self._set(response, self._shell.cookie, "", 0)
        return response

    async def to_provider(self, request: Request) -> Response:
        """Lead to the OpenID provider."""
        back = safe_back(request.query_params.get("back", HOME))
        try:
            url, state = await self._required().begin(back)
        except ProviderRefused as refused:
            return self._refused(request, refused)
        response = RedirectResponse(url, 303)
        # The provider leads back from its own site: a strict cookie would not come along.
        self._set(response, f"{self._shell.cookie}-sign-in", state, STATE_HOLDS, same_site="lax")
        return response

    async def from_provider(self, request: Request) -> Response:
        """Sign in who comes back from the provider, if there is an account."""
        kept = request.cookies.get(f"{self._shell.cookie}-sign-in", "")
        try:
            identity, back = await self._required().finish(kept, request.query_params)
        except ProviderRefused as refused:
            return self._refused(request, refused)
        try:
            async with self._database.begin() as session:
                account = await _account_of(session, identity)
                if account is not None:
                    response = await self._signed_in(session, account, "oidc", back)
                    self._set(response, f"{self._shell.cookie}-sign-in", "", 0, same_site="lax")
                    return response
        except IntegrityError:
            log.warning("sign_in_refused", way="oidc", reason="bound to another account")
        return self._shell.refuse(request, "refused.no_account", 403)

    def _required(self) -> OidcProvider:
        if self._provider is None:
            raise ProviderRefused("there is no provider")
        return self._provider

    def _refused(self, request: Request, refused: ProviderRefused) -> Response:
        log.warning("sign_in_refused", way="oidc", reason=str(refused))
        return self._shell.refuse(request, "refused.provider", 403)

    async def _take(self, email: str, address: str, now: datetime) -> timedelta:
        try:
            async with self._database.begin() as session:
                return await attempts.take(session, email, address, now)
        except IntegrityError:
            # Another attempt made the row at the same moment.
            async with self._database.begin() as session:
                return await attempts.take(session, email, address, now)

    async def _signed_in(self, session: AsyncSession, account: StaffAccount, way: str, back: str) -> Response:
        token = await begin_session(session, account, way, datetime.now(UTC))
        log.info("signed_in", account=account.id, way=way)
        response = go_back(back)
        self._set(response, self._shell.cookie, token, int(ABSOLUTE.total_seconds()))
        return response

    def _set(
        self, response: Response, name: str, value: str, seconds: int, *, same_site: str = "strict"
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            secure=self._shell.is_secure,
            httponly=True,
            samesite="lax" if same_site == "lax" else "strict",
        )

    # long: what a form shows again, and how it is answered
    def _form(
        self,
        request: Request,
        errors: Mapping[str, Text],
        email: str = "",
        back: str = "",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        values = {
            "errors": errors,
            "email": email,
            "back": safe_back(back or request.query_params.get("back", HOME)),
            "provider": self._provider is not None,
        }
        return self._shell.respond(request, "sign_in.html", values, status, headers)


async def _account_of(session: AsyncSession, identity: Identity) -> StaffAccount | None:
    """Return the open account of somebody at the provider; the first sign-in binds it to that person there."""
    bound: StaffAccount | None = await session.scalar(
        select(StaffAccount).where(StaffAccount.oidc_subject == identity.subject)
    )
    if bound is not None:
        return bound if bound.closed_at is None else None
    account = await find_account(session, identity.email) if identity.email else None
    if account is None or account.oidc_subject is not None:
        return None
    account.oidc_subject = identity.subject
    return account
