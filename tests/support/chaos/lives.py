"""A year of many people, drawn from a seed: what they do, when it is heard of, and what the rules then owe them.

A pair lives through what pairs do: they join, ask, answer or do not, meet, pause, end, sign letters, answer surveys.
The reference model runs along. What it sends is what the rules owe, from the pure rules alone.

Everything happens in the afternoon of New York, days after what it answers. A fault of some hours then moves the hour
at which a message leaves, and never whether it is owed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rules.events import check_event
from rules.program.catalogue import load_catalogue
from tests.support.model.reference_model import ModelLifecycle, ReferenceModel
from tests.support.rehearsals import PROGRAM, instant
from worker.assembly import load_programs

START: Final = "2035-03-05T15:00"
"""The first afternoon: a Monday, a week before the clocks change in New York."""

AFTERNOON = timedelta(hours=2)
"""How long before the usual arrival something may happen whose event is late."""

LATE = timedelta(hours=5)
"""How much later than the usual a late event arrives. Before the next 09:00 of any home."""

QUIET = timedelta(days=8)
"""The time after the last day, in which nothing happens and all that is due leaves."""

HOMES: tuple[dict[str, Any], ...] = (
    {"time_zone": "America/New_York", "country": "US", "languages": ["en"]},
    {"time_zone": "America/Bogota", "country": "CO", "languages": ["es"]},
    {"time_zone": "Europe/Madrid", "country": "ES", "languages": ["es"]},
)
CYCLE = {"cycle_start": "2034-01-01", "cycle_end": "2037-12-31"}


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened at `time`, and of which the engine hears at `at`, `copies` times."""

    at: datetime
    time: datetime
    id: str
    type: str
    data: dict[str, Any]
    copies: int = 1


@dataclass(frozen=True, slots=True)
class OwedMail:
    """A message that the rules owe, and the instant at which it is to leave."""

    workflow: str
    key: str
    message: str
    due: datetime


@dataclass
class Lives:
    """What happens to all, in the order in which it arrives; and what is owed to them until the end."""

    start: datetime
    last: datetime
    """When the last thing may happen. What is owed after it has time to leave `until` the end."""
    until: datetime
    seed: int
    people: int
    happenings: list[Happening] = field(default_factory=list)
    owed: list[OwedMail] = field(default_factory=list)


def draw_lives(
    people: int, days: int, seed: int, *, homes: Sequence[dict[str, Any]] = HOMES, every: int = 1
) -> Lives:
    """Draw what `people` do for so many days. Late, shuffled and doubled events are among it.

    They do things `every` so many days only: with fewer instants, a run takes less time.
    """
    return _Drawing(people, days, seed, homes, every).draw()


