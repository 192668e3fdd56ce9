"""All routes of the console."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.console.shell import Shell
from gateway.console.sign_in import SignInPages
from gateway.console.today import TodayPages
from gateway.services import GatewayServices


def console_routes(services: GatewayServices) -> list[APIRouter]:
    """Return the routes of the console, by kind of access."""
    shell = Shell(services)
    return [SignInPages(shell).routes(), *TodayPages(shell).routes()]
