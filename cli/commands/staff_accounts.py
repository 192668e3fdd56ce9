"""`throughline staff sign-in`, `accounts`, `close-account`, `assign`: who may use the console, and whom they see."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from cli.output import Actor, Json, print_json_lines, print_table
from cli.runner import run
from database.models import StaffAccount
from staff.accounts.directory import (
    AccountChangeRefused,
    accounts,
    add_account,
    assign,
    assignments_of,
    change_account,
    close_account,
    find_account,
    unassign,
)
from staff.accounts.passwords import PasswordRefused, hashed
from staff.accounts.sessions import LINK_HOLDS, make_link
from staff.formatting import local_iso
from worker.connections import database_ready, read_settings
from worker.errors import Failure

Result = TypeVar("Result")

Email = Annotated[str, typer.Argument(help="The mail address of the account.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group `staff`."""
    app.command("sign-in")(sign_in)
    app.command("accounts")(show_accounts)
    app.command("close-account")(close)
    app.command("assign")(assign_subject)


def sign_in(email: Email) -> None:
    """Print a link that signs in to the console once, within 15 minutes."""

    async def make(session: AsyncSession, now: datetime) -> str:
        return await make_link(session, await _account(session, email), now)

    token = _write(make)
    minutes = int(LINK_HOLDS.total_seconds() // 60)
    typer.echo(f"{read_settings().base_url.rstrip('/')}/staff/link/{token}")
    typer.echo(
        f"It works once, within {minutes} minutes: the first person who opens it is signed in.", err=True
    )


# long: each parameter is an option of the command
def show_accounts(
    add: Annotated[str, typer.Option(help="Make an account for this mail address.")] = "",
    change: Annotated[str, typer.Option(help="Change the account of this mail address.")] = "",
    name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    role: Annotated[str | None, typer.Option(help="viewer, coordinator or manager.")] = None,
    send: Annotated[
        bool | None, typer.Option("--send/--no-send", help="Whether a manager may act on mail and members.")
    ] = None,
    settings: Annotated[
        bool | None, typer.Option("--settings/--no-settings", help="Whether a manager may change settings.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or es.")] = None,
    zone: Annotated[str | None, typer.Option(help="The time zone, such as America/Bogota.")] = None,
    password: Annotated[
        bool,
        typer.Option("--password", help="Ask for a password at the terminal, for sign-in without a link."),
    ] = False,
    actor: Actor = "",
    as_json: Json = False,
) -> None:
    """List the accounts of staff, or make or change one.

    A change of role, rights or password ends the sessions of the account.
    """
    given: dict[str, Any] = {
        "name": name,
        "role": role,
        "may_send": send,
        "may_set": settings,
        "language": language,
        "zone": zone,
    }
    values = {key: value for key, value in given.items() if value is not None}
    if add and change:
        raise typer.BadParameter("--add makes an account, --change changes one: give one of them")
    if not add and not change:
        if values or password:
            raise typer.BadParameter("these options need --add or --change with a mail address")
        _list(as_json)
        return
    if password:
        values["password"] = _ask_password()
    email = add or change

    async def write(session: AsyncSession, now: datetime) -> None:
        if add:
            await add_account(session, email, values, actor, now)
        else:
            await change_account(session, await _account(session, email), values, actor, now)

    _write(write)
    typer.echo(
        f"{email} {'has an account now' if add else 'is changed'}. Sign in: throughline staff sign-in {email}"
    )


def close(email: Email, actor: Actor = "") -> None:
    """Close an account. Its sessions and sign-in links end at once."""

    async def write(session: AsyncSession, now: datetime) -> None:
        await close_account(session, await _account(session, email), actor, now)

    _write(write)
    typer.echo(f"The account of {email} is closed.")


def assign_subject(
    email: Email,
    subject: Annotated[
        str,
        typer.Argument(help="member/…, program/… or partner/COHORT/PARTNER: whom the coordinator may see."),
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Take the assignment back.")] = False,
    actor: Actor = "",
) -> None:
    """Let a coordinator see and act on a member, or on all members of a program, or of a partner in a cohort.

    A coordinator sees a pair when both people are assigned.
    """

    async def write(session: AsyncSession, now: datetime) -> bool:
        account = await _account(session, email)
        change = unassign if remove else assign
        return await change(session, account, subject, actor, now)

    changed = _write(write)
    words = "is assigned to" if not remove else "is not assigned any more to"
    typer.echo(f"{subject} {words} {email}." if changed else f"Nothing changes for {subject} and {email}.")


def _ask_password() -> str:
    try:
        return hashed(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    except PasswordRefused as refused:
        raise Failure(str(refused)) from None


def _list(as_json: bool) -> None:
    async def read() -> list[tuple[StaffAccount, Sequence[str]]]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            found = await accounts(session)
            return [(each, await assignments_of(session, each.id)) for each in found]

    rows = run(read())
    if as_json:
        print_json_lines(_as_json(account, assigned) for account, assigned in rows)
        return
    print_table(
        ("address", "name", "role", "may", "signs in by", "assigned"),
        (
            (
                account.email,
                account.name,
                "closed" if account.closed_at else account.role,
                " ".join(_rights(account)),
                " ".join(_ways(account)),
                " ".join(assigned),
            )
            for account, assigned in rows
        ),
        none="There is no account. Make one: throughline staff accounts --add ADDRESS --role manager",
    )


def _rights(account: StaffAccount) -> list[str]:
    return [name for name, held in (("send", account.may_send), ("set", account.may_set)) if held]


def _ways(account: StaffAccount) -> list[str]:
    ways = (("password", account.password), ("provider", account.oidc_subject), ("link", True))
    return [] if account.closed_at else [name for name, held in ways if held]


def _as_json(account: StaffAccount, assigned: Sequence[str]) -> dict[str, Any]:
    return {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "role": account.role,
        "may": _rights(account),
        "language": account.language,
        "zone": account.zone,
        "signs_in_by": _ways(account),
        "assigned": list(assigned),
        "created": local_iso(account.created_at, "UTC"),
        "closed": local_iso(account.closed_at, "UTC"),
    }


async def _account(session: AsyncSession, email: str) -> StaffAccount:
    account = await find_account(session, email)
    if account is None:
        raise Failure(f"there is no account of {email}")
    return account


def _write(change: Callable[[AsyncSession, datetime], Coroutine[Any, Any, Result]]) -> Result:
    async def write() -> Result:
        async with database_ready(read_settings()) as database, database.begin() as session:
            try:
                return await change(session, datetime.now(UTC))
            except AccountChangeRefused as refused:
                raise Failure(str(refused)) from None

    return run(write())
