"""The steps of the curriculum for the two of an engagement: when each opens, is late, and is done (COH4).

Each person has a sequence of their own: the steps for their role. Weeks count from the later of the kick-off and the
first day of the two. Breaks and pauses stop the count. Who did steps in an earlier pair of the same cohort goes on with
the first open one, in the first week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from rules.agenda import PlannedTask, Refused
from rules.calendar import Calendar
from rules.engagement.dates import end_changes, finished_pauses, held_since
from rules.engagement.facts import MOST_MONTHS_AHEAD, ROLES, CurriculumCourse, EngagementFacts, StepOf
from rules.pauses import FinishedPauses, Pause, finished, merge_pauses
from rules.program import CurriculumPolicy, CurriculumStep, EngagementPolicy

LAGGING = "curriculum_lagging"
"""The kind of the task about a pair that is behind."""

_WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of one side's sequence."""

    role: str
    place: int
    """Its place in the whole curriculum, from 1."""
    step: CurriculumStep
    day: date
    """The day on which it opens, before breaks and pauses move it."""


class Curriculum:
    """The steps of one engagement. `program` is the program's own calendar; breaks are whole days there."""

    def __init__(
        self,
        facts: EngagementFacts,
        policy: CurriculumPolicy,
        program: Calendar,
        calendars: Mapping[str, Calendar],
    ) -> None:
        if facts.curriculum is None:
            raise ValueError("the curriculum of an engagement begins with its first plan")
        self.policy = policy
        self.facts = facts.curriculum
        self._program, self._calendars = program, calendars
        self.starts_on = date.fromisoformat(self.facts.starts_on)
        self._starts_at = program.instant(self.starts_on, time())
        self._begins_at = max(self._starts_at, facts.mailed_at)
        self._breaks = [
            Pause(program.instant(first, time()), program.instant(after, time()), "break")
            for each in policy.breaks
            for first, after in each.days(
                self.starts_on.year - 1, self.starts_on.year + MOST_MONTHS_AHEAD // 12
            )
        ]
        self._with_breaks: dict[int, tuple[FinishedPauses, FinishedPauses]] = {}

    def sequence(self, role: str) -> list[PlannedStep]:
        """Return the steps of a side that it did not do in an earlier pair."""
        known = {each.step for each in self.facts.carried if each.by == role}
        mine = self.policy.steps_for(role)
        left = [step for step in mine if step.id not in known]
        skipped = left[0].week - mine[0].week if left and len(left) < len(mine) else 0
        return [
            PlannedStep(role, self.policy.place(step.id), step, self._day(step.week - skipped))
            for step in left
        ]

    def opens(self, planned: PlannedStep, pauses: FinishedPauses) -> datetime:
        """Return when a step opens, which is when its mail goes out (T4), by the pauses that are over."""
        calendar = self._calendars[planned.role]
        day, since = self._counted(planned, pauses, calendar)
        return self._moved(day, pauses, calendar, since)

    def late(self, planned: PlannedStep, pauses: FinishedPauses) -> datetime:
        """Return when a step is late if it is not done by then: on a morning of the program's own people."""
        day, since = self._counted(planned, pauses, self._calendars[planned.role])
        days = timedelta(days=self.policy.late_after_days)
        return self._moved(day + days, pauses, self._program, since)

    def break_days(self, planned: PlannedStep) -> int:
        """Return by how many days breaks move a step, without pauses."""
        without = FinishedPauses([], self._program)
        return (self._and_breaks(without).close_at(planned.day, self._starts_at)[0] - planned.day).days

    def is_mailed(self, planned: PlannedStep) -> bool:
        """Return whether its mail was decided before the version changed."""
        return any(each.by == planned.role and each.step == planned.step.id for each in self.facts.mailed)

    def done_at(self, planned: PlannedStep) -> datetime | None:
        """Return when a step was done; None while it is open."""
        return done_at(self.facts.done, planned.role, planned.step.id)

    def _counted(
        self, planned: PlannedStep, pauses: FinishedPauses, calendar: Calendar
    ) -> tuple[date, datetime]:
        """Return the day of a step before breaks and pauses move it, and the instant from which they do.

        Where its morning lies before the start, or had passed when this version of the curriculum began, that is the
        next morning: nobody is mailed before the start, or behind at once.
        """
        since = self._begins_at
        if self.facts.moved_at and not self.is_mailed(planned):
            since = max(since, self.facts.moved_at)
        if self._moved(planned.day, pauses, calendar, self._starts_at) > since:
            return planned.day, self._starts_at
        return calendar.date_of(calendar.next_send_after(since)), since

    def _day(self, week: int) -> date:
        return self.starts_on + (week - 1) * _WEEK

    def _moved(self, day: date, pauses: FinishedPauses, calendar: Calendar, since: datetime) -> datetime:
        return self._and_breaks(pauses).send_after(day, calendar, since)

    def _and_breaks(self, pauses: FinishedPauses) -> FinishedPauses:
        """Return pauses and breaks together: a day in both counts once."""
        if not self._breaks:
            return pauses
        known = self._with_breaks.get(id(pauses))
        if known is None or known[0] is not pauses:
            of_staff = [Pause(since, until) for since, until in zip(pauses.since, pauses.until, strict=True)]
            both = finished(merge_pauses([*of_staff, *self._breaks]))
            known = self._with_breaks[id(pauses)] = (pauses, FinishedPauses(both, self._program))
        return known[1]


