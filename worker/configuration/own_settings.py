"""What can be judged without a connection: secrets, the public address, programs, who may be mailed."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from rules.program import Program
from rules.program.toml_schema import ProgramError
from worker.configuration.findings import SettingFinding, off, ok, warning, wrong
from worker.connections import composers, links_of, payload_encryption, read_programs, smtp_of, webhook_allow
from worker.errors import Failure
from worker.settings import Settings

LEAST_BITS: Final = 80.0
"""The least entropy of a secret, in bits, as its own characters have it: 16 random hexadecimal digits have about 55."""

_WELL_KNOWN: Final = (
    "changeme",
    "change-me",
    "change_me",
    "password",
    "example",
    "0123456789",
    "secret of sixteen",
)


def check_secrets(settings: Settings) -> Iterator[SettingFinding]:
    """Yield what is right or wrong about the key ring and the secrets of events."""
    try:
        ring = settings.key_ring
        links_of(settings)
    except (Failure, ValueError) as error:
        yield wrong("keys", str(error))
    else:
        weak = [ring.fingerprints[place] for place, key in enumerate(ring.keys) if _is_weak(key)]
        yield (
            wrong(
                "keys", f"weak, easily guessed: {', '.join(weak)} (make one with `openssl rand -base64 32`)"
            )
            if weak
            else ok("keys", f"{len(ring.keys)}, {ring} by fingerprint; the first signs")
        )
    yield _webhook_secrets(settings)


def check_payload_keys(settings: Settings) -> Iterator[SettingFinding]:
    """Yield whether the payloads of Temporal are encrypted, and under which keys."""
    about = "payload encryption"
    try:
        found = payload_encryption(settings)
    except Failure as failure:
        yield wrong(about, str(failure))
        return
    if found is None:
        yield off(about, "Temporal's histories hold ids and instants as they are")
    else:
        yield ok(about, f"{len(found.key_ids)} keys, {', '.join(found.key_ids)}; the first encrypts")


def _webhook_secrets(settings: Settings) -> SettingFinding:
    from gateway.webhook_signatures import Signatures

    about, secrets = "webhook secret", settings.webhook_secrets
    if not secrets:
        return wrong(about, "THROUGHLINE_WEBHOOK_SECRET is missing: a gateway does not start without it")
    try:
        Signatures(secrets)
    except ValueError as error:
        return wrong(about, f"THROUGHLINE_WEBHOOK_SECRET: {error}")
    keys = {settings.secret.get_secret_value(), *settings.keys.get_secret_value().split(",")}
    if keys & {*secrets, *(secret.removeprefix("whsec_") for secret in secrets)}:
        return wrong(about, "is one of the keys, too: other systems know it, and could make personal links")
    if any(_is_weak(_decoded(secret)) for secret in secrets):
        return wrong(about, "weak, easily guessed (make one with `echo whsec_$(openssl rand -base64 32)`)")
    return ok(about, f"{len(secrets)}; the first signs")


def _decoded(secret: str) -> str:
    text = secret.removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")


def _is_weak(secret: str) -> bool:
    """Return whether a secret is one that people write in examples, or has too little entropy."""
    counts, length = Counter(secret), len(secret)
    bits = -sum(count * math.log2(count / length) for count in counts.values())
    words = secret.lower()
    return bits < LEAST_BITS or len(counts) < 8 or any(known in words for known in _WELL_KNOWN)


def check_base_url(settings: Settings) -> Iterator[SettingFinding]:
    """Yield what is right or wrong about the public address: every mail leads there."""
    about, url = "base URL", urlsplit(settings.base_url)
    host = url.hostname or ""
    if url.scheme not in ("https", "http") or not host:
        yield wrong(about, f"{settings.base_url}: is no web address, like https://mentoring.example.org")
    elif url.query or url.fragment or url.username:
        yield wrong(about, f"{host}: must have no user, query or fragment")
    elif settings.production and (url.scheme != "https" or _is_of_this_machine(host)):
        yield wrong(
            about, f"{settings.base_url}: members need https and a public name (one-click unsubscribe, too)"
        )
    elif url.scheme != "https":
        yield warning(about, f"{settings.base_url}: one-click unsubscribe needs https")
    else:
        yield ok(about, settings.base_url)


def _is_of_this_machine(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host


def check_programs(settings: Settings) -> tuple[Mapping[str, Program], list[SettingFinding]]:
    """Return the programs that can be read, and what is right or wrong about their files."""
    about = "programs"
    try:
        programs = read_programs(settings)
    except ProgramError as error:
        return {}, [wrong(about, str(mistake)) for mistake in error.mistakes]
    except OSError as error:
        return {}, [wrong(about, f"{error.filename}: {error.strerror}" if error.filename else str(error))]
    found = [ok(about, f"{each.id}, policy version {each.policy_version}") for each in programs.values()]
    made = composers(settings)
    for program in programs.values():
        try:
            made(program)
        except Exception as error:
            # A template of their own that cannot be compiled: whatever the library says, it is about that file.
            found.append(wrong(about, f"{program.id}: its texts cannot be read ({error})"))
    return programs, found


def check_recipients(settings: Settings) -> Iterator[SettingFinding]:
    """Yield who may be mailed (MAIL8), and where events may go."""
    about = "recipients"
    if settings.production:
        yield ok(about, "everybody: THROUGHLINE_PRODUCTION is true")
    elif settings.allow:
        yield warning(about, "not production: only what THROUGHLINE_ALLOW names is mailed")
    else:
        yield warning(about, "not production, and THROUGHLINE_ALLOW is empty: nobody is mailed")
    try:
        allowed = webhook_allow(settings)
    except Failure as failure:
        yield wrong("endpoints", str(failure))
    else:
        yield ok("endpoints", f"public addresses{f', {len(allowed)} networks more' if allowed else ' only'}")


def check_signing(settings: Settings, programs: Mapping[str, Program]) -> Iterator[SettingFinding]:
    """Yield whether mail can be signed with the DKIM key, where there is one."""
    from dkim import DKIMException

    from mail.smtp.dkim_signing import sign

    try:
        dkim = smtp_of(settings, programs).dkim
    except Failure as failure:
        yield wrong("DKIM", str(failure))
        return
    if dkim is None:
        yield off("DKIM", "the relay signs")
        return
    try:
        sign(f"From: check@{dkim.domain}\r\n\r\n".encode(), dkim)
    except (DKIMException, ValueError) as error:
        yield wrong("DKIM", f"THROUGHLINE_DKIM_KEY_FILE: the key cannot sign ({type(error).__name__})")
        return
    others = sorted(
        each.id
        for each in programs.values()
        if not f".{each.sender.rpartition('@')[2]}".endswith(f".{dkim.domain}")
    )
    yield (
        warning("DKIM", f"{dkim.domain} does not stand for the sender of {', '.join(others)} (DMARC)")
        if others
        else ok("DKIM", f"{dkim.selector}._domainkey.{dkim.domain}")
    )
