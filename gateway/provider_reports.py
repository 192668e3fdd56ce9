"""`POST /bounces/{provider}`: what Amazon SES, SendGrid, Postmark and Mailgun report about our mail (MAIL7)."""

from __future__ import annotations

from functools import partial

import httpx
import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from gateway.access import Access, declared
from gateway.event_store import Unavailable
from gateway.problems import problem
from gateway.provider_signatures import (
    Fetch,
    ProviderSecrets,
    ReportRefused,
    check_mailgun,
    check_postmark,
    check_sendgrid,
    check_ses,
    is_amazon,
)
from gateway.request_body import LARGEST, TooLarge, read_body
from gateway.services import GatewayServices
from mail.reports.bounces import store_provider_reports
from mail.reports.providers import READERS, read_json

log = structlog.get_logger()

TIMEOUT = 10.0
"""Seconds for an address of Amazon: its certificate, the confirmation of a subscription."""


async def fetch(url: str) -> bytes:
    """Return what an address of Amazon has. Raises OSError."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            return (await client.get(url)).raise_for_status().content
    except httpx.HTTPError as error:
        raise OSError(type(error).__name__) from None


class _Signed:
    """Checks that a request is its provider's, and returns the report in it; None where there is nothing to read."""

    def __init__(self, secrets: ProviderSecrets, fetch: Fetch) -> None:
        self._secrets = secrets
        self._fetch = fetch
        self._certificates: dict[str, bytes] = {}

    async def report(self, provider: str, request: Request, body: bytes) -> object:
        """Raises ReportRefused, OSError."""
        if provider == "ses":
            return await self._of_ses(body)
        checks = {
            "sendgrid": partial(check_sendgrid, self._secrets, request.headers, body),
            "postmark": partial(check_postmark, self._secrets, request.headers),
            "mailgun": partial(check_mailgun, self._secrets, body),
        }
        checks[provider]()
        return read_json(body)

    async def _of_ses(self, body: bytes) -> object:
        message = await check_ses(self._secrets, body, self._certificate)
        if message.get("Type") == "Notification":
            return read_json(str(message.get("Message")))
        url = str(message.get("SubscribeURL"))
        if message.get("Type") == "SubscriptionConfirmation" and is_amazon(url):
            await self._fetch(url)
            log.info("subscription_confirmed", provider="ses")
        return None

    async def _certificate(self, url: str) -> bytes:
        if url not in self._certificates:
            found = await self._fetch(url)
            self._certificates = {url: found}
        return self._certificates[url]


def router(services: GatewayServices, secrets: ProviderSecrets, fetch: Fetch = fetch) -> APIRouter:
    """Return the route `POST /bounces/{provider}`, for the providers that have a secret."""
    routes = APIRouter(include_in_schema=False, dependencies=[declared(Access.SIGNED)])
    signed = _Signed(secrets, fetch)

    @routes.post("/bounces/{provider}", status_code=204)
    async def receive_reports(provider: str, request: Request) -> Response:
        """What a mail provider reports about our mail, signed or with the password that it was given."""
        if provider not in secrets.known:
            return problem(404, "this provider is not set up here")
        try:
            body = await read_body(request)
            report = await signed.report(provider, request, body)
        except TooLarge:
            return problem(413, f"a body may have at most {LARGEST} bytes")
        except ReportRefused as refused:
            log.warning("provider_report_refused", provider=provider, reason=str(refused))
            return problem(401, str(refused))
        except OSError as error:
            log.warning("provider_not_reached", provider=provider, error=type(error).__name__)
            return problem(503, "the signature cannot be checked now", headers={"Retry-After": "60"})
        try:
            found = list(READERS[provider](report))
            stored = await store_provider_reports(services.database, provider, found, await services.now())
        except (SQLAlchemyError, Unavailable, TimeoutError):
            return problem(503, "the reports could not be stored", headers={"Retry-After": "60"})
        if stored.new:
            await _notify(services)
        return Response(status_code=204)

    return routes


async def _notify(services: GatewayServices) -> None:
    try:
        await services.notify_inbox()
    except Exception as error:
        # The reports are stored: the next notification has them applied too.
        log.warning("inbox_notification_failed", error=type(error).__name__)
