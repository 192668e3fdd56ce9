"""Scenarios played for real, and compared with the reference model.

`play_scenario` plays one through the real workflows, activities, templates and database; `differences` lists what
differs from the model, and what breaks an invariant whatever the model says.
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
    AuditRecord,
    Claim,
    Engagement,
    Event,
    Message,
    Request,
    Task,
)
from database.session import Database
from embedded.scenario import Fault, ScenarioEvent
from embedded.stack import StackOptions, embedded_stack, set_faults
from lifecycles.registry import LIFECYCLES
from lifecycles.timeline import timeline
from rules.calendar import add_months
from rules.events import check_event
from rules.program.catalogue import load_catalogue
from tests.support.model.reference_model import Occurrence, ReferenceModel, ScenarioInput
from tests.support.rehearsals import PROGRAM, ZONE
from worker.assembly import load_programs

SLACK = timedelta(minutes=1)
"""How far apart two instants may lie that are the same: machines take time, the rules do not."""


@dataclass
class GeneratedScenario:
    """A scenario: its start, its end, its inputs in order, and the model after them."""

    start: datetime
    until: datetime
    inputs: list[ScenarioInput]
    model: ReferenceModel

    def __repr__(self) -> str:
        lines = [
            f"{each.at:%Y-%m-%d %H:%M:%S} {each.how} {each.name} {each.workflow} {each.data} {each.late or ''}"
            for each in self.inputs
        ]
        return "\n".join([f"scenario from {self.start} until {self.until}", *lines])


def scenario_of(start: datetime, until: datetime, entry: Iterable[ScenarioInput]) -> GeneratedScenario:
    """Return a scenario of given inputs, in the order of their instants."""
    model = ReferenceModel(load_programs(Path("programs"))[PROGRAM], load_catalogue())
    played: list[ScenarioInput] = []
    for (at, how), group in groupby(entry, key=lambda each: (each.at, each.how)):
        if how != "event":
            played += [model.act(at, how, each.workflow, each.name, each.data) for each in group]
            continue
        events = []
        for each in group:
            clean, problems = check_event(each.name, each.data)
            assert not problems, (each, problems)
            events.append((each.name, clean))
        played += model.send_events(at, events)
    model.run(until)
    return GeneratedScenario(start, until, played, model)


@dataclass
class PlayedScenario:
    """What playing a scenario left behind, as far as it is compared."""

    rows: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    caught: Counter[str] = field(default_factory=Counter)
    running: dict[str, bool] = field(default_factory=dict)
    unreached: set[int] = field(default_factory=set)


async def play_scenario(scenario: GeneratedScenario, faults: Sequence[Fault] = ()) -> PlayedScenario:
    """Play a scenario through the real workflows, activities, templates and database, with faults or without."""
    programs, played = load_programs(Path("programs")), PlayedScenario()
    small_cache = any(fault.kind == "worker_killed" for fault in faults)
    async with embedded_stack(
        programs, Path("templates/mail"), Path("programs"), StackOptions(small_cache=small_cache)
    ) as ready:
        await ready.advance(scenario.start - timedelta(minutes=1))
        turns = {instant for fault in faults for instant in (fault.since, fault.until)}
        for at in sorted({entry.at for entry in scenario.inputs} | turns):
            await ready.advance(at)
            await set_faults([fault for fault in faults if fault.since <= at < fault.until], ready)
            events = [entry for entry in scenario.inputs if entry.at == at and entry.how == "event"]
            for late, group in groupby(events, key=lambda entry: entry.late):
                happened = at - late if late else None
                given = [ScenarioEvent(at, entry.name, entry.data, happened) for entry in group]
                await ready.send_events(at, given)
            for number, entry in enumerate(scenario.inputs):
                if entry.at == at and entry.how != "event" and not await _act(ready.clock.client, entry):
                    played.unreached.add(number)
        await ready.advance(scenario.until)
        await ready.wait_idle()
        played.timeline = [row async for row in timeline(ready.database, ZONE, scenario.until + SLACK)]
        await _read(ready.database, played)
        played.caught = Counter(str(caught.message["Message-ID"]) for caught in ready.catcher.caught)
        for workflow in played.rows:
            described = await ready.clock.client.get_workflow_handle(workflow).describe()
            played.running[workflow] = described.status == WorkflowExecutionStatus.RUNNING
    return played


async def _act(client: Client, entry: ScenarioInput) -> bool:
    """Signal or update a workflow; False if it refused at once, or is over."""
    handle = client.get_workflow_handle(entry.workflow)
    try:
        if entry.how == "signal":
            await handle.signal(entry.name, entry.data)
        else:
            await handle.execute_update(entry.name, entry.data)
    except WorkflowUpdateFailedError:
        return False
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _read(database: Database, played: PlayedScenario) -> None:
    async with database.reading() as session:
        for table in (entry.table for entry in LIFECYCLES.values()):
            rows: list[Any] = list(await session.scalars(select(table)))
            played.rows |= {row.workflow: row for row in rows}
        played.messages = list(await session.scalars(select(Message).order_by(Message.id)))
        played.tasks = list(await session.scalars(select(Task).order_by(Task.id)))
        played.events = list(await session.scalars(select(Event).order_by(Event.id)))
        played.records = list(await session.scalars(select(AuditRecord).order_by(AuditRecord.id)))


def near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two instants are the same for all that matters here."""
    return one == other if one is None or other is None else abs(one - other) <= SLACK


