"""What a search of the whole console finds: people, and lifecycles of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lifecycles.registry import LIFECYCLES
from staff.accounts.scope import Scope
from staff.lists.lifecycle_lists import LifecyclePage, ListFilter, lifecycle_page
from staff.lists.people_list import PeopleFilter, PeoplePage, people_page

MOST_PEOPLE: Final = 20
MOST_OF_A_KIND: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """The first of what matches; the lists have the rest."""

    people: PeoplePage
    lifecycles: Mapping[str, LifecyclePage]
    """By kind, without the kinds of which none matches."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing matches."""
        return not self.people.entries and not self.lifecycles


async def find(session: AsyncSession, scope: Scope, words: str) -> Found:
    """Return the people and lifecycles that somebody sees and that match a name, an address or an id.

    Ids are found with their kind, too: `member/ana` and `profile/p-ana`, like `engagement/r-1`.
    """
    people = await people_page(session, scope, PeopleFilter(search=_bare(words)), limit=MOST_PEOPLE)
    found: dict[str, LifecyclePage] = {}
    for kind in LIFECYCLES:
        page = await lifecycle_page(
            session, scope, kind, ListFilter(search=_bare(words)), limit=MOST_OF_A_KIND
        )
        if page.entries:
            found[kind] = page
    return Found(people, found)


def _bare(words: str) -> str:
    return words.removeprefix("member/").removeprefix("profile/")
