"""Generated scenarios: events and acts of some pairs of people, drawn at random.

The reference model runs along while acts are drawn, so that they can fall on the very instants of deadlines.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from embedded.scenario import Fault
from rules.calendar import instant_in
from rules.credit import ClaimFacts
from rules.engagement import planned_end
from rules.events import check_event
from rules.program import Program
from rules.program.catalogue import Catalogue
from tests.support.model.model_check import GeneratedScenario
from tests.support.model.reference_model import ModelLifecycle, ReferenceModel, ScenarioInput
from tests.support.rehearsals import PROGRAM, ZONE

HOMES: tuple[dict[str, Any], ...] = (
    {"time_zone": "America/New_York", "country": "US"},
    {"time_zone": "America/Bogota", "country": "CO"},
    {"time_zone": "Europe/Madrid", "country": "ES"},
    {"time_zone": "Pacific/Auckland", "country": "NZ"},
    {"time_zone": "Australia/Sydney", "country": "AU"},
    {"time_zone": "Asia/Kolkata", "country": "IN"},
)

STARTS = (
    date(2035, 1, 29),  # month ends: 31 January, and February after it
    date(2035, 2, 26),
    date(2035, 3, 8),  # the clocks change in New York on 11 March
    date(2035, 8, 29),  # half a year before the end of February
    date(2035, 10, 31),  # clocks, holidays, the year's end
    date(2034, 12, 20),
)

CYCLES = (
    {"cycle_start": "2034-01-01", "cycle_end": "2036-12-31"},
    {"cycle_start": "2034-01-01", "cycle_end": "2036-12-31"},
    {"cycle_start": "2032-01-01", "cycle_end": "2035-06-30"},
    {"cycle_start": "2035-07-01", "cycle_end": "2038-06-30"},
)

END_REASONS = ("goals_met", "goals_met", "no_fit", "no_time", "unresponsive", "other")


@dataclass
class _Pair:
    """One mentee with all their requests and matches; `ready` is when somebody acts next, `left` how often yet.

    `exact` is the lifecycle at whose due instant that is, if any; `late` are events that come then, after others that
    refer to them.
    """

    name: str
    mentee: str
    ready: datetime
    left: int
    asked: int = 0
    request: str = ""
    mentor: str = ""
    exact: ModelLifecycle | None = None
    late: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class _Drawing:
    def __init__(
        self, chance: random.Random, program: Program, catalogue: Catalogue, pairs: int, early: bool
    ) -> None:
        self.chance, self.program, self.catalogue, self.early = chance, program, catalogue, early
        self.model = ReferenceModel(program, catalogue)
        self.inputs: list[ScenarioInput] = []
        self.plain_at: set[datetime] = set()
        self.event_at: set[datetime] = set()
        day = chance.choice(STARTS) + timedelta(days=chance.randrange(4))
        self.start = instant_in(ZONE, day, time(10))
        self.until = self.start + timedelta(days=chance.choice((150, 260, 330, 420)))
        self.mentors = [f"mentor-m{number}" for number in range(1, 2 + pairs // 2)]
        self.pairs = [
            _Pair(
                f"r{number}",
                f"mentee-n{number}",
                self.start + timedelta(hours=chance.randrange(1, 100), minutes=chance.randrange(60)),
                chance.randrange(10, 32),
            )
            for number in range(1, pairs + 1)
        ]

    def draw(self) -> GeneratedScenario:
        for profile in [*self.mentors, *(pair.mentee for pair in self.pairs)]:
            self._sign_up(profile)
        self.model.run(self.start)
        while self.pairs:
            pair = min(self.pairs, key=lambda each: each.ready)
            if pair.ready >= self.until - timedelta(days=2) or not pair.left:
                self.pairs.remove(pair)
                continue
            pair.left -= 1
            at = self._free(pair.ready)
            self.model.run(at, through=False)
            self._act(pair, at)
            self._next(pair, at)
        self.model.run(self.until)
        return GeneratedScenario(self.start, self.until, self.inputs, self.model)

    def _free(self, at: datetime) -> datetime:
        """An instant at which no plain client acts, since the two would race."""
        while at in self.plain_at:
            at += timedelta(minutes=1)
        return at

    # --- telling

    def event(self, at: datetime, *events: tuple[str, dict[str, Any]]) -> None:
        """Events at one instant."""
        checked = []
        for kind, data in events:
            clean, problems = check_event(kind, data)
            assert not problems, (kind, problems)
            checked.append((kind, clean))
        self.inputs += self.model.send_events(at, checked)
        self.event_at.add(at)

    def plain(self, at: datetime, how: str, workflow: str, name: str, **data: Any) -> None:
        """A signal or an update by a plain client, at an instant of its own."""
        while at in self.event_at or at in self.plain_at:
            at += timedelta(minutes=1)
            self.model.run(at, through=False)
        self.plain_at.add(at)
        self.inputs.append(
            self.model.act(at, how, workflow, name, {"actor": "lina", "reason": "so it is", **data})
        )

    def staff(self, at: datetime, act: str, target: str, **data: Any) -> None:
        """An act of staff: as an event, a signal or an update."""
        how = self.chance.choice(("event", "event", "signal", "update"))
        if how == "event" or target not in self.model.lifecycles:
            self.event(
                at, (f"staff.{act}", {"target": target, "actor": "lina", "reason": "so it is", **data})
            )
        else:
            self.plain(at, how, target, act, **data)

    # --- people

    def _sign_up(self, profile: str) -> None:
        """Somebody joins: as a mentee perhaps one who is a mentor already, and now and then the profile comes first."""
        chance = self.chance
        role, _, name = profile.partition("-")
        fields: dict[str, Any] = {"profile": profile, "member": name, "role": role, "program": PROGRAM}
        if role == "mentee" and chance.random() < 0.2:
            member = chance.choice(self.mentors).partition("-")[2]
            self.event(self.start, ("profile.created", {**fields, "member": member}))
            return
        codes = chance.sample(("APP", "CPP", "PCI", "PSP"), chance.choice((0, 1, 1, 2, 4)))
        joins = {
            "member": name,
            "name": f"{name.capitalize()} Vega",
            "email": f"{name}@example.org",
            "standing": "lapsed" if chance.random() < 0.06 else "good",
            "years_management": chance.choice((2, 9)),
            "languages": [chance.choice(("en", "es"))],
            "certifications": [{"code": code, **chance.choice(CYCLES)} for code in codes],
            **chance.choice(HOMES),
        }
        if role == "mentor":
            fields["mentees_at_a_time"] = chance.choice((None, None, None, 0, 1, 2, 3))
        if fields.get("mentees_at_a_time", 0) is None:
            del fields["mentees_at_a_time"]
        both = [("member.updated", joins), ("profile.created", fields)]
        self.event(self.start, *(reversed(both) if chance.random() < 0.15 else both))

    def _person(self, at: datetime, profile: str) -> None:
        """Something happens to a person: standing, home, certifications, places."""
        chance = self.chance
        known = self.model.profiles[profile]
        member = dict(self.model.members[known.member].data)
        what = chance.choice(("standing", "standing", "move", "renew", "places", "places", "withdraw"))
        if what == "standing":
            member["standing"] = (
                "lapsed" if member["standing"] == "good" and chance.random() < 0.7 else "good"
            )
        elif what == "move":
            member |= chance.choice(HOMES)
        elif what == "renew":
            codes = [held["code"] for held in member["certifications"]] or ["CPP"]
            kept = chance.sample(codes, chance.randrange(len(codes) + 1))
            member["certifications"] = [{"code": code, **chance.choice(CYCLES)} for code in kept]
        elif what == "places":
            self.event(
                at,
                (
                    "profile.updated",
                    {"profile": profile, "mentees_at_a_time": chance.choice((0, 1, 2, 2, 5))},
                ),
            )
            return
        else:
            if chance.random() < 0.15:
                self.event(at, ("profile.withdrawn", {"profile": profile}))
            return
        self.event(at, ("member.updated", member))

    # --- what a pair does

    def _next(self, pair: _Pair, at: datetime) -> None:
        """When the pair acts again: now and then at the very instant at which something of theirs is due."""
        chance = self.chance
        pair.exact = None
        if pair.late:
            pair.ready = at + timedelta(hours=chance.choice((1, 9, 23, 30)), minutes=7)
            return
        mine = [
            lifecycle
            for lifecycle in self.model.lifecycles.values()
            if self._of(pair, lifecycle) and not lifecycle.closed_at
        ]
        # Not what is due in an onboarding: much hangs on whether an act or the first mail comes first.
        exact = [lifecycle for lifecycle in mine if lifecycle.kind != "onboarding"]
        if exact and chance.random() < 0.3:
            lifecycle = chance.choice(exact)
            assert lifecycle.agenda is not None
            dues = [due for _, due in lifecycle.planned.values() if due] + lifecycle.agenda.wakes_after(at)
            # What follows a plain client's act lies a moment beside its instant in the model.
            dues = sorted({due for due in dues if due > at and not due.microsecond})
            if dues:
                pair.ready, pair.exact = (
                    dues[min(chance.choice((0, 0, 0, 1, 2, 5)), len(dues) - 1)],
                    lifecycle,
                )
                return
        engaged = any(lifecycle.kind != "request" for lifecycle in mine)
        if any(lifecycle.kind == "claim" for lifecycle in mine):
            step = timedelta(days=chance.choice((0, 1, 3, 6, 12, 25)), hours=chance.randrange(24))
        elif engaged:
            step = timedelta(days=chance.choice((0, 1, 3, 8, 20, 45)), hours=chance.randrange(24))
        elif mine:
            step = timedelta(hours=chance.choice((0, 1, 5, 20, 40)))
        else:
            step = timedelta(days=chance.choice((0, 2, 9)), hours=chance.randrange(12))
        # Odd minutes and seconds: no deadline of anybody lies there.
        pair.ready = (at + step + timedelta(minutes=chance.randrange(1, 60))).replace(
            second=chance.choice((7, 23, 41))
        )

    def _of(self, pair: _Pair, lifecycle: ModelLifecycle) -> bool:
        return lifecycle.id == pair.request or lifecycle.workflow == f"onboarding/{pair.mentee}"

    def _act(self, pair: _Pair, at: datetime) -> None:
        chance, scenario = self.chance, self.model.lifecycles
        if pair.late:
            self.event(at, *pair.late)
            pair.late = []
            return
        if pair.exact is not None:
            self._act_on(pair, pair.exact, at)
            return
        if chance.random() < 0.1:
            self._person(
                at, chance.choice((pair.mentee, pair.mentor or pair.mentee, chance.choice(self.mentors)))
            )
            return
        asked = scenario.get(f"request/{pair.request}")
        match = scenario.get(f"engagement/{pair.request}")
        if asked is None or (
            asked.closed_at and (match is None or match.closed_at) and chance.random() < 0.3
        ):
            self._ask(pair, at)
            return
        if self.early and match is not None and match.closed_at is None and chance.random() < 0.2:
            self._early(match, at)
            return
        mine = [lifecycle for lifecycle in scenario.values() if lifecycle.id == pair.request]
        still = [lifecycle for lifecycle in mine if lifecycle.closed_at is None]
        claims = [lifecycle for lifecycle in still if lifecycle.kind == "claim"]
        if claims and chance.random() < 0.6:
            still = claims
        self._act_on(pair, chance.choice(still if still and chance.random() < 0.93 else mine), at)

    def _act_on(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        does = getattr(self, f"_{lifecycle.kind}")
        if lifecycle.kind in ("request", "engagement") and self._ends_with_another(lifecycle, at):
            at = self._free(at + timedelta(minutes=1))
            self.model.run(at, through=False)
        does(pair, lifecycle, at)

    def _ends_with_another(self, lifecycle: ModelLifecycle, at: datetime) -> bool:
        """Whether another match of the mentor ends at this instant: the first to come gets the place."""
        return any(
            turn.due == at and turn.closes
            for other in self.model.lifecycles.values()
            if other is not lifecycle and other.kind == "engagement" and other.agenda
            if other.facts.mentor == lifecycle.facts.mentor
            for turn in other.agenda.state_changes
        )

    def _ask(self, pair: _Pair, at: datetime) -> None:
        chance = self.chance
        mentee = self.model.members[self.model.profiles[pair.mentee].member]
        if not mentee.good and chance.random() < 0.7:
            self.event(at, ("member.updated", {**mentee.data, "standing": "good"}))
            return
        if pair.asked and chance.random() < 0.05:
            request = pair.request  # the same id again
        else:
            pair.asked += 1
            request = f"{pair.name}-{pair.asked}"
        free = [mentor for mentor in self.mentors if self._is_free(mentor)]
        pair.mentor = chance.choice(free if free and chance.random() < 0.85 else self.mentors)
        data: dict[str, Any] = {"request": request, "mentee": pair.mentee, "mentor": pair.mentor}
        if chance.random() < 0.4:
            data["months"] = chance.choice((1, 6, 7, 9, 12))
        if chance.random() < 0.5:
            data["message"] = "To learn about crisis management."
        early = chance.random()
        pair.request = request
        if early < 0.15:
            # The answer comes before its request: soon enough, or too late.
            first = chance.choice(("request.accepted", "request.declined", "request.canceled"))
            self.event(at, (first, {"request": request}))
            pair.late = [("request.created", data)]
        elif early < 0.25:
            self.event(at, ("request.created", data), ("request.accepted", {"request": request}))
        elif early < 0.3:
            by = {"engagement": request, "by": pair.mentee}
            self.event(at, ("engagement.discovery", {**by, "answer": "good_fit"}), ("request.created", data))
        else:
            self.event(at, ("request.created", data))

    def _is_free(self, mentor: str) -> bool:
        known = self.model.profiles[mentor]
        return known.places != 0 and not known.withdrawn and self.model.members[known.member].good

    def _request(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        chance, request = self.chance, {"request": lifecycle.id}
        accepted, declined, canceled = (
            (f"request.{name}", request) for name in ("accepted", "declined", "canceled")
        )
        what = chance.choice(
            ("accept",) * 6
            + (
                "decline",
                "cancel",
                "extend",
                "extend",
                "staff",
                "crossing",
                "crossing",
                "again",
                "plain",
                "plain",
            )
        )
        match what:
            case "accept":
                self.event(at, accepted)
            case "decline":
                self.event(at, ("request.declined", {**request, "reason": "No time just now."}))
            case "cancel":
                self.event(at, canceled)
            case "extend":
                self.staff(at, "extend", lifecycle.workflow, business_days=chance.choice((1, 1, 2, 5)))
            case "staff":
                self.staff(at, "cancel", lifecycle.workflow)
            case "crossing":
                self.event(at, *chance.sample((accepted, declined, canceled), chance.choice((2, 3))))
            case "again":
                self.event(at, accepted, accepted)
            case "plain":
                name = chance.choice(("accept", "accept", "decline", "withdraw"))
                self.plain(at, chance.choice(("signal", "update")), lifecycle.workflow, name)

    def _engagement(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        chance, facts = self.chance, lifecycle.facts
        both = [facts.mentor, facts.mentee]
        by = chance.choice(both)
        fields = {"engagement": lifecycle.id, "by": by}
        plain = chance.random() < 0.2
        what = chance.choice(
            ("discovery",) * 3
            + ("met",) * 4
            + ("plan", "vote", "agree", "agree", "differ", "extend", "extend", "pause", "pause")
            + ("resume",) * (6 if facts.paused else 1)
            + (("end", "both end", "stop", "stranger") if chance.random() < 0.35 else ("met",))
            + (("cancel", "misconduct") if chance.random() < 0.3 else ("discovery",))
        )
        ends = planned_end(facts, self.program.engagement, self.model.calendar, at)
        later = (ends + timedelta(days=chance.choice((-20, 0, 1, 5, 40, 90)))).isoformat()
        match what:
            case "discovery":
                answer = chance.choice(("good_fit",) * 5 + ("not_met",) * 4 + ("not_a_fit",))
                self.event(at, ("engagement.discovery", {**fields, "answer": answer}))
            case "met":
                self.event(at, ("engagement.met", {**fields, "answer": chance.choice(("yes", "yes", "no"))}))
            case "plan":
                length = chance.choice(({"months": 1}, {"months": 7}, {"months": 12}, {"end": later}))
                self.event(
                    at,
                    ("engagement.plan_agreed", {"engagement": lifecycle.id, "goals": "To grow.", **length}),
                )
            case "vote" if plain:
                self.plain(at, "signal", lifecycle.workflow, "agree_extension", by=by, end=later)
            case "vote":
                self.event(at, ("engagement.extension_agreed", {**fields, "end": later}))
            case "agree":
                self.event(
                    at,
                    *(("engagement.extension_agreed", {**fields, "by": each, "end": later}) for each in both),
                )
            case "differ":
                other = (ends + timedelta(days=77)).isoformat()
                votes = ((both[0], later), (both[1], other), (both[0], other))
                self.event(
                    at,
                    *(
                        ("engagement.extension_agreed", {**fields, "by": each, "end": end})
                        for each, end in votes
                    ),
                )
            case "extend":
                self.staff(
                    at,
                    "extend",
                    lifecycle.workflow,
                    **chance.choice(({"months": 1}, {"months": 4}, {"end": later})),
                )
            case "pause" | "resume" | "cancel":
                self.staff(at, what, lifecycle.workflow)
            case "stop":
                self.event(
                    at,
                    *(
                        (
                            f"staff.{act}",
                            {"target": lifecycle.workflow, "actor": "lina", "reason": "so it is"},
                        )
                        for act in ("pause", "resume")
                    ),
                )
            case "end" if plain:
                self.plain(at, "update", lifecycle.workflow, "end", by=by, reason=chance.choice(END_REASONS))
            case "end":
                self.event(at, ("engagement.ended", {**fields, "reason": chance.choice(END_REASONS)}))
            case "both end":
                self.event(
                    at,
                    *(
                        ("engagement.ended", {**fields, "by": each, "reason": chance.choice(END_REASONS)})
                        for each in both
                    ),
                )
            case "misconduct":
                self.event(
                    at, ("engagement.misconduct_reported", {**fields, "text": "Something that is not right."})
                )
            case "stranger":
                stranger = next(each for each in self.mentors if each != facts.mentor)
                self.event(at, ("engagement.met", {**fields, "by": stranger, "answer": "yes"}))

    def _claim(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        chance, facts = self.chance, lifecycle.facts
        certification = self.catalogue.certification(facts.certification, self.model.calendar.date_of(at))
        domains = [domain.id for domain in certification.domains] if certification else ["none"]
        fields = {"engagement": facts.engagement, "by": facts.profile, "certification": facts.certification}
        if lifecycle.state in ("precheck", "awaiting_evidence"):
            wishes: tuple[str, ...] = ("sign",) * 6 + (
                "domains",
                "domains",
                "twice",
                "wrong",
                "submit",
                "cancel",
            )
        elif lifecycle.state in ("evidence_missing", "outside_cycle"):
            wishes = ("reopen", "reopen", "sign", "accept")
        else:
            wishes = (
                "submit",
                "submit",
                "accept",
                "accept",
                "reject",
                "reject",
                "reopen",
                "revoke",
                "domains",
                "sign",
            )
        what = chance.choice(wishes)
        signed = self._letter(facts, chance.sample(domains, 1))
        match what:
            case "domains":
                chosen = (
                    chance.sample(domains, min(2, len(domains))) if chance.random() < 0.8 else ["nonsense"]
                )
                by = chance.choice((facts.profile, facts.profile, facts.counterpart))
                self.event(at, ("claim.domains_chosen", {**fields, "by": by, "domains": chosen}))
            case "sign":
                self.event(at, signed)
            case "twice":
                self.event(at, signed, signed)
            case "wrong":
                wrong = chance.choice(
                    ({"by": facts.profile}, {"name": "Somebody Else"}, {"domains": ["nonsense"]})
                )
                self.event(at, (signed[0], {**signed[1], **wrong}))
            case "submit":
                self.event(at, ("claim.submitted", fields))
            case "cancel":
                self.staff(at, "cancel", lifecycle.workflow)
            case _:
                self.plain(at, chance.choice(("signal", "update")), lifecycle.workflow, what)

    def _early(self, match: ModelLifecycle, at: datetime) -> None:
        """Events before their subject exists: a letter or domains for a claim, answers for a survey."""
        chance, facts = self.chance, match.facts
        role, mine, other = chance.choice(
            (("mentor", facts.mentor, facts.mentee), ("mentee", facts.mentee, facts.mentor))
        )
        codes = self.model.members[self.model.profiles[mine].member].codes() or ["CPP"]
        claim = ClaimFacts(match.id, role, mine, other, chance.choice(codes), "", at, [])
        certification = self.catalogue.certification(claim.certification, self.model.calendar.date_of(at))
        assert certification is not None
        domains = chance.sample([domain.id for domain in certification.domains], 1)
        fields = {"engagement": match.id, "by": mine}
        self.event(
            at,
            chance.choice(
                (
                    self._letter(claim, domains),
                    self._letter(claim, domains),
                    (
                        "claim.domains_chosen",
                        {**fields, "certification": claim.certification, "domains": domains},
                    ),
                    ("survey.answered", {**fields, "answers": {"goals_met": "yes", "rating": 4}}),
                )
            ),
        )

    def _letter(self, facts: Any, domains: Sequence[str]) -> tuple[str, dict[str, Any]]:
        chance = self.chance
        signer = self.model.profiles[facts.counterpart].member
        letter = {
            "engagement": facts.engagement,
            "by": facts.counterpart,
            "for": facts.role,
            "name": self.model.members[signer].data["name"],
        }
        if facts.role == "mentee":
            if chance.random() < 0.8:
                letter["purpose"] = "To lead a team."
            if chance.random() < 0.7:
                letter["domains"] = list(domains)
        if facts.role == "mentee" or chance.random() < 0.5:
            letter["certification"] = facts.certification
        return "letter.signed", letter

    def _survey(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        facts = lifecycle.facts
        if self.chance.random() < 0.1:
            self.staff(at, "cancel", lifecycle.workflow)
            return
        answers = {"goals_met": "yes", "mentor_helped": True, "expectations_met": True, "rating": 5}
        answer = (
            "survey.answered",
            {"engagement": facts.engagement, "by": facts.profile, "answers": answers},
        )
        self.event(at, *([answer] * self.chance.choice((1, 1, 2))))

    def _onboarding(self, pair: _Pair, lifecycle: ModelLifecycle, at: datetime) -> None:
        act = self.chance.choice(("pause", "resume", "resume", "extend", "cancel", "none", "none"))
        if act == "extend":
            self.staff(at, act, lifecycle.workflow, check_ins=self.chance.choice((1, 3)))
        elif act != "none":
            self.staff(at, act, lifecycle.workflow)


def draw_scenario(
    chance: random.Random, pairs: int, program: Program, catalogue: Catalogue, *, early: bool = False
) -> GeneratedScenario:
    """A scenario of some pairs, drawn at random.

    With `early` also letters, domains and answers come before what they are about, of which the model knows nothing.
    """
    return _Drawing(chance, program, catalogue, pairs, early).draw()


def delay(chance: random.Random, scenario: GeneratedScenario) -> None:
    """Have some events arrive late, hours or days after they happened and after others that came behind them."""
    for entry in scenario.inputs:
        if entry.how == "event" and chance.random() < 0.12:
            entry.late = chance.choice((timedelta(minutes=5), timedelta(hours=9), timedelta(days=3)))
            entry.at += entry.late
    scenario.inputs[:] = sorted(
        (entry for entry in scenario.inputs if entry.at < scenario.until), key=lambda entry: entry.at
    )


FAULTS = ("smtp_down", "smtp_4xx", "smtp_drop_after_data", "database_down", "worker_killed")
LENGTHS = (timedelta(minutes=10), timedelta(hours=7), timedelta(hours=30))


def draw_faults(chance: random.Random, scenario: GeneratedScenario, count: int) -> list[Fault]:
    """So many faults of some time each, one after the other, over by ten days before the end.

    They begin at any time, or at an instant at which something is entry. While the database is away or the worker is
    killed no plain client waits for an answer: those updates become signals.
    """
    faults: list[Fault] = []
    last = scenario.until - timedelta(days=10)
    for _ in range(count):
        since = chance.choice(
            (
                chance.choice(scenario.inputs).at,
                scenario.start + (last - scenario.start) * chance.random(),
                scenario.start + timedelta(days=7 + chance.randrange(50), hours=chance.randrange(24)),
            )
        )
        fault = Fault(since, since + chance.choice(LENGTHS), chance.choice(FAULTS))
        if fault.until < last and all(
            fault.until < other.since or other.until < fault.since for other in faults
        ):
            faults.append(fault)
    for entry in scenario.inputs:
        if entry.how == "update" and any(fault.since <= entry.at <= fault.until for fault in faults):
            entry.how = "signal"
    return faults
