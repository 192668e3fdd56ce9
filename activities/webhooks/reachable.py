"""The addresses that a webhook may go to: none inside of the deployment's own network, unless it is allowed.

An endpoint's address is typed in by staff, and its name resolves to what its owner says at that moment. A request to
an internal address would let either reach services that trust the network, or the metadata of a cloud. So the address
that is connected to is judged, at each attempt, before anything is sent.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name."""

LONGEST_URL: Final = 1000

_NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 behind a translator (RFC 6052): `is_global` says yes to every one of them."""

_NOT_PUBLIC: Final = tuple(
    ip_network(each)
    for each in (
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "2001::/23",
        "3fff::/20",
    )
)
"""What `is_global` lets through, in some versions of Python, and no endpoint has.

The host agent of Azure answers at a public address inside of a machine. The others are assigned to protocols, the
metadata of Oracle's cloud among them, to translators and to tunnels.
"""


class TargetRefused(ValueError):
    """An address that no webhook may go to; the text says why."""


@dataclass(frozen=True, slots=True)
class Location:
    """The parts of an endpoint's address."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def read_url(url: str) -> Location:
    """Return the parts of an address. Raises TargetRefused for what is no plain http or https address."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise TargetRefused(
            f"an address has at most {LONGEST_URL} visible ASCII characters; another script is written as xn--…"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused("the address cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetRefused("an address looks like https://members.example.org/events")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("an address has no user name and no password: the signature proves who sends")
    if parts.fragment or "#" in url:
        raise TargetRefused("an address has no part behind #")
    if port == 0:
        raise TargetRefused("an address has a port from 1 to 65535")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(secure, _host(parts.hostname), port or (443 if secure else 80), path)


def _host(name: str) -> str:
    if ":" not in name:
        return name
    try:
        return str(IPv6Address(name))
    except ValueError:
        raise TargetRefused("the address cannot be read") from None


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the operating system finds for a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class AddressPolicy:
    """Judges addresses. `allowed` are networks like `10.1.0.0/16` or addresses: they may be private, and without TLS.

    Raises ValueError for an entry that is neither.
    """

    def __init__(self, allowed: Iterable[str] = (), resolver: Resolver = system_resolver) -> None:
        self._allowed = [ip_network(entry) for entry in allowed]
        self._resolve = resolver

    async def addresses(self, host: str, port: int, *, secure: bool) -> Sequence[str]:
        """Return the addresses that a request to a name may connect to. Raises TargetRefused.

        One address that is refused is enough: which of several is connected to is not ours to choose.
        """
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise TargetRefused(f"the name {host} has no address") from None
        if not found:
            raise TargetRefused(f"the name {host} has no address")
        for each in found:
            self.check(each, secure=secure)
        return found

    def check(self, address: str, *, secure: bool) -> None:
        """Raise TargetRefused unless a request may go to an address."""
        known = _plain(ip_address(address.partition("%")[0]))
        if any(known.version == network.version and known in network for network in self._allowed):
            return
        if not _is_public(known):
            raise TargetRefused(
                f"{known} is no public address, and THROUGHLINE_WEBHOOK_ALLOW does not have it"
            )
        if not secure:
            raise TargetRefused("events go to https only, except to addresses in THROUGHLINE_WEBHOOK_ALLOW")


def _plain(address: Address) -> Address:
    """Return the IPv4 address inside of one of IPv6, where there is one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    inside = any(address.version == network.version and address in network for network in _NOT_PUBLIC)
    return address.is_global and not special and not inside
