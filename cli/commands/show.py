"""`throughline show` and `throughline why`: the read model of staff, printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from cli.output import Json, event_row, print_facts, print_json, print_json_lines, print_table
from cli.program_time import program_time
from cli.runner import run
from rules.kinds import KINDS
from rules.messages import CATALOGUE
from staff.formatting import local, local_iso, numbered
from staff.views import (
    LifecycleSummary,
    LifecycleView,
    MemberView,
    MessageView,
    NotFound,
    OpenTask,
    ProfileView,
    Schedule,
    ScheduledChange,
    lifecycle_view,
    member_messages,
    member_named,
    member_view,
    profile_view,
    targets_named,
)
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

TARGETS: Final = (*KINDS, "member", "profile")

View = LifecycleView | MemberView | ProfileView
Head = dict[str, Any]
"""The first part of a view: names and values, in the order in which JSON and the facts show them."""


def show(
    target: Annotated[
        str,
        typer.Argument(
            help="onboarding/p-1, request/r-1, engagement/r-1, claim/r-1/mentor/CPP, survey/r-1/mentor, "
            "member/ana or profile/p-1; the id alone where nothing else has it."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show the state, schedule and history of a target.

    Times of messages are on the clock of the recipient, all others on the clock of the program.
    """
    kind, slash, name = target.partition("/")
    if not target or (slash and (kind not in TARGETS or not name)):
        raise typer.BadParameter(f"a target is {', '.join(f'{each}/…' for each in TARGETS)}, not {target}")
    programs = read_programs(read_settings())

    async def look(session: AsyncSession, now: datetime) -> View:
        wanted = target if slash else await _the_one_named(session, target)
        kind, _, name = wanted.partition("/")
        if kind == "member":
            return await member_view(session, name, programs, now)
        if kind == "profile":
            return await profile_view(session, name, programs, now)
        return await lifecycle_view(session, wanted, programs, now)

    view = _read(look)
    lifecycles = () if isinstance(view, LifecycleView) else view.lifecycles
    if as_json:
        print_json(_as_json(view))
        return
    print_facts(_facts(view))
    if lifecycles:
        typer.echo()
        _print_lifecycles(lifecycles, "" if isinstance(view, LifecycleView) else view.zone)
    _print_schedule(view.schedule, isinstance(view, LifecycleView))


