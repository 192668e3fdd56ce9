"""Lives played for real, and compared with what the rules make of them on paper.

`live` plays what is told through the real workflows, activities, templates and database; `differences` says what is not
as on paper, and what breaks a promise whatever the paper says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import select
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from database import audit
from database.models import (
    DECISIONS,
    LIFECYCLES,
    AuditRecord,
    Claim,
    Engagement,
    Event,
    Message,
    Request,
    Task,
)
from database.session import Database
from embedded.scenario import Fault
from embedded.stack import embedded_stack, set_faults
from lifecycles.timeline import timeline
from rules.calendar import add_months
from rules.events import check_event
from rules.program.catalogue import load_catalogue
from tests.support.model.reference_model import Noted, ReferenceModel, Told
from tests.support.rehearsals import PROGRAM, ZONE
from worker.assembly import load_programs

SLACK = timedelta(minutes=1)
"""How far apart two instants may lie that are the same: machines take time, the rules do not."""


@dataclass
class Lives:
    """A play that was drawn: when it begins and ends, and all that is told in it, in order."""

    start: datetime
    until: datetime
    told: list[Told]
    paper: ReferenceModel

    def __repr__(self) -> str:
        lines = [
            f"{each.at:%Y-%m-%d %H:%M:%S} {each.how} {each.name} {each.workflow} {each.data} {each.late or ''}"
            for each in self.told
        ]
        return "\n".join([f"lives from {self.start} until {self.until}", *lines])


def scenario_of(start: datetime, until: datetime, told: Iterable[Told]) -> Lives:
    """Lives that are written down: what is told, in the order of its instants."""
    paper = ReferenceModel(load_programs(Path("programs"))[PROGRAM], load_catalogue())
    played: list[Told] = []
    for (at, how), group in groupby(told, key=lambda each: (each.at, each.how)):
        if how != "event":
            played += [paper.act(at, how, each.workflow, each.name, each.data) for each in group]
            continue
        events = []
        for each in group:
            clean, problems = check_event(each.name, each.data)
            assert not problems, (each, problems)
            events.append((each.name, clean))
        played += paper.tell(at, events)
    paper.run(until)
    return Lives(start, until, played, paper)


@dataclass
class Lived:
    """What playing lives left behind, as far as it is compared."""

    rows: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    caught: Counter[str] = field(default_factory=Counter)
    running: dict[str, bool] = field(default_factory=dict)
    unreached: set[int] = field(default_factory=set)


async def live(lives: Lives, faults: Sequence[Fault] = ()) -> Lived:
    """Play lives through the real workflows, activities, templates and database, while things go wrong or not."""
    programs, lived = load_programs(Path("programs")), Lived()
    forgetful = any(fault.kind == "worker_killed" for fault in faults)
    async with embedded_stack(
        programs, Path("templates/mail"), Path("programs"), forgetful=forgetful
    ) as ready:
        await ready.advance(lives.start - timedelta(minutes=1))
        turns = {instant for fault in faults for instant in (fault.since, fault.until)}
        for at in sorted({told.at for told in lives.told} | turns):
            await ready.advance(at)
            await set_faults([fault for fault in faults if fault.since <= at < fault.until], ready)
            events = [told for told in lives.told if told.at == at and told.how == "event"]
            for late, group in groupby(events, key=lambda told: told.late):
                await ready.tell(at - late, [(told.name, told.data) for told in group])
            for number, told in enumerate(lives.told):
                if told.at == at and told.how != "event" and not await _act(ready.clock.client, told):
                    lived.unreached.add(number)
        await ready.advance(lives.until)
        await ready.settle()
        lived.timeline = [row async for row in timeline(ready.database, ZONE, lives.until + SLACK)]
        await _read(ready.database, lived)
        lived.caught = Counter(str(caught.message["Message-ID"]) for caught in ready.catcher.caught)
        for workflow in lived.rows:
            described = await ready.clock.client.get_workflow_handle(workflow).describe()
            lived.running[workflow] = described.status == WorkflowExecutionStatus.RUNNING
    return lived


async def _act(client: Client, told: Told) -> bool:
    """Signal or update a workflow; False if it refused at once, or is over."""
    handle = client.get_workflow_handle(told.workflow)
    try:
        if told.how == "signal":
            await handle.signal(told.name, told.data)
        else:
            await handle.execute_update(told.name, told.data)
    except WorkflowUpdateFailedError:
        return False
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _read(database: Database, lived: Lived) -> None:
    async with database.reading() as session:
        for table in LIFECYCLES.values():
            rows: list[Any] = list(await session.scalars(select(table)))
            lived.rows |= {row.workflow: row for row in rows}
        lived.messages = list(await session.scalars(select(Message).order_by(Message.id)))
        lived.tasks = list(await session.scalars(select(Task).order_by(Task.id)))
        lived.events = list(await session.scalars(select(Event).order_by(Event.id)))
        lived.records = list(await session.scalars(select(AuditRecord).order_by(AuditRecord.id)))


def near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two instants are the same for all that matters here."""
    return one == other if one is None or other is None else abs(one - other) <= SLACK


