"""The pages about credit and surveys: what is shown is what is signed, and nobody signs for somebody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from database.models import Claim, Letter, Survey
from rules.credit import fingerprint
from tests.gateway_world import NOW, World, engagement_row, people, request_row, world

MENTOR, MENTEE = "claim/r-2/mentor/CPP", "claim/r-2/mentee/PSP"
CYCLE = {"start": "2027-01-01", "end": "2029-12-31"}


def claim(role: str, code: str, state: str = "awaiting_evidence") -> Claim:
    profile, other = ("p-marcus", "p-ana") if role == "mentor" else ("p-ana", "p-marcus")
    at = datetime(2028, 6, 12, 13, 0, tzinfo=UTC)
    record = {"at": at.isoformat(), "good_standing": True, "cycle": CYCLE}
    return Claim(
        workflow=f"claim/r-2/{role}/{code}",
        engagement_id="r-2",
        role=role,
        profile_id=profile,
        member_id=profile.removeprefix("p-"),
        certification=code,
        credit_date="2028-07-10",
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=at,
        domains=["crisis_management"] if code == "CPP" else [],
        facts={
            "engagement": "r-2",
            "role": role,
            "profile": profile,
            "counterpart": other,
            "certification": code,
            "started_on": "2028-01-10",
            "created_at": at.isoformat(),
            "records": [record],
        },
    )


@pytest.fixture
async def there(sqlite_url: str) -> AsyncIterator[World]:
    """A gateway with an engagement at its gate: a claim of each side, a survey, and a letter signed earlier."""
    rows: list[Any] = [*people(), request_row(), request_row("r-2"), engagement_row()]
    for row in rows:
        if getattr(row, "id", "") in ("ana", "marcus"):
            code = "PSP" if row.id == "ana" else "CPP"
            cycle = {"cycle_start": CYCLE["start"], "cycle_end": CYCLE["end"]}
            row.certifications = [{"code": code, **cycle}]
    survey = Survey(
        workflow="survey/r-2/mentee",
        engagement_id="r-2",
        role="mentee",
        profile_id="p-ana",
        program="asis-global",
        policy_version="1",
        state="open",
        state_since=NOW,
        facts={},
    )
    letter = Letter(
        id="Lm3x9QkT2vB7",
        engagement_id="r-0",
        kind="confirmation",
        role="mentor",
        certification="CPP",
        locale="en",
        statement="I confirm.",
        data={"mentor": {"name": "Marcus <b>Oyelaran</b>"}, "mentee": {"name": "Ana Pérez Castillo"}},
        document=b"%PDF",
        sha256="c" * 64,
        signed_at=NOW,
    )
    rows += [claim("mentor", "CPP"), claim("mentee", "PSP"), survey, letter]
    async with world(sqlite_url, rows) as made:
        yield made


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]


@pytest.mark.rule("CPE5", "CPE8")
async def test_the_mentee_reads_the_letter_and_signs_what_was_shown(there: World) -> None:
    path = there.path("sign", "p-ana", MENTOR)
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
async def test_another_name_no_consent_or_another_text_signs_nothing(
    there: World, change: dict[str, str]
) -> None:
    path = there.path("sign", "p-ana", MENTOR)
    shown = hidden((await there.client.get(path)).text, "shown")
    form = {"shown": shown, "name": "Ana Pérez Castillo", "consent": "yes", **change}
    answer = await there.client.post(path, data=form)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert not await there.events()


@pytest.mark.rule("CPE5", "CPE6")
@pytest.mark.parametrize(
    ("purpose", "profile", "subject"),
    [
        ("sign", "p-marcus", MENTOR),
        ("sign", "p-eva", MENTOR),
        ("letter", "p-ana", MENTEE),
        ("claim", "p-ana", MENTOR),
        ("domains", "p-marcus", MENTEE),
        ("survey", "p-marcus", "survey/r-2/mentee"),
    ],
)
async def test_nobody_acts_for_somebody_else(there: World, purpose: str, profile: str, subject: str) -> None:
    assert (await there.client.get(there.path(purpose, profile, subject))).status_code == 404


@pytest.mark.rule("CPE6", "CPE8")
async def test_the_mentor_writes_reads_and_then_signs(there: World) -> None:
    path = there.path("letter", "p-marcus", MENTEE)
    first = (await there.client.get(path)).text
    domain = hidden(first, "domains")
    assert (await there.client.post(path, data={"purpose": "", "step": "read"})).status_code == 400
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
async def test_the_claimant_chooses_domains_and_tells_that_it_was_submitted(there: World) -> None:
    path = there.path("domains", "p-marcus", MENTOR)
    assert (await there.client.post(path, data={"domains": "no such one"})).status_code == 400
    domain = hidden((await there.client.get(path)).text, "domains")
    assert (await there.client.post(path, data={"domains": domain})).status_code == 200
    submit = there.path("claim", "p-marcus", MENTOR)
    assert "<form" not in (await there.client.get(submit)).text
    async with there.database.begin() as session:
        (await session.get_one(Claim, MENTOR)).state = "ready"
    assert (await there.client.post(submit)).status_code == 200
    assert [event.type for event in await there.events()] == ["claim.domains_chosen", "claim.submitted"]


@pytest.mark.rule("SUR1", "SUR3")
async def test_a_survey_is_answered_and_can_be_answered_anew(there: World) -> None:
    path = there.path("survey", "p-ana", "survey/r-2/mentee")
    form = {"goals_met": "yes", "mentor_helped": "yes", "expectations_met": "no", "rating": "4"}
    assert (await there.client.post(path, data={"rating": "4"})).status_code == 400
    assert (await there.client.post(path, data=form)).status_code == 200
    assert (await there.client.post(path, data={**form, "rating": "5"})).status_code == 200
    answers = [event.data["answers"] for event in await there.events()]
    assert [answer["rating"] for answer in answers] == [4, 5]


@pytest.mark.rule("CPE11")
async def test_anybody_can_check_a_letter(there: World) -> None:
    page = await there.client.get("/verify/Lm3x9QkT2vB7")
    assert page.status_code == 200
    assert "This document is genuine" in page.text
    assert "c" * 64 in page.text
    assert "&lt;b&gt;" in page.text
    async with there.database.begin() as session:
        (await session.get_one(Letter, "Lm3x9QkT2vB7")).revoked_at = NOW
    revoked = await there.client.get("/verify/Lm3x9QkT2vB7", headers={"accept-language": "es"})
    assert "Este documento fue revocado" in revoked.text
    assert (await there.client.get("/verify/another")).status_code == 404