def why(
    member: Annotated[str, typer.Argument(help="The id of a member or of a profile, or a name.")],
    message: Annotated[
        str, typer.Argument(help="The name of a message, or its part after the dot; by default, all.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Explain every decision about messages to a member.

    Planned messages are listed too, with their dates.
    """
    wanted = [name for name in CATALOGUE if message in ("", name, name.rpartition(".")[2])]
    if not wanted:
        near = get_close_matches(message, CATALOGUE, 1)
        raise typer.BadParameter(f"no message {message}{f'; did you mean {near[0]}?' if near else ''}")
    programs = read_programs(read_settings())

    async def look(
        session: AsyncSession, _: datetime
    ) -> tuple[str, Sequence[MessageView], Sequence[LifecycleSummary]]:
        name = await member_named(session, member)
        return (name, *await member_messages(session, name, wanted, programs))

    name, messages, lifecycles = _read(look)
    if as_json:
        print_json_lines(map(_message, messages))
        return
    print_table(
        ("due", "message", "for", "decision", "at", "why"),
        (
            (
                local(each.due, each.zone),
                numbered(each.message, each.number),
                each.workflow,
                each.state,
                local(each.decided, each.zone),
                each.why,
            )
            for each in messages
        ),
        none=f"No {message or 'message'} was ever planned for {name}.",
    )
    if not messages:
        _print_lifecycles(lifecycles, "")


async def _the_one_named(session: AsyncSession, name: str) -> str:
    """Return the one target that a bare name means. Raises NotFound."""
    found = await targets_named(session, name)
    if len(found) > 1:
        raise NotFound(f"{name} is {' or '.join(found)}: name one of them")
    if not found:
        raise NotFound(f"there is no {name}")
    return found[0]


def _read(look: Callable[[AsyncSession, datetime], Any]) -> Any:
    """Return what a function finds in the database at this instant of program time.

    Raises Failure for a target that is not there.
    """

    async def read() -> Any:
        async with database_ready(read_settings()) as database, database.reading() as session:
            try:
                return await look(session, await program_time(database))
            except NotFound as error:
                raise Failure(str(error)) from None

    return run(read())


def _as_json(view: View) -> Head:
    schedule = view.schedule
    lifecycle = isinstance(view, LifecycleView)
    zones = dict(schedule.zones)
    head = _head(view)
    if not isinstance(view, LifecycleView):
        head["lifecycles"] = [_summary(each) for each in view.lifecycles]
    return {
        **head,
        "ahead": [
            {**_message(each), **({"local": _clocks(each.due, zones)} if lifecycle and zones else {})}
            for each in schedule.ahead
        ],
        "coming": [_coming(each, zones) for each in schedule.coming],
        "unreadable": [{"of": each.workflow, "why": each.why} for each in schedule.unreadable],
        "happened": [
            {
                "at": local_iso(each.at, each.zone),
                "subject": each.subject,
                "kind": each.kind,
                "what": each.what,
                "why": each.why,
                "actor": each.actor,
            }
            for each in schedule.happened
        ],
        "tasks": [_task(each) for each in schedule.tasks],
        "events": [event_row(each) for each in schedule.events],
    }


def _head(view: View) -> Head:
    match view:
        case LifecycleView():
            return {
                **_summary(view.summary),
                "zone": view.summary.zone,
                "people": {party.role: party.label for party in view.parties},
                "zones": {party.role: party.zone for party in view.parties},
                **{detail.name: detail.value for detail in view.details},
            }
        case MemberView():
            return {
                "target": f"member/{view.id}",
                "called": view.name,
                "email": view.email,
                "not_mailed": view.not_mailed,
                "standing": view.standing,
                "standing_since": local_iso(view.standing_since, view.zone),
                "zone": view.zone,
                "country": view.country,
                "languages": view.languages,
                "certifications": view.certifications,
                "stopped": view.stopped,
                "profiles": view.profiles,
            }
        case ProfileView():
            return {
                "target": f"profile/{view.id}",
                "member": view.member,
                "role": view.role,
                "program": view.program,
                "zone": view.zone,
                "created": local_iso(view.created, view.zone),
                "withdrawn": local_iso(view.withdrawn, view.zone),
                "mentees_at_a_time": view.mentees_at_a_time,
                "areas": view.areas,
                "languages": view.languages,
            }


def _summary(each: LifecycleSummary) -> Head:
    return {
        "target": each.workflow,
        "state": each.state,
        "since": local_iso(each.since, each.zone),
        "closed": local_iso(each.closed_at, each.zone),
        "next": local_iso(each.next_at, each.zone),
        "program": each.program,
        "policy_version": each.policy_version,
        "program_version": each.program_version,
    }


def _message(each: MessageView) -> Head:
    return {
        "message": each.message,
        "number": each.number,
        "to": each.to,
        "workflow": each.workflow,
        "state": each.state,
        "due": local_iso(each.due, each.zone),
        "decided": local_iso(each.decided, each.zone),
        "came_back": each.came_back,
        "came_back_cause": each.came_back_cause,
        "delivered": local_iso(each.delivered, each.zone),
        "reason": each.reason,
        "rule": each.rule,
        "day": each.day,
        "why": each.why,
        "subject": each.subject,
        "delivery": each.delivery,
        "order": each.order,
        "ordered_by": each.ordered_by,
    }


def _coming(each: ScheduledChange, zones: Mapping[str, str]) -> Head:
    return {
        "due": local_iso(each.at, each.zone),
        "local": _clocks(each.at, zones),
        "kind": each.kind,
        "what": each.what,
        "why": each.why,
        "of": each.workflow,
    }


def _clocks(at: datetime | None, zones: Mapping[str, str]) -> dict[str, str | None]:
    return {role: local_iso(at, zone) for role, zone in zones.items()}


def _task(each: OpenTask) -> Head:
    return {
        "id": each.id,
        "task": each.kind,
        "subject": each.subject,
        "state": each.state,
        "due": local_iso(each.due, each.zone),
        "action": each.action,
    }


def _facts(view: View) -> Head:
    """Return the head of a view for people: lists in one line, and the clocks in words."""
    head = _head(view)
    facts: Head = {}
    zones = head.pop("zones", {})
    for name, value in head.items():
        if name == "people":
            facts |= {role: f"{who}, on the clock of {zones[role]}" for role, who in value.items()}
        elif name == "program_version":
            facts["version"] = value[:12] if value else ""
        elif name == "zone":
            facts["times"] = f"on the clock of {value}, unless another is named"
        elif isinstance(value, tuple):
            facts[name.replace("_", " ")] = ", ".join(value)
        else:
            facts["next change" if name == "next" else name.replace("_", " ")] = value
    return facts | _moments(view)


def _moments(view: View) -> Head:
    """Return the instants of a view's head, as people read them."""
    match view:
        case LifecycleView(summary=summary):
            at = {"since": summary.since, "closed": summary.closed_at, "next change": summary.next_at}
            return {name: _moment(instant, summary.zone) for name, instant in at.items()}
        case MemberView():
            return {"standing since": _moment(view.standing_since, view.zone)}
        case ProfileView():
            at = {"created": view.created, "withdrawn": view.withdrawn}
            return {name: _moment(instant, view.zone) for name, instant in at.items()}


def _moment(at: datetime | None, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}" if at else ""


def _print_schedule(schedule: Schedule, on_all_clocks: bool) -> None:
    typer.echo()
    _print_ahead(schedule, on_all_clocks)
    typer.echo()
    several = len({each.subject for each in schedule.happened}) > 1
    print_table(
        ("when", "what", *(("of",) if several else ()), "who", "why"),
        (
            (
                local(each.at, each.zone),
                each.what,
                *((each.subject,) if several else ()),
                each.actor,
                each.why,
            )
            for each in schedule.happened
        ),
        title="Happened",
        none="Nothing has happened.",
    )
    if schedule.tasks:
        typer.echo()
        print_table(
            ("task", "kind", "state", "due", "what to do"),
            ((t.id, t.kind, t.state, _moment(t.due, t.zone), t.action) for t in schedule.tasks),
            title="Tasks",
        )
    if schedule.events:
        typer.echo()
        print_table(
            ("event", "type", "about", "state", "why"),
            ((e.number, e.type, e.subject, e.state, e.why) for e in schedule.events),
            title="Events not applied",
        )


def _print_ahead(schedule: Schedule, on_all_clocks: bool) -> None:
    """Print what lies ahead in one order, on the clock of each party. Held messages come last."""
    zones = dict(schedule.zones)
    apart = on_all_clocks and len(set(zones.values())) > 1
    first = next(iter(zones.values()), "UTC")
    rows: list[tuple[datetime | None, str, tuple[str, str, str, str]]] = []
    for each in schedule.ahead:
        because = each.why if each.state in ("planned", "held") else f"{each.state}: {each.why}"
        rows.append((each.due, each.zone, ("mail", numbered(each.message, each.number), each.to, because)))
    for item in schedule.coming:
        rows.append((item.at, first, (item.kind, item.what, item.workflow, item.why)))
    for gap in schedule.unreadable:
        rows.append((None, first, ("unreadable", "its dates ahead", gap.workflow, gap.why)))
    rows.sort(key=lambda row: (row[0] is None, str(row[0])))
    columns = [f"{role}, {zone.rpartition('/')[2].replace('_', ' ')}" for role, zone in zones.items()]
    print_table(
        (*(columns if apart else ("when",)), "", "what", "to, of", "why"),
        (
            (*((local(at, each) for each in zones.values()) if apart else (local(at, zone),)), *words)
            for at, zone, words in rows
        ),
        title="Ahead",
        none="Nothing lies ahead.",
    )


def _print_lifecycles(lifecycles: Iterable[LifecycleSummary], zone: str) -> None:
    """Print lifecycles on the clock of `zone`; on the clock of each one's program where it is empty."""
    print_table(
        ("lifecycle", "state", "since", "next change"),
        (
            (
                each.workflow,
                each.state,
                local(each.since, zone or each.zone),
                local(each.next_at, zone or each.zone),
            )
            for each in lifecycles
        ),
        none="This member has no onboarding, request or engagement.",
    )
