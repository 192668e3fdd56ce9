"""The page of a person and of a lifecycle: state, what lies ahead, what happened, and what staff can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Lifecycle, Meetup, Member, Profile, Survey
from database.models import Request as RequestRow
from evidence.dossier import export
from gateway.access import Access
from gateway.console.mail.order_pages import offering
from gateway.console.shell import Shell, StaffVisit, visit_of
from lifecycles.registry import LIFECYCLES, find_lifecycle
from rules.engagement.confidentiality import SUSPENDED
from rules.kinds import KINDS, TARGET, parts_of
from rules.meetup import ANSWERS
from staff.accounts.scope import MISCONDUCT_TASKS, Scope, shown_state
from staff.acts import acts_now
from staff.confidential import WORDS, read_words, record_reading
from staff.meetups import MOST_PEOPLE, NO_ANSWER, meetup_view
from staff.views.lifecycles import lifecycle_view, parties_of
from staff.views.members import member_view
from staff.views.read_model import NotFound, OpenEvent, OpenTask

FREE_TEXTS: Final = frozenset({"goals", "end_reason", "answer_reason"})
"""The details that people wrote: they are read by a button, on record."""


class DetailPages:
    """The pages of one person and one lifecycle."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        reading, managing = self._shell.router(Access.STAFF), self._shell.router(Access.MANAGER)
        reading.get("/staff/show/member/{member}")(self.person)
        reading.get("/staff/show/profile/{profile}")(self.profile)
        managing.post("/staff/dossier/{engagement}")(self.dossier)
        for kind in LIFECYCLES:
            path = f"/staff/show/{kind}/{{name:path}}"
            reading.get(path, name=f"page of a {kind}")(self._of(kind, self._lifecycle))
            managing.post(path, name=f"words of a {kind}")(self._of(kind, self._words))
        return [reading, managing]

    async def person(self, request: Request, member: str) -> Response:
        """Show a person: the profiles, what runs, lies ahead and happened."""
        async with self._shell.database.reading() as session:
            return await self._person(request, session, member)

    async def profile(self, request: Request, profile: str) -> Response:
        """Show the person of a profile."""
        scope = Scope(visit_of(request).member)
        async with self._shell.database.reading() as session:
            row = await session.get(Profile, profile)
            if row is None or not await scope.sees(session, f"profile/{profile}"):
                raise self._shell.nothing(request)
            return await self._person(request, session, row.member_id)

    async def _person(self, request: Request, session: AsyncSession, member: str) -> Response:
        visit, scope = visit_of(request), Scope(visit_of(request).member)
        if not await scope.sees(session, f"member/{member}"):
            raise self._shell.nothing(request)
        view = await member_view(
            session,
            member,
            self._shell.services.programs,
            visit.at,
            partial(scope.seen, session),
            is_confidant=visit.member.is_manager,
        )
        values = {
            "view": view,
            "actors": {each.partition(" ")[0]: view.name for each in view.profiles},
            "tasks": _tasks(visit, view.schedule.tasks),
            "events": _events(visit, view.schedule.events),
            "orders": offering(visit, {each.workflow: each.state for each in view.lifecycles}),
            "may_erase": visit.member.is_manager and visit.member.may_act,
            **_shared(visit),
        }
        return self._shell.respond(request, "person.html", values)

    async def dossier(self, request: Request, engagement: str) -> Response:
        """Return the dossier of an engagement: its record and letters. That it was read goes on record."""
        visit = visit_of(request)
        async with self._shell.database.begin() as session:
            try:
                content = await export(session, engagement[:64])
            except LookupError:
                raise self._shell.nothing(request) from None
            subject = f"engagement/{engagement}"
            await record_reading(session, subject, "dossier read", visit.member.actor, visit.at)
        name = "".join(each if each.isalnum() or each in "-_." else "-" for each in engagement[:64])
        headers = {
            "Content-Disposition": f'attachment; filename="dossier-{name}.zip"',
            "Cache-Control": "no-store",
        }
        return Response(content, 200, headers, media_type="application/zip")

    async def _lifecycle(self, workflow: str, request: Request) -> Response:
        """Show a lifecycle."""
        return await self._page(request, workflow, {})

    async def _words(self, workflow: str, request: Request) -> Response:
        """Show what the people of a lifecycle wrote. That it was read goes on record."""
        visit = visit_of(request)
        async with self._shell.database.begin() as session:
            try:
                words = await read_words(session, workflow, visit.member.actor, visit.at)
            except NotFound:
                raise self._shell.nothing(request) from None
        return await self._page(request, workflow, {"words": words})

    async def _page(self, request: Request, workflow: str, more: dict[str, Any]) -> Response:
        visit, scope = visit_of(request), Scope(visit_of(request).member)
        async with self._shell.database.reading() as session:
            row = await find_lifecycle(session, workflow)
            if row is None or not await scope.sees(session, workflow):
                raise self._shell.nothing(request)
            is_manager = visit.member.is_manager
            view = await lifecycle_view(
                session, workflow, self._shell.services.programs, visit.at, is_confidant=is_manager
            )
            related = await scope.seen(session, await _related(session, row))
            members = await _members(session, row)
            values = {
                "view": view,
                "kind": workflow.partition("/")[0],
                "name": workflow.partition("/")[2],
                "state": scope.state(row),
                "members": members,
                "actors": {profile: name for profile, (_, name) in members.items()},
                "details": [each for each in view.details if each.name not in FREE_TEXTS],
                "acts": _acts(visit, row),
                "related": [(each.workflow, scope.state(each)) for each in related],
                "tasks": _tasks(visit, view.schedule.tasks),
                "events": _events(visit, view.schedule.events),
                "orders": offering(visit, {workflow: row.state}),
                "has_words": is_manager and workflow.partition("/")[0] in WORDS,
                "words": None,
                "engagement": parts_of(workflow)[0]
                if KINDS[workflow.partition("/")[0]].of_engagement
                else "",
                "meetup": await self._meetup(session, request, row),
                **_shared(visit),
            }
        return self._shell.respond(request, "lifecycle.html", {**values, **more})

    async def _meetup(self, session: AsyncSession, request: Request, row: Lifecycle) -> dict[str, Any] | None:
        """Return who is invited to a meetup, by the answer that the query names; None for any other lifecycle."""
        if not isinstance(row, Meetup):
            return None
        answer = request.query_params.get("answer", "")
        chosen = answer if answer in (*ANSWERS, NO_ANSWER) else ""
        view = await meetup_view(session, row.id, self._shell.services.programs, chosen)
        return {"view": view, "chosen": chosen, "answers": (*ANSWERS, NO_ANSWER), "most": MOST_PEOPLE}

    def _of(
        self, kind: str, page: Callable[[str, Request], Awaitable[Response]]
    ) -> Callable[[Request, str], Awaitable[Response]]:
        """Return a route's function for one kind of lifecycle."""

        async def answer(request: Request, name: str) -> Response:
            workflow = f"{kind}/{name}"
            if not TARGET.fullmatch(workflow):
                raise self._shell.nothing(request)
            return await page(workflow, request)

        return answer


