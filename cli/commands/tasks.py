"""`throughline task`: the tasks for staff (STA2, STA3)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

import typer
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cli.groups import command_group
from cli.output import Actor, Json, print_json_lines, print_table
from cli.runner import run
from database.models import Task
from database.tasks import by_urgency, close_task, snooze_task
from rules.calendar import instant_in
from staff.formatting import local, local_iso
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("List and close tasks for staff.")

Number = Annotated[int, typer.Argument(help="The number of the task, from task list.")]
Note = Annotated[str, typer.Option(help="A note for the task and the audit record.")]


@app.command("list")
def list_tasks(
    all_tasks: Annotated[
        bool, typer.Option("--all", help="Include snoozed, done and dismissed tasks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the open tasks, the most urgent first. Times are on the clock of the program."""
    zone = _zone()

    async def look() -> list[Task]:
        now = datetime.now(UTC)
        wanted = select(Task).order_by(*by_urgency())
        if not all_tasks:
            due = and_(Task.state == "snoozed", Task.due_at <= now)
            wanted = wanted.where(or_(Task.state == "open", due))
        async with database_ready(read_settings()) as database, database.reading() as session:
            return list(await session.scalars(wanted))

    tasks = run(look())
    if as_json:
        print_json_lines(_as_json(task, zone) for task in tasks)
        return
    print_table(
        ("task", "kind", "about", "state", "opened", "due", "what to do"),
        (
            (
                task.id,
                task.kind,
                task.subject,
                task.state + (f" by {task.closed_by}" if task.closed_by else ""),
                local(task.opened_at, zone),
                local(task.due_at, zone),
                task.action + (f" [{task.note}]" if task.note else ""),
            )
            for task in tasks
        ),
        none="There is no task." if all_tasks else "There is no open task.",
    )


@app.command()
def done(number: Number, actor: Actor = "", note: Note = "") -> None:
    """Mark a task as done."""
    _change(number, lambda session, task, now: close_task(session, task, "done", actor, note, now))


@app.command()
def dismiss(number: Number, actor: Actor = "", note: Note = "") -> None:
    """Dismiss a task that needs no action."""
    _change(number, lambda session, task, now: close_task(session, task, "dismissed", actor, note, now))


@app.command()
def snooze(
    number: Number,
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The day on which it is shown again.")
    ],
    actor: Actor = "",
    note: Note = "",
) -> None:
    """Hide a task until the start of a day."""
    day: date = until.date()
    instant = instant_in(_zone(), day, time(0))
    _change(number, lambda session, task, now: snooze_task(session, task, instant, actor, note, now))


def _change(number: int, change: Callable[[AsyncSession, Task, datetime], Coroutine[Any, Any, None]]) -> None:
    async def write() -> Task:
        async with database_ready(read_settings()) as database, database.begin() as session:
            task = await session.get(Task, number, with_for_update=True)
            if task is None:
                raise Failure(f"there is no task {number}")
            try:
                await change(session, task, datetime.now(UTC))
            except ValueError as error:
                raise Failure(str(error)) from None
            return task

    task = run(write())
    typer.echo(f"Task {task.id} ({task.kind}, {task.subject}) is {task.state}.")


def _zone() -> str:
    """Return the time zone of the first program, on whose clock staff work."""
    return next(iter(read_programs(read_settings()).values())).hours.zone


def _as_json(task: Task, zone: str) -> dict[str, Any]:
    return {
        "id": task.id,
        "task": task.kind,
        "subject": task.subject,
        "cause": task.cause,
        "action": task.action,
        "state": task.state,
        "opened": local_iso(task.opened_at, zone),
        "due": local_iso(task.due_at, zone),
        "closed": local_iso(task.closed_at, zone),
        "closed_by": task.closed_by,
        "note": task.note,
    }