def differences(lives: Lives, lived: Lived) -> list[str]:
    """What is not as on paper, and what breaks a promise whatever the paper says; empty if all is well."""
    return [
        *_fates(lives, lived),
        *_courses(lives, lived),
        *_mails(lives, lived),
        *_open_tasks(lives, lived),
        *_credits(lives, lived),
        *_promises(lives, lived),
    ]


def broken_promises(lives: Lives, lived: Lived) -> list[str]:
    """What breaks a promise that holds whatever goes wrong, a while after it has gone right again."""
    return [*_unkept(lives, lived), *_promises_of_lifecycles(lived), *_chains(lived)]


def _unkept(lives: Lives, lived: Lived) -> Iterator[str]:
    yield from (
        f"event {event.id} {event.type} {event.subject} is still {event.state}"
        for event in lived.events
        if event.state in ("stored", "applying")
    )
    decided = Counter(record.data["delivery"] for record in lived.records if record.kind == "mail")
    matched: Counter[tuple[str, str]] = Counter()
    latest = max(told.late for told in lives.told)
    for row in lived.messages:
        told = f"{row.workflow} {row.step}/{row.occurrence} {row.state} ({row.reason}), due {row.due_at}"
        copies = lived.caught[row.message_id or ""]
        if decided[row.delivery] != (row.state in DECISIONS):
            yield f"{told} has {decided[row.delivery]} decisions on record"
        if row.state not in DECISIONS and row.due_at and row.due_at < lives.until - timedelta(days=1):
            yield f"{told} has no decision"
        if row.state in ("sent", "ambiguous"):
            matched[row.workflow, row.message] += 1
        if not (copies == 1 if row.state == "sent" else copies <= (row.state == "ambiguous")):
            yield f"{told} has come {copies} times"
        closed_at = lived.rows[row.workflow].closed_at
        over = closed_at and row.decided_at and row.decided_at > closed_at + latest + SLACK
        if over and row.state == "sent" and row.workflow.startswith("onboarding/"):
            yield f"{told} was sent at {row.decided_at}, after its end at {closed_at}"
    for workflow, row in lived.rows.items():
        running = lived.running[workflow]
        owed = any(
            mail.workflow == workflow and mail.state not in DECISIONS and mail.due_at
            for mail in lived.messages
        )
        if running != (row.closed_at is None or owed):
            yield f"{workflow} is {row.state}, and {'still' if running else 'not'} running"
        for message in ("mentor.match", "mentee.match") if isinstance(row, Engagement) else ():
            if matched[workflow, message] != 1:
                yield f"{workflow} did not send one {message}"


def _fates(lives: Lives, lived: Lived) -> Iterator[str]:
    told = [each for each in lives.told if each.how == "event"]
    if len(told) != len(lived.events):
        yield f"{len(told)} events were told, {len(lived.events)} are stored"
    for paper, event in zip(told, lived.events, strict=False):
        if paper.fate != event.state:
            real = f"{event.state} ({event.reason})"
            yield f"event {event.id} {event.type} {event.subject} at {paper.at}: {real}, on paper {paper.fate}"
        if event.state == "refused" and not (event.reason or "").strip():
            yield f"event {event.id} was refused without a reason"
    for number, each in enumerate(lives.told):
        if each.how == "update" and (each.fate == "refused") != (number in lived.unreached):
            yield f"{each.how} {each.name} of {each.workflow} at {each.at}: on paper {each.fate}"


def _courses(lives: Lives, lived: Lived) -> Iterator[str]:
    paper = lives.paper.lives
    for workflow in sorted(paper.keys() ^ lived.rows.keys()):
        yield f"{workflow} is only {'on paper' if workflow in paper else 'real'}"
    states: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for record in lived.records:
        if record.kind == "state":
            states[record.subject].append((record.data["state"], record.at))
    for workflow in paper.keys() & lived.rows.keys():
        life, row = paper[workflow], lived.rows[workflow]
        if not _same_course(life.states, states[workflow]):
            yield f"{workflow} went through {states[workflow]}, on paper {life.states}"
        if not near(life.closed_at, row.closed_at):
            yield f"{workflow} closed at {row.closed_at}, on paper at {life.closed_at}"
        assert life.agenda is not None
        if states[workflow] and row.state != states[workflow][-1][0]:
            yield f"{workflow} is {row.state}, and on record {states[workflow][-1][0]}"
        owed = any(due for _, due in life.planned.values())
        if lived.running[workflow] != (life.closed_at is None or owed):
            yield f"{workflow} is {'still running' if lived.running[workflow] else 'not running any more'}"


