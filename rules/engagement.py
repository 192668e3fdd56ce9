"""Two people who work together: what is mailed when, and how it ends (ENG1–ENG11, MEM2).

Dates of an engagement are local to the program's zone, and pauses are counted in its days; mail goes out on
each recipient's own days and clock (T4). Months count from the first day (T3). Sources: handbook, "Discovery Call"
to "Reflect and Assess"; FAQ; the rest is decided in the rulebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from rules import lapses
from rules.acts import Act
from rules.agenda import (
    Agenda,
    Ended,
    Pause,
    PlannedMail,
    PlannedTask,
    Refused,
    StateChange,
    begin_pause,
    end_pause,
    merge_pauses,
)
from rules.calendar import Calendar, add_months, reached_on
from rules.lapses import Lapse
from rules.pauses import after_pause, close_at, send_at
from rules.program import EngagementPolicy, Program, program_calendar

ROLES = ("mentor", "mentee")
STAFF = "staff"
"""Who acts for the program, and the recipient of mail to its own people."""

MISCONDUCT = "misconduct"
"""The cause of the pause that a report opens (ENG8)."""

END_REASONS = {
    "goals_met": "the goals were met",
    "no_fit": "no fit",
    "no_time": "no time",
    "unresponsive": "the other did not respond",
    "other": "another reason",
}
"""The reasons for which a party ends an engagement, in words for staff (ENG7)."""

MOST_MONTHS_AHEAD = 240
"""How far ahead an end may lie: whoever wants more extends again (ENG10)."""

_MOST_NEW_ENDS = 200
_MOST_PAUSES = 200
_MOST_REPORTS = 20
_YESES_KEPT = 24
_TOO_FAR = f"an end lies at most {MOST_MONTHS_AHEAD // 12} years ahead; it can be extended again later"
_NEUTRAL = "this engagement cannot be changed here; please write to the program's mailbox"


@dataclass(frozen=True, slots=True)
class NewEnd:
    """A planned end that was agreed or set at an instant, by `plan`, `parties` or `staff` (ENG3, ENG5, ENG6).

    It is a day, `end` (YYYY-MM-DD), or `months`: of a plan counted from the first day, else added to the end before
    it. `event` is the stored event behind it, if any.
    """

    at: datetime
    by: str
    end: str = ""
    months: int = 0
    event: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """The new end (YYYY-MM-DD) for which a side, `mentor` or `mentee`, is (ENG5)."""

    by: str
    end: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Discovery:
    """The last answer of a side about the discovery call: `good_fit`, `not_a_fit` or `not_met` (ENG2)."""

    by: str
    answer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The last pulse that a side has answered, yes or no (ENG4)."""

    by: str
    number: int


@dataclass(frozen=True, slots=True)
class Report:
    """That misconduct was reported, by a side or `staff` (ENG8). The words are in the event."""

    by: str
    at: datetime
    event: str = ""


@dataclass(frozen=True, slots=True)
class EngagementFacts:
    """All that decides an engagement: ids, instants and dates only (MEM6).

    `mentee` and `mentor` are profiles, `months` is the length asked for in the request. `met` are the numbers of the
    last pulses with a yes from either. A pause with the cause `misconduct` is a suspension. `acts` is the order in
    which `pauses` began (`pause`) and ended (`resume`) and the `new_ends` came (`end`). `end_reason` is one of
    `END_REASONS` where a party ended it, `ended_by` is `mentor`, `mentee` or `staff`.
    """

    engagement: str
    mentee: str
    mentor: str
    started_at: datetime
    months: int | None = None
    new_ends: list[NewEnd] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    discovery: list[Discovery] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    lapses: list[Lapse] = field(default_factory=list)
    ended: Ended | None = None
    ended_by: str = ""
    end_reason: str = ""

    @property
    def suspended(self) -> bool:
        """Whether a report of misconduct has stopped it (ENG8)."""
        return any(pause.cause == MISCONDUCT and pause.until is None for pause in self.pauses)

    @property
    def paused(self) -> bool:
        """Whether nothing is mailed just now, by staff or because it is suspended (ENG8, ENG11)."""
        return any(pause.until is None for pause in self.pauses)

    def role(self, by: str) -> str:
        """`mentor` or `mentee`, for their profiles and for these words. Raises Refused for anybody else."""
        roles = {"mentor": "mentor", "mentee": "mentee", self.mentor: "mentor", self.mentee: "mentee"}
        if by in roles:
            return roles[by]
        raise Refused("only the mentor and the mentee of an engagement can do this")