def done_at(steps: Sequence[StepOf], role: str, step: str) -> datetime | None:
    """Return when a side did a step, by these records; None where it did not."""
    return next((each.at for each in steps if each.by == role and each.step == step), None)


def do_step(
    facts: EngagementFacts, role: str, step: str, at: datetime, policy: CurriculumPolicy | None
) -> EngagementFacts:
    """Record that a side did a step, once; it may be done before it opens (COH4).

    Raises Refused where the curriculum has no such step for the side. The caller refuses what comes after the end.
    """
    if policy is None or facts.curriculum is None:
        raise Refused("this program has no curriculum")
    found = policy.step(step)
    if found is None:
        raise Refused(f"the curriculum has no step {step[:40]}")
    if role not in found.roles:
        raise Refused(f"the step {found.id} is for the {found.who} only")
    progress = facts.curriculum
    if done_at([*progress.carried, *progress.done], role, step) is not None:
        return facts
    return replace(facts, curriculum=replace(progress, done=[*progress.done, StepOf(role, step, at)]))


def lagging_tasks(curriculum: Curriculum, pauses: FinishedPauses, closes: datetime) -> Iterator[PlannedTask]:
    """Yield for each side the task that opens once as many steps are late as the program allows (COH4).

    It goes once steps are done. Another one opens where the side falls behind again, at a later step.
    """
    most = curriculum.policy.lagging_steps
    for role in ROLES:
        behind = 0
        for planned in curriculum.sequence(role):
            if curriculum.opens(planned, pauses) >= closes:
                break
            behind += curriculum.done_at(planned) is None
            if behind >= most:
                yield PlannedTask(
                    curriculum.late(planned, pauses),
                    LAGGING,
                    f"the {role} is behind at the step {planned.step.id}",
                    f"The {role} has not done {behind} steps of the curriculum in time. Ask what would help, and agree "
                    "on a day for the next step.",
                )
                break


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A step of one side, as staff see it."""

    role: str
    place: int
    step: CurriculumStep
    opens_at: datetime | None
    """None where it does not open before the end, or a pause holds it; of one that was done in an earlier pair, too."""
    late_at: datetime | None
    done_at: datetime | None
    is_carried: bool = False
    """Whether it was done in an earlier pair."""

    def state(self, at: datetime) -> str:
        """Return `done`, `late`, `open` or `ahead`, as it is at an instant."""
        if self.done_at is not None:
            return "done"
        if self.opens_at is None or self.opens_at > at:
            return "ahead"
        return "late" if self.late_at is not None and self.late_at <= at else "open"


def progress(
    facts: EngagementFacts,
    policy: EngagementPolicy,
    steps: CurriculumPolicy,
    program: Calendar,
    calendars: Mapping[str, Calendar],
) -> dict[str, list[StepProgress]]:
    """Return the steps of both sides, in order; nothing opens after the end or in an open pause (COH4)."""
    curriculum = Curriculum(facts, steps, program, calendars)
    closes = facts.ended.at if facts.ended else end_changes(facts, policy, program)[-1].closes
    held = held_since(facts, closes)
    pauses = finished_pauses(facts.pauses, program)

    def still_opens(at: datetime) -> bool:
        return at < closes and (held is None or at < held)

    return {role: _progress_of(curriculum, role, pauses, still_opens) for role in ROLES}


def _progress_of(
    curriculum: Curriculum, role: str, pauses: FinishedPauses, until: Callable[[datetime], bool]
) -> list[StepProgress]:
    known = {planned.step.id: planned for planned in curriculum.sequence(role)}
    found = []
    for step in curriculum.policy.steps_for(role):
        place, planned = curriculum.policy.place(step.id), known.get(step.id)
        if planned is None:
            done = done_at(curriculum.facts.carried, role, step.id)
            found.append(StepProgress(role, place, step, None, None, done, is_carried=True))
            continue
        opens = curriculum.opens(planned, pauses)
        is_opening = curriculum.is_mailed(planned) or until(opens)
        late = curriculum.late(planned, pauses) if is_opening else None
        found.append(
            StepProgress(role, place, step, opens if is_opening else None, late, curriculum.done_at(planned))
        )
    return found


def begun(
    facts: EngagementFacts, starts_on: date, version: str, carried: Sequence[StepOf]
) -> EngagementFacts:
    """Return the facts of an engagement whose curriculum begins (COH4)."""
    return replace(facts, curriculum=CurriculumCourse(starts_on.isoformat(), version, carried=list(carried)))


def moved(facts: EngagementFacts, version: str, mailed: Sequence[StepOf], at: datetime) -> EngagementFacts:
    """Return the facts of an engagement that goes on by another version: only what is pending moves (COH4, CPE12)."""
    progress = facts.curriculum
    if progress is None or progress.version == version:
        return facts
    return replace(facts, curriculum=replace(progress, version=version, moved_at=at, mailed=list(mailed)))