def differences(scenario: GeneratedScenario, played: PlayedScenario) -> list[str]:
    """Return what differs from the model or breaks an invariant; empty if all is well."""
    return [
        *_event_differences(scenario, played),
        *_lifecycle_differences(scenario, played),
        *_mails(scenario, played),
        *_open_tasks(scenario, played),
        *_credits(scenario, played),
        *_invariants(scenario, played),
    ]


def broken_invariants(scenario: GeneratedScenario, played: PlayedScenario) -> list[str]:
    """What breaks a promise that holds whatever goes wrong, a while after it has gone right again."""
    return [*_unkept(scenario, played), *_lifecycle_invariants(played), *_chains(played)]


def _unkept(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    yield from (
        f"event {event.id} {event.type} {event.subject} is still {event.state}"
        for event in played.events
        if event.state in ("stored", "applying")
    )
    decided = Counter(record.data["delivery"] for record in played.records if record.kind == "mail")
    matched: Counter[tuple[str, str]] = Counter()
    latest = max(entry.late for entry in scenario.inputs)
    for row in played.messages:
        entry = f"{row.workflow} {row.step}/{row.occurrence} {row.state} ({row.reason}), due {row.due_at}"
        copies = played.caught[row.message_id or ""]
        if decided[row.delivery] != (row.state in DECISIONS):
            yield f"{entry} has {decided[row.delivery]} decisions on record"
        if row.state not in DECISIONS and row.due_at and row.due_at < scenario.until - timedelta(days=1):
            yield f"{entry} has no decision"
        if row.state in ("sent", "ambiguous"):
            matched[row.workflow, row.message] += 1
        if not (copies == 1 if row.state == "sent" else copies <= (row.state == "ambiguous")):
            yield f"{entry} has come {copies} times"
        closed_at = played.rows[row.workflow].closed_at
        over = closed_at and row.decided_at and row.decided_at > closed_at + latest + SLACK
        if over and row.state == "sent" and row.workflow.startswith("onboarding/"):
            yield f"{entry} was sent at {row.decided_at}, after its end at {closed_at}"
    for workflow, row in played.rows.items():
        running = played.running[workflow]
        owed = any(
            mail.workflow == workflow and mail.state not in DECISIONS and mail.due_at
            for mail in played.messages
        )
        if running != (row.closed_at is None or owed):
            yield f"{workflow} is {row.state}, and {'still' if running else 'not'} running"
        for message in ("mentor.match", "mentee.match") if isinstance(row, Engagement) else ():
            if matched[workflow, message] != 1:
                yield f"{workflow} did not send one {message}"


def _event_differences(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    entry = [each for each in scenario.inputs if each.how == "event"]
    if len(entry) != len(played.events):
        yield f"{len(entry)} events were sent, {len(played.events)} are stored"
    for model, event in zip(entry, played.events, strict=False):
        if model.outcome != event.state:
            real = f"{event.state} ({event.reason})"
            yield f"event {event.id} {event.type} {event.subject} at {model.at}: {real}, in the model {model.outcome}"
        if event.state == "refused" and not (event.reason or "").strip():
            yield f"event {event.id} was refused without a reason"
    for number, each in enumerate(scenario.inputs):
        if each.how == "update" and (each.outcome == "refused") != (number in played.unreached):
            yield f"{each.how} {each.name} of {each.workflow} at {each.at}: in the model {each.outcome}"


def _lifecycle_differences(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    model = scenario.model.lifecycles
    for workflow in sorted(model.keys() ^ played.rows.keys()):
        yield f"{workflow} is only {'in the model' if workflow in model else 'real'}"
    states: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for record in audit.without_stand_ins(played.records):
        if record.kind == "state":
            states[record.subject].append((record.data["state"], record.at))
    for workflow in model.keys() & played.rows.keys():
        lifecycle, row = model[workflow], played.rows[workflow]
        if not _same_occurrences(lifecycle.states, states[workflow]):
            yield f"{workflow} went through {states[workflow]}, in the model {lifecycle.states}"
        if not near(lifecycle.closed_at, row.closed_at):
            yield f"{workflow} closed at {row.closed_at}, in the model at {lifecycle.closed_at}"
        assert lifecycle.agenda is not None
        if states[workflow] and row.state != states[workflow][-1][0]:
            yield f"{workflow} is {row.state}, and on record {states[workflow][-1][0]}"
        owed = any(due for _, due in lifecycle.planned.values())
        if played.running[workflow] != (lifecycle.closed_at is None or owed):
            yield f"{workflow} is {'still running' if played.running[workflow] else 'not running any more'}"


def _same_occurrences(model: list[Occurrence], real: list[tuple[str, datetime]]) -> bool:
    if not model:
        return not real
    occurrence, *rest = model
    if (
        real
        and occurrence.what == real[0][0]
        and near(occurrence.at, real[0][1])
        and _same_occurrences(rest, real[1:])
    ):
        return True
    return occurrence.may and _same_occurrences(rest, real)


def _mails(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    real = {(row.workflow, f"{row.step}/{row.occurrence}"): row for row in played.messages}
    model = {
        (workflow, key)
        for workflow, lifecycle in scenario.model.lifecycles.items()
        for key in lifecycle.planned.keys() | lifecycle.sent.keys() | lifecycle.cancelled.keys()
    }
    for workflow, key in sorted(model ^ real.keys()):
        lifecycle = scenario.model.lifecycles.get(workflow)
        if (
            lifecycle
            and key in lifecycle.cancelled
            and near(lifecycle.states[0].at, lifecycle.cancelled[key].at)
        ):
            # An answer at the very instant of the beginning may come before anything was planned.
            continue
        where = "in the model" if (workflow, key) in model else f"real ({real[workflow, key].state})"
        yield f"{workflow} {key} is only {where}"
    for (workflow, key), row in real.items():
        lifecycle = scenario.model.lifecycles.get(workflow)
        if lifecycle is None or (workflow, key) not in model:
            continue
        planned, sent, cancelled = (
            lifecycle.planned.get(key),
            lifecycle.sent.get(key),
            lifecycle.cancelled.get(key),
        )
        match row.state:
            case "sent":
                may = [cancelled] if cancelled and cancelled.may else []
                right = any(
                    near(occurrence.at, row.decided_at) for occurrence in [*([sent] if sent else []), *may]
                )
            case "planned":
                right = planned is not None and near(planned[0].due, row.due_at)
            case "cancelled":
                # The mail of another claim of the same person spoke for this one (CPE7).
                joined = sent is not None and (row.reason or "").startswith("in one mail with claim/")
                right = joined or (cancelled is not None and bool(row.reason))
            case _:
                right = False
        mail = lifecycle.mails[key]
        if (row.message, row.number, row.to_profile) != (mail.message, mail.number, mail.to):
            yield f"{workflow} {key} is {row.message} {row.number} to {row.to_profile}, in the model {mail}"
        if not right and key not in lifecycle.edges:
            yield (
                f"{workflow} {key} is {row.state} at {row.decided_at} ({row.reason}), due {row.due_at}; in the model "
                f"planned {planned and planned[1]}, sent {sent}, cancelled {cancelled}"
            )


def _open_tasks(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    model = {
        (workflow, cause): occurrence
        for workflow, lifecycle in scenario.model.lifecycles.items()
        for cause, occurrence in lifecycle.tasks.items()
        if occurrence
    }
    real = {(task.subject, task.cause): task for task in played.tasks if task.kind != "event_unapplied"}
    for subject, cause in sorted(
        {key for key, occurrence in model.items() if not all(each.may for each in occurrence)} - real.keys()
    ):
        yield f"no task about {subject} was opened: {cause}"
    for (subject, cause), task in real.items():
        occurrence = model.get((subject, cause), [])
        if not any(each.what == task.kind and near(each.at, task.opened_at) for each in occurrence):
            yield f"task {task.kind} about {subject} at {task.opened_at} ({cause}); in the model {occurrence}"
    unapplied = [
        task for task in played.tasks if task.kind == "event_unapplied" and task.cause.startswith("event ")
    ]
    if len(unapplied) != len(scenario.model.unapplied):
        yield f"{len(unapplied)} tasks about events that came to nothing, in the model {len(scenario.model.unapplied)}"


def _credits(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    for workflow, row in played.rows.items():
        lifecycle = scenario.model.lifecycles.get(workflow)
        if lifecycle is None or not isinstance(row, Claim):
            continue
        decision = scenario.model.decision(lifecycle, scenario.until)
        wanted = (decision.earned, decision.countable, decision.credit_date)
        if (row.earned, row.countable, row.credit_date) != wanted:
            yield f"{workflow} has {(row.earned, row.countable, row.credit_date)}, in the model {wanted}"


def _invariants(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    """What holds whatever anybody does."""
    yield from _mail_invariants(scenario, played)
    yield from _lifecycle_invariants(played)
    yield from _chains(played)
    for row in played.timeline:
        if row["kind"] == "refused" and not row["reason"].strip():
            yield f"refused without a reason: {row}"
    still_open = sum(lifecycle.closed_at is None for lifecycle in scenario.model.lifecycles.values())
    if played.timeline[-1]["workflows_open"] != still_open:
        yield f"{played.timeline[-1]['workflows_open']} workflows are open, in the model {still_open}"


def _chains(played: PlayedScenario) -> Iterator[str]:
    chains: dict[str, list[AuditRecord]] = defaultdict(list)
    for record in played.records:
        chains[record.chain].append(record)
    for chain in chains.values():
        yield from audit.breaks(chain)


def _mail_invariants(scenario: GeneratedScenario, played: PlayedScenario) -> Iterator[str]:
    decided = Counter(record.data["delivery"] for record in played.records if record.kind == "mail")
    once: Counter[tuple[Any, ...]] = Counter()
    for row in played.messages:
        if decided[row.delivery] != (row.state in DECISIONS):
            yield f"{row.workflow} {row.step} is {row.state} and has {decided[row.delivery]} decisions on record"
        if row.state not in DECISIONS and row.due_at and row.due_at < scenario.until:
            yield f"{row.workflow} {row.step} was due at {row.due_at} and has no decision"
        if row.state != "sent":
            continue
        assert row.decided_at is not None
        if row.message.partition(".")[2] not in _REPEATED:
            once[row.workflow, row.message, row.number, row.to_profile] += 1
        closed_at = played.rows[row.workflow].closed_at
        late = closed_at and row.decided_at > closed_at + SLACK
        if late and row.message.partition(".")[2] not in _AFTER_THE_END:
            yield f"{row.workflow} sent {row.message} at {row.decided_at}, after its end at {closed_at}"
    for what, times in once.items():
        if times > 1:
            yield f"sent {times} times: {what}"
    for workflow, row in played.rows.items():
        if not isinstance(row, Engagement):
            continue
        for message in ("mentor.match", "mentee.match"):
            if once[workflow, message, None, row.mentor_id if "or." in message else row.mentee_id] != 1:
                yield f"{workflow} did not send one {message}"
        yield from _silences(played, row)


_AFTER_THE_END = ("misconduct", "completed", "request_expired")
"""Messages that an end leaves to the reader's next business morning (T4), and the one that staff always get."""

_REPEATED = {
    "credit_outside_cycle",
    "credit_accepted",
    "credit_rejected",
    "credit_reopened",
    "standing_lapsed",
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


def _silences(played: PlayedScenario, row: Engagement) -> Iterator[str]:
    """Nothing is mailed to the two while their engagement is paused or suspended (ENG8, ENG11)."""
    course = [
        (record.at, record.data["state"])
        for record in played.records
        if record.kind == "state" and record.subject == row.workflow
    ]
    for (since, state), until in zip(course, [*(at for at, _ in course[1:]), None], strict=True):
        if state not in ("paused", "suspended"):
            continue
        for mail in played.messages:
            about = mail.workflow == row.workflow or mail.workflow.startswith(f"claim/{row.id}/")
            if not about or mail.state != "sent" or mail.to_profile == "staff" or mail.decided_at is None:
                continue
            if since + SLACK < mail.decided_at and (until is None or mail.decided_at < until - SLACK):
                yield f"{mail.workflow} sent {mail.message} at {mail.decided_at}, while {state} since {since}"


def _lifecycle_invariants(played: PlayedScenario) -> Iterator[str]:
    ends: Counter[str] = Counter()
    for record in played.records:
        if record.kind != "state":
            continue
        if record.data["state"] in _LAST.get(record.subject.partition("/")[0], frozenset()):
            ends[record.subject] += 1
        elif record.subject.startswith("onboarding/"):
            ends[record.subject] = 0  # a match that was no fit let it go on (ONB8)
    yield from (f"{subject} ended {times} times" for subject, times in ends.items() if times > 1)
    shares: Counter[tuple[Any, ...]] = Counter()
    for row in played.rows.values():
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
    "onboarding": frozenset(
        {
            "welcomed",
            "matched",
            "unmatched",
            "canceled",
            "withdrawn",
            "lapsed",
            "outside_window",
            "registered",
        }
    ),
}