def start_day(facts: EngagementFacts, program: Calendar) -> date:
    """The first day, in the program's zone (ENG1). `program` is the program's own calendar, here and below."""
    return program.date_of(facts.started_at)


def planned_end(
    facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime | None = None
) -> date:
    """The day on which it is planned to end, moved by paused days (ENG3, ENG5, ENG6, ENG11).

    With `at`, an open pause counts as far as that instant; without, it does not count yet.
    """
    return _ends(_counted(facts, at), policy, program)[-1].day


def gate_day(facts: EngagementFacts, gate_months: int, program: Calendar, at: datetime | None = None) -> date:
    """The day on which it has been active for so many months: paused days do not count (CPE1, ENG11).

    `at` as for `planned_end`.
    """
    return reached_on(start_day(facts, program), gate_months, facts.pauses, program, before=at)


def end_day(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> date:
    """The day on which it ended, or on which it will by its plan (CPE1)."""
    return program.date_of(facts.ended.at) if facts.ended else planned_end(facts, policy, program)


def pulse_at(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime) -> int:
    """The number of the pulse that an answer at an instant counts for: the last one before it; 0 before the first.

    A pulse's answers count until the day of the next (ENG4).
    """
    facts, today, number = _counted(facts, at), program.date_of(at), 0
    start, pauses = start_day(facts, program), merge_pauses(facts.pauses)
    while close_at(_pulse(policy, start, number + 1), pauses, program)[0] <= today:
        number += 1
    return number


def agenda(
    facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, mentor: Calendar, mentee: Calendar
) -> Agenda:
    """All that an engagement does (ENG1–ENG11, MEM2). The calendars are the program's own and the two persons'.

    While it is suspended only staff are mailed. A message that an act took out before it was due, and a later act
    brings back, comes under a step of its own: what was decided once never goes out again (MAIL1).
    """
    plan = _Plan(facts, policy, program, {"mentor": mentor, "mentee": mentee})
    fates, held = _mail_histories(plan), plan.held_since
    because, closing = "no longer due", None
    if facts.ended:
        ended, because = facts.ended, facts.ended.cause
        closing = StateChange(ended.at, ended.state, ended.cause, closes=True)
        mails = _closing_mails(plan, ended, fates)
    elif facts.suspended:
        because, mails = "the engagement is suspended", []
    else:
        mails = [replace(mail, due=None, after_pause=None) if held else mail for mail in _mails(plan, fates)]
    if closing is None and held is None:
        closing = StateChange(plan.closes, "completed", "the planned end was reached", closes=True)
    opening, *course = _state_changes(facts)
    if closing:
        course = [*(turn for turn in course if turn.due < closing.due), closing]
    planned = [task for task in (*_stalled(plan), *_inactive(plan)) if held is None or task.due < held]
    lapsed = lapses.tasks(
        facts.lapses, facts.mentor, "The engagement goes on; credit needs good standing at its gate."
    )
    tasks = [task for task in (*planned, *lapsed) if closing is None or task.due < closing.due]
    return Agenda(
        (*mails, *_reports(facts)), (opening, *course), (*tasks, *_misconduct_tasks(facts)), because
    )


@dataclass(frozen=True, slots=True)
class _End:
    """A planned end: when it was set, the day as it was set, from when on pauses move it, and the day and the
    instant that come of it."""

    set_at: datetime
    given: date
    moves_from: datetime
    day: date
    closes: datetime
    extension: bool


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message as the facts alone would have it; `scheduled` is what goes by T4, `end` the end it asks about."""

    role: str
    what: str
    due: datetime
    context: dict[str, str]
    occurrence: int = 1
    numbered: bool = False
    scheduled: bool = True
    end: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.role, self.what, self.occurrence


@dataclass(slots=True)
class _MailHistory:
    """What became of a message: whether it stands in the agenda, and whether it went out; how often it was taken out
    before that, and came again for another end; and when it came in, if its own hour was past by then."""

    draft: _Draft
    stands: bool = True
    out: bool = False
    dropped: int = 0
    repeated: int = 0
    brought_in: datetime | None = None


class _Plan:
    """What the facts come to, as if a pause that is open had not begun."""

    def __init__(
        self,
        facts: EngagementFacts,
        policy: EngagementPolicy,
        program: Calendar,
        calendars: dict[str, Calendar],
    ) -> None:
        self.facts, self.policy, self.program, self.calendars = facts, policy, program, calendars
        self.start = start_day(facts, program)
        self.paused = [pause for pause in facts.pauses if pause.until is not None]
        self.pauses = merge_pauses(self.paused)
        self.ends = _ends(facts, policy, program)
        self.closes = self.ends[-1].closes
        open_since = [
            pause.since for pause in facts.pauses if pause.until is None and pause.since < self.closes
        ]
        self.held_since = min(open_since, default=None)

    def at(self, facts: EngagementFacts) -> _Plan:
        """The same for other facts."""
        return _Plan(facts, self.policy, self.program, self.calendars)

    def send_at(self, calendar: Calendar, day: date, moves_from: datetime | None = None) -> datetime:
        """When mail of a day goes out on a calendar, moved by the pauses, or by those from an instant on."""
        due = send_at(
            day,
            merge_pauses(self.paused, since=moves_from) if moves_from else self.pauses,
            calendar,
            self.program,
        )
        assert due is not None
        return due

    def before_the_end(self, day: date) -> datetime:
        """When something of a day opens for staff: on a business day, or if that comes after the end, on the day."""
        due = self.send_at(self.program, day)
        if due < self.closes:
            return due
        morning = self.program.instant(self.moved(day), self.program.hours.send_time)
        return max([morning, *(p.until for p in self.pauses if p.until and p.until < self.closes)])

    def moved(self, day: date) -> date:
        """A day moved by the pauses."""
        return close_at(day, self.pauses, self.program)[0]

    def pulse(self, number: int) -> date:
        """The day of a pulse before pauses; 0 is a month before the first."""
        return _pulse(self.policy, self.start, number)

    def drafts(self) -> Iterator[_Draft]:
        """Every message to the two, whatever their answers."""
        yield from self._both("match", self.facts.started_at, scheduled=False, ends=self.ends[0].day)
        for number, (before, end) in enumerate(self._extensions(), start=1):
            due = self._at_once(end.set_at)
            yield from self._both("extended", due, number, scheduled=False, ends=before.day, new_end=end.day)
        for role in ROLES:
            yield from self._discovery(role)
            yield from self._pulses(role)
            yield from self._wrap_up(role)
        yield from self._both("completed", self.closes, scheduled=False, ends=self.ends[-1].day)

    def wanted(
        self, fates: dict[tuple[str, str, int], _MailHistory], at: datetime
    ) -> Iterator[tuple[tuple[str, str, int], tuple[_Draft, datetime | None]]]:
        """The messages that the facts ask for at an instant, by key, after what became of them before.

        One that comes in when its hour is past goes out on the next occasion; none goes out after the end.
        """
        for draft in () if self.facts.suspended else self.drafts():
            fate = fates.get(draft.key)
            brought_in = fate.brought_in if fate else None
            if draft.scheduled and draft.due <= at and (fate is None or not (fate.stands or fate.out)):
                brought_in = at
            if brought_in:
                draft = self._postponed(draft, brought_in)
            if draft.due < self.closes or draft.what == "completed":
                yield draft.key, (draft, brought_in)

    def _postponed(self, draft: _Draft, brought_in: datetime) -> _Draft:
        calendar = self.calendars[draft.role]
        day = calendar.date_of(calendar.next_send_after(brought_in))
        return replace(draft, due=self.send_at(calendar, day, brought_in))

    def _extensions(self) -> list[tuple[_End, _End]]:
        return [(before, end) for before, end in pairwise(self.ends) if end.extension]

    def _both(
        self, what: str, due: datetime, occurrence: int = 1, *, scheduled: bool, **days: date
    ) -> Iterator[_Draft]:
        for role in ROLES:
            yield _Draft(role, what, due, self._days(**days), occurrence, scheduled=scheduled)

    def _days(self, **days: date) -> dict[str, str]:
        return {name: day.isoformat() for name, day in {"started": self.start, **days}.items()}

    def _at_once(self, at: datetime) -> datetime:
        for pause in self.pauses:
            if pause.until and pause.since <= at < pause.until:
                return pause.until
        return at

    def _discovery(self, role: str) -> Iterator[_Draft]:
        for number in range(1, self.policy.discovery_repeats + 2):
            day = self.start + timedelta(days=number * self.policy.discovery_days)
            if self.moved(day) < self.ends[-1].day:
                due = self.send_at(self.calendars[role], day)
                yield _Draft(role, "discovery", due, self._days(), number, numbered=True)

    def _pulses(self, role: str) -> Iterator[_Draft]:
        number = 1
        while self.moved(self.pulse(number)) < self.ends[-1].day:
            due = self.send_at(self.calendars[role], self.pulse(number))
            context = {"since": self.moved(self.pulse(number - 1)).isoformat()}
            yield _Draft(role, "pulse", due, context, number, numbered=True)
            number += 1

    def _wrap_up(self, role: str) -> Iterator[_Draft]:
        end = self.ends[-1]
        day = end.given - timedelta(days=self.policy.wrap_up_days)
        due = self.send_at(self.calendars[role], day, end.moves_from)
        if day >= self.start and due > end.set_at:
            yield _Draft(role, "wrap_up", due, self._days(ends=end.day), end=len(self.ends))


def _ends(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> list[_End]:
    """The planned end at first, and after each change (ENG3, ENG5, ENG6, T3). An open pause moves nothing yet."""
    start = start_day(facts, program)
    pauses = [pause for pause in facts.pauses if pause.until is not None]
    anchor, months, moves_from = start, facts.months or policy.default_months, facts.started_at
    ends = []
    for new in (NewEnd(facts.started_at, "request", months=months), *facts.new_ends):
        if new.end:
            anchor, months, moves_from = date.fromisoformat(new.end), 0, new.at
        elif new.by in ("request", "plan"):
            anchor, months, moves_from = start, new.months, facts.started_at
        else:
            months += new.months
        given = add_months(anchor, months)
        day, closes = close_at(given, merge_pauses(pauses, since=moves_from), program)
        ends.append(_End(new.at, given, moves_from, day, closes, new.by in ("parties", STAFF)))
    return ends


def _pulse(policy: EngagementPolicy, start: date, number: int) -> date:
    return add_months(start, policy.pulse_from_month + number - 1)


def _counted(facts: EngagementFacts, at: datetime | None) -> EngagementFacts:
    """The facts as if every open pause ended at an instant."""
    if at is None or not facts.paused:
        return facts
    return replace(
        facts,
        pauses=[
            replace(pause, until=max(at, pause.since)) if pause.until is None else pause
            for pause in facts.pauses
        ],
    )


def _state_changes(facts: EngagementFacts) -> list[StateChange]:
    """The turns before the end: active, paused, suspended, and back."""
    turns = [StateChange(facts.started_at, "active", "the mentor accepted the request")]
    instants = {at for pause in facts.pauses for at in (pause.since, pause.until) if at is not None}
    for at in sorted(instants):
        causes = {
            pause.cause
            for pause in facts.pauses
            if pause.since <= at and (pause.until is None or at < pause.until)
        }
        if MISCONDUCT in causes:
            state, cause = "suspended", "misconduct was reported"
        elif causes:
            state, cause = "paused", "paused by staff"
        else:
            state, cause = "active", "resumed by staff"
        if state != turns[-1].state:
            turns.append(StateChange(at, state, cause))
    return turns


def _steps(facts: EngagementFacts) -> Iterator[tuple[datetime, EngagementFacts]]:
    """The facts at first and after each act that moves mail, with its instant."""
    pauses: list[Pause] = []
    new_ends: list[NewEnd] = []
    at = facts.started_at
    for act in ("start", *facts.acts):
        if act == "end":
            new_ends.append(facts.new_ends[len(new_ends)])
            at = new_ends[-1].at
        elif act == "pause":
            pauses.append(replace(facts.pauses[len(pauses)], until=None))
            at = pauses[-1].since
        elif act == "resume":
            at = max(pause.until for pause in facts.pauses[: len(pauses)] if pause.until)
            pauses = facts.pauses[: len(pauses)]
        yield at, replace(facts, pauses=list(pauses), new_ends=list(new_ends))


def _mail_histories(plan: _Plan) -> dict[tuple[str, str, int], _MailHistory]:
    """What became of every message through all the acts."""
    fates: dict[tuple[str, str, int], _MailHistory] = {}
    held = True
    for at, facts in _steps(plan.facts):
        then = plan.at(facts)
        drafts = dict(then.wanted(fates, at))
        for key, fate in fates.items():
            fate.out |= fate.stands and not held and fate.draft.due <= at
            if fate.stands and key not in drafts:
                fate.stands = False
                fate.dropped += not fate.out
        for key, (draft, brought_in) in drafts.items():
            fate = fates.setdefault(key, _MailHistory(draft))
            if fate.out and fate.draft.end != draft.end:
                fate.out, fate.repeated = False, fate.repeated + 1
            fate.draft, fate.brought_in, fate.stands = draft, brought_in, True
        held = then.held_since is not None
    return fates


def _mails(plan: _Plan, fates: dict[tuple[str, str, int], _MailHistory]) -> Iterator[PlannedMail]:
    for fate in fates.values():
        draft = fate.draft
        if fate.stands and not _answered(plan, draft):
            calendar = plan.calendars[draft.role] if draft.scheduled else None
            late = after_pause(draft.due, plan.pauses, calendar)
            yield replace(_mail(plan.facts, fate), after_pause=late)


def _mail(facts: EngagementFacts, fate: _MailHistory) -> PlannedMail:
    draft = fate.draft
    message = f"{draft.role}.{draft.what}"
    return PlannedMail(
        step=f"{message}.{fate.dropped + 1}" if fate.dropped else message,
        due=draft.due,
        message=message,
        to=facts.mentor if draft.role == "mentor" else facts.mentee,
        occurrence=draft.occurrence + fate.repeated,
        number=draft.occurrence if draft.numbered else None,
        context=draft.context,
    )


def _answered(plan: _Plan, draft: _Draft) -> bool:
    """Whether the reader has already said what the message asks for (ENG2, ENG4, MAIL4)."""
    if draft.what == "discovery":
        held = plan.held_since is not None and plan.held_since < draft.due
        return any(
            told.by == draft.role and (told.answer == "good_fit" or (told.at >= draft.due and not held))
            for told in plan.facts.discovery
        )
    if draft.what == "pulse":
        return any(told.by == draft.role and told.number >= draft.occurrence for told in plan.facts.answered)
    return False


def _closing_mails(
    plan: _Plan, ended: Ended, fates: dict[tuple[str, str, int], _MailHistory]
) -> list[PlannedMail]:
    """What an ending has mailed. The mail of a completion is the one that was planned all along."""
    what = {"completed": "completed", "canceled": "canceled"}.get(ended.state, "ended")
    context = {
        "started": plan.start.isoformat(),
        "ends": plan.program.date_of(ended.at).isoformat(),
        "outcome": ended.state,
        "by": plan.facts.ended_by,
    }
    drafts = [_Draft(role, what, ended.at, context, scheduled=False) for role in ROLES]
    dropped = [fates[draft.key].dropped if draft.key in fates else 0 for draft in drafts]
    return [
        _mail(plan.facts, _MailHistory(draft, dropped=times))
        for draft, times in zip(drafts, dropped, strict=True)
    ]


def _reports(facts: EngagementFacts) -> Iterator[PlannedMail]:
    for number, report in enumerate(facts.reports, start=1):
        context = {"opened": report.at.astimezone(UTC).isoformat()}
        yield PlannedMail("staff.misconduct", report.at, "staff.misconduct", STAFF, number, context=context)


def _misconduct_tasks(facts: EngagementFacts) -> Iterator[PlannedTask]:
    for number, report in enumerate(facts.reports, start=1):
        yield PlannedTask(
            report.at,
            "misconduct",
            f"misconduct, report {number}",
            "Read the report and talk to who made it. All mail of the engagement has stopped, and the other "
            "party knows nothing. Then resume, end or cancel it.",
        )


def _stalled(plan: _Plan) -> Iterator[PlannedTask]:
    days = (plan.policy.discovery_repeats + 2) * plan.policy.discovery_days
    due = plan.send_at(plan.program, plan.start + timedelta(days=days))
    if not any(told.answer == "good_fit" and told.at <= due for told in plan.facts.discovery):
        yield PlannedTask(
            due,
            "discovery_stalled",
            "discovery call",
            "Ask both whether they have met, and help them to find a time or another match.",
        )


def _inactive(plan: _Plan) -> Iterator[PlannedTask]:
    """A task for each row of pulses without a yes; rows do not overlap, and a yes begins anew (ENG4).

    One that a weekend or a holiday would move past the end opens on its own day: the row was whole before the end.
    """
    met, row = plan.facts.met, plan.policy.inactive_after_pulses
    number = met[0] if len(met) >= _YESES_KEPT else 1
    while plan.moved(plan.pulse(number + row)) <= plan.ends[-1].day:
        pulses = range(number, number + row)
        yes = max((each for each in pulses if each in met), default=None)
        if yes is None:
            yield PlannedTask(
                plan.before_the_end(plan.pulse(number + row)),
                "inactive",
                f"no meeting confirmed in the pulses {', '.join(map(str, pulses))}",
                "Ask both how it goes: whether they still meet, want more time, or would rather end it.",
            )
        number = number + row if yes is None else yes + 1


def agree_plan(
    facts: EngagementFacts,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    *,
    months: int = 0,
    end: str = "",
    event: str = "",
) -> EngagementFacts:
    """The two agreed on a length in months from the first day, or on an end (YYYY-MM-DD); neither changes nothing
    (ENG3).

    Here and below, `state` is the state in force at `at`, as it was recorded. Raises Refused if the engagement is
    over, suspended or extended already, and for an end that has passed.
    """
    if event and any(new.event == event for new in facts.new_ends):
        return facts
    _refuse_unless_open(facts, state)
    if not months and not end:
        return facts
    if any(new.by != "plan" for new in facts.new_ends):
        raise Refused("the engagement was extended since; agree on another extension instead")
    return _with_end(facts, _new_end(at, "plan", end, months, event), policy, program)


def agree_extension(
    facts: EngagementFacts,
    by: str,
    end: str,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    event: str = "",
) -> EngagementFacts:
    """A party, by profile, is for a new end (YYYY-MM-DD); once both are for the same, it holds (ENG5).

    A vote for another end replaces that side's own. Raises Refused if the engagement is over or suspended, and for
    an end that is no later than the planned one.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    new = _new_end(at, "parties", end, event=event)
    extended = _with_end(facts, new, policy, program)
    votes = {vote.by: vote for vote in facts.votes}
    if role in votes and votes[role].end == new.end:
        return facts
    votes[role] = Vote(role, new.end, at)
    if [vote.end for vote in votes.values()] == [new.end] * len(ROLES):
        return replace(extended, votes=[])
    return replace(facts, votes=list(votes.values()))


def extend(
    facts: EngagementFacts,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    *,
    months: int = 0,
    end: str = "",
    event: str = "",
) -> EngagementFacts:
    """Staff extend to an end (YYYY-MM-DD), or by months after the planned one, once per event (ENG6). Months go on
    counting from the day from which the planned end was counted (T3).

    Raises Refused if the engagement is over, for neither or both, and for an end no later than the planned one.
    """
    if event and any(new.event == event for new in facts.new_ends):
        return facts
    _refuse_if_over(facts, state)
    return _with_end(facts, _new_end(at, STAFF, end, months, event), policy, program)


def answer_discovery(
    facts: EngagementFacts, by: str, answer: str, at: datetime, state: str
) -> EngagementFacts:
    """A party, by profile, tells how the discovery call went: `good_fit`, `not_a_fit` (ends it) or `not_met` (ENG2).

    Raises Refused if the engagement is over or suspended, and for taking back a good fit.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    if answer not in ("good_fit", "not_a_fit", "not_met"):
        raise Refused("the answer is one of good_fit, not_a_fit, not_met")
    before = next((each for each in facts.discovery if each.by == role), None)
    if before and before.answer == "good_fit" and answer == "not_met":
        raise Refused("you have told us already that you met and that it is a good fit")
    if before and before.answer == answer == "good_fit":
        return facts
    others = [each for each in facts.discovery if each.by != role]
    told = replace(facts, discovery=[*others, Discovery(role, answer, at)])
    if answer != "not_a_fit":
        return told
    return _end(told, "no_fit", at, role, f"not a fit, said the {role}", end_reason="no_fit")


def answer_pulse(
    facts: EngagementFacts,
    by: str,
    met: bool,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
) -> EngagementFacts:
    """A party, by profile, tells whether the two have met; it counts for the last pulse before `at` (ENG4).

    Before the first it counts for none. Raises Refused if the engagement is over or suspended.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    number = pulse_at(facts, policy, program, at)
    if not number:
        return facts
    others = [answer for answer in facts.answered if answer.by != role]
    latest = max([number, *(answer.number for answer in facts.answered if answer.by == role)])
    yes = sorted({*facts.met, number})[-_YESES_KEPT:] if met else facts.met
    return replace(facts, met=yes, answered=[*others, Answered(role, latest)])


def end(
    facts: EngagementFacts, by: str, reason: str, at: datetime, state: str, actor: str = ""
) -> EngagementFacts:
    """A party, by profile, or `staff` end it for one of `END_REASONS`; `goals_met` completes it (ENG7, ENG8).

    Raises Refused if it is over, or suspended and a party ends it.
    """
    role = facts.role(by) if by != STAFF else STAFF
    _refuse_if_over(facts, state)
    if role != STAFF:
        _refuse_if_suspended(facts)
    if reason not in END_REASONS:
        raise Refused(f"the reason is one of {', '.join(END_REASONS)}")
    who = STAFF if role == STAFF else f"the {role}"
    cause = f"ended by {who}: {END_REASONS[reason]}"
    return _end(facts, "completed" if reason == "goals_met" else "ended", at, role, cause, actor, reason)


def cancel(
    facts: EngagementFacts, at: datetime, state: str, reason: str = "", actor: str = ""
) -> EngagementFacts:
    """Staff cancel it (ENG6). Raises Refused if it is over."""
    _refuse_if_over(facts, state)
    cause = f"cancelled by staff: {reason}" if reason else "cancelled by staff"
    return _end(facts, "canceled", at, STAFF, cause, actor)


def pause(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Staff pause it: nothing is mailed until they resume it (ENG11). Raises Refused if over, paused or suspended."""
    _refuse_if_over(facts, state)
    if facts.paused:
        raise Refused(f"it is {'suspended' if facts.suspended else 'paused'} already")
    if len(facts.pauses) >= _MOST_PAUSES:
        raise Refused("it was paused too often; end it and start another")
    return _pause(facts, STAFF, _after(facts, at))


def resume(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Staff let it go on, whether it was paused or suspended; what is left moves by the pause (ENG8, ENG11).

    Raises Refused if it is over or neither.
    """
    _refuse_if_over(facts, state)
    if not facts.paused:
        raise Refused("it is not paused")
    at = _after(facts, at)
    pauses = end_pause(end_pause(facts.pauses, STAFF, at), MISCONDUCT, at)
    return replace(facts, pauses=pauses, acts=[*facts.acts, "resume"])


def report_misconduct(
    facts: EngagementFacts, by: str, at: datetime, state: str, event: str = ""
) -> EngagementFacts:
    """A party, by profile, or `staff` report misconduct: all is stopped, only staff are told, and what the two have
    half agreed is void (ENG8); once per event.

    Raises Refused if it is over: such a report needs a person to read it all the same.
    """
    if event and any(report.event == event for report in facts.reports):
        return facts
    role = by if by == STAFF else facts.role(by)
    _refuse_if_over(facts, state)
    if len(facts.reports) >= _MOST_REPORTS:
        raise Refused(_NEUTRAL)
    at = _after(facts, at)
    reported = replace(facts, reports=[*facts.reports, Report(role, at, event)], votes=[])
    return reported if reported.suspended else _pause(reported, MISCONDUCT, at)


def standing_changed(facts: EngagementFacts, profile: str, good: bool, at: datetime) -> EngagementFacts:
    """Good standing of one of the two was lost or came back; the engagement goes on (MEM2)."""
    return replace(facts, lapses=lapses.changed(facts.lapses, profile, good, at))


def _pause(facts: EngagementFacts, cause: str, at: datetime) -> EngagementFacts:
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at), acts=[*facts.acts, "pause"])


