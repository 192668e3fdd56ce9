"""Signing in to the console: passwords, one-time links, sessions, and what other sites may not do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from database.models import SignInAttempt, StaffAccount, StaffSession
from staff.accounts import attempts
from staff.accounts.directory import change_account, close_account, find_account
from staff.accounts.passwords import hashed
from staff.accounts.sessions import ABSOLUTE, IDLE
from tests.support.console.staff import COOKIE, ConsoleFixture

PASSWORD = "correct horse battery staple"


async def give_password(console: ConsoleFixture, who: str = "mia") -> None:
    """Give an account a password."""
    async with console.gateway.database.begin() as session:
        account = await find_account(session, f"{who}@staff.example")
        assert account is not None
        await change_account(session, account, {"password": hashed(PASSWORD)}, "test", datetime.now(UTC))


async def try_password(
    console: ConsoleFixture, password: str, who: str = "mia", address: str = "192.0.2.1", back: str = ""
) -> httpx.Response:
    """Send the form of a browser at an address."""
    transport = httpx.ASGITransport(console.gateway.app, client=(address, 1))
    form = {"email": f"{who.upper()}@staff.example ", "password": password, "back": back}
    async with httpx.AsyncClient(transport=transport, base_url="https://mentoring.example.org") as client:
        return await client.post("/staff/sign-in", data=form, headers={"sec-fetch-site": "same-origin"})


async def test_nobody_sees_the_console_without_signing_in(console: ConsoleFixture) -> None:
    answer = await console.get("", "/staff?tasks=all")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/staff/sign-in?back=%2Fstaff%3Ftasks%3Dall"
    form = await console.get("", answer.headers["location"])
    assert form.status_code == 200
    assert 'value="/staff?tasks=all"' in form.text
    assert (await console.post("", "/staff/tasks/1", {"change": "done"})).status_code == 401


async def test_link_signs_in_once_and_a_look_does_not_use_it(console: ConsoleFixture) -> None:
    path = await console.link("mia")
    assert (await console.get("", path)).status_code == 200
    assert (await console.get("", path)).status_code == 200
    used = await console.post("", path)
    assert (used.status_code, used.headers["location"]) == (303, "/staff")
    assert (await console.get("", "/staff")).status_code == 200
    again = await console.post("", path)
    assert again.status_code == 410
    assert (await console.get("", path)).status_code == 410


async def test_session_cookie_and_headers_are_strict(console: ConsoleFixture) -> None:
    answer = await console.post("", await console.link("mia"))
    [cookie] = answer.headers.get_list("set-cookie")
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert cookie.startswith(f"{COOKIE}=")
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    page = await console.get("", "/staff")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"


async def test_password_signs_in_and_leads_on_to_the_console_only(console: ConsoleFixture) -> None:
    await give_password(console)
    answer = await try_password(console, PASSWORD, back="/staff?tasks=all")
    assert (answer.status_code, answer.headers["location"]) == (303, "/staff?tasks=all")
    for elsewhere in ("https://evil.example/", "//evil.example", "/staff/../l/x\\", "/consoleevil"):
        answer = await try_password(console, PASSWORD, back=elsewhere)
        assert answer.headers["location"] == "/staff"
    [account] = [each for each in await console.gateway.all(StaffAccount) if each.name == "Mia Manager"]
    assert account.password.startswith("$argon2id$")
    assert (await console.acts(f"staff/{account.id}"))[-1] == ("signed in", "mia@staff.example")


async def test_wrong_password_says_nothing_about_the_account(console: ConsoleFixture) -> None:
    await give_password(console)
    said = [
        (await try_password(console, "not the password!", who)).text.replace(who.upper(), "")
        for who in ("mia", "vito", "nobody")
    ]
    assert len(set(said)) == 1
    assert "do not match" in said[0]


async def test_wrong_passwords_delay_only_their_own_address(console: ConsoleFixture) -> None:
    await give_password(console)
    for _ in range(attempts.FREE):
        assert (await try_password(console, "not the password!")).status_code == 422
    delayed = await try_password(console, PASSWORD)
    assert delayed.status_code == 429
    assert 0 < int(delayed.headers["retry-after"]) <= 30
    # Others are not locked out: she herself from elsewhere, by a link, and in a session that she has.
    assert (await try_password(console, PASSWORD, address="192.0.2.2")).status_code == 303
    assert (await console.post("", await console.link("mia"))).status_code == 303
    assert (await console.get("mia", "/staff")).status_code == 200
    # The delay passes, and the right password forgets the wrong ones.
    async with console.gateway.database.begin() as session:
        await session.execute(update(SignInAttempt).values(last_at=datetime.now(UTC) - attempts.FIRST_DELAY))
    assert (await try_password(console, PASSWORD)).status_code == 303
    assert (await try_password(console, "not the password!")).status_code == 422


async def test_delay_grows_to_an_hour(console: ConsoleFixture) -> None:
    now = datetime.now(UTC)
    waits = []
    async with console.gateway.database.begin() as session:
        for _ in range(attempts.FREE + 12):
            wait = await attempts.take(session, "mia@staff.example", "192.0.2.1", now)
            if wait:
                waits.append(wait)
                now += wait
                assert not await attempts.take(session, "mia@staff.example", "192.0.2.1", now)
    assert waits == sorted(waits)
    assert waits[0] == attempts.FIRST_DELAY
    assert waits[-1] == attempts.LONGEST_DELAY


@pytest.mark.parametrize("aged", [{"seen_at": IDLE}, {"expires_at": ABSOLUTE}], ids=["idle", "absolute"])
async def test_session_ends_idle_and_after_its_time(
    console: ConsoleFixture, aged: dict[str, timedelta]
) -> None:
    assert (await console.get("mia", "/staff")).status_code == 200
    async with console.gateway.database.begin() as session:
        [(column, age)] = aged.items()
        at = datetime.now(UTC) - age if column == "seen_at" else datetime.now(UTC)
        await session.execute(update(StaffSession).values({column: at}))
    assert (await console.get("mia", "/staff")).status_code == 303


async def test_request_keeps_a_session_from_ending_idle(console: ConsoleFixture) -> None:
    await console.client("mia")
    nearly = datetime.now(UTC) - IDLE + timedelta(minutes=5)
    async with console.gateway.database.begin() as session:
        await session.execute(update(StaffSession).values(seen_at=nearly))
    assert (await console.get("mia", "/staff")).status_code == 200
    [row] = await console.gateway.all(StaffSession)
    assert row.seen_at > nearly + timedelta(minutes=30)


@pytest.mark.parametrize("change", ["role", "password", "closed", "signed out"])
async def test_sessions_end_with_role_password_and_account(console: ConsoleFixture, change: str) -> None:
    assert (await console.get("vito", "/staff")).status_code == 200
    now = datetime.now(UTC)
    if change == "signed out":
        answer = await console.post("vito", "/staff/sign-out")
        assert "Max-Age=0" in answer.headers["set-cookie"]
    else:
        async with console.gateway.database.begin() as session:
            account = await find_account(session, "vito@staff.example")
            assert account is not None
            if change == "closed":
                await close_account(session, account, "test", now)
            else:
                values: dict[str, Any] = {"role": {"role": "manager"}, "password": {"password": "x"}}[change]
                await change_account(session, account, values, "test", now)
    async with console.gateway.database.reading() as session:
        assert list(await session.scalars(select(StaffSession))) == []
    assert (await console.get("vito", "/staff")).status_code == 303


FOREIGN = {
    "another site": {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    "another host of the domain": {"sec-fetch-site": "same-site", "origin": "https://app.example.org"},
    "an old browser elsewhere": {"origin": "https://evil.example"},
    "a hidden origin": {"origin": "null"},
    "another scheme": {"origin": "http://mentoring.example.org"},
    "typed": {"sec-fetch-site": "none"},
    "nothing said": {},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("path", ["/staff/sign-in", "/staff/sign-out", "/staff/tasks/1"])
async def test_form_from_a_foreign_site_is_refused(
    console: ConsoleFixture, path: str, headers: dict[str, str]
) -> None:
    answer = await (await console.client("mia")).post(path, data={"change": "done"}, headers=headers)
    assert answer.status_code == 403
    assert (await console.get("mia", "/staff")).status_code == 200


async def test_link_from_a_mail_opens_the_page_with_its_strict_cookie(console: ConsoleFixture) -> None:
    answer = await console.get("", "/staff?tasks=all", **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/staff?tasks=all">' in answer.text
    onward = await console.get("", "/staff?tasks=all", **{"sec-fetch-site": "same-origin"})
    assert onward.status_code == 303


async def test_database_keeps_no_token_that_signs_in(console: ConsoleFixture) -> None:
    path = await console.link("mia")
    token = await console.session("mia")
    [row] = await console.gateway.all(StaffSession)
    assert token != row.token
    stolen = httpx.ASGITransport(console.gateway.app)
    async with httpx.AsyncClient(
        transport=stolen, base_url="https://mentoring.example.org", cookies={COOKIE: row.token}
    ) as client:
        assert (await client.get("/staff")).status_code == 303
    assert path.rpartition("/")[2] not in str(await console.gateway.all(StaffSession))
