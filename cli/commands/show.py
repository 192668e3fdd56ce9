"""`throughline show` and `throughline why`: what is, what comes, what happened, and why."""

# long: the lines of each kind of target stand side by side, so that they read alike

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cli.output import Json, print_facts, print_json, print_json_lines, print_table
from cli.runner import run
from database import suppressions
from database.models import (
    DECISIONS,
    LIFECYCLES,
    AuditRecord,
    Claim,
    Engagement,
    Event,
    Lifecycle,
    Member,
    Message,
    Onboarding,
    Profile,
    Request,
    Survey,
    Task,
)
from rules.messages import CATALOGUE
from rules.program import Program
from staff.formatting import local, local_iso, numbered
from staff.people import People
from staff.upcoming import coming, dates_of
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

Found = dict[str, Any]


def show(
    target: Annotated[
        str,
        typer.Argument(
            help="onboarding/p-1, request/r-1, engagement/r-1, claim/r-1/mentor/CPP, survey/r-1/mentor, "
            "member/ana or profile/p-1."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show the state, schedule and history of a target.

    Times of messages are on the clock of the recipient, all others on the clock of the program.
    """
    kind, _, name = target.partition("/")
    if kind not in (*LIFECYCLES, "member", "profile") or not name:
        raise typer.BadParameter(
            f"a target is {', '.join(f'{each}/…' for each in (*LIFECYCLES, 'member', 'profile'))}, not {target}"
        )
    programs = read_programs(read_settings())

    async def look() -> Found:
        async with database_ready(read_settings()) as database, database.reading() as session:
            if kind == "member":
                return await _member(session, name, programs)
            if kind == "profile":
                return await _profile(session, name, programs)
            return await _lifecycle(session, kind, target, programs)

    found = run(look())
    if as_json:
        print_json(_bare(found))
    else:
        _print(found)


def why(
    member: Annotated[str, typer.Argument(help="A member's id.")],
    message: Annotated[str, typer.Argument(help="A message's name, or its part after the dot.")] = "",
    as_json: Json = False,
) -> None:
    """Explain every decision about messages to a member.

    Planned messages are listed too, with their dates.
    """
    wanted = [name for name in CATALOGUE if message in ("", name, name.rpartition(".")[2])]
    if not wanted:
        near = get_close_matches(message, CATALOGUE, 1)
        raise typer.BadParameter(f"no message {message}{f'; did you mean {near[0]}?' if near else ''}")
    name = member.removeprefix("member/")
    programs = read_programs(read_settings())

    async def look() -> tuple[list[Found], list[Found]]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            if await session.get(Member, name) is None:
                raise Failure(f"there is no member {name}")
            rows = await session.scalars(
                select(Message)
                .where(Message.member_id == name, Message.message.in_(wanted))
                .order_by(Message.planned_at, Message.due_at, Message.id)
            )
            messages = await _messages(session, list(rows), programs)
            return messages, _states(await _rows_of(session, await _profiles(session, name)), programs)

    messages, lifecycles = run(look())
    if as_json:
        print_json_lines(map(_bare, messages))
        return
    print_table(
        ("due", "message", "for", "decision", "at", "why"),
        (
            (m["due_shown"], m["name"], m["workflow"], m["state"], m["decided_shown"], m["why"])
            for m in messages
        ),
        none=f"No {message or 'message'} was ever planned for {name}.",
    )
    if not messages:
        _print_lifecycles(lifecycles)


async def _lifecycle(session: AsyncSession, kind: str, target: str, programs: Mapping[str, Program]) -> Found:
    row: Lifecycle | None = await session.get(LIFECYCLES[kind], target)
    if row is None:
        raise Failure(f"there is no {target}")
    zone = _zone(row.program, programs)
    people = await People.of(session, _parties(row).values(), programs)
    zones = {role: people.zone(profile, row.program) for role, profile in _parties(row).items()}
    found = _state(row, zone)
    found["zone"] = zone
    found["people"] = {role: people.label(profile) for role, profile in _parties(row).items()}
    found["zones"] = zones
    found |= dates_of(row, programs, datetime.now(UTC)) | _details(row)
    mails = list(
        await session.scalars(
            select(Message).where(Message.workflow == target).order_by(Message.due_at, Message.id)
        )
    )
    open_mails = [m for m in mails if m.state not in DECISIONS]
    found["ahead"] = await _messages(session, open_mails, programs, zones)
    found["coming"] = await _coming(session, [row], programs, zones)
    found["happened"] = await _happened(session, [target], mails, people, programs, row.program)
    found["tasks"] = await _tasks(session, [target], zone)
    found["events"] = await _open_events(session, [target], zone)
    return found


async def _member(session: AsyncSession, name: str, programs: Mapping[str, Program]) -> Found:
    member = await session.get(Member, name)
    if member is None:
        raise Failure(f"there is no member {name}")
    profiles = await _profiles(session, name)
    zone = member.time_zone or _zone(profiles[0].program if profiles else "", programs)
    mails = list(
        await session.scalars(
            select(Message).where(Message.member_id == name).order_by(Message.due_at, Message.id)
        )
    )
    subjects = [f"member/{name}", *(f"profile/{profile.id}" for profile in profiles)]
    rows = await _rows_of(session, profiles)
    lifecycles = _states(rows, programs)
    return {
        "target": f"member/{name}",
        "called": member.name,
        "email": member.email,
        "not_mailed": await suppressions.reason_for(session, member.email),
        "standing": member.standing,
        "standing_since": local_iso(member.standing_since, zone),
        "zone": zone,
        "country": "-".join(filter(None, (member.country, member.subdivision))) or None,
        "languages": list(member.languages),
        "certifications": [
            " ".join(filter(None, (c.get("code"), c.get("cycle_start"), c.get("cycle_end"))))
            for c in member.certifications
        ],
        "stopped": list(member.preferences.get("stopped", [])),
        "profiles": [f"{profile.id} ({profile.role}, {profile.program})" for profile in profiles],
        "lifecycles": lifecycles,
        "ahead": await _messages(session, [m for m in mails if m.state not in DECISIONS], programs),
        "coming": await _coming(session, rows, programs, {"member": zone}),
        "happened": await _happened(
            session, [*subjects, *(each["target"] for each in lifecycles)], mails, None, programs, "", zone
        ),
        "tasks": await _tasks(session, [*subjects, *(each["target"] for each in lifecycles)], zone),
        "events": await _open_events(session, subjects, zone),
    }


async def _profile(session: AsyncSession, name: str, programs: Mapping[str, Program]) -> Found:
    profile = await session.get(Profile, name)
    if profile is None:
        raise Failure(f"there is no profile {name}")
    people = await People.of(session, [name], programs)
    zone = people.zone(name, profile.program)
    rows = await _rows_of(session, [profile])
    lifecycles = _states(rows, programs)
    mails = list(
        await session.scalars(
            select(Message).where(Message.to_profile == name).order_by(Message.due_at, Message.id)
        )
    )
    subjects = [f"profile/{name}", *(each["target"] for each in lifecycles)]
    return {
        "target": f"profile/{name}",
        "member": people.label(name).replace(f"({name})", f"({profile.member_id})"),
        "role": profile.role,
        "program": profile.program,
        "zone": zone,
        "created": local_iso(profile.created_at, zone),
        "withdrawn": local_iso(profile.withdrawn_at, zone),
        "mentees_at_a_time": profile.mentees_at_a_time,
        "areas": list(profile.areas),
        "languages": list(profile.languages),
        "lifecycles": lifecycles,
        "ahead": await _messages(session, [m for m in mails if m.state not in DECISIONS], programs),
        "coming": await _coming(session, rows, programs, {profile.role: zone}),
        "happened": await _happened(session, subjects, mails, people, programs, profile.program, zone),
        "tasks": await _tasks(session, subjects, zone),
        "events": await _open_events(session, [f"profile/{name}", f"onboarding/{name}"], zone),
    }


def _zone(program: str, programs: Mapping[str, Program]) -> str:
    return programs[program].hours.zone if program in programs else "UTC"


def _parties(row: Lifecycle) -> dict[str, str]:
    if isinstance(row, Onboarding):
        return {"profile": row.profile_id}
    if isinstance(row, Request | Engagement):
        return {"mentee": row.mentee_id, "mentor": row.mentor_id}
    if isinstance(row, Claim):
        return {"claimant": row.profile_id, "signer": str(row.facts["counterpart"])}
    profile = getattr(row, "profile_id", None)
    return {"profile": str(profile)} if profile else {}


def _state(row: Lifecycle, zone: str) -> Found:
    return {
        "target": row.workflow,
        "state": row.state,
        "since": local_iso(row.state_since, zone),
        "closed": local_iso(row.closed_at, zone),
        "next": local_iso(row.next_at, zone),
        "program": row.program,
        "policy_version": row.policy_version,
    }


_TOLD = (
    "areas",
    "months",
    "goals",
    "end_reason",
    "answer_reason",
    "certification",
    "credit_date",
    "cycle_start",
    "cycle_end",
    "domains",
    "earned",
    "countable",
)


def _details(row: Lifecycle) -> Found:
    values = {name: getattr(row, name, None) for name in _TOLD}
    return {name: value for name, value in values.items() if value not in (None, [], "", 0)}


async def _profiles(session: AsyncSession, member: str) -> list[Profile]:
    return list(
        await session.scalars(
            select(Profile).where(Profile.member_id == member).order_by(Profile.created_at, Profile.id)
        )
    )


async def _rows_of(session: AsyncSession, profiles: Iterable[Profile]) -> list[Lifecycle]:
    """All lifecycles in which these profiles have a part."""
    ids = [profile.id for profile in profiles]
    rows: list[Lifecycle] = []
    rows += await session.scalars(select(Onboarding).where(Onboarding.profile_id.in_(ids)))
    for table in (Request, Engagement):
        rows += await session.scalars(
            select(table).where(or_(table.mentee_id.in_(ids), table.mentor_id.in_(ids)))
        )
    for owned in (Claim, Survey):
        rows += await session.scalars(select(owned).where(owned.profile_id.in_(ids)))
    return rows


def _states(rows: Iterable[Lifecycle], programs: Mapping[str, Program]) -> list[Found]:
    return [_state(row, _zone(row.program, programs)) for row in rows]


async def _coming(
    session: AsyncSession,
    rows: Iterable[Lifecycle],
    programs: Mapping[str, Program],
    zones: Mapping[str, str],
) -> list[Found]:
    """What comes by itself, beside mail; each on the clocks of those whom it concerns."""
    now, found = datetime.now(UTC), []
    for row in rows:
        for item in await coming(session, row, programs, max(now, row.state_since)):
            found.append(
                {
                    "due": local_iso(item.at, _zone(row.program, programs)),
                    "local": {role: local_iso(item.at, zone) for role, zone in zones.items()},
                    "kind": item.kind,
                    "what": item.what,
                    "why": item.why,
                    "of": row.workflow,
                    "at_shown": item.at,
                    "clocks_shown": {role: local(item.at, zone) for role, zone in zones.items()},
                }
            )
    return sorted(found, key=lambda item: str(item["at_shown"]))


async def _messages(
    session: AsyncSession,
    rows: Sequence[Message],
    programs: Mapping[str, Program],
    zones: Mapping[str, str] | None = None,
) -> list[Found]:
    people = await People.of(session, {row.to_profile for row in rows}, programs)
    found = []
    for row in rows:
        zone = people.zone(row.to_profile, row.program)
        found.append(
            {
                "message": row.message,
                "number": row.number,
                "name": numbered(row.message, row.number),
                "to": row.to_profile,
                "workflow": row.workflow,
                "state": row.state if row.due_at or row.state != "planned" else "held",
                "due": local_iso(row.due_at, zone),
                "decided": local_iso(row.decided_at, zone),
                "reason": row.reason,
                "why": _because(row),
                "subject": row.subject,
                "delivery": row.delivery,
                **({"local": {r: local_iso(row.due_at, z) for r, z in zones.items()}} if zones else {}),
                "at_shown": row.due_at,
                "clocks_shown": {r: local(row.due_at, z) for r, z in (zones or {}).items()},
                "due_shown": local(row.due_at, zone),
                "decided_shown": local(row.decided_at, zone),
            }
        )
    return found


def _because(row: Message) -> str:
    if row.reason:
        return row.reason
    if row.state == "sent":
        return f"the mail server took it: {row.response}" if row.response else "the mail server took it"
    if row.trouble:
        return f"tried {row.attempts} times; last: {row.trouble}"
    if row.due_at is None and row.state == "planned":
        return "held until it is resumed"
    return {
        "planned": "planned",
        "claimed": "being sent",
        "handed_over": "handed over, not confirmed yet",
    }.get(row.state, "")


# long: one list of what happened, from each of the tables that know of it
async def _happened(
    session: AsyncSession,
    subjects: Sequence[str],
    mails: Sequence[Message],
    people: People | None,
    programs: Mapping[str, Program],
    program: str,
    zone: str = "",
) -> list[Found]:
    """What the audit record has on these subjects, in order; of mails only those of the person, where one is asked
    about."""
    own = {mail.delivery for mail in mails}
    numbers = {mail.delivery: numbered(mail.message, mail.number) for mail in mails}
    records = await session.scalars(
        select(AuditRecord).where(AuditRecord.subject.in_(subjects)).order_by(AuditRecord.at, AuditRecord.id)
    )
    found = []
    for record in records:
        data, veiled = record.data, record.veiled or {}
        shown_in = zone or _zone(program, programs)
        what, because = (
            record.kind,
            str(data.get("reason") or veiled.get("cause") or veiled.get("reason") or ""),
        )
        if record.kind == "mail":
            if data.get("delivery") not in own:
                continue
            name = numbers[data["delivery"]]
            what = f"{name} {data['decision']}"
            because = because or str(veiled.get("subject") or "")
            if people:
                shown_in = people.zone(data["to"], program)
        elif record.kind == "state":
            what = f"now {data['state']}"
        elif record.kind == "task":
            what = f"task {data['task']}"
        elif record.kind == "act":
            extra = [f"{k}={v}" for k, v in data.items() if k not in ("id", "act", "reason") and v]
            what = " ".join([data["act"], *extra])
        elif record.kind == "credit":
            what = f"credit {data['status']}"
            because = f"{data['earned']} earned, {data['countable']} countable" if data["earned"] else because
        elif record.kind == "refused":
            what = f"refused {data.get('event') or data.get('act') or ''}".strip()
        found.append(
            {
                "at": local_iso(record.at, shown_in),
                "shown": local(record.at, shown_in),
                "subject": record.subject,
                "kind": record.kind,
                "what": what,
                "why": because,
                "actor": record.actor,
            }
        )
    return found


async def _tasks(session: AsyncSession, subjects: Sequence[str], zone: str) -> list[Found]:
    rows = await session.scalars(
        select(Task)
        .where(Task.subject.in_(subjects), Task.state.in_(("open", "snoozed")))
        .order_by(Task.due_at, Task.id)
    )
    return [
        {
            "id": row.id,
            "task": row.kind,
            "subject": row.subject,
            "state": row.state,
            "due": local_iso(row.due_at, zone),
            "action": row.action,
        }
        for row in rows
    ]


async def _open_events(session: AsyncSession, subjects: Sequence[str], zone: str) -> list[Found]:
    """Events about these subjects that were not applied."""
    rows = await session.scalars(
        select(Event).where(Event.subject.in_(subjects), Event.state != "applied").order_by(Event.id)
    )
    return [
        {
            "event": row.type,
            "id": row.event_id,
            "state": row.state,
            "why": row.reason or (f"waits for {row.waits_for}" if row.waits_for else ""),
            "until": local_iso(row.held_until, zone),
            "ignored": row.ignored,
        }
        for row in rows
    ]


# long: the printed page from top to bottom
def _print(found: Found) -> None:
    facts: Found = {}
    for name, value in found.items():
        if name in ("ahead", "coming", "happened", "tasks", "events", "lifecycles", "zones"):
            continue
        if name == "people":
            zones = found["zones"]
            facts |= {role: f"{who}, on the clock of {zones[role]}" for role, who in value.items()}
        elif name == "zone":
            facts["times"] = f"on the clock of {value}, unless another is named"
        elif name == "next":
            facts["next change"] = _moment(value)
        elif isinstance(value, list):
            facts[name.replace("_", " ")] = ", ".join(map(str, value))
        else:
            facts[name.replace("_", " ")] = _moment(value)
    print_facts(facts)
    if found.get("lifecycles"):
        typer.echo()
        _print_lifecycles(found["lifecycles"])
    typer.echo()
    _print_ahead(found)
    typer.echo()
    several = len({each["subject"] for each in found["happened"]}) > 1
    print_table(
        ("when", "what", *(("of",) if several else ()), "who", "why"),
        (
            (h["shown"], h["what"], *((h["subject"],) if several else ()), h["actor"], h["why"])
            for h in found["happened"]
        ),
        title="Happened",
        none="Nothing has happened.",
    )
    if found["tasks"]:
        typer.echo()
        print_table(
            ("task", "kind", "state", "due", "what to do"),
            ((t["id"], t["task"], t["state"], _moment(t["due"]), t["action"]) for t in found["tasks"]),
            title="Tasks",
        )
    if found["events"]:
        typer.echo()
        print_table(
            ("event", "id", "state", "why"),
            ((e["event"], e["id"], e["state"], e["why"]) for e in found["events"]),
            title="Events not applied",
        )


def _print_ahead(found: Found) -> None:
    """Mail, states and tasks that lie ahead, in one order, on the clock of each of the two; what is held comes last."""
    items = [
        (m["at_shown"], m["clocks_shown"], m["due_shown"], "mail", m["name"], m["to"], m["state"], m["why"])
        for m in found["ahead"]
    ] + [
        (c["at_shown"], c["clocks_shown"], "", c["kind"], c["what"], c["of"], "", c["why"])
        for c in found["coming"]
    ]
    items.sort(key=lambda item: (item[0] is None, str(item[0])))
    zones: Found = found.get("zones") or {}
    apart = len(set(zones.values())) > 1
    columns = [f"{role}, {zone.rpartition('/')[2].replace('_', ' ')}" for role, zone in zones.items()]
    rows = []
    for _, clocks, due, kind, what, about, state, why in items:
        when = [clocks[role] for role in zones] if apart else [due or next(iter(clocks.values()), "")]
        rows.append((*when, kind, what, about, why if state in ("", "planned") else f"{state}: {why}"))
    print_table(
        (*(columns if apart else ("when",)), "", "what", "to, of", "why"),
        rows,
        title="Ahead",
        none="Nothing lies ahead.",
    )


def _print_lifecycles(lifecycles: Sequence[Found]) -> None:
    print_table(
        ("lifecycle", "state", "since", "next change"),
        (
            (each["target"], each["state"], _moment(each["since"]), _moment(each["next"]))
            for each in lifecycles
        ),
        none="No onboarding, request or engagement of theirs is known.",
    )


def _bare(value: Any) -> Any:
    """A finding without what is only for tables."""
    if isinstance(value, dict):
        return {
            key: _bare(item) for key, item in value.items() if not key.endswith("shown") and key != "name"
        }
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _moment(value: Any) -> Any:
    """An instant in ISO 8601 as people read it; anything else as it is."""
    if not isinstance(value, str) or len(value) != 25:
        return value
    try:
        return f"{datetime.fromisoformat(value):%a %Y-%m-%d %H:%M}"
    except ValueError:
        return value