def _same_course(paper: list[Noted], real: list[tuple[str, datetime]]) -> bool:
    if not paper:
        return not real
    noted, *rest = paper
    if real and noted.what == real[0][0] and near(noted.at, real[0][1]) and _same_course(rest, real[1:]):
        return True
    return noted.may and _same_course(rest, real)


def _mails(lives: Lives, lived: Lived) -> Iterator[str]:
    real = {(row.workflow, f"{row.step}/{row.occurrence}"): row for row in lived.messages}
    paper = {
        (workflow, key)
        for workflow, life in lives.paper.lives.items()
        for key in life.planned.keys() | life.sent.keys() | life.cancelled.keys()
    }
    for workflow, key in sorted(paper ^ real.keys()):
        life = lives.paper.lives.get(workflow)
        if life and key in life.cancelled and near(life.states[0].at, life.cancelled[key].at):
            # An answer at the very instant of the beginning may come before anything was planned.
            continue
        where = "on paper" if (workflow, key) in paper else f"real ({real[workflow, key].state})"
        yield f"{workflow} {key} is only {where}"
    for (workflow, key), row in real.items():
        life = lives.paper.lives.get(workflow)
        if life is None or (workflow, key) not in paper:
            continue
        planned, sent, cancelled = life.planned.get(key), life.sent.get(key), life.cancelled.get(key)
        match row.state:
            case "sent":
                may = [cancelled] if cancelled and cancelled.may else []
                right = any(near(noted.at, row.decided_at) for noted in [*([sent] if sent else []), *may])
            case "planned":
                right = planned is not None and near(planned[0].due, row.due_at)
            case "cancelled":
                right = cancelled is not None and bool(row.reason)
            case _:
                right = False
        mail = life.mails[key]
        if (row.message, row.number, row.to_profile) != (mail.message, mail.number, mail.to):
            yield f"{workflow} {key} is {row.message} {row.number} to {row.to_profile}, on paper {mail}"
        if not right and key not in life.edges:
            yield (
                f"{workflow} {key} is {row.state} at {row.decided_at} ({row.reason}), due {row.due_at}; on paper "
                f"planned {planned and planned[1]}, sent {sent}, cancelled {cancelled}"
            )


def _open_tasks(lives: Lives, lived: Lived) -> Iterator[str]:
    paper = {
        (workflow, cause): noted
        for workflow, life in lives.paper.lives.items()
        for cause, noted in life.tasks.items()
        if noted
    }
    real = {(task.subject, task.cause): task for task in lived.tasks if task.kind != "event_unapplied"}
    for subject, cause in sorted(
        {key for key, noted in paper.items() if not all(each.may for each in noted)} - real.keys()
    ):
        yield f"no task about {subject} was opened: {cause}"
    for (subject, cause), task in real.items():
        noted = paper.get((subject, cause), [])
        if not any(each.what == task.kind and near(each.at, task.opened_at) for each in noted):
            yield f"task {task.kind} about {subject} at {task.opened_at} ({cause}); on paper {noted}"
    unapplied = [
        task for task in lived.tasks if task.kind == "event_unapplied" and task.cause.startswith("event ")
    ]
    if len(unapplied) != len(lives.paper.unapplied):
        yield f"{len(unapplied)} tasks about events that came to nothing, on paper {len(lives.paper.unapplied)}"


def _credits(lives: Lives, lived: Lived) -> Iterator[str]:
    for workflow, row in lived.rows.items():
        life = lives.paper.lives.get(workflow)
        if life is None or not isinstance(row, Claim):
            continue
        decision = lives.paper.decision(life, lives.until)
        wanted = (decision.earned, decision.countable, decision.credit_date)
        if (row.earned, row.countable, row.credit_date) != wanted:
            yield f"{workflow} has {(row.earned, row.countable, row.credit_date)}, on paper {wanted}"


def _promises(lives: Lives, lived: Lived) -> Iterator[str]:
    """What holds whatever anybody does."""
    yield from _promises_of_mail(lives, lived)
    yield from _promises_of_lifecycles(lived)
    yield from _chains(lived)
    for row in lived.timeline:
        if row["kind"] == "refused" and not row["reason"].strip():
            yield f"refused without a reason: {row}"
    still_open = sum(life.closed_at is None for life in lives.paper.lives.values())
    if lived.timeline[-1]["workflows_open"] != still_open:
        yield f"{lived.timeline[-1]['workflows_open']} workflows are open, on paper {still_open}"