def _new_end(at: datetime, by: str, end: str, months: int = 0, event: str = "") -> NewEnd:
    """Raises Refused for an end that is no date, and for neither or both of the two."""
    if bool(months) == bool(end):
        raise Refused("a new end is either a day or a number of months")
    return NewEnd(at, by, _day(end).isoformat() if end else "", months, event)


def _with_end(
    facts: EngagementFacts, new: NewEnd, policy: EngagementPolicy, program: Calendar
) -> EngagementFacts:
    """The facts with another planned end. Raises Refused for one that has passed, is too far ahead, or as an
    extension is no later than the end before it."""
    at = _after(facts, new.at)
    today = program.date_of(at)
    furthest = add_months(today, MOST_MONTHS_AHEAD)
    if new.end:
        given = date.fromisoformat(new.end)
        if given < today:
            raise Refused("the new end lies in the past")
        if given > furthest:
            raise Refused(_TOO_FAR)
    elif not 1 <= new.months <= MOST_MONTHS_AHEAD:
        raise Refused(f"a length is 1 to {MOST_MONTHS_AHEAD} months")
    if len(facts.new_ends) >= _MOST_NEW_ENDS:
        raise Refused("the planned end was changed too often")
    changed = replace(facts, new_ends=[*facts.new_ends, replace(new, at=at)], acts=[*facts.acts, "end"])
    end = _ends(_counted(changed, at), policy, program)[-1]
    if end.closes <= at:
        raise Refused("the new end lies in the past")
    if end.day > furthest:
        raise Refused(_TOO_FAR)
    before = planned_end(facts, policy, program, at)
    if end.extension and end.day <= before:
        raise Refused(f"the new end must be later than the planned one, {before.isoformat()}")
    return changed


