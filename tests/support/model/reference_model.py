"""A reference model of a program: what the pure rules make of events and acts, without workflows, database or mail.

It keeps members, profiles and lifecycles, lets time pass from one due instant to the next, and notes each state,
task and message with its instant. Tests play the same through the real workflows and compare. Where two things
happen at the very same instant, such as an answer and the reminder that it makes needless, either order is right:
what depends on it is noted as something that may have happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from database.ledger import FIRST_RESEND_OCCURRENCE
from database.task_closing import settled_because
from rules import credit, engagement, onboarding, request, survey
from rules.agenda import Agenda, PlannedMail, Refused, StateChange, recorded_at
from rules.calendar import Calendar, calendar_for
from rules.credit import ClaimFacts, Credit, Cycle, Decision, GateDays, Record, Signature, Signing
from rules.engagement import ROLES, EngagementFacts, NewEnd
from rules.events import references
from rules.onboarding import OnboardingFacts
from rules.pauses import Pause
from rules.program import Program
from rules.program.catalogue import Catalogue
from rules.request import RequestFacts
from rules.survey import SurveyFacts

ORDER = ("onboarding", "request", "engagement", "claim", "survey")


@dataclass
class ScenarioInput:
    """An input at an instant: an event, or a plain signal or update of a workflow.

    `outcome` is `applied`, `refused`, or `held` until what the event refers to is known. An event that is `late`
    happened so long before `at`; the model has none.
    """

    at: datetime
    name: str
    data: dict[str, Any]
    workflow: str = ""
    how: str = "event"
    outcome: str = "stored"
    waits_for: str = ""
    held_until: datetime | None = None
    late: timedelta = timedelta(0)

    @property
    def subject(self) -> str:
        """The workflow or thing that an event is about."""
        return str(self.data.get("target") or self.workflow)


@dataclass
class ModelMember:
    """A member as the member database last sent it."""

    data: dict[str, Any]

    @property
    def good(self) -> bool:
        return bool(self.data["standing"] == "good")

    def calendar(self, program: Program) -> Calendar:
        """The calendar that decides the member's dates."""
        known = self.data
        return calendar_for(
            program.hours, known.get("time_zone"), known.get("country"), known.get("subdivision")
        )

    def codes(self) -> list[str]:
        """The certifications on record."""
        return [str(held["code"]) for held in self.data.get("certifications", [])]

    def cycle(self, code: str, gate: Any) -> Cycle | None:
        """The cycle on record with a day in it, else the last."""
        cycles = [
            Cycle(held["cycle_start"], held["cycle_end"])
            for held in self.data.get("certifications", [])
            if held["code"] == code
        ]
        covering = [cycle for cycle in cycles if cycle.covers(gate)]
        return next(iter(covering or cycles[-1:]), None)


@dataclass
class ModelProfile:
    """A profile, and whether it was withdrawn."""

    id: str
    member: str
    role: str
    places: int | None
    withdrawn: bool = False


@dataclass
class Occurrence:
    """Something that happened at an instant, or `may` have, where another thing happened at that instant."""

    what: str
    at: datetime
    may: bool = False


@dataclass
class ModelLifecycle:
    """One lifecycle of the model: its facts, its agenda as last planned, and what happened.

    `edges` are messages that an act moved at the very instant at which they were due.
    """

    workflow: str
    facts: Any
    agenda: Agenda | None = None
    planned: dict[str, tuple[PlannedMail, datetime | None]] = field(default_factory=dict)
    sent: dict[str, Occurrence] = field(default_factory=dict)
    cancelled: dict[str, Occurrence] = field(default_factory=dict)
    mails: dict[str, PlannedMail] = field(default_factory=dict)
    states: list[Occurrence] = field(default_factory=list)
    tasks: dict[str, list[Occurrence]] = field(default_factory=dict)
    edges: set[str] = field(default_factory=set)
    known: set[tuple[str, datetime]] = field(default_factory=set)
    closed_at: datetime | None = None
    wake_at: datetime | None = None

    @property
    def kind(self) -> str:
        return self.workflow.partition("/")[0]

    @property
    def id(self) -> str:
        return self.workflow.split("/")[1]

    @property
    def state(self) -> str:
        """The last state on record."""
        return [occurrence.what for occurrence in self.states if not occurrence.may][-1]

    def next_at(self) -> datetime | None:
        """The next instant at which something is due."""
        dues = [due for _, due in self.planned.values() if due] + ([self.wake_at] if self.wake_at else [])
        return min(dues, default=None)


