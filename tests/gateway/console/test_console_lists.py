"""Lists, search and files of the console, and what each role sees in them."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from database import audit, mail_bodies, person_keys
from database.models import Cohort, CohortMember, Engagement, Feedback, Message, Profile, Report, Survey, Task
from database.session import Database
from gateway.app import create_app
from gateway.console.spreadsheets import cell
from rules.engagement.confidentiality import DROPPED_BY_SUSPENSION
from rules.text import folded
from staff.accounts.directory import assign, find_account, unassign
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import NOW, at_the_gate, engagement_row, member, people, profile, request_row

SECRET = "He shouted at me in the parking lot."
GOALS = "To leave my present employer."


def with_a_stranger() -> list[Any]:
    """Everybody, and an engagement of Ana and Eva, whom no coordinator is assigned."""
    pair = {"mentor_id": "p-eva", "mentee_id": "p-ana"}
    strange = engagement_row("r-3", goals=GOALS)
    strange.mentor_id, strange.facts = "p-eva", {**strange.facts, "mentor": "p-eva"}
    return [*people(), request_row(), engagement_row(goals=GOALS), request_row("r-3", **pair), strange]


@pytest.fixture
async def staffed(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    """The console on both databases, with somebody whom Cora is not assigned."""
    async with console_fixture(migrated_url, with_a_stranger()) as made:
        yield made


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


SEARCHES = {
    "perez": {"ana"},
    "PÉREZ ana": {"ana"},
    "ana@EXAMPLE.org": {"ana"},
    "p-marcus": {"marcus"},
    "marcus": {"marcus"},
    "%": set(),
    "_": set(),
    "nobody": set(),
    "example.org": {"ana", "marcus", "eva"},
}


async def test_people_are_found_without_accents_and_case(staffed: ConsoleFixture) -> None:
    found = {}
    for search in SEARCHES:
        answer = await (await staffed.client("mia")).get("/staff/people.csv", params={"search": search})
        found[search] = {row["member"] for row in rows_of(answer.text)}
    assert found == SEARCHES


async def test_lifecycles_are_found_by_person_and_id(staffed: ConsoleFixture) -> None:
    client = await staffed.client("mia")
    for search, wanted in {"oyelaran": {"r-2"}, "r-3": {"r-3"}, "castillo": {"r-2", "r-3"}}.items():
        answer = await client.get("/staff/engagements.csv", params={"search": search})
        assert {row["id"].partition("/")[2] for row in rows_of(answer.text)} == wanted


NOT_HIS = ("Eva", "eva@example.org", "p-eva", "r-3")
"""What nobody learns who is assigned Ana and Marcus only."""


async def through_a_partner(staffed: ConsoleFixture, *, in_cohort: bool) -> None:
    """Cora is assigned a partner, Altavista, in place of Ana and Marcus, who come from it; Eva comes from another.

    In the cohort, Eva comes from Altavista too, but takes part in another one.
    """
    if in_cohort:
        cohorts = [
            Cohort(
                workflow=f"cohort/{name}",
                id=name,
                program="asis-global",
                policy_version="1",
                state="running",
                state_since=NOW,
                facts={},
                opens_on="2028-01-01",
                closes_on="2028-01-05",
                kick_off_on="2028-01-10",
                months=6,
            )
            for name in ("c-1", "c-2")
        ]
        members = {"p-ana": "c-1", "p-marcus": "c-1", "p-eva": "c-2"}
        await staffed.add(
            *cohorts,
            *(
                CohortMember(
                    cohort_id=cohort, profile_id=each, role="mentor", partner="altavista", joined_at=NOW
                )
                for each, cohort in members.items()
            ),
        )
    for name, partner in {"p-ana": "altavista", "p-marcus": "altavista", "p-eva": "horizonte"}.items():
        await staffed.gateway.change(Profile, name, partner=partner)
    async with staffed.gateway.database.begin() as session:
        cora = await find_account(session, "cora@staff.example")
        assert cora is not None
        for name in ("ana", "marcus"):
            await unassign(session, cora, f"member/{name}", "test", datetime.now(UTC))
        within = "c-1" if in_cohort else "asis-global"
        await assign(session, cora, f"partner/{within}/altavista", "test", datetime.now(UTC))


@pytest.mark.rule("COH4")
@pytest.mark.parametrize("assigned", ["members", "partner", "partner in a cohort"])
async def test_coordinator_sees_nothing_of_others_people(staffed: ConsoleFixture, assigned: str) -> None:
    if assigned != "members":
        await through_a_partner(staffed, in_cohort="cohort" in assigned)
    await staffed.add(
        Task(kind="inactive", subject="engagement/r-3", cause="1", action="Eva", opened_at=NOW, due_at=NOW),
        Message(
            delivery="d-1",
            workflow="engagement/r-3",
            step="x",
            occurrence=1,
            message="mentee.match",
            message_class="owed",
            program="asis-global",
            to_profile="p-ana",
            member_id="ana",
            planned_at=NOW,
            due_at=NOW,
            decided_at=NOW,
            state="failed",
            reason="Eva",
        ),
    )
    async with staffed.gateway.database.begin() as session:
        data = {"state": "active", "due": NOW.isoformat()}
        await audit.append(session, "engagement/r-3", "state", NOW, data, veiled={"cause": "Eva accepted"})
    pages = [
        "/staff?tasks=all",
        "/staff/people",
        "/staff/people.csv",
        "/staff/people?search=eva",
        "/staff/show/member/ana",
        "/staff/engagements",
        "/staff/engagements.csv",
        "/staff/engagements?search=eva",
        "/staff/requests",
        "/staff/requests.csv",
        "/staff/mail/trouble?trouble=failed",
        "/staff/events",
        "/staff/ahead",
        "/staff/curriculum",
        "/staff/curriculum.csv",
        "/staff/show/engagement/r-2",
    ]
    for path in pages:
        answer = await staffed.get("cora", path)
        assert answer.status_code == 200, path
        shown = answer.text.replace('value="eva"', "")
        assert [word for word in NOT_HIS if word in shown] == [], path
    hidden = ("/staff/show/member/eva", "/staff/show/engagement/r-3", "/staff/show/request/r-3")
    unknown = ("/staff/show/member/none", "/staff/show/engagement/none", "/staff/show/request/none")
    for path, other in zip(hidden, unknown, strict=True):
        answer, missing = await staffed.get("cora", path), await staffed.get("cora", other)
        assert (answer.status_code, missing.status_code) == (404, 404)
        assert answer.text == missing.text
    assert "Ana Pérez Castillo" in (await staffed.get("cora", "/staff/people")).text
    assert (await staffed.get("mia", "/staff/show/engagement/r-3")).status_code == 200


async def test_coordinator_of_a_program_sees_its_people(staffed: ConsoleFixture) -> None:
    async with staffed.gateway.database.begin() as session:
        cora = await find_account(session, "cora@staff.example")
        assert cora is not None
        await assign(session, cora, "program/asis-global", "test", datetime.now(UTC))
    assert (await staffed.get("cora", "/staff/show/engagement/r-3")).status_code == 200
    assert "Eva" in (await staffed.get("cora", "/staff/people")).text


MANAGERS_ONLY = ("/staff/reports", "/staff/feedback")


@pytest.mark.rule("ENG8", "STA3")
async def test_misconduct_and_free_texts_are_for_managers_on_record(staffed: ConsoleFixture) -> None:
    await staffed.add(
        Report(engagement_id="r-2", by_profile="p-ana", event_id="e-1", text=SECRET, reported_at=NOW),
        Feedback(profile_id="p-ana", event_id="e-2", text=SECRET, given_at=NOW),
        Task(
            kind="misconduct",
            subject="engagement/r-2",
            cause="misconduct, report 1",
            action="Read the report of misconduct.",
            opened_at=NOW,
            due_at=NOW,
        ),
    )
    await staffed.gateway.change(Engagement, "r-2", state="suspended")
    async with staffed.gateway.database.begin() as session:
        for kind, data, veiled in (
            ("act", {"act": "misconduct"}, None),
            ("state", {"state": "suspended", "due": NOW.isoformat()}, {"cause": "a report of misconduct"}),
            ("mail", {"delivery": "d", "message": "x", "to": "p-ana", "reason": DROPPED_BY_SUSPENSION}, None),
        ):
            await audit.append(session, "engagement/r-2", kind, NOW, data, veiled=veiled)
    pages = [
        "/staff?tasks=all",
        "/staff/engagements",
        "/staff/engagements.csv",
        "/staff/show/engagement/r-2",
        "/staff/show/member/ana",
        "/staff/events?state=refused",
    ]
    for who in ("vito", "cora"):
        for path in pages:
            text = (await staffed.get(who, path)).text.lower()
            assert "misconduct" not in text, (who, path)
            assert not {"suspended", "suspendida"} & set(text.split()), (who, path)
            assert GOALS.lower() not in text
        paused = rows_of((await staffed.get(who, "/staff/engagements.csv?state=paused")).text)
        assert [row["state"] for row in paused] == ["paused"]
        for path in MANAGERS_ONLY:
            assert (await staffed.get(who, path)).status_code == 404
            assert (await staffed.post(who, path, {"report": "1"})).status_code == 404
        for path in ("/staff/show/engagement/r-2", "/staff/dossier/r-2"):
            assert (await staffed.post(who, path)).status_code == 404
    home = (await staffed.get("mia", "/staff")).text
    assert home.index("Misconduct") < home.index("Read the report")
    assert SECRET not in (await staffed.get("mia", "/staff/reports")).text
    assert SECRET in (await staffed.post("mia", "/staff/reports", {"report": "1"})).text
    assert SECRET in (await staffed.post("mia", "/staff/feedback")).text
    assert GOALS not in (await staffed.get("mia", "/staff/show/engagement/r-2")).text
    assert GOALS in (await staffed.post("mia", "/staff/show/engagement/r-2")).text
    dossier = await staffed.post("mia", "/staff/dossier/r-2")
    assert dossier.headers["content-type"] == "application/zip"
    read = [(act, actor) for act, actor in await staffed.acts("engagement/r-2") if actor]
    assert read == [(f"{what} read", "mia@staff.example") for what in ("report", "words", "dossier")]
    assert ("feedback read", "mia@staff.example") in await staffed.acts("profile/p-ana")


FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1", " =1", "\u200b=1", "＝1", "|x")


@pytest.mark.parametrize("formula", FORMULAS)
def test_spreadsheet_executes_no_cell(formula: str) -> None:
    assert cell(formula) == f"'{formula}"


async def test_file_keeps_names_and_takes_no_formula(console: ConsoleFixture) -> None:
    await console.add(
        member("evil", '=HYPERLINK("https://evil.example","x")'), member("quote", 'A "B", C\nD')
    )
    answer = await console.get("mia", "/staff/people.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="people.csv"'
    assert answer.text.startswith("\ufeff")
    names = {row["member"]: row["name"] for row in rows_of(answer.text)}
    assert names["evil"].startswith("'=HYPERLINK")
    assert names["quote"] == 'A "B", C\nD'
    assert cell(-3) == "-3"


async def test_special_lists_find_who_waits_and_who_has_a_place(staffed: ConsoleFixture) -> None:
    await staffed.add(
        member("free", "Free Mentor"),
        profile("p-free", "free", "mentor"),
        member("alone", "Alone Mentee"),
        profile("p-alone", "alone", "mentee"),
        Task(kind="inactive", subject="engagement/r-3", cause="1", action="x", opened_at=NOW, due_at=NOW),
    )
    await staffed.gateway.change(Profile, "p-free", mentees_at_a_time=1)
    await staffed.gateway.change(Profile, "p-marcus", mentees_at_a_time=1)
    await staffed.gateway.change(Profile, "p-eva", mentees_at_a_time=2)
    shown = {}
    for show in ("unmatched", "places"):
        rows = rows_of((await staffed.get("mia", f"/staff/people.csv?show={show}")).text)
        shown[show] = {row["member"] for row in rows}
    assert shown == {"unmatched": {"alone"}, "places": {"free", "eva"}}
    stalled = rows_of((await staffed.get("mia", "/staff/engagements.csv?state=~stalled")).text)
    assert [row["id"] for row in stalled] == ["engagement/r-3"]


async def test_pages_of_a_list_have_every_row_once(staffed: ConsoleFixture) -> None:
    same = [member(f"m{number:03}", f"Same Name {number % 7}") for number in range(120)]
    requests = [request_row(f"q-{number}") for number in range(110)]
    await staffed.add(*same, *requests)
    for path, total in (("/staff/people", 123), ("/staff/requests", 112)):
        seen: list[str] = []
        at = path
        for _ in range(5):
            page = (await staffed.get("mia", at)).text
            kind = "member" if "people" in path else "request"
            seen += [each.partition('"')[0] for each in page.split(f'<td><a href="/staff/show/{kind}/')[1:]]
            if "after=" not in page:
                break
            following = page.rpartition('<nav class="pages"')[2].split('href="')[-1].partition('"')[0]
            if "Next page" not in page.rpartition('<nav class="pages"')[2]:
                break
            at = following.replace("&amp;", "&")
        assert len(seen) == len(set(seen)) == total, path


@pytest.mark.parametrize("who", ["mia", "cora"])
async def test_every_page_is_there_in_the_language_of_its_reader(sqlite_url: str, who: str) -> None:
    rows = at_the_gate()
    for row in rows:
        if isinstance(row, Survey):
            row.facts = {
                "engagement": "r-2",
                "role": row.role,
                "profile": row.profile_id,
                "opened_at": NOW.isoformat(),
            }
    async with console_fixture(sqlite_url, rows) as console:
        language = "es" if who == "cora" else "en"
        pages = [
            *("", "/people", "/requests", "/engagements", "/onboardings", "/claims", "/surveys"),
            *("/mail/trouble", "/events", "/show/member/ana", "/show/request/r-1"),
            *("/show/engagement/r-2", "/show/claim/r-2/mentor/CPP", "/show/survey/r-2/mentor"),
        ]
        for path in pages:
            answer = await console.get(who, f"/staff{path}")
            assert answer.status_code == 200, path
            assert f'<html lang="{language}"' in answer.text


def test_folding_leaves_what_people_type() -> None:
    assert folded("  José  ÁÑÜ ß\tŁ") == "jose anu ss ł"
    assert folded("Ａｎａ") == "ana"


@pytest.mark.rule("MAIL1", "STA3")
async def test_mail_is_read_as_it_was_sent_by_managers_on_record(staffed: ConsoleFixture) -> None:
    keys = staffed.gateway.links.keys
    keyed = Database(staffed.gateway.database.url, keys=keys)
    row = Message(
        delivery="d-sent",
        workflow="engagement/r-2",
        step="x",
        occurrence=1,
        message="mentee.match",
        message_class="owed",
        program="asis-global",
        to_profile="p-ana",
        member_id="ana",
        planned_at=NOW,
        due_at=NOW,
        decided_at=NOW,
        state="sent",
        subject="A mentor for you",
        content=b"From: a@example.org\r\nTo: ana@example.org\r\nSubject: x\r\n\r\nDear <b>Ana</b>,\r\n",
    )
    async with keyed.begin() as session:
        session.add(row)
        await session.flush()
        await person_keys.ensure(session, "ana", NOW)
        assert await mail_bodies.keep(session, row, NOW)
    services = replace(staffed.gateway.services, database=keyed)
    staffed.gateway.app = create_app(services, webhook_secrets=[])
    path = "/staff/mail/sent/d-sent"
    looked = await staffed.get("mia", path)
    assert "A mentor for you" in looked.text
    assert "Dear" not in looked.text
    assert await staffed.acts("member/ana") == []
    assert "Dear &lt;b&gt;Ana&lt;/b&gt;," in (await staffed.post("mia", path)).text
    assert await staffed.acts("member/ana") == [("mail read", "mia@staff.example")]
    for who in ("cora", "vito"):
        assert (await staffed.get(who, path)).status_code == 404
        assert (await staffed.post(who, path)).status_code == 404
    assert (await staffed.get("mia", "/staff/mail/sent/none")).status_code == 404
    await keyed.close()
