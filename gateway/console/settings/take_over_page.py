"""The take-over of a running program (T10): its dry run, and the button that is bound to what the dry run showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData, UploadFile

from database import audit
from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound
from gateway.console.acts.pages import LONGEST_REASON
from gateway.console.settings.import_run import ImportRun
from gateway.console.shell import Shell, StaffVisit, go_back, visit_of
from gateway.links.page import form_text
from gateway.request_body import read_form

log = structlog.get_logger()

TAKE_OVER: Final = "/staff/take-over"
LARGEST_FILE: Final = 8 * 1024 * 1024
REFRESH: Final = 5
"""Seconds after which a page with a running import loads again."""

MOST_SHOWN: Final = 50
LONGEST_NAME: Final = 100
SUBJECT: Final = "take-over"
"""What the audit record of a take-over is about."""


class TakeOverPages:
    """The page of a take-over. One import runs at a time."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._run: ImportRun | None = None

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.SETTING)
        routes.get(TAKE_OVER)(self.show)
        routes.post(TAKE_OVER)(self.change)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show the import that runs or ran last, and the form for another one."""
        return self._page(request)

    async def change(self, request: Request) -> Response:
        """Begin a dry run of a file, or take over what was shown."""
        form = await read_form(request, LARGEST_FILE, files=1)
        try:
            return await self._changed(request, form)
        finally:
            await form.close()

    async def _changed(self, request: Request, form: FormData) -> Response:
        if self._run and self._run.is_running:
            return self._page(request, error="busy", status=409)
        if form_text(form, "digest"):
            return await self._take_over(request, form)
        file = form.get("file")
        content = await file.read() if isinstance(file, UploadFile) else b""
        if not isinstance(file, UploadFile) or not content:
            return self._page(request, error="no_file", status=422)
        self._begin(ImportRun((file.filename or "")[:LONGEST_NAME], content, is_dry=True))
        return go_back(TAKE_OVER)

    async def _take_over(self, request: Request, form: FormData) -> Response:
        """Import the file for good, if its dry run is the one that was looked at, on record."""
        visit, run = visit_of(request), self._run
        reason = form_text(form, "reason")[:LONGEST_REASON].strip()
        if run is None or not run.is_dry or run.result is None:
            return self._page(request, error="changed", status=409)
        if not is_bound(self._digest(visit, run), form_text(form, "digest")):
            return self._page(request, error="changed", status=409)
        if not reason:
            return self._page(request, error="reason", status=422)
        # A second click meanwhile finds nothing to confirm.
        self._run = replace(run, is_dry=False, result=None)
        try:
            async with self._shell.database.begin() as session:
                data = {"act": "take over", "reason": reason, "file": run.fingerprint}
                at = visit.at.replace(microsecond=0)
                await audit.append(session, SUBJECT, "act", at, data, actor=visit.member.email)
        except BaseException:
            self._run = run
            raise
        self._begin(self._run)
        return go_back(TAKE_OVER)

    def _begin(self, run: ImportRun) -> None:
        self._run = run
        run.start()
        log.info("import_run_started", file=run.fingerprint, dry_run=run.is_dry)

    def _page(self, request: Request, error: str = "", status: int = 200) -> Response:
        run = self._run
        ended = run if run and not run.is_running else None
        values: dict[str, Any] = {
            "run": run,
            "working": bool(run and run.is_running),
            "result": ended.result if ended else None,
            "trouble": ended.refused if ended else (),
            "most": MOST_SHOWN,
            "error": error,
            "digest": self._digest(visit_of(request), ended) if ended and ended.is_dry else "",
        }
        headers = {"Refresh": str(REFRESH)} if values["working"] and request.method == "GET" else {}
        return self._shell.respond(request, "take_over.html", values, status, headers)

    def _digest(self, visit: StaffVisit, run: ImportRun) -> str:
        return digest_of(self._shell, visit, SUBJECT, [run.fingerprint, run.result])
