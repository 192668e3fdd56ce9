"""Links about the reader alone: which mail they want, in which language, and what they think (MAIL6, SUR4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database import audit
from database.links import Link, Links
from database.models import Feedback, Member, Profile
from database.session import Database
from gateway.links.page import LinkVisit, Page, form_text, message
from gateway.pages import Text
from rules.messages import CATALOGUE, Audience
from rules.text import LONGEST_TEXT

ONE_CLICK = ("List-Unsubscribe", "One-Click")
EVERYTHING = "*"


class Unsubscribe:
    """Stops the messages of the kind that the link's detail names (MAIL6, RFC 8058)."""

    def __init__(self, database: Database, links: Links) -> None:
        self._database = database
        self._links = links

    async def show(self, visit: LinkVisit) -> Page:
        """What will be stopped, with one button."""
        if _stopped(visit.reader.member.preferences, _what(visit)):
            return self._done(visit)
        return self._asking(visit)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Stop them, if the form says so in the words of RFC 8058."""
        name, value = ONE_CLICK
        if form.get(name) != value:
            return self._asking(visit, 400)

        def stop(before: dict[str, Any]) -> dict[str, Any]:
            if _stopped(before, _what(visit)):
                return before
            return {**before, "stopped": [*before.get("stopped", []), _what(visit)]}

        await _change(self._database, visit, "unsubscribed", stop)
        return self._done(visit)

    def _asking(self, visit: LinkVisit, status: int = 200) -> Page:
        return Page("unsubscribe.html", {"kind": _kind(_what(visit))}, status)

    def _done(self, visit: LinkVisit) -> Page:
        choose = Link("preferences", visit.link.profile, visit.link.subject, visit.link.expires)
        return message(
            "unsubscribe.done",
            {"kind": _kind(_what(visit))},
            action=("unsubscribe.choose", self._links.url(choose)),
        )


class Preferences:
    """Which mail the reader wants, and in which language (MAIL5, MAIL6)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, visit: LinkVisit) -> Page:
        """All that can be chosen, as it is now."""
        return await self._page(visit, visit.reader.member.preferences, visit.reader.language)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Save the choice."""
        wanted, language = form.getlist("wanted"), form.get("language")
        languages = visit.reader.program.languages
        if form.get("form") != "preferences" or language not in languages:
            return await self._page(visit, visit.reader.member.preferences, visit.reader.language, status=400)
        offered = await self._offered(visit)

        def choose(before: dict[str, Any]) -> dict[str, Any]:
            others = [kind for kind in before.get("stopped", []) if kind != EVERYTHING and kind in CATALOGUE]
            stopped = [kind for kind in others if kind not in offered]
            stopped += [kind for kind in offered if kind not in wanted]
            return {**before, "stopped": stopped, "language": language}

        preferences = await _change(self._database, visit, "preferences", choose)
        return await self._page(visit, preferences, str(language), saved=True)

    async def _page(
        self,
        visit: LinkVisit,
        preferences: dict[str, Any],
        language: str,
        *,
        saved: bool = False,
        status: int = 200,
    ) -> Page:
        groups: dict[str, list[tuple[str, bool]]] = {}
        for kind in await self._offered(visit):
            groups.setdefault(CATALOGUE[kind].audience, []).append((kind, not _stopped(preferences, kind)))
        values = {
            "groups": list(groups.items()),
            "chosen": language,
            "languages": visit.reader.program.languages,
            "saved": saved,
        }
        return Page("preferences.html", values, status, language)

    async def _offered(self, visit: LinkVisit) -> list[str]:
        """The kinds of messages that the member may get, in any of their parts, and may stop."""
        async with self._database.reading() as session:
            roles = set(
                await session.scalars(select(Profile.role).where(Profile.member_id == visit.reader.member.id))
            )
        roles.add(Audience.MEMBER)
        return [
            entry.name
            for entry in CATALOGUE.values()
            if entry.message_class.stoppable and entry.audience in roles
        ]


class GiveFeedback:
    """What somebody wants to tell the program, at any time (SUR4)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, visit: LinkVisit) -> Page:
        """A form with one field."""
        return _feedback("")

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Keep what was written; the same text again is the same feedback."""
        text = form_text(form, "text")
        if not text:
            return _feedback(text, Text("site.empty"))
        if len(text) > LONGEST_TEXT:
            return _feedback(text, Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"}))
        told = hashlib.sha256(f"{visit.question}\n{text}".encode()).hexdigest()
        try:
            async with self._database.begin() as session:
                known = await session.scalar(select(Feedback.id).where(Feedback.event_id == told))
                if known is None:
                    session.add(
                        Feedback(
                            profile_id=visit.reader.profile.id, event_id=told, text=text, given_at=visit.at
                        )
                    )
        except IntegrityError:
            # The same form by another connection at the same moment.
            pass
        return message("feedback.done")


def _feedback(text: str, error: Text | None = None) -> Page:
    values = {"typed": {"text": text}, "errors": {"text": error} if error else {}}
    return Page("feedback.html", values, 400 if error else 200)


async def _change(
    database: Database, visit: LinkVisit, kind: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Change a member's preferences, with an audit record if there is anything to change; what they are then."""
    async with database.begin() as session:
        member = await session.get(Member, visit.reader.member.id, with_for_update=True)
        if member is None:
            return {}
        before = dict(member.preferences)
        after = change(before)
        if after != before:
            member.preferences = after
            await _recorded(session, member.id, kind, visit.at, after, visit.reader.profile.id)
        return after


async def _recorded(
    session: AsyncSession, member: str, kind: str, at: datetime, after: dict[str, Any], profile: str
) -> None:
    data: dict[str, Any] = {name: after[name] for name in ("stopped", "language") if name in after}
    await audit.append(
        session, f"member/{member}", kind, at.replace(microsecond=0), data, actor=f"profile/{profile}"
    )


def _stopped(preferences: dict[str, Any], kind: str) -> bool:
    stopped = preferences.get("stopped", [])
    return EVERYTHING in stopped or kind in stopped or kind.rpartition(".")[2] in stopped


def _what(visit: LinkVisit) -> str:
    return visit.link.detail or EVERYTHING


def _kind(stopped: str) -> Text:
    if stopped in CATALOGUE and CATALOGUE[stopped].message_class.stoppable:
        return Text(f"kinds.{stopped}")
    return Text("unsubscribe.everything" if stopped == EVERYTHING else "unsubscribe.other")
