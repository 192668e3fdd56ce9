"""Which mail somebody wants, in which language, and what they think of it all."""

from __future__ import annotations

import asyncio
import re

import pytest

from database import audit
from database.models import AuditRecord, Feedback, Member, Profile
from rules.messages import CATALOGUE
from tests.support.gateway import (
    NOW,
    GatewayFixture,
    engagement_row,
    gateway_fixture,
    people,
    profile,
    request_row,
)

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
CHECKIN = ("unsubscribe", "p-ana", "onboarding/p-ana", "mentee.checkin")


async def audited(gateway: GatewayFixture) -> list[AuditRecord]:
    """The audit records; the chain holds."""
    records = await gateway.all(AuditRecord)
    assert audit.breaks(records) == []
    return records


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
async def test_one_click_stops_that_kind_of_mail_at_once(gateway: GatewayFixture, encoding: str) -> None:
    path = gateway.path(*CHECKIN)
    if encoding == "urlencoded":
        response = await gateway.client.post(path, data=ONE_CLICK)
    else:
        response = await gateway.client.post(path, files={"List-Unsubscribe": (None, "One-Click")})
    assert response.status_code == 200
    assert "Ayuda para encontrar mentor" in response.text
    assert (await gateway.member("ana")).preferences == {"stopped": ["mentee.checkin"]}
    (record,) = await audited(gateway)
    assert (record.subject, record.kind, record.at) == ("member/ana", "unsubscribed", NOW)
    assert (record.data, record.actor) == ({"stopped": ["mentee.checkin"]}, "profile/p-ana")


