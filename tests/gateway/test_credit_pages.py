"""The pages about credit and surveys: what is shown is what is signed, and nobody signs for somebody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from database.models import Claim, Letter
from rules.credit import fingerprint
from tests.support.gateway import (
    LETTER,
    MENTEES_CLAIM,
    MENTORS_CLAIM,
    NOW,
    GatewayFixture,
    at_the_gate,
    gateway_fixture,
    letter_row,
)


@pytest.fixture
async def there(migrated_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with an engagement at its gate, on each kind of database."""
    async with gateway_fixture(migrated_url, at_the_gate()) as made:
        yield made


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]


@pytest.mark.rule("CPE5", "CPE8")
async def test_mentee_reads_the_letter_and_signs_what_was_shown(there: GatewayFixture) -> None:
    path = there.path("sign", "p-ana", MENTORS_CLAIM)
    shown = (await there.client.get(path)).text
    assert "Marcus Oyelaran" in shown
    assert not await there.events()
    form = {"shown": hidden(shown, "shown"), "name": "ana perez castillo", "consent": "yes"}
    assert (await there.client.post(path, data=form)).status_code == 200
    (event,) = await there.events()
    assert event.type == "letter.signed"
    assert event.data == {
        "engagement": "r-2",
        "by": "p-ana",
        "for": "mentor",
        "certification": "CPP",
        "name": "ana perez castillo",
        "shown": form["shown"],
    }


