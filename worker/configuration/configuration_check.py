"""Checks all that the settings of a deployment name, and says of each thing how it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from worker.configuration.findings import SettingFinding, wrong
from worker.configuration.own_settings import (
    check_base_url,
    check_payload_keys,
    check_programs,
    check_recipients,
    check_secrets,
    check_signing,
)
from worker.configuration.servers import (
    check_bounce_mailbox,
    check_database_server,
    check_erased_file,
    check_mail_server,
    check_provider,
    check_temporal,
)
from worker.settings import Settings

LONGEST: Final = 60.0
"""Seconds that one server may take: more than each of its own limits, so that its own words come first."""


async def check_configuration(settings: Settings) -> list[SettingFinding]:
    """Return what is right and wrong, in the order in which a person repairs it. Nothing is sent or changed."""
    programs, found = check_programs(settings)
    own = [
        *check_secrets(settings),
        *check_payload_keys(settings),
        *check_base_url(settings),
        *found,
        *check_recipients(settings),
        *check_signing(settings, programs),
    ]
    servers = {
        "database": check_database_server(settings),
        "erased people": check_erased_file(settings),
        "Temporal": check_temporal(),
        "SMTP": check_mail_server(settings, programs),
        "IMAP": check_bounce_mailbox(settings),
        "OIDC": check_provider(settings),
    }
    answers = await asyncio.gather(*(_all(about, check) for about, check in servers.items()))
    return own + [finding for answer in answers for finding in answer]


async def _all(about: str, check: AsyncIterator[SettingFinding]) -> list[SettingFinding]:
    found: list[SettingFinding] = []
    try:
        async with asyncio.timeout(LONGEST):
            async for finding in check:
                found.append(finding)
    except TimeoutError:
        found.append(wrong(about, f"no answer within {LONGEST:g} seconds"))
    return found