def _shared(visit: StaffVisit) -> dict[str, Any]:
    return {"now": visit.at, "shown": partial(shown_state, member=visit.member)}


def _acts(visit: StaffVisit, row: Lifecycle) -> tuple[str, ...]:
    if not visit.member.may_act or (row.state == SUSPENDED and not visit.member.is_manager):
        return ()
    return acts_now(row.workflow, row.state, row.closed_at is not None)


def _tasks(visit: StaffVisit, tasks: tuple[OpenTask, ...]) -> list[OpenTask]:
    return [task for task in tasks if visit.member.is_manager or task.kind not in MISCONDUCT_TASKS]


def _events(visit: StaffVisit, events: tuple[OpenEvent, ...]) -> list[OpenEvent]:
    is_manager = visit.member.is_manager
    return [event for event in events if is_manager or event.type != "engagement.misconduct_reported"]


async def _members(session: AsyncSession, row: Lifecycle) -> dict[str, tuple[str, str]]:
    """Return the member's id and name of each profile that takes part."""
    found = await session.execute(
        select(Profile.id, Member.id, Member.name)
        .join(Member, Member.id == Profile.member_id)
        .where(Profile.id.in_(parties_of(row).values()))
    )
    return {profile: (member, name) for profile, member, name in found}


async def _related(session: AsyncSession, row: Lifecycle) -> list[Lifecycle]:
    """Return the request, engagement, claims and surveys that belong together, without the row itself."""
    if not KINDS[row.workflow.partition("/")[0]].of_engagement:
        return []
    name = parts_of(row.workflow)[0]
    found: list[Lifecycle] = []
    for table in (RequestRow, Engagement):
        found += await session.scalars(select(table).where(table.id == name))
    for other in (Claim, Survey):
        found += await session.scalars(
            select(other).where(other.engagement_id == name).order_by(other.workflow)
        )
    return [each for each in found if each.workflow != row.workflow]