def _after(facts: EngagementFacts, at: datetime) -> datetime:
    """The instant of an act, never before that of an earlier one: an act told late counts from the last one on."""
    pauses = (instant for pause in facts.pauses for instant in (pause.since, pause.until) if instant)
    return max([at, facts.started_at, *pauses, *(new.at for new in facts.new_ends)])


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("a date is written like 2028-03-14") from None


def _end(
    facts: EngagementFacts,
    state: str,
    at: datetime,
    by: str,
    cause: str,
    actor: str = "",
    end_reason: str = "",
) -> EngagementFacts:
    ended = Ended(state, _after(facts, at), cause, actor)
    return replace(facts, ended=ended, ended_by=by, end_reason=end_reason, votes=[])


def _refuse_unless_open(facts: EngagementFacts, state: str) -> None:
    _refuse_if_over(facts, state)
    _refuse_if_suspended(facts)


def _refuse_if_suspended(facts: EngagementFacts) -> None:
    if facts.suspended:
        raise Refused(_NEUTRAL)


def closed_because(facts: EngagementFacts, state: str, on: date | None = None) -> str:
    """How an engagement is over, in words for whoever comes too late; empty while it goes on.

    `on` is the day on which it ended, where it is known.
    """
    ended = facts.ended.state if facts.ended else state
    if ended in ("active", "paused", "suspended"):
        return ""
    when = f" on {on.isoformat()}" if on else ""
    words = {"completed": "it was completed", "canceled": "staff have cancelled it"}
    return f"the engagement is over: {words.get(ended, 'it has ended')}{when}"