def _chains(lived: Lived) -> Iterator[str]:
    chains: dict[str, list[AuditRecord]] = defaultdict(list)
    for record in lived.records:
        chains[record.chain].append(record)
    for chain in chains.values():
        yield from audit.breaks(chain)


def _promises_of_mail(lives: Lives, lived: Lived) -> Iterator[str]:
    decided = Counter(record.data["delivery"] for record in lived.records if record.kind == "mail")
    once: Counter[tuple[Any, ...]] = Counter()
    for row in lived.messages:
        if decided[row.delivery] != (row.state in DECISIONS):
            yield f"{row.workflow} {row.step} is {row.state} and has {decided[row.delivery]} decisions on record"
        if row.state not in DECISIONS and row.due_at and row.due_at < lives.until:
            yield f"{row.workflow} {row.step} was due at {row.due_at} and has no decision"
        if row.state != "sent":
            continue
        assert row.decided_at is not None
        if row.message.partition(".")[2] not in _REPEATED:
            once[row.workflow, row.message, row.number, row.to_profile] += 1
        closed_at = lived.rows[row.workflow].closed_at
        late = closed_at and row.decided_at > closed_at + SLACK
        if late and row.message != "staff.misconduct":
            yield f"{row.workflow} sent {row.message} at {row.decided_at}, after its end at {closed_at}"
    for what, times in once.items():
        if times > 1:
            yield f"sent {times} times: {what}"
    for workflow, row in lived.rows.items():
        if not isinstance(row, Engagement):
            continue
        for message in ("mentor.match", "mentee.match"):
            if once[workflow, message, None, row.mentor_id if "or." in message else row.mentee_id] != 1:
                yield f"{workflow} did not send one {message}"
        yield from _silences(lived, row)


_REPEATED = {
    "credit_outside_cycle",
    "credit_ready",
    "sign_confirmation",
    "write_letter",
    "wrap_up",
    "extended",
} | {
    "request_reminder",
    "request_past_due",
    "request_unanswered",
    "misconduct",
}
"""Messages that come again after an extension, a reopening or another report: each with an occurrence of its own."""


def _silences(lived: Lived, row: Engagement) -> Iterator[str]:
    """Nothing is mailed to the two while their engagement is paused or suspended (ENG8, ENG11)."""
    course = [
        (record.at, record.data["state"])
        for record in lived.records
        if record.kind == "state" and record.subject == row.workflow
    ]
    for (since, state), until in zip(course, [*(at for at, _ in course[1:]), None], strict=True):
        if state not in ("paused", "suspended"):
            continue
        for mail in lived.messages:
            about = mail.workflow == row.workflow or mail.workflow.startswith(f"claim/{row.id}/")
            if not about or mail.state != "sent" or mail.to_profile == "staff" or mail.decided_at is None:
                continue
            if since + SLACK < mail.decided_at and (until is None or mail.decided_at < until - SLACK):
                yield f"{mail.workflow} sent {mail.message} at {mail.decided_at}, while {state} since {since}"


def _promises_of_lifecycles(lived: Lived) -> Iterator[str]:
    ends = Counter(
        record.subject
        for record in lived.records
        if record.kind == "state"
        and record.data["state"] in _LAST.get(record.subject.partition("/")[0], frozenset())
    )
    yield from (f"{subject} ended {times} times" for subject, times in ends.items() if times > 1)
    shares: Counter[tuple[Any, ...]] = Counter()
    for row in lived.rows.values():
        if isinstance(row, Claim):
            if row.countable:
                shares[row.member_id, row.certification, row.cycle_start] += row.countable
            if row.earned and date.fromisoformat(row.credit_date or "") < add_months(
                date.fromisoformat(row.facts["started_on"]), 6
            ):
                yield f"{row.workflow} was earned on {row.credit_date}, before six months"
        if isinstance(row, Engagement) and row.end_reason and row.end_reason != row.facts["end_reason"]:
            yield f"{row.workflow} says it ended for {row.end_reason}, and it was {row.facts['end_reason']}"
        if isinstance(row, Request) and row.answer_reason and row.state not in ("declined", "canceled"):
            yield f"{row.workflow} is {row.state} and keeps the reason {row.answer_reason}"
    yield from (f"{what} counts {sum}, over the cap" for what, sum in shares.items() if sum > 30)


_LAST = {
    "request": frozenset({"accepted", "declined", "canceled", "expired", "unavailable"}),
    "engagement": frozenset({"completed", "ended", "no_fit", "canceled"}),
    "claim": frozenset({"revoked", "not_eligible", "canceled"}),
    "survey": frozenset({"closed", "canceled"}),
    "onboarding": frozenset({"welcomed", "matched", "unmatched", "canceled", "withdrawn", "lapsed"}),
}
