"""The words of the console: complete in each language, with a name for whatever the product may show."""

from __future__ import annotations

import re

import pytest

from database.models import DECISIONS, Task
from database.task_closing import CLOSINGS
from gateway.console.shell import NAVIGATION, NOTICES
from gateway.pages import TEMPLATES, Pages
from rules.credit import REVOCATIONS
from rules.engagement import END_REASONS
from rules.kinds import KINDS
from rules.messages import CATALOGUE
from staff.accounts.directory import ROLES
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW

PAGES = Pages(TEMPLATES / "pages" / "console")
NAMES = re.compile(r"{(\w+)}")


def needed() -> set[str]:
    """The keys that pages put together from names of the product."""
    kinds = KINDS.values()
    return {
        *(f"nav.{each.key}" for each in NAVIGATION),
        *(f"said.{name}" for name in NOTICES),
        *(f"role.{role}" for role in ROLES),
        *(f"kind.{kind.name}" for kind in kinds),
        *(f"nav.{kind.name}s" for kind in kinds),
        *(f"state.{state}" for kind in kinds for state in kind.states),
        *(f"act.{act}.{word}" for kind in kinds for act in kind.staff_acts for word in ("name", "text")),
        *(f"unit.{unit}" for kind in kinds for unit in kind.units),
        *(f"task.{kind}" for kind in CLOSINGS),
        *(f"todo.{kind}" for kind in CLOSINGS),
        *(f"message.{message.partition('.')[2]}" for message in CATALOGUE),
        *(f"party.{message.partition('.')[0]}" for message in CATALOGUE),
        *(f"decision.{decision}" for decision in DECISIONS),
        *(f"because.{reason}" for reason in (*END_REASONS, *REVOCATIONS)),
    }


@pytest.mark.parametrize("language", ["en", "es"])
def test_everything_that_is_shown_has_a_word(language: str) -> None:
    texts = PAGES.texts(language)
    assert {key for key in needed() if not texts.has(key)} == set()


def test_languages_have_the_same_sentences_with_the_same_names() -> None:
    english, spanish = PAGES.texts("en").texts, PAGES.texts("es").texts
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        assert set(NAMES.findall(str(text))) == set(NAMES.findall(str(spanish[key]))), key


async def test_page_shows_by_its_name_what_it_has_no_word_for(console: ConsoleFixture) -> None:
    unknown = Task(kind="moon_is_full", subject="x/y", cause="1", action="Wait.", opened_at=NOW, due_at=NOW)
    await console.add(unknown)
    for who in ("mia", "vito"):
        answer = await console.get(who, "/staff")
        assert answer.status_code == 200
        assert "moon is full" in answer.text


async def test_address_that_is_not_served_is_a_page_of_the_console(console: ConsoleFixture) -> None:
    answer = await console.get("mia", "/staff/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


async def test_act_that_began_on_a_list_leads_back_to_it(console: ConsoleFixture) -> None:
    path = "/staff/act/cancel?target=engagement/r-2"
    page = await console.get("mia", f"{path}&back=/staff%3Ftasks%3Dall%26page%3D2")
    assert 'href="/staff?tasks=all&amp;page=2"' in page.text
    elsewhere = await console.get("mia", f"{path}&back=https://evil.example/")
    assert "evil.example" not in elsewhere.text
