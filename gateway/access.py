"""Who may use a route. Each route of the gateway declares it by a dependency; a test lists all routes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.telemetry import TelemetryConfig


class Access(StrEnum):
    """The kinds of access."""

    PUBLIC = "public"
    SIGNED = "signed"
    """Programs that sign what they send, or give their password."""
    LINK = "link"
    """The holder of the personal link, for its one purpose."""
    THIS_MACHINE = "this machine"
    """Browsers on this machine, for the embedded pages."""
    SIGN_IN = "sign-in"
    """Everybody, from a page of our own: what it answers depends on what is given."""
    STAFF = "staff"
    """Everybody who is signed in; a coordinator only about people who are assigned."""
    OVERVIEW = "overview"
    """Viewers and managers: those who see everybody."""
    ACTING = "acting"
    """Coordinators about people who are assigned, and managers who may send."""
    MANAGER = "manager"
    SETTING = "setting"
    """Managers who may change settings."""


@dataclass(frozen=True, slots=True)
class _Declared:
    access: Access

    async def __call__(self) -> None:
        """Let the request pass: what follows checks it."""


def declared(access: Access) -> Any:
    """Return the dependency of routes that check their access themselves."""
    return Depends(_Declared(access))


def accesses_of(dependencies: list[Dependency]) -> list[Access]:
    """Return the kinds of access that a route's dependencies declare."""
    found = [getattr(each.dependency, "access", None) for each in dependencies]
    return [access for access in found if isinstance(access, Access)]


NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own traces hold paths and values of requests, such as the token of a personal link. Ours hold ids.

By default FASTAPI_OTEL_AUTO_CONFIGURE=true in the environment would export them.
"""