def _refuse_if_over(facts: EngagementFacts, state: str) -> None:
    if words := closed_because(facts, state):
        raise Refused(words)


def apply_to_engagement(
    facts: EngagementFacts, act: Act, state: str, now: datetime, program: Program
) -> EngagementFacts:
    """An engagement's facts after an act in a state. Raises Refused (ENG5–ENG8)."""
    at, policy, calendar, told = act.at or now, program.engagement, program_calendar(program), act.details
    months, new_end = int(told.get("months", "0")), told.get("end", "")
    match act.name:
        case "plan_agreed":
            return agree_plan(facts, at, state, policy, calendar, months=months, end=new_end, event=act.event)
        case "agree_extension":
            return agree_extension(facts, act.by, new_end, at, state, policy, calendar, event=act.event)
        case "extend":
            return extend(facts, at, state, policy, calendar, months=months, end=new_end, event=act.event)
        case "discovery":
            return answer_discovery(facts, act.by, told.get("answer", ""), at, state)
        case "met":
            if told.get("answer") not in ("yes", "no"):
                raise Refused("the answer is yes or no")
            met = told["answer"] == "yes"
            return answer_pulse(facts, act.by, met, at, state, policy, calendar)
        case "end":
            return end(facts, act.by or STAFF, act.reason, at, state, act.actor)
        case "cancel":
            return cancel(facts, at, state, act.reason, act.actor)
        case "pause":
            return pause(facts, at, state)
        case "resume":
            return resume(facts, at, state)
        case "misconduct":
            return report_misconduct(facts, act.by or STAFF, at, state, act.event)
        case "standing":
            return standing_changed(facts, act.by, told["good"] == "yes", at)
    raise Refused(f"an engagement cannot be told to {act.name}")