class ReferenceModel:
    """Members, profiles and lifecycles of one program, and the clock."""

    def __init__(self, program: Program, catalogue: Catalogue) -> None:
        self.program, self.catalogue = program, catalogue
        self.calendar = calendar_for(program.hours, None, None, None)
        self.members: dict[str, ModelMember] = {}
        self.profiles: dict[str, ModelProfile] = {}
        self.lifecycles: dict[str, ModelLifecycle] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        self.goals: dict[str, str] = {}
        self.late_reports: dict[tuple[str, str], list[datetime]] = {}
        self.inputs: list[ScenarioInput] = []
        self.unapplied: list[tuple[str, datetime]] = []

    # --- time

    def run(self, until: datetime, *, through: bool = True) -> None:
        """Let time pass until an instant; what is due at it happens too unless `through` is false."""
        while True:
            dues = [
                (due, ORDER.index(lifecycle.kind), lifecycle.workflow)
                for lifecycle in self.lifecycles.values()
                if (due := lifecycle.next_at())
            ]
            dues += [(entry.held_until, len(ORDER), "") for entry in self.inputs if entry.held_until]
            now, _, workflow = min(dues, default=(until, 0, ""))
            if not dues or now > until or (now == until and not through):
                return
            if workflow:
                self._step(self.lifecycles[workflow], now)
            else:
                self._apply(now)

    def _step(self, lifecycle: ModelLifecycle, now: datetime) -> None:
        for key, (mail, due) in list(lifecycle.planned.items()):
            if due and due <= now:
                del lifecycle.planned[key]
                at = recorded_at(mail.due, now)
                lifecycle.sent[key] = Occurrence(mail.message, at)
                if lifecycle.kind == "onboarding":
                    facts = onboarding.mail_decided(lifecycle.facts, mail.step, at)
                    if facts != lifecycle.facts:
                        lifecycle.facts = facts
                        self._plan(lifecycle, now)
        if lifecycle.wake_at and lifecycle.wake_at <= now:
            self._plan(lifecycle, now)

    # --- inputs

    def send_events(self, at: datetime, events: list[tuple[str, dict[str, Any]]]) -> list[ScenarioInput]:
        """Events that arrive together at an instant, in their order."""
        self.run(at, through=False)
        entry = [ScenarioInput(at, kind, data) for kind, data in events]
        self.inputs += entry
        self._apply(at)
        return entry

    def act(self, at: datetime, how: str, workflow: str, name: str, data: dict[str, Any]) -> ScenarioInput:
        """A plain signal or update, which counts from the moment after its instant at which it arrives."""
        self.run(at, through=False)
        entry, arrives = ScenarioInput(at, name, data, workflow, how), at + timedelta(microseconds=1)
        try:
            self._do(self._life(workflow), name, data, arrives, arrives, "")
            entry.outcome = "applied"
        except Refused:
            entry.outcome = "refused"
        return entry

    def _apply(self, now: datetime) -> None:
        while True:
            waiting = [
                entry
                for entry in self.inputs
                if entry.outcome == "stored"
                or (entry.outcome == "held" and entry.held_until is not None and entry.held_until <= now)
            ]
            if not waiting:
                return
            self._take(waiting[0], now)

    def _take(self, entry: ScenarioInput, now: datetime) -> None:
        missing = next((each for each in references(entry.name, entry.data) if not self._knows(each)), None)
        if missing and entry.outcome == "held":
            entry.outcome, entry.held_until = "refused", None
            self.unapplied.append((missing, now))
            return
        if missing:
            entry.outcome, entry.waits_for = "held", missing
            entry.held_until = now + timedelta(hours=self.program.events.hold_hours)
            return
        entry.held_until = None
        try:
            self._event(entry, now)
        except Refused:
            entry.outcome = "refused"
            return
        entry.outcome = "applied"
        arrived = self._brought(entry)
        for other in self.inputs:
            if other.outcome == "held" and other.waits_for in arrived:
                other.outcome, other.held_until = "stored", None

    def _knows(self, reference: str) -> bool:
        kind, _, name = reference.partition("/")
        if kind in ("member", "profile"):
            return name in (self.members if kind == "member" else self.profiles)
        return reference in self.lifecycles

    def _brought(self, entry: ScenarioInput) -> set[str]:
        data = entry.data
        found = {f"{kind}/{data[kind]}" for kind in ("member", "profile") if kind in data}
        if "request" in data:
            found |= {f"request/{data['request']}", f"engagement/{data['request']}"}
        return found

    # --- events

    def _event(self, entry: ScenarioInput, now: datetime) -> None:
        data, at, event = entry.data, entry.at, str(self.inputs.index(entry) + 1)
        kind, _, name = entry.name.partition(".")
        if kind == "staff":
            target = str(data["target"])
            if target.startswith(("claim/", "survey/")) and name != "cancel":
                raise Refused("only cancel")
            self._do(self._life(target), name, data, at, now, event)
        elif kind == "request" and name != "created":
            act = {"accepted": "accept", "declined": "decline", "canceled": "withdraw"}[name]
            self._do(self._life(f"request/{data['request']}"), act, data, at, now, event)
        elif kind == "engagement":
            self._on_engagement_event(name, data, at, now, event)
        elif kind in ("claim", "letter", "survey"):
            self._on_evidence_event(entry.name, data, at, now, event)
        else:
            {
                "member.updated": self._member,
                "profile.created": self._sign_up,
                "profile.updated": self._wishes,
                "profile.withdrawn": self._withdraw,
                "request.created": self._ask,
            }[entry.name](data, at, now)

    def _life(self, workflow: str) -> ModelLifecycle:
        if workflow not in self.lifecycles:
            raise Refused(f"there is no {workflow}")
        return self.lifecycles[workflow]

    def _begin(self, workflow: str, facts: Any, now: datetime) -> None:
        if workflow not in self.lifecycles:
            self.lifecycles[workflow] = ModelLifecycle(workflow, facts)
            self._plan(self.lifecycles[workflow], now)

    def _member(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        before = self.members.get(data["member"])
        self.members[data["member"]] = ModelMember({**(before.data if before else {}), **data})
        if before is None:
            return
        after = self.members[data["member"]]
        changed = before.good != after.good
        keys = ("time_zone", "country", "subdivision", "certifications")
        if not changed and all(before.data.get(key) == after.data.get(key) for key in keys):
            return
        for lifecycle in list(self.lifecycles.values()):
            parts = self._parts(lifecycle)
            mine = [profile for profile in parts if self.profiles[profile].member == data["member"]]
            if lifecycle.closed_at or not mine:
                continue
            for profile in mine if changed else ():
                if lifecycle.kind == "onboarding":
                    lifecycle.facts = onboarding.standing_changed(lifecycle.facts, after.good, at)
                elif lifecycle.kind == "request":
                    lifecycle.facts = request.standing_changed(lifecycle.facts, profile, after.good, at)
                elif lifecycle.kind == "engagement":
                    lifecycle.facts = engagement.standing_changed(lifecycle.facts, profile, after.good, at)
            self._plan(lifecycle, now)

    def _parts(self, lifecycle: ModelLifecycle) -> list[str]:
        """The profiles whose calendars, standing or certifications a lifecycle hangs on."""
        facts = lifecycle.facts
        if lifecycle.kind in ("request", "engagement"):
            return [facts.mentee, facts.mentor]
        return [facts.profile, facts.counterpart] if lifecycle.kind == "claim" else [facts.profile]

    def _sign_up(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        if data["profile"] in self.profiles:
            raise Refused("exists already")
        self.profiles[data["profile"]] = ModelProfile(
            data["profile"], data["member"], data["role"], data.get("mentees_at_a_time")
        )
        blocked = not self.members[data["member"]].good
        facts = OnboardingFacts(data["profile"], data["role"], at, blocked=blocked)
        self._begin(f"onboarding/{data['profile']}", facts, now)

    def _wishes(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        profile = self.profiles[data["profile"]]
        if "mentees_at_a_time" in data:
            profile.places = data["mentees_at_a_time"]
            if profile.role == "mentor" and self._places_left(profile) == 0:
                self._make_unavailable(profile, "no place", at, now)

    def _withdraw(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        profile = self.profiles[data["profile"]]
        if profile.withdrawn:
            return
        profile.withdrawn = True
        beginning = self.lifecycles[f"onboarding/{profile.id}"]
        if beginning.closed_at is None:
            if beginning.facts.matched:
                beginning.facts = onboarding.match_ended(beginning.facts, "", at, no_fit=False)
            else:
                beginning.facts = onboarding.end(
                    beginning.facts, "withdrawn", at, "the profile was withdrawn"
                )
            self._plan(beginning, now)
        for lifecycle in self._open("engagement"):
            if profile.id in (lifecycle.facts.mentee, lifecycle.facts.mentor):
                state = self._agenda(lifecycle, now).state_at(at)
                lifecycle.facts = engagement.party_withdrawn(lifecycle.facts, profile.id, at, state)
                self._plan(lifecycle, now)
        if profile.role == "mentor":
            self._make_unavailable(profile, "withdrawn", at, now)
            return
        for lifecycle in self._open("request"):
            if lifecycle.facts.mentee == profile.id:
                self._quietly(lifecycle, "withdraw", at, now)

    def _make_unavailable(self, profile: ModelProfile, why: str, at: datetime, now: datetime) -> None:
        for lifecycle in self._open("request"):
            if lifecycle.facts.mentor == profile.id:
                self._quietly(lifecycle, "unavailable", at, now, why)

    def _quietly(
        self, lifecycle: ModelLifecycle, name: str, at: datetime, now: datetime, reason: str = ""
    ) -> None:
        try:
            self._do(lifecycle, name, {"reason": reason}, at, now, "")
        except Refused:
            return

    def _open(self, kind: str) -> list[ModelLifecycle]:
        return [
            lifecycle
            for lifecycle in self.lifecycles.values()
            if lifecycle.kind == kind and lifecycle.closed_at is None
        ]

    def _places_left(self, profile: ModelProfile, excluding: str = "") -> int | None:
        if profile.withdrawn:
            return 0
        if profile.places is None:
            return None
        active = [lifecycle for lifecycle in self._open("engagement") if lifecycle.facts.mentor == profile.id]
        return max(profile.places - sum(lifecycle.id != excluding for lifecycle in active), 0)

    def _ask(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        if f"request/{data['request']}" in self.lifecycles:
            raise Refused("exists already")
        mentee, mentor = self.profiles[data["mentee"]], self.profiles[data["mentor"]]
        if (mentee.role, mentor.role) != ("mentee", "mentor") or mentee.member == mentor.member:
            raise Refused("wrong roles")
        if not self.members[mentee.member].good or mentee.withdrawn:
            raise Refused("not now")
        because = ""
        if mentor.withdrawn or not self.members[mentor.member].good or self._places_left(mentor) == 0:
            because = "unavailable"
        self.requests[data["request"]] = data
        facts = RequestFacts(data["request"], mentee.id, mentor.id, at, because)
        self._begin(f"request/{data['request']}", facts, now)

    def _on_engagement_event(
        self, name: str, data: dict[str, Any], at: datetime, now: datetime, event: str
    ) -> None:
        lifecycle = self._life(f"engagement/{data['engagement']}")
        by = data.get("by", "")
        if by and by not in (lifecycle.facts.mentee, lifecycle.facts.mentor):
            raise Refused("not one of the two")
        act = {
            "extension_agreed": "agree_extension",
            "ended": "end",
            "misconduct_reported": "misconduct",
        }.get(name, name)
        if act == "misconduct" and lifecycle.closed_at:
            role = "mentor" if by == lifecycle.facts.mentor else "mentee"
            lifecycle.tasks.setdefault(
                f"reported by the {role} after the end", [Occurrence("misconduct", at)]
            )
            for workflow in (lifecycle.workflow, *(f"survey/{lifecycle.id}/{each}" for each in ROLES)):
                self._stop_mail(workflow, at)
            before = self.late_reports.setdefault((lifecycle.id, role), [])
            before.append(at)
            if any(at - engagement.BETWEEN_NOTICES < each < at for each in before):
                return
            late = sum(int(key.rpartition("/")[2]) >= FIRST_RESEND_OCCURRENCE for key in lifecycle.sent)
            mail = PlannedMail(
                "staff.misconduct", at, "staff.misconduct", "staff", FIRST_RESEND_OCCURRENCE + late
            )
            lifecycle.mails[mail.key], lifecycle.sent[mail.key] = mail, Occurrence(mail.message, at)
            return
        self._do(lifecycle, act, data, at, now, event)
        if act == "plan_agreed" and data.get("goals"):
            self.goals[lifecycle.id] = data["goals"]

    def _stop_mail(self, workflow: str, at: datetime) -> None:
        """Cancel what is still planned to the two (ENG8)."""
        if stopped := self.lifecycles.get(workflow):
            for key, (mail, _) in list(stopped.planned.items()):
                if mail.to != "staff":
                    del stopped.planned[key]
                    stopped.cancelled[key] = Occurrence(mail.message, at)

    def _on_evidence_event(
        self, name: str, data: dict[str, Any], at: datetime, now: datetime, event: str
    ) -> None:
        facts = self.lifecycles[f"engagement/{data['engagement']}"].facts
        if data["by"] not in (facts.mentee, facts.mentor):
            raise Refused("not one of the two")
        role = "mentor" if data["by"] == facts.mentor else "mentee"
        if name == "survey.answered":
            self._do(self._life(f"survey/{facts.engagement}/{role}"), "answered", data, at, now, event)
        elif name != "letter.signed":
            lifecycle = self._life(f"claim/{facts.engagement}/{role}/{data['certification']}")
            act = "submit" if name == "claim.submitted" else "choose_domains"
            self._do(lifecycle, act, data, at, now, event)
        else:
            self._letter(data, facts, at, now, event)

    def _letter(
        self, data: dict[str, Any], facts: EngagementFacts, at: datetime, now: datetime, event: str
    ) -> None:
        claims = [
            lifecycle
            for workflow, lifecycle in sorted(self.lifecycles.items())
            if workflow.startswith(f"claim/{facts.engagement}/{data['for']}/")
            and data.get("certification") in (None, lifecycle.facts.certification)
        ]
        if not claims:
            raise Refused("no such claim")
        if data["for"] == "mentee" and not data.get("certification"):
            claims = self._served(claims, data.get("domains") or [])
        claims = [claim for claim in claims if claim.state in ("precheck", "awaiting_evidence")] or claims
        refused = False
        for claim in claims:
            try:
                self._do(claim, "sign", data, at, now, event)
            except Refused:
                refused = True
        if refused:
            raise Refused("not by all claims")

    def _served(self, claims: list[ModelLifecycle], words: list[str]) -> list[ModelLifecycle]:
        """The claims whose certification has a domain of a mentor's letter."""
        if not words:
            named = [claim for claim in claims if claim.facts.domains]
            if not named and len(claims) > 1:
                raise Refused("no domain is named")
            return named or claims
        known = {claim.workflow: [word for word in words if self._domain(claim, word)] for claim in claims}
        if any(all(word not in found for found in known.values()) for word in words):
            raise Refused("a domain is unknown")
        return [claim for claim in claims if known[claim.workflow]]

    def _domain(self, claim: ModelLifecycle, word: str) -> bool:
        gate = self.gate(claim.facts.engagement).earliest
        certification = self.catalogue.certification(claim.facts.certification, gate)
        return certification is not None and certification.domain(word) is not None

    # --- acts

    def _do(
        self,
        lifecycle: ModelLifecycle,
        name: str,
        data: dict[str, Any],
        at: datetime,
        now: datetime,
        event: str,
    ) -> None:
        """An act on a lifecycle. Raises Refused where the rules do, or it is over."""
        if lifecycle.closed_at:
            raise Refused(f"{lifecycle.workflow} is over")
        if lifecycle.kind == "claim":
            self._take_in(lifecycle, now)
        does: Callable[..., Any] = getattr(self, f"_on_{lifecycle.kind}")
        try:
            lifecycle.facts = does(
                lifecycle, name, data, self._agenda(lifecycle, now).state_at(at), at, event
            )
        finally:
            self._plan(lifecycle, now)

    def _on_onboarding(
        self, lifecycle: ModelLifecycle, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> OnboardingFacts:
        facts: OnboardingFacts = lifecycle.facts
        if facts.matched:
            raise Refused("the onboarding is over: matched")
        staffs = any(pause.until is None and pause.cause == "staff" for pause in facts.pauses)
        if name == "cancel":
            return onboarding.end(facts, "canceled", at, "cancelled by staff")
        if name == "extend":
            return onboarding.extend(facts, data["check_ins"], at, event)
        if staffs == (name == "pause"):
            raise Refused("paused already, or not paused")
        change = onboarding.pause if name == "pause" else onboarding.resume
        return change(facts, "staff", at)

    def _on_request(
        self, lifecycle: ModelLifecycle, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> RequestFacts:
        facts: RequestFacts = lifecycle.facts
        reason = data.get("reason", "")
        places = self._places_left(self.profiles[facts.mentor], excluding=facts.request)
        if name == "accept" and facts.ended is None and places == 0:
            raise Refused("no place left")
        if name == "extend":
            return request.extend(facts, data.get("business_days", 1), at, state, event)
        if name == "superseded":
            return request.supersede(facts, at, state, reason)
        if name == "unavailable":
            return request.make_unavailable(facts, at, state, reason)
        ends = {"accept": request.accept, "decline": request.decline, "withdraw": request.withdraw}
        return ends.get(name, request.cancel)(facts, at, state)

    def _on_engagement(
        self, lifecycle: ModelLifecycle, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> EngagementFacts:
        facts: EngagementFacts = lifecycle.facts
        policy, calendar = self.program.engagement, self.calendar
        by = data.get("by", "")
        set_by = {"plan_agreed": "plan", "agree_extension": "parties"}.get(name, "staff")
        new_end = NewEnd(at, set_by, data.get("end", ""), data.get("months", 0), event)
        match name:
            case "plan_agreed":
                return engagement.agree_plan(facts, new_end, state, policy, calendar)
            case "agree_extension":
                return engagement.agree_extension(facts, by, new_end, state, policy, calendar)
            case "extend":
                return engagement.extend(facts, new_end, state, policy, calendar)
            case "discovery":
                return engagement.answer_discovery(facts, by, data["answer"], at, state)
            case "met":
                number = engagement.pulse_at(facts, policy, calendar, at)
                return engagement.answer_pulse(facts, by, data["answer"] == "yes", number, state)
            case "end":
                return engagement.end(facts, by or "staff", data["reason"], at, state)
            case "misconduct":
                return engagement.report_misconduct(facts, by or "staff", at, state, event)
            case "pause":
                return engagement.pause(facts, at, state)
            case "resume":
                return engagement.resume(facts, at, state)
        return engagement.cancel(facts, at, state, data.get("reason", ""))

    def _on_survey(
        self, lifecycle: ModelLifecycle, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> SurveyFacts:
        facts: SurveyFacts = lifecycle.facts
        if name == "cancel":
            return survey.cancel(facts, at)
        if event and not survey.check_answers(self.program.survey, facts.role, data["answers"])[0]:
            raise Refused("nothing in it is valid")
        return survey.answer(
            facts, at, survey.closes_at(facts, self.program.survey, self._own(facts.profile))
        )

    def _on_claim(
        self, lifecycle: ModelLifecycle, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> ClaimFacts:
        facts: ClaimFacts = lifecycle.facts
        by, reason = data.get("by", ""), data.get("reason", "")
        gate = self.gate(facts.engagement).earliest
        certification = self.catalogue.certification(facts.certification, gate)
        match name:
            case "sign":
                return self._sign(facts, data, state, at, event, gate)
            case "choose_domains":
                return credit.choose_domains(facts, by, data["domains"], certification, state)
            case "submit":
                return credit.submit(facts, by, at, state)
            case "accept":
                return credit.accept(facts, at, state, reason)
            case "reject":
                return credit.reject(facts, at, state, reason)
            case "revoke":
                return credit.revoke(facts, at, state, reason)
            case "reopen":
                return credit.reopen(facts, at, state, reason, [gate])
        return credit.cancel(facts, at, state, reason)

    def _sign(
        self, facts: ClaimFacts, data: dict[str, Any], state: str, at: datetime, event: str, gate: Any
    ) -> ClaimFacts:
        signer = self.members[self.profiles[facts.counterpart].member]
        claimant = self.members[self.profiles[facts.profile].member]
        asked = self.requests[facts.engagement]
        certification = self.catalogue.certification(facts.certification, gate)
        purpose = (
            data.get("purpose") or self.goals.get(facts.engagement, "") or str(asked.get("message") or "")
        )
        words = data.get("domains") or facts.domains
        found = [word for word in words if certification is not None and certification.domain(word)]
        known = bool(found)
        if known and not data.get("certification"):
            words = found
        sayable = facts.role == "mentor" or (purpose and known)
        if sayable and (certification is None or claimant.cycle(facts.certification, gate) is None):
            raise Refused("not on record")
        signing = Signing(data["by"], data["for"], data["name"], True, None, purpose, words)
        domains = credit.check_signature(
            facts, signing, signer_name=signer.data["name"], statement="", certification=certification
        )
        return credit.sign(facts, Signature(f"letter {event}", at, facts.counterpart, domains), state)

    # --- plans

    def _own(self, profile: str) -> Calendar:
        return self.members[self.profiles[profile].member].calendar(self.program)

    def _agenda(self, lifecycle: ModelLifecycle, now: datetime) -> Agenda:
        facts, program = lifecycle.facts, self.program
        if lifecycle.kind == "onboarding":
            member = self.members[self.profiles[facts.profile].member]
            qualified = facts.role != "mentor" or onboarding.mentor_is_qualified(
                member.data.get("years_management"), member.codes(), program.onboarding
            )
            return onboarding.agenda(facts, program.onboarding, member.calendar(program), qualified=qualified)
        if lifecycle.kind == "request":
            return request.agenda(facts, program.request, self._own(facts.mentor), self._own(facts.mentee))
        if lifecycle.kind == "survey":
            return survey.agenda(facts, program.survey, self._own(facts.profile))
        if lifecycle.kind == "claim":
            return credit.agenda(
                facts, program.credit, self.calendar, self._own(facts.profile), self._own(facts.counterpart)
            )
        agenda = engagement.agenda(
            facts, program.engagement, self.calendar, self._own(facts.mentor), self._own(facts.mentee)
        )
        closing = _closing(agenda, now)
        _, looks = self._claims_due(facts, closing, now)
        return replace(agenda, recheck_at=looks)

    def closing_of(self, engagement_id: str) -> StateChange | None:
        """The turn that ended an engagement, once it has ended."""
        lifecycle = self.lifecycles[f"engagement/{engagement_id}"]
        if lifecycle.closed_at is None or lifecycle.agenda is None:
            return None
        return next(turn for turn in lifecycle.agenda.state_changes if turn.closes)

    def _pauses(self, facts: EngagementFacts, closing: StateChange | None) -> list[Pause]:
        return [
            replace(pause, until=max(closing.due, pause.since)) if closing and pause.until is None else pause
            for pause in facts.pauses
        ]

    def gate(self, engagement_id: str, closing: StateChange | None = None) -> GateDays:
        """The days of pre-check and gate of an engagement."""
        facts = self.lifecycles[f"engagement/{engagement_id}"].facts
        started = engagement.start_day(facts, self.calendar)
        pauses = self._pauses(facts, closing or self.closing_of(engagement_id))
        return credit.gate_days(started, pauses, self.program.credit, self.calendar)

    def _claims_due(
        self, facts: EngagementFacts, closing: StateChange | None, now: datetime
    ) -> tuple[list[ClaimFacts], tuple[datetime, ...]]:
        days, policy = self.gate(facts.engagement, closing), self.program.credit
        if days.precheck is None or (closing and closing.state == "canceled"):
            return [], ()
        until = min(now, closing.due) if closing else now
        due, later = [], []
        for role, profile, other in (
            ("mentor", facts.mentor, facts.mentee),
            ("mentee", facts.mentee, facts.mentor),
        ):
            member = self.members[self.profiles[profile].member]
            opens = credit.opens_at(days.precheck, self.calendar, member.calendar(self.program))
            if opens > until:
                later += [opens] if opens > now and closing is None else []
                continue
            on = self.calendar.date_of(until)
            for code in credit.claimable(member.codes(), policy, self.catalogue, days.gate, on):
                at = recorded_at(opens, now)
                record = Record(at, member.good, member.cycle(code, days.earliest))
                started = engagement.start_day(facts, self.calendar).isoformat()
                due.append(ClaimFacts(facts.engagement, role, profile, other, code, started, at, [record]))
        return due, tuple(later)

    def _claims(self, engagement_id: str) -> list[ModelLifecycle]:
        return [
            lifecycle
            for workflow, lifecycle in sorted(self.lifecycles.items())
            if workflow.startswith(f"claim/{engagement_id}/")
        ]

    def _take_in(self, lifecycle: ModelLifecycle, now: datetime) -> None:
        """What the membership record and the engagement have come to, into a claim's facts."""
        facts: ClaimFacts = lifecycle.facts
        member = self.members[self.profiles[facts.profile].member]
        cycle = member.cycle(facts.certification, self.gate(facts.engagement).earliest)
        lifecycle.facts = credit.record_changed(facts, member.good, cycle, now)
        lifecycle.facts = self._followed(lifecycle, now)

    def _followed(self, lifecycle: ModelLifecycle, now: datetime) -> ClaimFacts:
        facts: ClaimFacts = lifecycle.facts
        closing = self.closing_of(facts.engagement)
        if closing and closing.state == "canceled":
            state = self._agenda(lifecycle, now).state_at(now)
            return credit.engagement_canceled(facts, now, state, "the engagement was cancelled")
        pauses = self._pauses(self.lifecycles[f"engagement/{facts.engagement}"].facts, closing)
        return credit.engagement_changed(facts, pauses, now, closing.due if closing else None)

    def _plan(self, lifecycle: ModelLifecycle, now: datetime) -> None:
        """Plan a lifecycle again, note what is due, and apply the consequences."""
        if lifecycle.closed_at:
            return
        if lifecycle.kind == "claim":
            self._take_in(lifecycle, now)
        old, new = lifecycle.agenda, self._agenda(lifecycle, now)
        if old is not None:
            self._on_the_edge(lifecycle, old, new, now)
        lifecycle.agenda = new
        self._note_turns(lifecycle, new, now)
        for task in new.tasks:
            occurrence = lifecycle.tasks.setdefault(task.cause, [])
            if task.due <= now and all(each.may for each in occurrence):
                # An answer at the very instant of the task may come before it, and settles it.
                settled = settled_because(task.kind, task.cause, lifecycle.state, lifecycle.facts)
                occurrence.append(Occurrence(task.kind, recorded_at(task.due, now), may=bool(settled)))
        self._note_mails(lifecycle, new, now)
        wakes = [] if lifecycle.closed_at else new.wakes_after(now)
        lifecycle.wake_at = wakes[0] if wakes else None
        if lifecycle.kind == "request":
            self._match(lifecycle, now)
        elif lifecycle.kind == "engagement":
            self._effects(lifecycle, now)

    def _on_the_edge(self, lifecycle: ModelLifecycle, old: Agenda, new: Agenda, now: datetime) -> None:
        """What fell due at this very instant and stands in the new agenda no more: it may have happened."""
        stays = {(turn.state, turn.due) for turn in new.state_changes}
        for turn in old.state_changes:
            if turn.due <= now and (turn.state, turn.due) not in stays | lifecycle.known:
                lifecycle.states.append(Occurrence(turn.state, now, may=True))
        due_now = [mail.step for mail, due in lifecycle.planned.values() if due and due <= now]
        if lifecycle.kind == "onboarding" and "check-in" in due_now and not lifecycle.facts.first_decided_at:
            lifecycle.states.append(Occurrence("active", now, may=True))
        causes = {(task.cause, task.due) for task in new.tasks}
        for task in old.tasks:
            if task.due <= now and (task.cause, task.due) not in causes and not lifecycle.tasks[task.cause]:
                lifecycle.tasks[task.cause].append(Occurrence(task.kind, now, may=True))

    def _note_turns(self, lifecycle: ModelLifecycle, agenda: Agenda, now: datetime) -> None:
        current = None
        for turn in sorted(agenda.state_changes, key=lambda turn: turn.due):
            if turn.due > now:
                break
            current = turn
            if (turn.state, turn.due) not in lifecycle.known:
                lifecycle.known.add((turn.state, turn.due))
                lifecycle.states.append(Occurrence(turn.state, recorded_at(turn.due, now)))
            if turn.closes:
                lifecycle.closed_at = recorded_at(turn.due, now)
                break
        if current and current.state != lifecycle.state:
            # An act lies before what is on record already, and takes it back.
            lifecycle.states.append(Occurrence(current.state, recorded_at(current.due, now)))
        if lifecycle.closed_at is None and agenda.closes_at and agenda.closes_at <= now:
            lifecycle.closed_at = recorded_at(agenda.closes_at, now)

    def _note_mails(self, lifecycle: ModelLifecycle, agenda: Agenda, now: datetime) -> None:
        wanted = {mail.key: mail for mail in agenda.mails}
        for key, (mail, due) in list(lifecycle.planned.items()):
            edge = due is not None and due <= now
            if key not in wanted:
                del lifecycle.planned[key]
                lifecycle.cancelled[key] = Occurrence(agenda.dropped_because, now, may=edge)
            elif edge and wanted[key].due != mail.due:
                # It may have gone out at this instant, just before it was moved; if not, it may be late.
                lifecycle.edges.add(key)
        for key, mail in wanted.items():
            lifecycle.mails[key] = mail
            known = lifecycle.planned.get(key)
            if key in lifecycle.sent or key in lifecycle.cancelled or (known and known[0].due == mail.due):
                continue
            lifecycle.planned[key] = (mail, max(mail.due, now) if mail.due else None)

    def _match(self, lifecycle: ModelLifecycle, now: datetime) -> None:
        facts: RequestFacts = lifecycle.facts
        if facts.ended is None or facts.ended.state != "accepted":
            return
        at, months = facts.ended.at, self.requests[facts.request].get("months")
        started = EngagementFacts(facts.request, facts.mentee, facts.mentor, at, months=months)
        self._begin(f"engagement/{facts.request}", started, now)
        mentee, mentor = self.profiles[facts.mentee], self.profiles[facts.mentor]
        for other in self._open("onboarding"):
            profile = self.profiles[other.facts.profile]
            if profile.member == mentee.member and profile.role == "mentee":
                other.facts = onboarding.match_began(other.facts, facts.request, at)
                self._plan(other, now)
        for other in self._open("request"):
            if (other.facts.mentee, other.facts.mentor) == (mentee.id, mentor.id):
                self._quietly(other, "superseded", at, now, "twice")
        if self._places_left(mentor) == 0:
            self._make_unavailable(mentor, "no place", at, now)

    def _effects(self, lifecycle: ModelLifecycle, now: datetime) -> None:
        facts: EngagementFacts = lifecycle.facts
        assert lifecycle.agenda is not None
        closing = _closing(lifecycle.agenda, now)
        for claim in self._claims_due(facts, closing, now)[0]:
            self._begin(claim.claim, claim, now)
        for other in self._claims(facts.engagement):
            if other.closed_at is None and self._followed(other, now) != other.facts:
                self._plan(other, now)
        if closing is None:
            return
        no_fit = closing.state == "no_fit" or facts.end_reason == "no_fit"
        for other in self._open("onboarding"):
            if any(match.request == facts.engagement for match in other.facts.matches):
                ended = onboarding.match_ended(other.facts, facts.engagement, closing.due, no_fit=no_fit)
                if ended != other.facts:
                    other.facts = ended
                    self._plan(other, now)
        by_party = closing.state == "ended" and facts.ended_by in ROLES
        if closing.state in ("completed", "no_fit") or by_party:
            for role, profile in (("mentor", facts.mentor), ("mentee", facts.mentee)):
                about = (f"{role}.completed", f"{role}.ended")
                notice = next(mail.due for mail in lifecycle.agenda.mails if mail.message in about)
                assert notice is not None
                notified_at = max(notice, recorded_at(notice, now))
                opened = SurveyFacts(facts.engagement, role, profile, closing.due, notified_at=notified_at)
                self._begin(f"survey/{facts.engagement}/{role}", opened, now)

    # --- credit

    def decision(self, lifecycle: ModelLifecycle, now: datetime) -> Decision:
        """What the rules decide about a claim, with all other claims of the same person."""
        facts: ClaimFacts = lifecycle.facts
        member = self.profiles[facts.profile].member
        others = [
            Credit(
                other.workflow,
                other.facts.engagement,
                other.facts.certification,
                days.gate.isoformat(),
                other.state,
                self.program.credit.amount(other.facts.role),
            )
            for other in self.lifecycles.values()
            if other.kind == "claim"
            and other is not lifecycle
            and self.profiles[other.facts.profile].member == member
            and other.facts.certification == facts.certification
            and (days := self.gate(other.facts.engagement)).gate
        ]
        return credit.decide(facts, self.program, self.calendar, self.catalogue, others, now)


def _closing(agenda: Agenda, now: datetime) -> StateChange | None:
    return next((turn for turn in agenda.state_changes if turn.closes and turn.due <= now), None)
