"""Settings of the channel to the mail server."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal

from mail.smtp.oauth2 import OAuth2Settings

PROBE_INTERVAL = 900.0
"""Seconds between a refused login and the probe: short enough to recover soon, too long to lock an account."""


@dataclass(frozen=True, slots=True)
class DkimSettings:
    """The DKIM key of a domain: its selector in the DNS, and the RSA private key as PEM text."""

    domain: str
    selector: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One relay and how to use it. All durations are seconds.

    `oauth2` signs in by access tokens (XOAUTH2) instead of a password. `tls` "starttls" never falls back to plain text.
    With `ca_file` only that authority is trusted, else the system's; `verify_certificates` False trusts any. With `tls`
    "none" a password goes out in the clear, unless the server offers CRAM-MD5. `total_timeout` covers a whole delivery,
    with the wait for a connection and for the rate limit. `probe_interval` is how long a refused login keeps the
    circuit open before a probe. `rate_per_minute` spaces deliveries evenly.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    oauth2: OAuth2Settings | None = None
    tls: Literal["none", "starttls", "implicit"] = "none"
    verify_certificates: bool = True
    ca_file: str | None = None
    pool_size: int = 4
    connect_timeout: float = 10
    command_timeout: float = 30
    data_timeout: float = 120
    total_timeout: float = 300
    max_messages_per_connection: int = 100
    max_connection_age: float = 300
    max_idle: float = 60
    rate_per_minute: int | None = None
    probe_interval: float = PROBE_INTERVAL
    helo_name: str = field(default_factory=socket.gethostname)
    dkim: DkimSettings | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for values with which no mail could ever go out."""
        for name in (
            "pool_size",
            "connect_timeout",
            "command_timeout",
            "data_timeout",
            "total_timeout",
            "max_messages_per_connection",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.rate_per_minute is not None and self.rate_per_minute <= 0:
            raise ValueError("rate_per_minute must be positive, or None for no limit")
        if not re.fullmatch(r"[!-~]+", self.helo_name):
            raise ValueError("helo_name must be a host name")


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """Return the TLS context of the settings. Raises OSError for an unreadable `ca_file`."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify_certificates:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