class _Drawing:
    def __init__(
        self, people: int, days: int, seed: int, homes: Sequence[dict[str, Any]], every: int
    ) -> None:
        self._chance, self._homes, self._every = random.Random(seed), homes, every
        self._start = instant(START)
        last = self._start + timedelta(days=days)
        self._lives = Lives(self._start, last, last + QUIET, seed, people)
        self._model = ReferenceModel(load_programs(Path("programs"))[PROGRAM], load_catalogue())
        self._afternoon: list[tuple[datetime, str, dict[str, Any]]] = []
        self._now = self._start
        self._days = days

    def draw(self) -> Lives:
        """Let the afternoons pass, each with what the pairs do on it."""
        pairs = self._lives.people // 2
        waiting: list[tuple[int, int, Iterator[int]]] = [
            (self._joins_on(number, pairs), number, self._pair(number)) for number in range(pairs)
        ]
        heapq.heapify(waiting)
        while waiting and waiting[0][0] < self._days - 1:
            day = waiting[0][0]
            # The hour in New York is kept over a change of its clocks only roughly; no deadline lies near.
            self._now = self._start + timedelta(days=day)
            self._model.run(self._now - AFTERNOON)
            while waiting and waiting[0][0] == day:
                _, number, life = heapq.heappop(waiting)
                wait = next(life, None)
                if wait is not None:
                    heapq.heappush(waiting, (self._round_up(day + wait), number, life))
            self._close_afternoon()
        self._model.run(self._lives.until)
        self._lives.happenings.sort(key=lambda each: each.at)
        self._lives.owed = [
            OwedMail(lifecycle.workflow, key, sent.what, sent.at)
            for lifecycle in self._model.lifecycles.values()
            for key, sent in lifecycle.sent.items()
        ]
        return self._lives

    def _joins_on(self, number: int, pairs: int) -> int:
        """Return the day on which a pair joins: they come over the first third of the time."""
        return self._round_up(number * (self._days // 3) // pairs)

    def _round_up(self, day: int) -> int:
        return -(-day // self._every) * self._every

    # --- telling

    def _event(self, kind: str, **data: Any) -> None:
        """Note an event of this afternoon. One in five arrives late, but for those of requests."""
        # A request heard of late has later deadlines (T9), and an answer may come after one: the reference has neither.
        late = self._chance.random() < 0.2 and not kind.startswith("request.")
        back = timedelta(seconds=self._chance.randrange(1, int(AFTERNOON.total_seconds()))) if late else None
        clean, problems = check_event(kind, data)
        assert not problems, (kind, problems)
        self._afternoon.append((self._now - back if back else self._now, kind, clean))

    def _close_afternoon(self) -> None:
        """Give the afternoon's events to the model as they happened, and to the engine as they arrive."""
        for time, kind, data in sorted(self._afternoon, key=lambda each: each[0]):
            self._model.send_events(time, [(kind, data)])
        shuffled = self._chance.sample(self._afternoon, len(self._afternoon))
        self._afternoon = []
        for time, kind, data in shuffled:
            at = self._now + (LATE if time < self._now else timedelta(0))
            number = f"{len(self._lives.happenings) + 1}"
            copies = self._chance.choice((1, 1, 1, 2, 3))
            self._lives.happenings.append(Happening(at, time, number, kind, data, copies))

    # --- what a pair does; each yields the days until it does the next thing

    def _pair(self, number: int) -> Iterator[int]:
        mentor, mentee = f"mentor-{number}", f"mentee-{number}"
        yield from self._join(mentor, "mentor")
        yield from self._join(mentee, "mentee")
        if self._chance.random() < 0.12:
            return
        yield self._chance.randrange(2, 20)
        request = f"r-{number}"
        self._event("request.created", request=request, mentee=mentee, mentor=mentor)
        fate = self._chance.random()
        if fate < 0.1:
            return
        yield self._chance.randrange(2, 4)
        if fate < 0.2:
            kind = self._chance.choice(("request.declined", "request.canceled"))
            self._event(kind, request=request)
            return
        self._event("request.accepted", request=request)
        yield from self._match(request, mentor, mentee)

    def _join(self, profile: str, role: str) -> Iterator[int]:
        chance = self._chance
        codes = chance.sample(("APP", "CPP", "PCI", "PSP"), chance.choice((0, 1, 1, 2)))
        self._event(
            "member.updated",
            member=profile,
            name=f"{profile.capitalize()} Vega",
            email=f"{profile}@example.org",
            standing="good",
            years_management=9,
            certifications=[{"code": code, **CYCLE} for code in codes],
            **chance.choice(self._homes),
        )
        self._event("profile.created", profile=profile, member=profile, role=role, program=PROGRAM)
        yield chance.randrange(1, 3)

    def _match(self, request: str, mentor: str, mentee: str) -> Iterator[int]:
        chance, engagement = self._chance, f"engagement/{request}"
        yield 17
        if chance.random() < 0.9:
            for by in (mentor, mentee):
                self._event("engagement.discovery", engagement=request, by=by, answer="good_fit")
        yield 5
        if chance.random() < 0.3:
            length = chance.choice((4, 7, 9))
            self._event("engagement.plan_agreed", engagement=request, goals="To grow.", months=length)
        if chance.random() < 0.2:
            yield chance.randrange(5, 30)
            staff = {"target": engagement, "actor": "lina", "reason": "so it is"}
            self._event("staff.pause", **staff)
            yield chance.randrange(5, 25)
            self._event("staff.resume", **staff)
        ends_early = chance.random() < 0.15
        while self._model.lifecycles[engagement].closed_at is None if self._has(engagement) else False:
            yield chance.randrange(25, 35)
            if self._model.lifecycles[engagement].closed_at:
                break
            if ends_early and chance.random() < 0.3:
                self._event("engagement.ended", engagement=request, by=mentee, reason="goals_met")
                break
            for by in (mentor, mentee):
                if chance.random() < 0.8:
                    self._event("engagement.met", engagement=request, by=by, answer="yes")
            self._sign(request, mentor, mentee)
        yield 4
        for _ in range(3):
            self._sign(request, mentor, mentee)
            for by in (mentor, mentee):
                if chance.random() < 0.5 and self._is_open(f"survey/{request}/{by.partition('-')[0]}"):
                    answers = {"goals_met": "yes", "mentor_helped": True, "rating": 5}
                    self._event("survey.answered", engagement=request, by=by, answers=answers)
            yield 9

    def _sign(self, request: str, mentor: str, mentee: str) -> None:
        """Have each sign the letter of the other, where a claim waits for one, and submit what is ready."""
        for role, mine, other in (("mentor", mentor, mentee), ("mentee", mentee, mentor)):
            for claim in self._claims(request, role):
                code = claim.facts.certification
                if claim.state in ("precheck", "awaiting_evidence") and self._chance.random() < 0.7:
                    self._event(
                        "letter.signed",
                        engagement=request,
                        by=other,
                        certification=code,
                        name=f"{other.capitalize()} Vega",
                        **{"for": role},
                        **(
                            {"purpose": "To lead.", "domains": self._domains(code)}
                            if role == "mentee"
                            else {}
                        ),
                    )
                elif claim.state not in ("precheck", "awaiting_evidence") and self._chance.random() < 0.7:
                    self._event("claim.submitted", engagement=request, by=mine, certification=code)

    def _domains(self, code: str) -> list[str]:
        found = self._model.catalogue.certification(code, self._model.calendar.date_of(self._now))
        assert found is not None
        return [found.domains[0].id]

    def _claims(self, request: str, role: str) -> list[ModelLifecycle]:
        return [
            lifecycle
            for workflow, lifecycle in sorted(self._model.lifecycles.items())
            if workflow.startswith(f"claim/{request}/{role}/") and lifecycle.closed_at is None
        ]

    def _has(self, workflow: str) -> bool:
        return workflow in self._model.lifecycles

    def _is_open(self, workflow: str) -> bool:
        return self._has(workflow) and self._model.lifecycles[workflow].closed_at is None
