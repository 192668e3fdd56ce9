"""Links about the reader alone: mail preferences, language and feedback (MAIL5, MAIL6, SUR4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import FormData

from database import audit
from database.links import Link, Links
from database.models import Feedback, Member, Profile
from database.session import Database
from gateway.links.page import (
    STORED,
    FieldErrors,
    LinkPage,
    LinkVisit,
    form_page,
    form_text,
    message_page,
    too_long,
)
from gateway.pages import Text
from rules.messages import CATALOGUE, Audience

ONE_CLICK = ("List-Unsubscribe", "One-Click")
"""The field that a one-click unsubscribe posts (RFC 8058)."""

EVERYTHING = "*"
"""Stands for all messages that can be unsubscribed."""


class Unsubscribe:
    """Stops the messages of the kind in the link's detail; without one, all that can be stopped (MAIL6, RFC 8058)."""

    def __init__(self, database: Database, links: Links) -> None:
        self._database = database
        self._links = links

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the page that names what will be stopped, with one button."""
        if _is_stopped(visit.reader.member.preferences, _kind(visit)):
            return self._done(visit)
        return self._form(visit)

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Stop them, if the form has the field that RFC 8058 defines."""
        name, value = ONE_CLICK
        if form.get(name) != value:
            return self._form(visit, 400)

        def stop(before: dict[str, Any]) -> dict[str, Any]:
            if _is_stopped(before, _kind(visit)):
                return before
            return {**before, "stopped": [*before.get("stopped", []), _kind(visit)]}

        await _change(self._database, visit, "unsubscribed", stop)
        return self._done(visit)

    def _form(self, visit: LinkVisit, status: int = 200) -> LinkPage:
        return LinkPage("unsubscribe.html", {"kind": _kind_text(_kind(visit))}, status)

    def _done(self, visit: LinkVisit) -> LinkPage:
        link = Link("preferences", visit.link.profile, visit.link.subject, visit.link.expires)
        return message_page(
            "unsubscribe.done",
            {"kind": _kind_text(_kind(visit))},
            action=("unsubscribe.choose", self._links.url(link)),
        )


class Preferences:
    """Which mail the reader wants, and in which language (MAIL5, MAIL6)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the choices, as they are now."""
        member = visit.reader.member
        return await self._page(visit, member.preferences, visit.reader.language, saved=visit.after_post)

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the choices."""
        wanted, language = form.getlist("wanted"), form.get("language")
        languages = visit.reader.program.languages
        if form.get("form") != "preferences" or language not in languages:
            return await self._page(visit, visit.reader.member.preferences, visit.reader.language, status=400)
        offered = await self._offered(visit)

        def choose(before: dict[str, Any]) -> dict[str, Any]:
            others = [kind for kind in before.get("stopped", []) if kind != EVERYTHING and kind in CATALOGUE]
            stopped = [kind for kind in others if kind not in offered]
            stopped += [kind for kind in offered if kind not in wanted]
            same = all(_is_stopped(before, kind) == (kind not in wanted) for kind in offered)
            if same and language == visit.reader.language:
                return before
            return {**before, "stopped": stopped, "language": language}

        await _change(self._database, visit, "preferences", choose)
        return STORED

    async def _page(
        self,
        visit: LinkVisit,
        preferences: dict[str, Any],
        language: str,
        *,
        saved: bool = False,
        status: int = 200,
    ) -> LinkPage:
        groups: dict[str, list[tuple[str, bool]]] = {}
        for kind in await self._offered(visit):
            wanted = not _is_stopped(preferences, kind)
            groups.setdefault(CATALOGUE[kind].audience, []).append((kind, wanted))
        values = {
            "groups": list(groups.items()),
            "chosen": language,
            "languages": visit.reader.program.languages,
            "saved": saved,
        }
        return LinkPage("preferences.html", values, status, language)

    async def _offered(self, visit: LinkVisit) -> list[str]:
        """Return the kinds of messages that the member may get in any role, and may stop."""
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
    """Feedback to the program, at any time (SUR4)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return a form with one field."""
        return message_page("feedback.done") if visit.after_post else _feedback_form("", {})

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the feedback. The same text again is the same feedback."""
        text = form_text(form, "text")
        wrong = too_long(text) if text else Text("site.empty")
        if wrong:
            return _feedback_form(text, {"text": wrong})
        id = hashlib.sha256(f"{visit.question}\n{text}".encode()).hexdigest()
        feedback = Feedback(profile_id=visit.reader.profile.id, event_id=id, text=text, given_at=visit.at)
        try:
            async with self._database.begin() as session:
                if await session.scalar(select(Feedback.id).where(Feedback.event_id == id)) is None:
                    session.add(feedback)
        except IntegrityError:
            # Another connection stored the same form at the same moment.
            pass
        return STORED


def _feedback_form(text: str, errors: FieldErrors) -> LinkPage:
    return form_page("feedback.html", {"typed": {"text": text}}, errors)


async def _change(
    database: Database, visit: LinkVisit, record: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Change the reader's preferences, with an audit record if they differ; return what they are then."""
    async with database.begin() as session:
        member = await session.get(Member, visit.reader.member.id, with_for_update=True)
        if member is None:
            return {}
        before = dict(member.preferences)
        after = change(before)
        if after != before:
            member.preferences = after
            data: dict[str, Any] = {name: after[name] for name in ("stopped", "language") if name in after}
            actor = f"profile/{visit.reader.profile.id}"
            at = visit.at.replace(microsecond=0)
            await audit.append(session, f"member/{member.id}", record, at, data, actor=actor)
        return after


def _is_stopped(preferences: dict[str, Any], kind: str) -> bool:
    stopped = preferences.get("stopped", [])
    return EVERYTHING in stopped or kind in stopped or kind.rpartition(".")[2] in stopped


def _kind(visit: LinkVisit) -> str:
    return visit.link.detail or EVERYTHING


def _kind_text(kind: str) -> Text:
    if kind in CATALOGUE and CATALOGUE[kind].message_class.stoppable:
        return Text(f"kinds.{kind}")
    return Text("unsubscribe.everything" if kind == EVERYTHING else "unsubscribe.other")