@pytest.mark.rule("CPE8")
@pytest.mark.parametrize(
    "change", [{"name": "Eva Stranger"}, {"consent": ""}, {"shown": fingerprint("another text")}]
)
async def test_wrong_name_consent_or_text_signs_nothing(
    there: GatewayFixture, change: dict[str, str]
) -> None:
    path = there.path("sign", "p-ana", MENTORS_CLAIM)
    shown = hidden((await there.client.get(path)).text, "shown")
    form = {"shown": shown, "name": "Ana Pérez Castillo", "consent": "yes", **change}
    answer = await there.client.post(path, data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert not await there.events()


@pytest.mark.rule("CPE5", "CPE6")
@pytest.mark.parametrize(
    ("purpose", "profile", "subject"),
    [
        ("sign", "p-marcus", MENTORS_CLAIM),
        ("sign", "p-eva", MENTORS_CLAIM),
        ("letter", "p-ana", MENTEES_CLAIM),
        ("claim", "p-ana", MENTORS_CLAIM),
        ("domains", "p-marcus", MENTEES_CLAIM),
        ("survey", "p-marcus", "survey/r-2/mentee"),
    ],
)
async def test_link_of_one_person_cannot_act_for_another(
    there: GatewayFixture, purpose: str, profile: str, subject: str
) -> None:
    assert (await there.client.get(there.path(purpose, profile, subject))).status_code == 404


@pytest.mark.rule("CPE6", "CPE8")
async def test_mentor_writes_reviews_and_then_signs(there: GatewayFixture) -> None:
    path = there.path("letter", "p-marcus", MENTEES_CLAIM)
    first = (await there.client.get(path)).text
    domain = hidden(first, "domains")
    assert (await there.client.post(path, data={"purpose": "", "step": "read"})).status_code == 422
    written = {"purpose": "To lead a first\nsite survey <b>.", "domains": domain}
    read = (await there.client.post(path, data={**written, "step": "read"})).text
    assert "site survey &lt;b&gt;." in read
    assert not await there.events()
    form = {
        **written,
        "shown": hidden(read, "shown"),
        "name": "Marcus Oyelaran",
        "consent": "yes",
        "step": "sign",
    }
    assert (await there.client.post(path, data=form)).status_code == 200
    (event,) = await there.events()
    assert (event.data["purpose"], event.data["domains"]) == (written["purpose"], [domain])


@pytest.mark.rule("CPE7", "CPE10")
async def test_claimant_chooses_domains_and_reports_the_submission(there: GatewayFixture) -> None:
    path = there.path("domains", "p-marcus", MENTORS_CLAIM)
    assert (await there.client.post(path, data={"domains": "no such one"})).status_code == 422
    domain = hidden((await there.client.get(path)).text, "domains")
    assert (await there.client.post(path, data={"domains": domain})).status_code == 200
    submit = there.path("claim", "p-marcus", MENTORS_CLAIM)
    assert "<form" not in (await there.client.get(submit)).text
    async with there.database.begin() as session:
        (await session.get_one(Claim, MENTORS_CLAIM)).state = "ready"
    assert (await there.client.post(submit)).status_code == 422
    assert (await there.client.post(submit, data={"confirm": "yes"})).status_code == 200
    assert [event.type for event in await there.events()] == ["claim.domains_chosen", "claim.submitted"]


@pytest.mark.rule("SUR1", "SUR3")
async def test_survey_answer_can_be_replaced(there: GatewayFixture) -> None:
    path = there.path("survey", "p-ana", "survey/r-2/mentee")
    form = {"goals_met": "yes", "mentor_helped": "yes", "expectations_met": "no", "rating": "4"}
    assert (await there.client.post(path, data={"rating": "4"})).status_code == 422
    assert (await there.client.post(path, data=form)).status_code == 200
    assert (await there.client.post(path, data={**form, "rating": "5"})).status_code == 200
    answers = [event.data["answers"] for event in await there.events()]
    assert [answer["rating"] for answer in answers] == [4, 5]


@pytest.mark.rule("CPE11")
async def test_anyone_can_verify_a_letter(there: GatewayFixture) -> None:
    page = await there.client.get(f"/verify/{LETTER}")
    assert page.status_code == 200
    assert "This document is genuine" in page.text
    assert "c" * 64 in page.text
    assert "&lt;b&gt;" in page.text
    printed = " ".join(re.findall(".{8}", fingerprint("I confirm.")))
    assert printed in page.text
    for fact in ("Ana Perez", "Physical Security; Crisis Management", "ASIS International", LETTER):
        assert fact in page.text
    assert "first site survey" not in page.text
    async with there.database.begin() as session:
        letter = await session.get_one(Letter, LETTER)
        letter.revoked_at, letter.revoked_class = NOW, "withdrawn"
        letter.revoked_because = "she wrote to us on Monday"
    revoked = await there.client.get(f"/verify/{LETTER}", headers={"accept-language": "es"})
    assert "Este documento fue revocado" in revoked.text
    assert "Quien lo firmó retiró su firma." in revoked.text
    assert "Monday" not in revoked.text
    assert (await there.client.get("/verify/another")).status_code == 404


@pytest.mark.rule("CPE11")
async def test_verification_page_names_the_day_printed_on_the_letter(there: GatewayFixture) -> None:
    page = (await there.client.get(f"/verify/{LETTER}")).text
    assert "July 10, 2028" in page
    assert "July 11, 2028" not in page


@pytest.mark.rule("CPE11")
async def test_verification_page_names_a_contact(there: GatewayFixture) -> None:
    for path in (f"/verify/{LETTER}", "/verify/another"):
        assert "mentoring@example.org" in (await there.client.get(path)).text


@pytest.mark.rule("CPE11")
async def test_letter_with_little_data_can_be_verified(there: GatewayFixture) -> None:
    async with there.database.begin() as session:
        session.add(letter_row("certificate", "old"))
        (await session.get_one(Letter, LETTER)).data = {}
    assert "This document is genuine" in (await there.client.get(f"/verify/{LETTER}")).text
    assert "carries no credit" in (await there.client.get("/verify/old")).text


@pytest.mark.rule("CPE11")
async def test_code_typed_from_paper_leads_to_the_letter(there: GatewayFixture) -> None:
    async with there.database.begin() as session:
        session.add(letter_row("confirmation", "7KQ2-M9TX-4HBC-WD3R"))
    form = (await there.client.get("/verify")).text
    assert 'name="code"' in form
    found = await there.client.get("/verify", params={"code": " 7kq2m9tx 4hbc-wd3r "}, follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, "/verify/7KQ2-M9TX-4HBC-WD3R")
    assert "This document is genuine" in (await there.client.get("/verify/7kq2m9tx4hbcwd3r")).text


@pytest.mark.rule("CPE11")
async def test_code_of_another_site_leads_nowhere_else(there: GatewayFixture) -> None:
    for code in ("//evil.example.org", "https://evil.example.org", "../events", "%2F%2Fevil"):
        found = await there.client.get("/verify", params={"code": code}, follow_redirects=False)
        assert found.headers["location"].startswith("/verify/")
        assert "/" not in found.headers["location"].removeprefix("/verify/")
    assert (await there.client.get("/verify", params={"code": " "})).status_code == 200