@pytest.mark.rule("MAIL6")
async def test_repeated_one_click_changes_nothing(gateway: GatewayFixture) -> None:
    path = gateway.path(*CHECKIN)
    answers = await asyncio.gather(*(gateway.client.post(path, data=ONE_CLICK) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await gateway.member("ana")).preferences == {"stopped": ["mentee.checkin"]}
    assert len(await audited(gateway)) == 1
    shown = await gateway.client.get(path)
    assert shown.status_code == 200
    assert "Ya no recibirá estos correos" in shown.text


@pytest.mark.rule("MAIL6")
async def test_other_kinds_and_choices_stay(gateway: GatewayFixture) -> None:
    await gateway.change(
        Member, "ana", preferences={"stopped": ["mentee.pulse"], "language": "es", "other": 1}
    )
    await gateway.client.post(gateway.path(*CHECKIN), data=ONE_CLICK)
    assert (await gateway.member("ana")).preferences == {
        "stopped": ["mentee.pulse", "mentee.checkin"],
        "language": "es",
        "other": 1,
    }
    assert (await gateway.member("marcus")).preferences == {}


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize(
    "form", [{}, {"List-Unsubscribe": "one-click"}, {"List-Unsubscribe": ""}, {"unsubscribe": "One-Click"}]
)
async def test_post_without_the_one_click_body_stops_nothing(
    sqlite_gateway: GatewayFixture, form: dict[str, str]
) -> None:
    response = await sqlite_gateway.client.post(sqlite_gateway.path(*CHECKIN), data=form)
    assert response.status_code == 400
    assert response.text.count("<form") == 1
    assert (await sqlite_gateway.member("ana")).preferences == {}


@pytest.mark.rule("MAIL6")
async def test_link_without_a_kind_stops_all_nudges(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("unsubscribe", "p-marcus", "onboarding/p-marcus")
    assert "all questions and reminders" in (await sqlite_gateway.client.get(path)).text
    await sqlite_gateway.client.post(path, data=ONE_CLICK)
    assert (await sqlite_gateway.member("marcus")).preferences == {"stopped": ["*"]}


@pytest.mark.rule("MAIL6")
async def test_kind_without_a_label_can_be_stopped_too(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("unsubscribe", "p-marcus", "", "mentor.from_another_version")
    assert (await sqlite_gateway.client.post(path, data=ONE_CLICK)).status_code == 200
    assert (await sqlite_gateway.member("marcus")).preferences == {"stopped": ["mentor.from_another_version"]}


@pytest.mark.rule("MAIL6")
async def test_confirmation_page_links_to_all_preferences(sqlite_gateway: GatewayFixture) -> None:
    done = await sqlite_gateway.client.post(sqlite_gateway.path(*CHECKIN), data=ONE_CLICK)
    (address,) = re.findall(r'class="button" href="([^"]+)"', done.text)
    choices = await sqlite_gateway.client.get(address.removeprefix("https://mentoring.example.org"))
    assert "¿Qué correos quiere recibir?" in choices.text


def kinds_on(page: str) -> dict[str, bool]:
    """The kinds that a preferences page offers, and whether they are ticked."""
    return {
        kind: bool(ticked) for kind, ticked in re.findall(r'name="wanted" value="([^"]+)"( checked)?', page)
    }


@pytest.mark.rule("MAIL6")
async def test_only_optional_messages_are_offered_by_label(sqlite_gateway: GatewayFixture) -> None:
    page = (await sqlite_gateway.client.get(sqlite_gateway.path("preferences", "p-ana", ""))).text
    offered = kinds_on(page)
    assert offered == {
        entry.name: True
        for entry in CATALOGUE.values()
        if entry.message_class.stoppable and entry.audience in ("mentee", "member")
    }
    assert "mentee.match" not in offered
    assert "mentee.sign_confirmation" not in offered
    assert "La pregunta mensual sobre si se reunieron" in page


@pytest.mark.rule("MAIL6", "MEM5")
async def test_person_in_both_roles_chooses_for_both(sqlite_gateway: GatewayFixture) -> None:
    async with sqlite_gateway.database.begin() as session:
        session.add(profile("p-ana-2", "ana", "mentor"))
    page = (await sqlite_gateway.client.get(sqlite_gateway.path("preferences", "p-ana", ""))).text
    assert {"mentee.pulse", "mentor.pulse"} <= set(kinds_on(page))
    assert "Para usted como mentor o mentora" in page


@pytest.mark.rule("MAIL5", "MAIL6")
async def test_saved_choice_is_shown_in_the_chosen_language(gateway: GatewayFixture) -> None:
    path = gateway.path("preferences", "p-ana", "")
    await gateway.change(Member, "ana", preferences={"stopped": ["*", "mentor.pulse"], "other": 1})
    assert set(kinds_on((await gateway.client.get(path)).text).values()) == {False}
    response = await gateway.client.post(
        path,
        data={"form": "preferences", "wanted": ["mentee.checkin", "mentor.match", "x"], "language": "en"},
    )
    assert response.status_code == 200
    assert "Saved." in response.text
    assert '<html lang="en"' in response.text
    assert {kind for kind, ticked in kinds_on(response.text).items() if ticked} == {"mentee.checkin"}
    saved = (await gateway.member("ana")).preferences
    assert (saved["language"], saved["other"]) == ("en", 1)
    assert saved["stopped"][0] == "mentor.pulse"
    assert not {"*", "mentee.checkin", "x"} & set(saved["stopped"])
    (record,) = await audited(gateway)
    assert (record.subject, record.kind) == ("member/ana", "preferences")
    assert record.data == {"stopped": saved["stopped"], "language": "en"}


@pytest.mark.rule("MAIL6")
async def test_repeated_choice_is_recorded_once(gateway: GatewayFixture) -> None:
    path = gateway.path("preferences", "p-ana", "")
    for _ in range(2):
        await gateway.client.post(
            path, data={"form": "preferences", "wanted": "mentee.pulse", "language": "es"}
        )
    assert len(await audited(gateway)) == 1


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"language": "es"},
        {"form": "preferences"},
        {"form": "preferences", "language": "fr"},
        {"form": "preferences", "language": "<script>"},
    ],
)
async def test_forged_form_changes_no_preference(
    sqlite_gateway: GatewayFixture, form: dict[str, str]
) -> None:
    response = await sqlite_gateway.client.post(sqlite_gateway.path("preferences", "p-ana", ""), data=form)
    assert response.status_code == 400
    assert (await sqlite_gateway.member("ana")).preferences == {}


