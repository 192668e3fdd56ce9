"""Personal links in general: who may use one, for how long, and what a page reveals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from itsdangerous import URLSafeSerializer
from starlette.datastructures import FormData
from structlog.testing import capture_logs

from database.links import Link, Links
from database.models import Feedback, Member, Profile
from embedded.faults import DatabaseFault
from gateway.links.page import LinkPage, LinkVisit
from rules.kinds import KINDS
from tests.support.gateway import NOW, GatewayFixture, gateway_fixture, people

PURPOSES = {
    "unsubscribe": "onboarding/p-ana",
    "preferences": "onboarding/p-ana",
    "feedback": "onboarding/p-ana",
    "answer": "request/r-1",
    "withdraw": "request/r-1",
    "discovery": "engagement/r-2",
    "plan": "engagement/r-2",
    "met": "engagement/r-2",
    "extend": "engagement/r-2",
    "end": "engagement/r-2",
    "report": "engagement/r-2",
}
FORM = {
    "List-Unsubscribe": "One-Click",
    "form": "preferences",
    "language": "es",
    "text": "What I have to say.",
    "answer": "accept",
    "reason": "other",
    "goals": "Know five people.",
    "end": "2029-01-31",
}


def holder(purpose: str) -> str:
    """A profile for whom the link is good."""
    return "p-marcus" if purpose == "answer" else "p-ana"


async def stored(gateway: GatewayFixture) -> list[object]:
    """All that personal links may have changed."""
    changed = [(member.id, member.preferences) for member in await gateway.all(Member) if member.preferences]
    return [*await gateway.events(), *await gateway.all(Feedback), *changed]


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize("purpose", PURPOSES)
async def test_get_shows_one_form_and_changes_nothing(sqlite_gateway: GatewayFixture, purpose: str) -> None:
    response = await sqlite_gateway.client.get(
        sqlite_gateway.path(purpose, holder(purpose), PURPOSES[purpose], "mentee.checkin")
    )
    assert response.status_code == 200
    assert response.text.count("<h1") == 1
    assert response.text.count("<form") == 1
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert await stored(sqlite_gateway) == []


@pytest.mark.rule("MAIL6")
async def test_head_changes_nothing_and_reveals_nothing(sqlite_gateway: GatewayFixture) -> None:
    good = [
        sqlite_gateway.path(purpose, holder(purpose), PURPOSES[purpose], "mentee.checkin")
        for purpose in PURPOSES
    ]
    answers = [await sqlite_gateway.client.head(path) for path in (*good, good[0][:-3], "/l/nothing")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"")}
    assert len({tuple(answer.headers.items()) for answer in answers}) == 1
    assert await stored(sqlite_gateway) == []


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize("purpose", ["unsubscribe", "answer"])
async def test_tampered_link_is_a_404_and_changes_nothing(
    sqlite_gateway: GatewayFixture, purpose: str
) -> None:
    good = sqlite_gateway.path(purpose, holder(purpose), PURPOSES[purpose])
    payload, signature = good.removeprefix("/l/").rsplit(".", 1)
    other = sqlite_gateway.path(purpose, "p-eva", PURPOSES[purpose]).removeprefix("/l/").rsplit(".", 1)
    forged = Links("https://mentoring.example.org", "another secret than ours").token(
        Link(purpose, holder(purpose), PURPOSES[purpose], NOW + timedelta(days=1))
    )
    tampered = [
        f"{payload}.{signature[:-1]}",
        f"{payload}.{signature[::-1]}",
        f"{payload[:-1]}.{signature}",
        f"{other[0]}.{signature}",
        payload,
        forged,
        "x" * 5_000,
        "%00",
        "%F0%9F%A6%89",
    ]
    with capture_logs() as logs:
        for token in tampered:
            for response in (
                await sqlite_gateway.client.get(f"/l/{token}"),
                await sqlite_gateway.client.post(f"/l/{token}", data=FORM),
            ):
                assert response.status_code == 404
                assert "This link does not work" in response.text
                assert "mentoring@example.org" in response.text
    assert {log["reason"] for log in logs} == {"tampered"}
    assert await stored(sqlite_gateway) == []


async def test_token_signed_for_another_purpose_is_refused(sqlite_gateway: GatewayFixture) -> None:
    serializer = URLSafeSerializer("a secret for tests only", salt="throughline.link")
    for content in ("text", [], ["answer"], ["answer", "p-marcus", "request/r-1", "soon", ""], {"a": 1}):
        assert (await sqlite_gateway.client.get(f"/l/{serializer.dumps(content)}")).status_code == 404


async def test_expired_link_names_a_contact_and_changes_nothing(sqlite_gateway: GatewayFixture) -> None:
    ending = [purpose for purpose in PURPOSES if purpose not in LASTING]
    paths = [sqlite_gateway.path(purpose, holder(purpose), PURPOSES[purpose], days=10) for purpose in ending]
    sqlite_gateway.at = NOW + timedelta(days=10)
    with capture_logs() as logs:
        for path in paths:
            for response in (
                await sqlite_gateway.client.get(path),
                await sqlite_gateway.client.post(path, data=FORM),
            ):
                assert response.status_code == 410
                assert "Lina Forero" in response.text
                assert "mentoring@example.org" in response.text
                assert "<form" not in response.text
    assert {(log["event"], log["reason"]) for log in logs} == {("personal_link_refused", "expired")}
    assert [log["purpose"] for log in logs[::2]] == ending
    assert await stored(sqlite_gateway) == []


@pytest.mark.rule("MAIL6")
async def test_unsubscribe_link_never_expires(sqlite_gateway: GatewayFixture) -> None:
    paths = [sqlite_gateway.path(purpose, holder(purpose), PURPOSES[purpose], days=10) for purpose in LASTING]
    sqlite_gateway.at = NOW + timedelta(days=1000)
    for path in paths:
        response = await sqlite_gateway.client.get(path)
        assert response.status_code == 200
        assert "<form" in response.text


LASTING = ("unsubscribe", "preferences")


async def test_link_expires_at_its_instant_on_the_programs_clock(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("feedback", "p-ana", "onboarding/p-ana", days=10)
    sqlite_gateway.at = NOW + timedelta(days=10, seconds=-1)
    assert (await sqlite_gateway.client.get(path)).status_code == 200


async def test_link_of_a_stranger_shows_and_changes_nothing(sqlite_gateway: GatewayFixture) -> None:
    swapped = [(purpose, "p-nobody") for purpose in PURPOSES]
    swapped += [(purpose, "p-eva") for purpose, subject in PURPOSES.items() if "r-" in subject]
    for purpose, who in swapped:
        path = sqlite_gateway.path(purpose, who, PURPOSES[purpose])
        for response in (
            await sqlite_gateway.client.get(path),
            await sqlite_gateway.client.post(path, data=FORM),
        ):
            assert response.status_code == 404
            assert "Ana" not in response.text
            assert "Marcus" not in response.text
    assert await stored(sqlite_gateway) == []


@pytest.mark.parametrize(
    ("purpose_name", "profile", "subject"),
    [
        ("answer", "p-ana", "request/r-1"),
        ("withdraw", "p-marcus", "request/r-1"),
        ("answer", "p-marcus", "request/none"),
        ("answer", "p-marcus", "onboarding/p-marcus"),
        ("answer", "p-marcus", "claim/r-1/mentor/CPP"),
        ("met", "p-ana", "engagement/r-1"),
        ("met", "p-ana", ""),
        ("no_such_purpose", "p-ana", "engagement/r-2"),
    ],
)
async def test_link_for_the_wrong_role_or_subject_is_refused(
    sqlite_gateway: GatewayFixture, purpose_name: str, profile: str, subject: str
) -> None:
    path = sqlite_gateway.path(purpose_name, profile, subject)
    assert (await sqlite_gateway.client.get(path)).status_code == 404
    assert (await sqlite_gateway.client.post(path, data=FORM)).status_code == 404
    assert await stored(sqlite_gateway) == []


async def test_link_for_an_unknown_program_is_refused(sqlite_url: str) -> None:
    rows = people()
    next(row for row in rows if isinstance(row, Profile) and row.id == "p-ana").program = "gone"
    async with gateway_fixture(sqlite_url, rows) as made:
        assert (await made.client.get(made.path("feedback", "p-ana", ""))).status_code == 404


async def test_refused_links_are_logged_without_personal_data(sqlite_gateway: GatewayFixture) -> None:
    with capture_logs() as logs:
        await sqlite_gateway.client.get(sqlite_gateway.path("answer", "p-eva", "request/r-1"))
        await sqlite_gateway.client.get(sqlite_gateway.path("answer", "p-nobody", "request/r-1"))
        await sqlite_gateway.client.get(sqlite_gateway.path("no_such_purpose", "p-ana", "request/r-1"))
    assert [log["reason"] for log in logs] == ["not_theirs", "unknown_profile", "unknown_purpose"]
    assert not any(word in str(logs) for word in ("p-eva", "eva@", "r-1", "p-ana", "p-nobody"))


async def test_refusal_page_uses_the_browser_language(sqlite_gateway: GatewayFixture) -> None:
    response = await sqlite_gateway.client.get("/l/x", headers={"Accept-Language": "es-CO,es;q=0.9"})
    assert "Este enlace no funciona" in response.text


async def test_refusal_page_names_no_contact_of_another_program(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url) as first:
        program = first.programs["asis-global"]
    other = replace(program, id="other", mailbox="other@example.org")
    async with gateway_fixture(sqlite_url, [], programs={"asis-global": program, "other": other}) as made:
        unknown = await made.client.get("/l/x")
        known = await made.client.get(made.path("feedback", "p-ana", ""))
    assert "@example.org" not in unknown.text
    assert "mentoring@example.org" in known.text
    assert "other@example.org" not in known.text


@pytest.mark.rule("MAIL5")
async def test_page_uses_the_readers_language_over_the_browsers(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("feedback", "p-ana", "")
    response = await sqlite_gateway.client.get(path, headers={"Accept-Language": "en"})
    assert "¿Qué funciona y qué no?" in response.text
    await sqlite_gateway.change(Member, "ana", preferences={"language": "en"})
    assert "What works" in (await sqlite_gateway.client.get(path)).text
    await sqlite_gateway.change(Member, "ana", preferences={}, languages=["pt", "es-CO"])
    assert '<html lang="es"' in (await sqlite_gateway.client.get(path)).text
    await sqlite_gateway.change(Member, "ana", languages=["pt"])
    assert '<html lang="en"' in (await sqlite_gateway.client.get(path)).text


@pytest.mark.rule("SUR4")
async def test_input_is_kept_during_a_database_outage(gateway: GatewayFixture) -> None:
    path = gateway.path("feedback", "p-marcus", "")
    text = "The second call was the best one.\n<b>Thank you</b> & more"
    fault = DatabaseFault(gateway.database)
    fault.down = True
    with capture_logs():
        response = await gateway.client.post(path, data={"text": text, "form": "x"})
        shown = await gateway.client.get(path)
    assert (response.status_code, shown.status_code) == (503, 503)
    assert int(response.headers["retry-after"]) > 0
    assert (
        "The second call was the best one.\n&lt;b&gt;Thank you&lt;/b&gt; &amp; more</textarea>"
        in response.text
    )
    assert '<input type="hidden" name="form" value="x">' in response.text
    assert "<form" not in shown.text
    fault.down = False
    assert (await gateway.client.post(path, data={"text": text, "form": "x"})).status_code == 200


async def test_links_are_refused_without_the_programs_clock(sqlite_gateway: GatewayFixture) -> None:
    sqlite_gateway.clock_broken = True
    with capture_logs():
        response = await sqlite_gateway.client.post(
            sqlite_gateway.path("answer", "p-marcus", "request/r-1"), data={"answer": "accept"}
        )
    assert response.status_code == 503
    assert '<input type="hidden" name="answer" value="accept">' in response.text
    assert await stored(sqlite_gateway) == []


async def test_internal_error_page_keeps_input_and_hides_details(sqlite_url: str) -> None:
    class Broken:
        async def get(self, visit: LinkVisit) -> LinkPage:
            raise AssertionError("a secret detail")

        async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
            return await self.get(visit)

    async with gateway_fixture(sqlite_url, handlers={"broken": Broken()}) as made:
        path = made.path("broken", "p-ana", "")
        with capture_logs() as logs:
            answers = [await made.client.get(path), await made.client.post(path, data={"text": "Dear staff"})]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert "Dear staff" in answers[1].text
    assert not any("secret detail" in answer.text for answer in answers)
    assert [log["event"] for log in logs] == ["personal_link_failed"] * 2


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"answer": "accept"}'),
        ("text/plain", b"answer=accept"),
        ("", b"answer=accept"),
        ("multipart/form-data", b"answer=accept"),
        ("multipart/form-data; boundary=x", b"--x\r\nnothing"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="answer"; filename="a"\r\n\r\naccept\r\n--x--\r\n',
        ),
        ("application/x-www-form-urlencoded", b"&&&%%%=\xff\x00"),
        ("application/x-www-form-urlencoded", b"answer=&answer=decline&answer=x"),
        ("application/x-www-form-urlencoded", b""),
    ],
)
async def test_malformed_form_shows_the_page_again(
    sqlite_gateway: GatewayFixture, content_type: str, body: bytes
) -> None:
    path = sqlite_gateway.path("answer", "p-marcus", "request/r-1")
    response = await sqlite_gateway.client.post(path, content=body, headers={"content-type": content_type})
    assert response.status_code == 422
    assert "Please choose an answer." in response.text
    assert await stored(sqlite_gateway) == []


async def test_form_over_one_mebibyte_is_refused(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("feedback", "p-marcus", "")
    response = await sqlite_gateway.client.post(path, data={"text": "x" * (1 << 20)})
    assert response.status_code == 413
    assert "too much for this page" in response.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(sqlite_gateway: GatewayFixture, method: str) -> None:
    path = sqlite_gateway.path("answer", "p-marcus", "request/r-1")
    response = await sqlite_gateway.client.request(method, path)
    assert response.status_code == 405
    assert await stored(sqlite_gateway) == []


async def test_every_link_of_every_kind_has_a_handler(sqlite_gateway: GatewayFixture) -> None:
    for kind in KINDS.values():
        for purpose, detail in kind.links.values():
            path = sqlite_gateway.path(purpose, "p-ana", f"{kind.name}/unknown", detail)
            with capture_logs() as logs:
                response = await sqlite_gateway.client.get(path)
            assert response.status_code == 404
            assert [log["reason"] for log in logs] == ["not_theirs"], purpose
