"""The pages before an address is mailed again and before a copy goes out (MAIL3, MAIL10, STA3)."""

from __future__ import annotations

import html

import pytest

from database.models import Message, Suppression
from database.suppressions import reason_for
from tests.gateway.console.mail.test_ahead_page import mail
from tests.gateway.console.mail.test_mail_health_page import ADDRESS, HEALTH, prepare
from tests.gateway.console.test_console_acts import fields_of
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW

pytestmark = pytest.mark.rule("MAIL3", "MAIL10", "STA3")

LIFT, AGAIN = f"{HEALTH}/lift", f"{HEALTH}/again"
LIFT_PAGE = f"{LIFT}?address=ana%40example.org&back=%2Fstaff%2Fmail%3Fdays%3D7"
COPY_PAGE = f"{AGAIN}?delivery=unclear"


async def form_of(console: ConsoleFixture, page: str) -> dict[str, str]:
    """The hidden fields of the form on a page."""
    shown = await console.get("mia", page)
    assert shown.status_code == 200
    found = fields_of(shown, page.partition("?")[0])
    return {name: html.unescape(value) for name, value in found.items()}


async def is_suppressed(console: ConsoleFixture) -> bool:
    async with console.gateway.database.reading() as session:
        return await reason_for(session, ADDRESS) is not None


@pytest.mark.parametrize(("page", "path"), [(LIFT_PAGE, LIFT), (COPY_PAGE, AGAIN)])
async def test_acts_on_mail_are_for_managers_who_may_send(
    console: ConsoleFixture, page: str, path: str
) -> None:
    await prepare(console)
    before = len(await console.gateway.all(Message))
    form = {**await form_of(console, page), "reason": "because"}
    for who in ("cora", "vito", "reader"):
        seen, sent = await console.get(who, page), await console.post(who, path, form)
        assert (seen.status_code, sent.status_code) == (404, 404)
    assert await is_suppressed(console)
    assert len(await console.gateway.all(Message)) == before


async def test_lift_shows_what_goes_out_and_happens_once_with_a_reason(console: ConsoleFixture) -> None:
    await prepare(console)
    await console.add(mail("ahead", 3), mail("other", 3, to_profile="p-marcus", member_id="marcus"))
    assert "/staff/mail/lift?address=ana%40example.org" in (await console.get("mia", HEALTH)).text
    page = await console.get("mia", LIFT_PAGE)
    assert "Messages ahead that go to it: 1." in page.text
    assert "550 no such user" in page.text
    assert "Marcus" not in page.text
    form = await form_of(console, LIFT_PAGE)
    assert (await console.post("mia", LIFT, {**form, "reason": ""})).status_code == 422
    done = await console.post("mia", LIFT, {**form, "reason": "She fixed it."})
    assert done.headers["location"] == f"{HEALTH}?days=7&said=lifted"
    assert not await is_suppressed(console)
    assert await console.acts("member/ana") == [("lift suppression", "mia@staff.example")]
    for again in (
        await console.post("mia", LIFT, {**form, "reason": "x"}),
        await console.get("mia", LIFT_PAGE),
    ):
        assert again.status_code == 409


async def test_lift_does_nothing_when_its_page_is_stale(console: ConsoleFixture) -> None:
    await prepare(console)
    form = {**await form_of(console, LIFT_PAGE), "reason": "She fixed it."}
    await console.add(mail("new", 3))
    stale = await console.post("mia", LIFT, form)
    assert stale.status_code == 409
    assert "Nothing was done" in stale.text
    assert "She fixed it." in stale.text
    assert await is_suppressed(console)
    assert (await console.post("mia", LIFT, {**form, "digest": ""})).status_code == 409
    fresh = {**fields_of(stale, LIFT), "reason": "She fixed it."}
    assert (await console.post("mia", LIFT, {**fresh, "address": "ana@example.or_"})).status_code == 409
    assert (await console.post("mia", LIFT, {**fresh, "address": ADDRESS})).status_code == 303


async def test_address_with_a_wild_card_names_nobody_else(console: ConsoleFixture) -> None:
    await console.add(
        Suppression(address="an_@example.org", kind="hard", reason="550", last_at=NOW, since=NOW)
    )
    await console.add(mail("ahead", 3))
    page = await console.get("mia", f"{LIFT}?address=an_%40example.org")
    assert "Messages ahead that go to it: 0." in page.text


async def test_copy_shows_to_whom_it_goes_and_is_bound_to_that(console: ConsoleFixture) -> None:
    await prepare(console)
    before = len(await console.gateway.all(Message))
    listed = await console.get("mia", "/staff/mail/trouble?trouble=ambiguous")
    assert "/staff/mail/again?delivery=unclear" in listed.text
    assert "Send a copy" not in (await console.get("reader", "/staff/mail/trouble?trouble=ambiguous")).text
    page = await console.get("mia", COPY_PAGE)
    for shown in ("Ana Pérez Castillo", ADDRESS, "Mail the address again first"):
        assert shown in page.text
    form = {**await form_of(console, COPY_PAGE), "reason": "She asked."}
    assert (await console.post("mia", AGAIN, {**form, "reason": ""})).status_code == 422
    lift = {**await form_of(console, LIFT_PAGE), "reason": "She fixed it."}
    assert (await console.post("mia", LIFT, lift)).status_code == 303
    assert "A copy goes out at once" in (await console.get("mia", COPY_PAGE)).text
    # There is no Temporal service here; what a running one does is tested with workers.
    away = await console.post("mia", AGAIN, form)
    assert (away.status_code, "no Temporal service" in away.text) == (409, True)
    for wrong in ("ok", "none"):
        assert (await console.get("mia", f"{AGAIN}?delivery={wrong}")).status_code == 409
    assert len(await console.gateway.all(Message)) == before
