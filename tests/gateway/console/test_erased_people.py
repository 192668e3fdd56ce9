"""What of an erased person is shown: the word for it, in the reader's language, and never a failure (STA5)."""

from __future__ import annotations

import re

import pytest

from database import erasure
from database.session import Database
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.programs.erased_life import AT, KEYS, NAME, live

MOST_PAGES = 150
LINK = re.compile(r'href="(/staff[^"#]*)"')
START = (
    *("/staff", "/staff/people", "/staff/show/member/ana", "/staff/show/member/marcus", "/staff/events"),
    *("/staff/show/engagement/r-2", "/staff/show/request/r-2", "/staff/show/onboarding/p-ana"),
    *("/staff/show/claim/r-2/mentor/CPP", "/staff/show/survey/r-2/mentee", "/staff/show/cohort/c-1"),
    *("/staff/show/meetup/m-1", "/staff/mail/trouble", "/staff/mail/sent/d-1", "/staff/mail/sent/d-2"),
    *("/staff/search?q=Zo%C3%AB", "/staff/search?q=ana", "/staff/ahead", "/staff/reports"),
)


async def erased_life(url: str) -> None:
    """Write the life of Ana, and erase her."""
    database = Database(url, keys=KEYS)
    async with database.begin() as session:
        await live(session)
    async with database.begin() as session:
        await erasure.erase(session, "ana", "lina", True, AT)
    await database.close()


async def pages_of(console: ConsoleFixture, who: str) -> dict[str, tuple[int, str]]:
    """Follow the links of the console from some pages on; return status and text of each."""
    found: dict[str, tuple[int, str]] = {}
    waiting = [*START]
    while waiting and len(found) < MOST_PAGES:
        path = waiting.pop(0).replace("&amp;", "&")
        if path in found or "/out" in path:
            continue
        answer = await console.get(who, path)
        found[path] = answer.status_code, answer.text
        waiting += LINK.findall(answer.text)
    return found


@pytest.mark.rule("STA5")
@pytest.mark.parametrize(("who", "word"), [("mia", "erased"), ("cora", "borrado")])
async def test_every_console_page_shows_an_erased_person(sqlite_url: str, who: str, word: str) -> None:
    """Mia reads English and sees everything; Cora reads Spanish, and people of hers only."""
    await erased_life(sqlite_url)
    async with console_fixture(sqlite_url, []) as console:
        pages = await pages_of(console, who)
    assert {path: status for path, (status, _) in pages.items() if status >= 500} == {}
    readable = [path for path, (_, page) in pages.items() if NAME[:3] in page or "qz" in page]
    # A search repeats what was asked for.
    assert readable in ([], ["/staff/search?q=Zo%C3%AB"])
    shown = {path for path, (status, page) in pages.items() if status == 200 and word in page}
    wanted = {"/staff/show/engagement/r-2", "/staff/show/claim/r-2/mentor/CPP", "/staff/people"}
    assert wanted - shown == set()


@pytest.mark.rule("STA5", "CPE11")
async def test_verification_of_an_erased_document_says_so(sqlite_url: str) -> None:
    await erased_life(sqlite_url)
    async with console_fixture(sqlite_url, []) as console:
        erased = await console.get("", "/verify/certificate-1")
        kept = await console.get("", "/verify/Lm3x9QkT2vB7")
    assert erased.status_code == 410
    assert "This document was erased" in erased.text
    assert kept.status_code == 200
