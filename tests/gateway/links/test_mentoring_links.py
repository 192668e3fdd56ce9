"""What mentors and mentees answer, agree and tell by personal links, and what becomes of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from database.erasure import erase
from database.models import Engagement, Event, EventSubject, Member, Profile, Request
from rules.engagement.confidentiality import NEUTRAL
from tests.support.gateway import NOW, GatewayFixture, engagement_row, gateway_fixture, people, request_row

HOSTILE = "<script>alert('x')</script>{{ 7*191 }}{program}\u202egnp.exe"

ANSWER = ("answer", "p-marcus", "request/r-1")
WITHDRAW = ("withdraw", "p-ana", "request/r-1")


def about(purpose: str, profile: str = "p-marcus", detail: str = "") -> tuple[str, str, str, str]:
    """A link about the engagement."""
    return purpose, profile, "engagement/r-2", detail


EVENTS: list[tuple[tuple[str, ...], dict[str, str], str, dict[str, Any], str]] = [
    (ANSWER, {"answer": "accept"}, "request.accepted", {"request": "r-1"}, "You accepted"),
    (
        ANSWER,
        {"answer": "accept", "reason": "typed, and then accepted"},
        "request.accepted",
        {"request": "r-1"},
        "You accepted",
    ),
    (ANSWER, {"answer": "decline"}, "request.declined", {"request": "r-1"}, "You declined"),
    (
        ANSWER,
        {"answer": "decline", "reason": " No time.\r\nSorry. "},
        "request.declined",
        {"request": "r-1", "reason": "No time.\nSorry."},
        "You declined",
    ),
    (WITHDRAW, {"confirm": "yes"}, "request.canceled", {"request": "r-1"}, "Su solicitud se retiró"),
    (
        WITHDRAW,
        {"reason": "Found somebody.", "confirm": "yes"},
        "request.canceled",
        {"request": "r-1", "reason": "Found somebody."},
        "Su solicitud se retiró",
    ),
    *[
        (
            about("discovery"),
            {"answer": answer},
            "engagement.discovery",
            {"engagement": "r-2", "by": "p-marcus", "answer": answer},
            words,
        )
        for answer, words in (
            ("good_fit", "Good to hear"),
            ("not_met", "Thank you for telling us"),
            ("not_a_fit", "Thank you for your clear answer"),
        )
    ],
    (
        about("plan"),
        {"months": "9", "goals": "Know five people."},
        "engagement.plan_agreed",
        {"engagement": "r-2", "months": 9, "goals": "Know five people."},
        "Your plan is saved",
    ),
    (
        about("plan", "p-ana"),
        {"end": "2028-12-24"},
        "engagement.plan_agreed",
        {"engagement": "r-2", "end": "2028-12-24"},
        "Su plan quedó guardado",
    ),
    (
        about("met", "p-ana"),
        {"answer": "yes", "date": "2028-03-14"},
        "engagement.met",
        {"engagement": "r-2", "by": "p-ana", "answer": "yes", "date": "2028-03-14"},
        "Nos alegra saberlo",
    ),
    (
        about("met"),
        {"answer": "no", "date": "2028-03-10"},
        "engagement.met",
        {"engagement": "r-2", "by": "p-marcus", "answer": "no"},
        "Thank you for telling us",
    ),
    (
        about("extend"),
        {"end": "2028-12-01", "confirm": "yes"},
        "engagement.extension_agreed",
        {"engagement": "r-2", "by": "p-marcus", "end": "2028-12-01"},
        "Your date is saved: December 1, 2028",
    ),
    *[
        (
            about("end"),
            {"reason": reason},
            "engagement.ended",
            {"engagement": "r-2", "by": "p-marcus", "reason": reason},
            "Congratulations" if reason == "goals_met" else "Your mentoring has ended",
        )
        for reason in ("goals_met", "no_fit", "no_time", "unresponsive", "other")
    ],
    (
        about("report", "p-ana"),
        {"text": "He shouted.\nTwice."},
        "engagement.misconduct_reported",
        {"engagement": "r-2", "by": "p-ana", "text": "He shouted.\nTwice."},
        "Gracias por contarnos",
    ),
]


@pytest.mark.rule("REQ4", "REQ8")
async def test_waiting_mentee_sees_until_when_the_request_stays_open(sqlite_gateway: GatewayFixture) -> None:
    page = (await sqlite_gateway.client.get(sqlite_gateway.path(*WITHDRAW))).text
    assert "¿Prefiere seguir esperando?" in page
    assert "sigue abierta hasta el 27 de marzo de 2028" in page


@pytest.mark.rule("REQ5", "REQ6", "REQ7", "ENG2", "ENG3", "ENG4", "ENG5", "ENG7", "ENG8")
@pytest.mark.parametrize(
    ("link", "form", "kind", "data", "words"), EVENTS, ids=[f"{e[2]}-{n}" for n, e in enumerate(EVENTS)]
)
async def test_answer_becomes_its_event_and_the_page_confirms_it(
    sqlite_gateway: GatewayFixture,
    link: tuple[str, str, str],
    form: dict[str, str],
    kind: str,
    data: dict[str, Any],
    words: str,
) -> None:
    response = await sqlite_gateway.client.post(sqlite_gateway.path(*link), data=form)
    assert response.status_code == 200
    assert words in response.text
    (event,) = await sqlite_gateway.events()
    assert (event.source, event.type, event.data) == ("/links", kind, data)
    assert event.subject == f"{link[2].partition('/')[0]}/{link[2].partition('/')[2]}"
    assert event.occurred_at == NOW
    assert event.state == "stored"
    assert sqlite_gateway.poke.worked >= 1


@pytest.mark.rule("REQ10")
@pytest.mark.parametrize(("link", "form"), [(e[0], e[1]) for e in EVENTS[:1] + EVENTS[6:7] + EVENTS[12:16]])
async def test_repeated_or_concurrent_answer_is_one_event(
    gateway: GatewayFixture, link: tuple[str, str, str], form: dict[str, str]
) -> None:
    path = gateway.path(*link)
    answers = await asyncio.gather(*(gateway.client.post(path, data=form) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    await gateway.client.post(path, data=form)
    assert len(await gateway.events()) == 1


@pytest.mark.rule("REQ10")
async def test_second_answer_to_a_request_shows_the_state_only(
    sqlite_gateway: GatewayFixture,
) -> None:
    accept, decline = sqlite_gateway.path(*ANSWER, "accept"), sqlite_gateway.path(*ANSWER, "decline")
    await sqlite_gateway.client.post(accept, data={"answer": "accept"})
    for path in (accept, decline, sqlite_gateway.path(*ANSWER, days=3)):
        for response in (
            await sqlite_gateway.client.get(path),
            await sqlite_gateway.client.post(path, data={"answer": "decline", "reason": "changed my mind"}),
        ):
            assert response.status_code == 200
            assert "You accepted this request" in response.text
            assert "<form" not in response.text
    taken_back = await sqlite_gateway.client.post(sqlite_gateway.path(*WITHDRAW), data={})
    assert "Su solicitud fue aceptada" in taken_back.text
    assert [event.type for event in await sqlite_gateway.events()] == ["request.accepted"]


async def test_refused_answer_may_be_given_again(gateway: GatewayFixture) -> None:
    path = gateway.path(*ANSWER)
    await gateway.client.post(path, data={"answer": "accept"})
    async with gateway.database.begin() as session:
        (event,) = await gateway.events()
        event.state = "refused"
        await session.merge(event)
    assert "<form" in (await gateway.client.get(path)).text
    await gateway.client.post(path, data={"answer": "accept"})
    assert [event.state for event in await gateway.events()] == ["refused", "stored"]


@pytest.mark.rule("REQ10")
@pytest.mark.parametrize(
    ("state", "to_mentor", "to_mentee"),
    [
        ("accepted", "You accepted", "Su solicitud fue aceptada"),
        ("declined", "You declined", "no pudo aceptar su solicitud"),
        ("canceled", "was withdrawn", "se retiró"),
        ("expired", "has expired", "venció"),
        ("unavailable", "was not passed on", "no recibe más mentees"),
    ],
)
async def test_closed_request_page_says_so_to_both_parties(
    sqlite_gateway: GatewayFixture, state: str, to_mentor: str, to_mentee: str
) -> None:
    await sqlite_gateway.change(Request, "r-1", state=state, closed_at=NOW)
    for link, words in ((ANSWER, to_mentor), (WITHDRAW, to_mentee)):
        for response in (
            await sqlite_gateway.client.get(sqlite_gateway.path(*link)),
            await sqlite_gateway.client.post(sqlite_gateway.path(*link), data={"answer": "accept"}),
        ):
            assert response.status_code == 200
            assert words in response.text
            assert ("directory" in response.text) is (link is WITHDRAW and state != "accepted")
    assert await sqlite_gateway.events() == []


@pytest.mark.rule("REQ5")
async def test_past_due_request_can_still_be_answered(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.change(Request, "r-1", state="past_due")
    assert (
        "You accepted"
        in (await sqlite_gateway.client.post(sqlite_gateway.path(*ANSWER), data={"answer": "accept"})).text
    )


@pytest.mark.rule("REQ1", "REQ2")
async def test_mentor_page_shows_mentee_wish_duration_and_deadline(sqlite_url: str) -> None:
    asked = request_row(message="Would an hour a month suit you?", areas=["Career", "Management"], months=6)
    async with gateway_fixture(sqlite_url, [*people(), asked]) as made:
        page = (await made.client.get(made.path(*ANSWER))).text
        assert "Ana Pérez Castillo" in page
        assert "Would an hour a month suit you?" in page
        assert "Career, Management" in page
        assert "6 months" in page
        assert "March 15, 2028, 5:00\u202fPM (New York)" in page
        made.at = NOW + timedelta(days=3)
        assert "March 15, 2028" not in (await made.client.get(made.path(*ANSWER))).text


@pytest.mark.rule("REQ1", "ENG3")
async def test_mentor_page_names_the_usual_length_where_none_was_asked_for(
    sqlite_gateway: GatewayFixture,
) -> None:
    page = (await sqlite_gateway.client.get(sqlite_gateway.path(*ANSWER))).text
    assert "6 months (the usual length; the two of you can agree on another)" in page


@pytest.mark.rule("REQ5")
async def test_no_page_shows_the_other_partys_address(sqlite_gateway: GatewayFixture) -> None:
    links = [ANSWER, WITHDRAW]
    for purpose in ("discovery", "plan", "met", "extend", "end", "report"):
        links += [about(purpose, who)[:3] for who in ("p-ana", "p-marcus")]
    for link in links:
        for response in (
            await sqlite_gateway.client.get(sqlite_gateway.path(*link)),
            await sqlite_gateway.client.post(sqlite_gateway.path(*link), data={}),
        ):
            assert "ana@example.org" not in response.text
            assert "marcus@example.org" not in response.text


@pytest.mark.rule("REQ6", "MAIL9")
async def test_mail_link_orders_the_answers_and_presets_none(sqlite_gateway: GatewayFixture) -> None:
    accept = (await sqlite_gateway.client.get(sqlite_gateway.path(*ANSWER, "accept"))).text
    decline = (await sqlite_gateway.client.get(sqlite_gateway.path(*ANSWER, "decline"))).text
    assert accept.index('value="accept"') < accept.index('value="decline"')
    assert decline.index('value="decline"') < decline.index('value="accept"')
    assert " checked" not in accept + decline
    await sqlite_gateway.client.post(sqlite_gateway.path(*ANSWER, "accept"), data={"answer": "decline"})
    assert [event.type for event in await sqlite_gateway.events()] == ["request.declined"]


@pytest.mark.rule("ENG2", "ENG4", "ENG7", "MAIL9")
@pytest.mark.parametrize(
    ("purpose", "detail"),
    [("discovery", "not_a_fit"), ("met", "yes"), ("end", "goals_met"), ("end", "no_time")],
)
async def test_answer_in_the_link_of_an_older_mail_is_not_preset(
    sqlite_gateway: GatewayFixture, purpose: str, detail: str
) -> None:
    page = (await sqlite_gateway.client.get(sqlite_gateway.path(*about(purpose, detail=detail)))).text
    assert f'value="{detail}" required>' in page
    assert " checked" not in page


WRONG: list[tuple[tuple[str, str, str, str], dict[str, str], str]] = [
    (about("discovery"), {}, "Please choose an answer."),
    (about("discovery"), {"answer": "perhaps"}, "Please choose an answer."),
    (about("plan"), {}, "Please enter months, a date, or goals."),
    (about("plan"), {"months": "six"}, "whole number of months"),
    (about("plan"), {"months": "0"}, "whole number of months"),
    (about("plan"), {"months": "121"}, "whole number of months"),
    (about("plan"), {"months": "-3"}, "whole number of months"),
    (about("plan"), {"months": "٣"}, "whole number of months"),
    (about("plan"), {"months": "9" * 5_000}, "whole number of months"),
    (about("plan"), {"months": "6", "end": "2028-12-24"}, "either months or a date"),
    (about("plan"), {"end": "24.12.2028"}, "a valid date"),
    (about("plan"), {"end": "2028-03-14"}, "a date after today"),
    (about("plan"), {"end": "2049-01-01"}, "20 years away"),
    (about("plan"), {"goals": "x" * 10_001}, "longer than 10,000 characters"),
    (about("met"), {}, "Please choose an answer."),
    (about("met"), {"answer": "yes", "date": "2028-02-30"}, "a valid date"),
    (about("met"), {"answer": "yes", "date": "2028-03-15"}, "a date that is not in the future"),
    (about("met"), {"answer": "yes", "date": "2028-01-09"}, "before the two of you started"),
    (about("extend"), {}, "a valid date"),
    (about("extend"), {"end": "2028-12-01"}, "Please check the box"),
    ((*WITHDRAW, ""), {}, "Marque la casilla"),
    (about("extend"), {"end": "2028-03-01"}, "a date after today"),
    (about("extend"), {"end": "2028-07-10"}, "The planned end is already July 10, 2028"),
    (about("end"), {}, "Please choose an answer."),
    (about("end"), {"reason": "boredom"}, "Please choose an answer."),
    (about("report"), {}, "Please write something first."),
    (about("report"), {"text": "x" * 10_001}, "longer than 10,000 characters"),
    ((*ANSWER, ""), {"answer": "decline", "reason": "x" * 10_001}, "longer than 10,000 characters"),
]


@pytest.mark.parametrize("purpose", sorted({link[0] for link, _, _ in WRONG}))
async def test_mistake_stands_beside_its_field_and_input_is_kept(
    sqlite_gateway: GatewayFixture, purpose: str
) -> None:
    for link, form, words in WRONG:
        if link[0] != purpose:
            continue
        response = await sqlite_gateway.client.post(sqlite_gateway.path(*link), data=form)
        assert response.status_code == 422, form
        assert words in response.text
        assert 'role="alert"' in response.text
        typed = [value for name, value in form.items() if name not in ("answer", "reason") or len(value) > 20]
        assert [value for value in typed if value not in response.text] == []
    assert await sqlite_gateway.events() == []


@pytest.mark.rule("ENG1")
async def test_today_follows_the_programs_time_zone(sqlite_gateway: GatewayFixture) -> None:
    sqlite_gateway.at = datetime(2028, 3, 15, 2, 0, tzinfo=UTC)  # still the 14th in New York
    path = sqlite_gateway.path(*about("met"))
    assert (
        await sqlite_gateway.client.post(path, data={"answer": "yes", "date": "2028-03-15"})
    ).status_code == 422
    assert (
        await sqlite_gateway.client.post(path, data={"answer": "yes", "date": "2028-03-14"})
    ).status_code == 200


@pytest.mark.rule("ENG2")
async def test_answer_can_be_changed_and_changed_back(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path(*about("discovery"))
    for answer in ("not_met", "not_met", "good_fit"):
        await sqlite_gateway.client.post(path, data={"answer": answer})
    page = (await sqlite_gateway.client.get(path)).text
    assert "Your answer so far: It is a good fit." in page
    assert 'value="not_met"' not in page
    assert (await sqlite_gateway.client.post(path, data={"answer": "not_met"})).status_code == 422
    await sqlite_gateway.client.post(path, data={"answer": "not_a_fit"})
    assert [event.data["answer"] for event in await sqlite_gateway.events()] == [
        "not_met",
        "good_fit",
        "not_a_fit",
    ]
    assert "Your match with" in (await sqlite_gateway.client.get(path)).text


@pytest.mark.rule("ENG2", "ENG4")
async def test_neither_party_sees_the_others_answer(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.client.post(
        sqlite_gateway.path(*about("discovery", "p-ana")), data={"answer": "not_met"}
    )
    await sqlite_gateway.client.post(sqlite_gateway.path(*about("met", "p-ana")), data={"answer": "no"})
    for purpose in ("discovery", "met"):
        page = (await sqlite_gateway.client.get(sqlite_gateway.path(*about(purpose)))).text
        assert "Your answer so far" not in page
        assert " checked" not in page


@pytest.mark.rule("ENG4")
async def test_pulse_links_of_one_month_share_one_question(sqlite_gateway: GatewayFixture) -> None:
    yes, no = (
        sqlite_gateway.path(*about("met", detail="yes")),
        sqlite_gateway.path(*about("met", detail="no")),
    )
    next_month = sqlite_gateway.path(*about("met", detail="yes"), days=90)
    for path, answer in ((yes, "yes"), (no, "yes"), (next_month, "yes"), (no, "no")):
        await sqlite_gateway.client.post(path, data={"answer": answer})
    assert [event.data["answer"] for event in await sqlite_gateway.events()] == ["yes", "yes", "no"]


@pytest.mark.rule("ENG3")
async def test_plan_page_shows_the_plan_and_later_takes_only_goals(sqlite_url: str) -> None:
    """After an extension the page takes goals, but no new length."""
    extended = {"new_ends": [{"at": NOW.isoformat(), "by": "staff", "end": "2028-11-30"}]}
    rows = [*people(), engagement_row(goals="Old goals"), engagement_row("r-3", facts=extended)]
    async with gateway_fixture(sqlite_url, rows) as made:
        path = made.path(*about("plan"))
        page = (await made.client.get(path)).text
        assert "until July 10, 2028" in page
        assert "Old goals" in page
        await made.client.post(path, data={"goals": "New goals"})
        assert "New goals" in (await made.client.get(path)).text
        settled = made.path("plan", "p-marcus", "engagement/r-3")
        page = (await made.client.get(settled)).text
        assert "November 30, 2028" in page
        assert 'name="months"' not in page
        assert (await made.client.post(settled, data={"months": "9"})).status_code == 422
        assert (await made.client.post(settled, data={"goals": "New"})).status_code == 200


@pytest.mark.rule("ENG5")
async def test_extension_counts_when_both_name_the_same_day(sqlite_gateway: GatewayFixture) -> None:
    mentor, mentee = sqlite_gateway.path(*about("extend")), sqlite_gateway.path(*about("extend", "p-ana"))
    assert "El final previsto es el 10 de julio de 2028" in (await sqlite_gateway.client.get(mentee)).text
    first = await sqlite_gateway.client.post(mentor, data={"end": "2028-12-01", "confirm": "yes"})
    assert "As soon as Ana" in first.text.replace("<bdi>", "")
    assert "You suggested December 1, 2028" in (await sqlite_gateway.client.get(mentor)).text
    page = (await sqlite_gateway.client.get(mentee)).text.replace("<bdi>", "").replace("</bdi>", "")
    assert "Marcus Oyelaran propone el 1 de diciembre de 2028" in page
    assert 'value="2028-12-01"' in page
    other = await sqlite_gateway.client.post(mentee, data={"end": "2028-11-01", "confirm": "yes"})
    assert "Su fecha quedó guardada" in other.text
    assert (
        "De acuerdo"
        in (await sqlite_gateway.client.post(mentee, data={"end": "2028-12-01", "confirm": "yes"})).text
    )
    assert [event.data["end"] for event in await sqlite_gateway.events()] == [
        "2028-12-01",
        "2028-11-01",
        "2028-12-01",
    ]


@pytest.mark.rule("ENG5")
async def test_day_already_voted_for_is_shown(sqlite_url: str) -> None:
    votes = {"votes": [{"by": "mentee", "end": "2028-10-02", "at": NOW.isoformat()}]}
    async with gateway_fixture(sqlite_url, [*people(), engagement_row(facts=votes)]) as made:
        assert "suggests October 2, 2028" in (await made.client.get(made.path(*about("extend")))).text


CLOSED = [
    ("completed", "is complete"),
    ("ended", "has ended"),
    ("no_fit", "is closed"),
    ("canceled", "The program ended"),
]


@pytest.mark.rule("ENG7")
@pytest.mark.parametrize(("state", "words"), CLOSED)
async def test_closed_engagement_page_says_so_and_takes_no_answer(
    sqlite_gateway: GatewayFixture, state: str, words: str
) -> None:
    await sqlite_gateway.change(Engagement, "r-2", state=state, closed_at=NOW)
    for purpose in ("discovery", "plan", "met", "extend", "end"):
        path = sqlite_gateway.path(*about(purpose))
        for response in (
            await sqlite_gateway.client.get(path),
            await sqlite_gateway.client.post(path, data={"answer": "yes"}),
        ):
            assert response.status_code == 200
            assert words in response.text
    assert await sqlite_gateway.events() == []


@pytest.mark.rule("ENG7")
async def test_end_event_counts_before_it_is_applied(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.client.post(sqlite_gateway.path(*about("end")), data={"reason": "goals_met"})
    page = await sqlite_gateway.client.post(
        sqlite_gateway.path(*about("end", "p-ana")), data={"reason": "no_fit"}
    )
    assert "se completó" in page.text
    assert len(await sqlite_gateway.events()) == 1


@pytest.mark.rule("ENG8", "ENG11")
@pytest.mark.parametrize("who", ["p-ana", "p-marcus"])
@pytest.mark.parametrize(
    ("purpose", "form"),
    [
        ("discovery", {"answer": "good_fit"}),
        ("discovery", {"answer": "not_a_fit"}),
        ("plan", {"months": "7", "goals": "Know five people."}),
        ("met", {"answer": "yes"}),
        ("extend", {"end": "2028-12-01", "confirm": "yes"}),
        ("end", {"reason": "goals_met"}),
    ],
)
async def test_suspension_shows_what_a_pause_shows(
    sqlite_gateway: GatewayFixture, who: str, purpose: str, form: dict[str, str]
) -> None:
    """In a suspension the rules refuse the answer, in a pause it counts. The pages are the same."""
    path, shown = sqlite_gateway.path(*about(purpose, who)), []
    for state in ("paused", "suspended"):
        await sqlite_gateway.change(Engagement, "r-2", state=state)
        before = await sqlite_gateway.client.get(path)
        done = await sqlite_gateway.client.post(path, data=form)
        (event,) = await sqlite_gateway.events()
        if state == "suspended":
            await sqlite_gateway.change(Event, event.id, state="refused", reason=NEUTRAL)
        pages = before, done, await sqlite_gateway.client.get(path)
        shown.append([(page.status_code, page.text) for page in pages])
        async with sqlite_gateway.database.begin() as session:
            await session.execute(delete(EventSubject))
            await session.execute(delete(Event))
    assert shown[0] == shown[1]


@pytest.mark.rule("ENG8")
async def test_misconduct_report_changes_no_other_page(sqlite_gateway: GatewayFixture) -> None:
    paths = [
        sqlite_gateway.path(*about(purpose)) for purpose in ("discovery", "plan", "met", "extend", "end")
    ]
    before = [(await sqlite_gateway.client.get(path)).text for path in paths]
    await sqlite_gateway.client.post(
        sqlite_gateway.path(*about("report", "p-ana")), data={"text": "He shouted."}
    )
    assert [(await sqlite_gateway.client.get(path)).text for path in paths] == before


@pytest.mark.rule("ENG8")
@pytest.mark.parametrize(
    "state", ["active", "paused", "suspended", "completed", "ended", "no_fit", "canceled"]
)
async def test_misconduct_can_be_reported_in_every_state_and_stays_hidden(
    sqlite_gateway: GatewayFixture, state: str
) -> None:
    await sqlite_gateway.change(Engagement, "r-2", state=state)
    path = sqlite_gateway.path(*about("report"))
    before = (await sqlite_gateway.client.get(path)).text
    done = await sqlite_gateway.client.post(path, data={"text": "He shouted."})
    assert "shouted" not in done.text
    assert (await sqlite_gateway.client.get(path)).text == before
    assert [event.type for event in await sqlite_gateway.events()] == ["engagement.misconduct_reported"]
    await sqlite_gateway.client.post(path, data={"text": "And again."})
    assert len(await sqlite_gateway.events()) == 2


@pytest.mark.rule("ENG8")
async def test_other_party_sees_nothing_of_a_report(sqlite_gateway: GatewayFixture) -> None:
    other = [sqlite_gateway.path(*about(purpose)) for purpose in ("report", "feedback")]
    before = [(await sqlite_gateway.client.get(path)).text for path in other]
    await sqlite_gateway.client.post(
        sqlite_gateway.path(*about("report", "p-ana")), data={"text": "He shouted."}
    )
    assert [(await sqlite_gateway.client.get(path)).text for path in other] == before


async def test_hostile_names_and_texts_are_escaped(sqlite_url: str) -> None:
    rows = [*people(), request_row(message=HOSTILE, areas=[HOSTILE]), engagement_row(goals=HOSTILE)]
    for row in rows:
        if isinstance(row, Member):
            row.name = HOSTILE
    async with gateway_fixture(sqlite_url, rows) as made:
        typed = dict.fromkeys(("reason", "goals", "months", "date"), HOSTILE)
        links = [ANSWER, WITHDRAW]
        links += [about(purpose)[:3] for purpose in ("discovery", "plan", "met", "extend", "end", "report")]
        for link in links:
            path = made.path(*link)
            for response in (
                await made.client.get(path),
                await made.client.post(path, data=typed),
            ):
                assert response.status_code in (200, 422)
                assert "<script" not in response.text
                assert "{{ 7*191 }}" in response.text
                assert "1337" not in response.text


async def test_row_with_unreadable_facts_still_has_a_page(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.change(Engagement, "r-2", facts={})
    await sqlite_gateway.change(Request, "r-1", facts={"created_at": "yesterday"})
    for link in (ANSWER, about("plan"), about("extend"), about("discovery")):
        assert (await sqlite_gateway.client.get(sqlite_gateway.path(*link))).status_code == 200
    response = await sqlite_gateway.client.post(
        sqlite_gateway.path(*about("extend")), data={"end": "2028-05-01", "confirm": "yes"}
    )
    assert response.status_code == 200


async def test_unknown_state_shows_a_neutral_page(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.change(Engagement, "r-2", state="under_review")
    assert (
        "There is nothing to do here right now"
        in (await sqlite_gateway.client.get(sqlite_gateway.path(*about("met")))).text
    )


async def test_links_of_an_erased_member_lead_nowhere(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, [*people()[:1], *people()[3:4]]) as made:
        assert (await made.client.get(made.path(*ANSWER))).status_code == 404


async def test_withdrawn_profile_may_still_answer(sqlite_gateway: GatewayFixture) -> None:
    await sqlite_gateway.change(Profile, "p-marcus", withdrawn_at=NOW)
    assert (
        await sqlite_gateway.client.post(sqlite_gateway.path(*ANSWER), data={"answer": "decline"})
    ).status_code == 200


@pytest.mark.rule("STA5", "MAIL9")
async def test_links_in_old_mail_of_an_erased_member_lead_nowhere(sqlite_gateway: GatewayFixture) -> None:
    async with sqlite_gateway.database.begin() as session:
        await erase(session, "marcus", "lina", True, NOW)
    for purpose in (ANSWER, about("met")):
        assert (await sqlite_gateway.client.get(sqlite_gateway.path(*purpose))).status_code == 404
