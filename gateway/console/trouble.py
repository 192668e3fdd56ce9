"""Mail that failed, is unclear or came back, and events that are not applied."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select

from database.models import Member, Message, Profile
from gateway.access import Access
from gateway.console.shell import Shell, visit_of
from gateway.console.today import page_of
from staff.accounts.scope import Scope
from staff.lists.worklist import troubled, unapplied
from staff.sent_mail import read_sent_mail
from staff.views.messages import message_views
from staff.views.read_model import NotFound

ROWS: Final = 50
MAIL: Final = ("failed", "ambiguous", "came_back")
EVENTS: Final = ("held", "refused")


class TroublePages:
    """Lists of what went wrong."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes, managing = self._shell.router(Access.STAFF), self._shell.router(Access.MANAGER)
        routes.get("/staff/mail/trouble")(self.mail)
        routes.get("/staff/events")(self.events)
        managing.get("/staff/mail/sent/{delivery}")(self.sent)
        managing.post("/staff/mail/sent/{delivery}")(self.read_sent)
        return [routes, managing]

    async def mail(self, request: Request) -> Response:
        """Show the mail of two weeks that failed, is unclear or came back."""
        visit, page = visit_of(request), page_of(request)
        kind = request.query_params.get("trouble", "")
        kind = kind if kind in MAIL else MAIL[0]
        scope, when = Scope(visit.member), func.coalesce(Message.came_back_at, Message.decided_at)
        async with self._shell.database.reading() as session:
            found = list(
                await session.scalars(
                    select(Message)
                    .where(scope.messages(), troubled(kind, visit.at))
                    .order_by(when.desc(), Message.id.desc())
                    .offset((page - 1) * ROWS)
                    .limit(ROWS + 1)
                )
            )
            views = await message_views(session, found[:ROWS], self._shell.services.programs)
            people = await session.execute(
                select(Profile.id, Member.id, Member.name)
                .join(Member, Member.id == Profile.member_id)
                .where(Profile.id.in_({view.to for view in views}))
            )
            names = {profile: (member, name) for profile, member, name in people}
        values = {"trouble": kind, "kinds": MAIL, "views": views, "names": names}
        return self._shell.respond(request, "mail.html", {**values, **_pages(page, len(found))})

    async def sent(self, request: Request, delivery: str) -> Response:
        """Show what became of a mail, without its body."""
        async with self._shell.database.reading() as session:
            row = await session.scalar(select(Message).where(Message.delivery == delivery[:40]))
            if row is None:
                raise self._shell.nothing(request)
            [view] = await message_views(session, [row], self._shell.services.programs)
        return self._shell.respond(request, "sent_mail.html", {"view": view, "mail": None})

    async def read_sent(self, request: Request, delivery: str) -> Response:
        """Show a mail as it was sent, and record who read it."""
        visit = visit_of(request)
        async with self._shell.database.begin() as session:
            try:
                mail = await read_sent_mail(
                    session, delivery[:40], visit.member.actor, visit.at, self._shell.services.programs
                )
            except NotFound:
                raise self._shell.nothing(request) from None
        return self._shell.respond(request, "sent_mail.html", {"view": mail.view, "mail": mail})

    async def events(self, request: Request) -> Response:
        """Show events that are held or refused, the newest first."""
        visit, page = visit_of(request), page_of(request)
        state = request.query_params.get("state", "")
        state = state if state in EVENTS else EVENTS[0]
        async with self._shell.database.reading() as session:
            wanted = unapplied(Scope(visit.member), state).offset((page - 1) * ROWS).limit(ROWS + 1)
            found = list(await session.scalars(wanted))
        values = {"state": state, "states": EVENTS, "events": found[:ROWS]}
        return self._shell.respond(request, "events.html", {**values, **_pages(page, len(found))})


def _pages(page: int, found: int) -> dict[str, object]:
    return {"page": page, "has_more": found > ROWS}