@pytest.mark.rule("SUR4")
async def test_feedback_is_kept_as_it_was_written(gateway: GatewayFixture) -> None:
    text = "First line — with “quotes”.\r\nSecond \x0bline 🦉 <b>\x00"
    response = await gateway.client.post(
        gateway.path("feedback", "p-ana", "engagement/r-2"), data={"text": text}
    )
    assert response.status_code == 200
    assert "Gracias por contarnos" in response.text
    (kept,) = await gateway.all(Feedback)
    assert (kept.profile_id, kept.given_at) == ("p-ana", NOW)
    assert kept.text == "First line — with “quotes”.\nSecond line 🦉 <b>"


@pytest.mark.rule("SUR4")
async def test_repeated_feedback_is_stored_once(gateway: GatewayFixture) -> None:
    path = gateway.path("feedback", "p-ana", "")
    answers = await asyncio.gather(*(gateway.client.post(path, data={"text": "Good."}) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    await gateway.client.post(path, data={"text": "Better."})
    await gateway.client.post(gateway.path("feedback", "p-marcus", ""), data={"text": "Good."})
    assert [(kept.profile_id, kept.text) for kept in await gateway.all(Feedback)] == [
        ("p-ana", "Good."),
        ("p-ana", "Better."),
        ("p-marcus", "Good."),
    ]


@pytest.mark.rule("SUR4")
async def test_feedback_that_is_too_long_is_shown_again(gateway: GatewayFixture) -> None:
    path = gateway.path("feedback", "p-marcus", "")
    longest = "línea & más\n" * 833
    assert len(longest.strip()) < 10_000
    assert (await gateway.client.post(path, data={"text": longest.replace("\n", "\r\n")})).status_code == 200
    response = await gateway.client.post(path, data={"text": longest * 2})
    assert response.status_code == 422
    assert "longer than 10,000 characters" in response.text
    assert (longest * 2).strip().replace("&", "&amp;") + "</textarea>" in response.text
    assert len(await gateway.all(Feedback)) == 1


@pytest.mark.rule("SUR4")
async def test_feedback_is_accepted_in_every_state(sqlite_url: str) -> None:
    rows = [*people(), request_row(), *(engagement_row(f"r-{state}", state) for state in STAGES)]
    async with gateway_fixture(sqlite_url, rows) as there:
        await there.change(Member, "ana", standing="lapsed")
        await there.change(Profile, "p-ana", withdrawn_at=NOW)
        subjects = ["onboarding/p-ana", "request/r-1", *(f"engagement/r-{state}" for state in STAGES)]
        for subject in [*subjects, "survey/r-completed/mentee"]:
            path = there.path("feedback", "p-ana", subject)
            assert "<textarea" in (await there.client.get(path)).text
            answer = await there.client.post(path, data={"text": subject})
            assert answer.status_code == 200
        kept = [feedback.text for feedback in await there.all(Feedback)]
        assert kept == [*subjects, "survey/r-completed/mentee"]


STAGES = ("active", "paused", "suspended", "completed", "ended", "no_fit", "canceled")


@pytest.mark.rule("SUR4")
@pytest.mark.parametrize("text", ["", "   \r\n\t ", "\x00"])
async def test_empty_feedback_is_refused(sqlite_gateway: GatewayFixture, text: str) -> None:
    response = await sqlite_gateway.client.post(
        sqlite_gateway.path("feedback", "p-marcus", ""), data={"text": text}
    )
    assert response.status_code == 422
    assert "Please write something first." in response.text
    assert 'aria-invalid="true"' in response.text
    assert await sqlite_gateway.all(Feedback) == []


async def test_concurrent_choices_lose_nothing(gateway: GatewayFixture) -> None:
    kinds = [entry.name for entry in CATALOGUE.values() if entry.message_class.stoppable][:8]
    await asyncio.gather(
        *(
            gateway.client.post(gateway.path("unsubscribe", "p-ana", "", kind), data=ONE_CLICK)
            for kind in kinds
        )
    )
    assert set((await gateway.member("ana")).preferences["stopped"]) == set(kinds)
    assert len(await audited(gateway)) == len(kinds)
