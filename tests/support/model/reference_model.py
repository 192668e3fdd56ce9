"""A whole program on paper: what the pure rules make of events and acts, without workflows, database or mail.

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
from rules import credit, engagement, onboarding, request, survey
from rules.agenda import Agenda, PlannedMail, Refused, StateChange, recorded_at
from rules.calendar import Calendar, calendar_for
from rules.credit import ClaimFacts, Credit, Cycle, Decision, GateDays, Record, Signature, Signing
from rules.engagement import ROLES, EngagementFacts
from rules.events import references
from rules.onboarding import OnboardingFacts
from rules.pauses import Pause
from rules.program import Program
from rules.program.catalogue import Catalogue
from rules.request import RequestFacts
from rules.survey import SurveyFacts

ORDER = ("onboarding", "request", "engagement", "claim", "survey")


@dataclass
class Told:
    """Something that is told at an instant: an event, or a plain signal or update of a workflow.

    `fate` is what becomes of it: `applied`, `refused`, or `held` until what it refers to is known. An event that is
    `late` happened so long before `at`; paper knows of none.
    """

    at: datetime
    name: str
    data: dict[str, Any]
    workflow: str = ""
    how: str = "event"
    fate: str = "stored"
    waits_for: str = ""
    held_until: datetime | None = None
    late: timedelta = timedelta(0)

    @property
    def subject(self) -> str:
        """The workflow or thing that an event is about."""
        return str(self.data.get("target") or self.workflow)


@dataclass
class PaperMember:
    """A member as the member database told last."""

    told: dict[str, Any]

    @property
    def good(self) -> bool:
        return bool(self.told["standing"] == "good")

    def calendar(self, program: Program) -> Calendar:
        """The calendar that decides the member's dates."""
        told = self.told
        return calendar_for(
            program.hours, told.get("time_zone"), told.get("country"), told.get("subdivision")
        )

    def codes(self) -> list[str]:
        """The certifications on record."""
        return [str(held["code"]) for held in self.told.get("certifications", [])]

    def cycle(self, code: str, gate: Any) -> Cycle | None:
        """The cycle on record with a day in it, else the last."""
        cycles = [
            Cycle(held["cycle_start"], held["cycle_end"])
            for held in self.told.get("certifications", [])
            if held["code"] == code
        ]
        covering = [cycle for cycle in cycles if cycle.covers(gate)]
        return next(iter(covering or cycles[-1:]), None)


@dataclass
class PaperProfile:
    """A profile, and whether it was withdrawn."""

    id: str
    member: str
    role: str
    places: int | None
    withdrawn: bool = False


@dataclass
class Noted:
    """Something that happened at an instant, or `may` have, where another thing happened at that instant."""

    what: str
    at: datetime
    may: bool = False


@dataclass
class Life:
    """One lifecycle on paper: its facts, its agenda as last planned, and what became of it.

    `edges` are messages that an act moved at the very instant at which they were due.
    """

    workflow: str
    facts: Any
    agenda: Agenda | None = None
    planned: dict[str, tuple[PlannedMail, datetime | None]] = field(default_factory=dict)
    sent: dict[str, Noted] = field(default_factory=dict)
    cancelled: dict[str, Noted] = field(default_factory=dict)
    mails: dict[str, PlannedMail] = field(default_factory=dict)
    states: list[Noted] = field(default_factory=list)
    tasks: dict[str, list[Noted]] = field(default_factory=dict)
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
        return [noted.what for noted in self.states if not noted.may][-1]

    def next_at(self) -> datetime | None:
        """The next instant at which something is due."""
        dues = [due for _, due in self.planned.values() if due] + ([self.wake_at] if self.wake_at else [])
        return min(dues, default=None)


class ReferenceModel:
    """Members, profiles and lifecycles of one program, and the clock."""

    def __init__(self, program: Program, catalogue: Catalogue) -> None:
        self.program, self.catalogue = program, catalogue
        self.calendar = calendar_for(program.hours, None, None, None)
        self.members: dict[str, PaperMember] = {}
        self.profiles: dict[str, PaperProfile] = {}
        self.lives: dict[str, Life] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        self.goals: dict[str, str] = {}
        self.told: list[Told] = []
        self.unapplied: list[tuple[str, datetime]] = []

    # --- time

    def run(self, until: datetime, *, through: bool = True) -> None:
        """Let time pass until an instant; what is due at it happens too unless `through` is false."""
        while True:
            dues = [
                (due, ORDER.index(life.kind), life.workflow)
                for life in self.lives.values()
                if (due := life.next_at())
            ]
            dues += [(told.held_until, len(ORDER), "") for told in self.told if told.held_until]
            now, _, workflow = min(dues, default=(until, 0, ""))
            if not dues or now > until or (now == until and not through):
                return
            if workflow:
                self._step(self.lives[workflow], now)
            else:
                self._apply(now)

    def _step(self, life: Life, now: datetime) -> None:
        for key, (mail, due) in list(life.planned.items()):
            if due and due <= now:
                del life.planned[key]
                at = recorded_at(mail.due, now)
                life.sent[key] = Noted(mail.message, at)
                if life.kind == "onboarding":
                    facts = onboarding.mail_decided(life.facts, mail.step, at)
                    if facts != life.facts:
                        life.facts = facts
                        self._plan(life, now)
        if life.wake_at and life.wake_at <= now:
            self._plan(life, now)

    # --- what is told

    def tell(self, at: datetime, events: list[tuple[str, dict[str, Any]]]) -> list[Told]:
        """Events that are told together at an instant, in their order."""
        self.run(at, through=False)
        told = [Told(at, kind, data) for kind, data in events]
        self.told += told
        self._apply(at)
        return told

    def act(self, at: datetime, how: str, workflow: str, name: str, data: dict[str, Any]) -> Told:
        """A plain signal or update, which counts from the moment after its instant at which it arrives."""
        self.run(at, through=False)
        told, arrives = Told(at, name, data, workflow, how), at + timedelta(microseconds=1)
        try:
            self._do(self._life(workflow), name, data, arrives, arrives, "")
            told.fate = "applied"
        except Refused:
            told.fate = "refused"
        return told

    def _apply(self, now: datetime) -> None:
        while True:
            waiting = [
                told
                for told in self.told
                if told.fate == "stored"
                or (told.fate == "held" and told.held_until is not None and told.held_until <= now)
            ]
            if not waiting:
                return
            self._take(waiting[0], now)

    def _take(self, told: Told, now: datetime) -> None:
        missing = next((each for each in references(told.name, told.data) if not self._knows(each)), None)
        if missing and told.fate == "held":
            told.fate, told.held_until = "refused", None
            self.unapplied.append((missing, now))
            return
        if missing:
            told.fate, told.waits_for = "held", missing
            told.held_until = now + timedelta(hours=self.program.events.hold_hours)
            return
        told.held_until = None
        try:
            self._event(told, now)
        except Refused:
            told.fate = "refused"
            return
        told.fate = "applied"
        arrived = self._brought(told)
        for other in self.told:
            if other.fate == "held" and other.waits_for in arrived:
                other.fate, other.held_until = "stored", None

    def _knows(self, reference: str) -> bool:
        kind, _, name = reference.partition("/")
        if kind in ("member", "profile"):
            return name in (self.members if kind == "member" else self.profiles)
        return reference in self.lives

    def _brought(self, told: Told) -> set[str]:
        data = told.data
        found = {f"{kind}/{data[kind]}" for kind in ("member", "profile") if kind in data}
        if "request" in data:
            found |= {f"request/{data['request']}", f"engagement/{data['request']}"}
        return found

    # --- events

    def _event(self, told: Told, now: datetime) -> None:
        data, at, event = told.data, told.at, str(self.told.index(told) + 1)
        kind, _, name = told.name.partition(".")
        if kind == "staff":
            target = str(data["target"])
            if target.startswith(("claim/", "survey/")) and name != "cancel":
                raise Refused("only cancel")
            self._do(self._life(target), name, data, at, now, event)
        elif kind == "request" and name != "created":
            act = {"accepted": "accept", "declined": "decline", "canceled": "withdraw"}[name]
            self._do(self._life(f"request/{data['request']}"), act, data, at, now, event)
        elif kind == "engagement":
            self._engagement_told(name, data, at, now, event)
        elif kind in ("claim", "letter", "survey"):
            self._evidence_told(told.name, data, at, now, event)
        else:
            {
                "member.updated": self._member,
                "profile.created": self._sign_up,
                "profile.updated": self._wishes,
                "profile.withdrawn": self._withdraw,
                "request.created": self._ask,
            }[told.name](data, at, now)

    def _life(self, workflow: str) -> Life:
        if workflow not in self.lives:
            raise Refused(f"there is no {workflow}")
        return self.lives[workflow]

    def _begin(self, workflow: str, facts: Any, now: datetime) -> None:
        if workflow not in self.lives:
            self.lives[workflow] = Life(workflow, facts)
            self._plan(self.lives[workflow], now)

    def _member(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        before = self.members.get(data["member"])
        self.members[data["member"]] = PaperMember({**(before.told if before else {}), **data})
        if before is None:
            return
        after = self.members[data["member"]]
        changed = before.good != after.good
        keys = ("time_zone", "country", "subdivision", "certifications")
        if not changed and all(before.told.get(key) == after.told.get(key) for key in keys):
            return
        for life in list(self.lives.values()):
            parts = self._parts(life)
            mine = [profile for profile in parts if self.profiles[profile].member == data["member"]]
            if life.closed_at or not mine:
                continue
            for profile in mine if changed else ():
                if life.kind == "onboarding":
                    life.facts = onboarding.standing_changed(life.facts, after.good, at)
                elif life.kind == "request":
                    life.facts = request.standing_changed(life.facts, profile, after.good, at)
                elif life.kind == "engagement":
                    life.facts = engagement.standing_changed(life.facts, profile, after.good, at)
            self._plan(life, now)

    def _parts(self, life: Life) -> list[str]:
        """The profiles whose calendars, standing or certifications a lifecycle hangs on."""
        facts = life.facts
        if life.kind in ("request", "engagement"):
            return [facts.mentee, facts.mentor]
        return [facts.profile, facts.counterpart] if life.kind == "claim" else [facts.profile]

    def _sign_up(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        if data["profile"] in self.profiles:
            raise Refused("exists already")
        self.profiles[data["profile"]] = PaperProfile(
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
        beginning = self.lives[f"onboarding/{profile.id}"]
        if beginning.closed_at is None:
            beginning.facts = onboarding.end(beginning.facts, "withdrawn", at, "the profile was withdrawn")
            self._plan(beginning, now)
        if profile.role == "mentor":
            self._make_unavailable(profile, "withdrawn", at, now)
            return
        for life in self._open("request"):
            if life.facts.mentee == profile.id:
                self._quietly(life, "withdraw", at, now)

    def _make_unavailable(self, profile: PaperProfile, why: str, at: datetime, now: datetime) -> None:
        for life in self._open("request"):
            if life.facts.mentor == profile.id:
                self._quietly(life, "unavailable", at, now, why)

    def _quietly(self, life: Life, name: str, at: datetime, now: datetime, reason: str = "") -> None:
        try:
            self._do(life, name, {"reason": reason}, at, now, "")
        except Refused:
            return

    def _open(self, kind: str) -> list[Life]:
        return [life for life in self.lives.values() if life.kind == kind and life.closed_at is None]

    def _places_left(self, profile: PaperProfile, besides: str = "") -> int | None:
        if profile.withdrawn:
            return 0
        if profile.places is None:
            return None
        active = [life for life in self._open("engagement") if life.facts.mentor == profile.id]
        return max(profile.places - sum(life.id != besides for life in active), 0)

    def _ask(self, data: dict[str, Any], at: datetime, now: datetime) -> None:
        if f"request/{data['request']}" in self.lives:
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

    def _engagement_told(
        self, name: str, data: dict[str, Any], at: datetime, now: datetime, event: str
    ) -> None:
        life = self._life(f"engagement/{data['engagement']}")
        by = data.get("by", "")
        if by and by not in (life.facts.mentee, life.facts.mentor):
            raise Refused("not one of the two")
        act = {
            "extension_agreed": "agree_extension",
            "ended": "end",
            "misconduct_reported": "misconduct",
        }.get(name, name)
        if act == "misconduct" and life.closed_at:
            life.tasks[f"reported by event {event}"] = [Noted("misconduct", at)]
            late = sum(int(key.rpartition("/")[2]) >= FIRST_RESEND_OCCURRENCE for key in life.sent)
            mail = PlannedMail(
                "staff.misconduct", at, "staff.misconduct", "staff", FIRST_RESEND_OCCURRENCE + late
            )
            life.mails[mail.key], life.sent[mail.key] = mail, Noted(mail.message, at)
            return
        self._do(life, act, data, at, now, event)
        if act == "plan_agreed" and data.get("goals"):
            self.goals[life.id] = data["goals"]

    def _evidence_told(
        self, name: str, data: dict[str, Any], at: datetime, now: datetime, event: str
    ) -> None:
        facts = self.lives[f"engagement/{data['engagement']}"].facts
        if data["by"] not in (facts.mentee, facts.mentor):
            raise Refused("not one of the two")
        role = "mentor" if data["by"] == facts.mentor else "mentee"
        if name == "survey.answered":
            self._do(self._life(f"survey/{facts.engagement}/{role}"), "answered", data, at, now, event)
        elif name != "letter.signed":
            life = self._life(f"claim/{facts.engagement}/{role}/{data['certification']}")
            act = "submit" if name == "claim.submitted" else "choose_domains"
            self._do(life, act, data, at, now, event)
        else:
            self._letter(data, facts, at, now, event)

    def _letter(
        self, data: dict[str, Any], facts: EngagementFacts, at: datetime, now: datetime, event: str
    ) -> None:
        claims = [
            life
            for workflow, life in sorted(self.lives.items())
            if workflow.startswith(f"claim/{facts.engagement}/{data['for']}/")
            and data.get("certification") in (None, life.facts.certification)
        ]
        if not claims:
            raise Refused("no such claim")
        if len(claims) > 1:
            claims = [claim for claim in claims if claim.state in ("precheck", "awaiting_evidence")] or claims
        if len(claims) > 1 and data["for"] == "mentee":
            raise Refused("name the certification")
        refused = False
        for claim in claims:
            try:
                self._do(claim, "sign", data, at, now, event)
            except Refused:
                refused = True
        if refused:
            raise Refused("not by all claims")

    # --- acts

    def _do(
        self, life: Life, name: str, data: dict[str, Any], at: datetime, now: datetime, event: str
    ) -> None:
        """An act on a lifecycle. Raises Refused where the rules do, or it is over."""
        if life.closed_at:
            raise Refused(f"{life.workflow} is over")
        if life.kind == "claim":
            self._take_in(life, now)
        does: Callable[..., Any] = getattr(self, f"_on_{life.kind}")
        try:
            life.facts = does(life, name, data, self._agenda(life, now).state_at(at), at, event)
        finally:
            self._plan(life, now)

    def _on_onboarding(
        self, life: Life, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> OnboardingFacts:
        facts: OnboardingFacts = life.facts
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
        self, life: Life, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> RequestFacts:
        facts: RequestFacts = life.facts
        reason = data.get("reason", "")
        if name == "accept" and facts.ended is None:
            people = [self.profiles[profile] for profile in (facts.mentor, facts.mentee)]
            if not all(self.members[profile.member].good for profile in people):
                raise Refused("not in good standing")
            if self._places_left(people[0], besides=facts.request) == 0:
                raise Refused("no place left")
        if name == "extend":
            return request.extend(facts, data.get("business_days", 1), at, state, event)
        if name == "unavailable":
            return request.make_unavailable(facts, at, state, reason)
        ends = {"accept": request.accept, "decline": request.decline, "withdraw": request.withdraw}
        return ends.get(name, request.cancel)(facts, at, state)

    def _on_engagement(
        self, life: Life, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> EngagementFacts:
        facts: EngagementFacts = life.facts
        policy, calendar = self.program.engagement, self.calendar
        months, end, by = data.get("months", 0), data.get("end", ""), data.get("by", "")
        match name:
            case "plan_agreed":
                return engagement.agree_plan(
                    facts, at, state, policy, calendar, months=months, end=end, event=event
                )
            case "agree_extension":
                return engagement.agree_extension(facts, by, end, at, state, policy, calendar, event)
            case "extend":
                return engagement.extend(
                    facts, at, state, policy, calendar, months=months, end=end, event=event
                )
            case "discovery":
                return engagement.answer_discovery(facts, by, data["answer"], at, state)
            case "met":
                return engagement.answer_pulse(
                    facts, by, data["answer"] == "yes", at, state, policy, calendar
                )
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
        self, life: Life, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> SurveyFacts:
        facts: SurveyFacts = life.facts
        if name == "cancel":
            return survey.cancel(facts, at)
        return survey.answer(
            facts, at, survey.closes_at(facts, self.program.survey, self._own(facts.profile))
        )

    def _on_claim(
        self, life: Life, name: str, data: dict[str, Any], state: str, at: datetime, event: str
    ) -> ClaimFacts:
        facts: ClaimFacts = life.facts
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
                return credit.reopen(facts, at, state, reason, gate)
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
        known = certification is not None and any(certification.domain(word) for word in words)
        sayable = facts.role == "mentor" or (purpose and known)
        if sayable and (certification is None or claimant.cycle(facts.certification, gate) is None):
            raise Refused("not on record")
        signing = Signing(data["by"], data["for"], data["name"], True, None, purpose, words)
        domains = credit.check_signature(
            facts, signing, signer_name=signer.told["name"], statement="", certification=certification
        )
        return credit.sign(facts, Signature(f"letter {event}", at, facts.counterpart, domains), state)

    # --- plans

    def _own(self, profile: str) -> Calendar:
        return self.members[self.profiles[profile].member].calendar(self.program)

    def _agenda(self, life: Life, now: datetime) -> Agenda:
        facts, program = life.facts, self.program
        if life.kind == "onboarding":
            member = self.members[self.profiles[facts.profile].member]
            qualified = facts.role != "mentor" or onboarding.mentor_is_qualified(
                member.told.get("years_management"), member.codes(), program.onboarding
            )
            return onboarding.agenda(facts, program.onboarding, member.calendar(program), qualified=qualified)
        if life.kind == "request":
            return request.agenda(facts, program.request, self._own(facts.mentor))
        if life.kind == "survey":
            return survey.agenda(facts, program.survey, self._own(facts.profile))
        if life.kind == "claim":
            return credit.agenda(
                facts, program.credit, self.calendar, self._own(facts.profile), self._own(facts.counterpart)
            )
        agenda = engagement.agenda(
            facts, program.engagement, self.calendar, self._own(facts.mentor), self._own(facts.mentee)
        )
        closing = _closing(agenda, now)
        _, looks = self._claims_due(facts, closing, now)
        return replace(
            agenda, mails=(*agenda.mails, *self._certificates(facts, closing, now)), recheck_at=looks
        )

    def closing_of(self, engagement_id: str) -> StateChange | None:
        """The turn that ended an engagement, once it has ended."""
        life = self.lives[f"engagement/{engagement_id}"]
        if life.closed_at is None or life.agenda is None:
            return None
        return next(turn for turn in life.agenda.state_changes if turn.closes)

    def _pauses(self, facts: EngagementFacts, closing: StateChange | None) -> list[Pause]:
        return [
            replace(pause, until=max(closing.due, pause.since)) if closing and pause.until is None else pause
            for pause in facts.pauses
        ]

    def gate(self, engagement_id: str, closing: StateChange | None = None) -> GateDays:
        """The days of pre-check and gate of an engagement."""
        facts = self.lives[f"engagement/{engagement_id}"].facts
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

    def _certificates(
        self, facts: EngagementFacts, closing: StateChange | None, now: datetime
    ) -> list[PlannedMail]:
        if closing is None or closing.state != "completed":
            return []
        days, on = self.gate(facts.engagement, closing), self.calendar.date_of(closing.due)
        mails = []
        for role, profile in (("mentor", facts.mentor), ("mentee", facts.mentee)):
            claims = [life for life in self._claims(facts.engagement) if life.facts.role == role]
            codes = self.members[self.profiles[profile].member].codes()
            may_claim = credit.claimable(codes, self.program.credit, self.catalogue, days.gate, on)
            if not claims and not may_claim:
                mails.append(PlannedMail(f"{role}.certificate", closing.due, f"{role}.certificate", profile))
        return mails

    def _claims(self, engagement_id: str) -> list[Life]:
        return [
            life
            for workflow, life in sorted(self.lives.items())
            if workflow.startswith(f"claim/{engagement_id}/")
        ]

    def _take_in(self, life: Life, now: datetime) -> None:
        """What the membership record and the engagement have come to, into a claim's facts."""
        facts: ClaimFacts = life.facts
        member = self.members[self.profiles[facts.profile].member]
        cycle = member.cycle(facts.certification, self.gate(facts.engagement).earliest)
        life.facts = credit.record_changed(facts, member.good, cycle, now)
        life.facts = self._followed(life, now)

    def _followed(self, life: Life, now: datetime) -> ClaimFacts:
        facts: ClaimFacts = life.facts
        closing = self.closing_of(facts.engagement)
        if closing and closing.state == "canceled":
            state = self._agenda(life, now).state_at(now)
            return credit.engagement_canceled(facts, now, state, "the engagement was cancelled")
        pauses = self._pauses(self.lives[f"engagement/{facts.engagement}"].facts, closing)
        return credit.engagement_changed(facts, pauses, now, closing.due if closing else None)

    def _plan(self, life: Life, now: datetime) -> None:
        """Plan a lifecycle anew, note what is due of it, and do what comes of that."""
        if life.closed_at:
            return
        if life.kind == "claim":
            self._take_in(life, now)
        old, new = life.agenda, self._agenda(life, now)
        if old is not None:
            self._on_the_edge(life, old, new, now)
        life.agenda = new
        self._note_turns(life, new, now)
        for task in new.tasks:
            noted = life.tasks.setdefault(task.cause, [])
            if task.due <= now and all(each.may for each in noted):
                noted.append(Noted(task.kind, recorded_at(task.due, now)))
        self._note_mails(life, new, now)
        wakes = [] if life.closed_at else new.wakes_after(now)
        life.wake_at = wakes[0] if wakes else None
        if life.kind == "request":
            self._match(life, now)
        elif life.kind == "engagement":
            self._effects(life, now)

    def _on_the_edge(self, life: Life, old: Agenda, new: Agenda, now: datetime) -> None:
        """What fell due at this very instant and stands in the new agenda no more: it may have happened."""
        stays = {(turn.state, turn.due) for turn in new.state_changes}
        for turn in old.state_changes:
            if turn.due <= now and (turn.state, turn.due) not in stays | life.known:
                life.states.append(Noted(turn.state, now, may=True))
        due_now = [mail.step for mail, due in life.planned.values() if due and due <= now]
        if life.kind == "onboarding" and "check-in" in due_now and not life.facts.first_decided_at:
            life.states.append(Noted("active", now, may=True))
        causes = {(task.cause, task.due) for task in new.tasks}
        for task in old.tasks:
            if task.due <= now and (task.cause, task.due) not in causes and not life.tasks[task.cause]:
                life.tasks[task.cause].append(Noted(task.kind, now, may=True))

    def _note_turns(self, life: Life, agenda: Agenda, now: datetime) -> None:
        current = None
        for turn in sorted(agenda.state_changes, key=lambda turn: turn.due):
            if turn.due > now:
                break
            current = turn
            if (turn.state, turn.due) not in life.known:
                life.known.add((turn.state, turn.due))
                life.states.append(Noted(turn.state, recorded_at(turn.due, now)))
            if turn.closes:
                life.closed_at = recorded_at(turn.due, now)
                break
        if current and current.state != life.state:
            # An act lies before what is on record already, and takes it back.
            life.states.append(Noted(current.state, recorded_at(current.due, now)))
        if life.closed_at is None and agenda.closes_at and agenda.closes_at <= now:
            life.closed_at = recorded_at(agenda.closes_at, now)

    def _note_mails(self, life: Life, agenda: Agenda, now: datetime) -> None:
        wanted = {mail.key: mail for mail in agenda.mails}
        for key, (mail, due) in list(life.planned.items()):
            edge = due is not None and due <= now
            if key not in wanted:
                del life.planned[key]
                life.cancelled[key] = Noted(agenda.dropped_because, now, may=edge)
            elif edge and wanted[key].due != mail.due:
                # It may have gone out at this instant, just before it was moved; if not, it may be late.
                life.edges.add(key)
        for key, mail in wanted.items():
            life.mails[key] = mail
            known = life.planned.get(key)
            if key in life.sent or key in life.cancelled or (known and known[0].due == mail.due):
                continue
            life.planned[key] = (mail, max(mail.due, now) if mail.due else None)

    def _match(self, life: Life, now: datetime) -> None:
        facts: RequestFacts = life.facts
        if facts.ended is None or facts.ended.state != "accepted":
            return
        at, months = facts.ended.at, self.requests[facts.request].get("months")
        started = EngagementFacts(facts.request, facts.mentee, facts.mentor, at, months=months)
        self._begin(f"engagement/{facts.request}", started, now)
        mentee, mentor = self.profiles[facts.mentee], self.profiles[facts.mentor]
        for other in self._open("onboarding"):
            profile = self.profiles[other.facts.profile]
            if profile.member == mentee.member and profile.role == "mentee":
                other.facts = onboarding.end(other.facts, "matched", at, "matched")
                self._plan(other, now)
        if self._places_left(mentor) == 0:
            self._make_unavailable(mentor, "no place", at, now)

    def _effects(self, life: Life, now: datetime) -> None:
        facts: EngagementFacts = life.facts
        assert life.agenda is not None
        closing = _closing(life.agenda, now)
        for claim in self._claims_due(facts, closing, now)[0]:
            self._begin(claim.claim, claim, now)
        for other in self._claims(facts.engagement):
            if other.closed_at is None and self._followed(other, now) != other.facts:
                self._plan(other, now)
        if closing is None:
            return
        by_party = closing.state == "ended" and facts.ended_by in ROLES
        if closing.state == "completed" or by_party:
            for role, profile in (("mentor", facts.mentor), ("mentee", facts.mentee)):
                opened = SurveyFacts(facts.engagement, role, profile, closing.due)
                self._begin(f"survey/{facts.engagement}/{role}", opened, now)

    # --- credit

    def decision(self, life: Life, now: datetime) -> Decision:
        """What the rules decide about a claim, with all other claims of the same person."""
        facts: ClaimFacts = life.facts
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
            for other in self.lives.values()
            if other.kind == "claim"
            and other is not life
            and self.profiles[other.facts.profile].member == member
            and other.facts.certification == facts.certification
            and (days := self.gate(other.facts.engagement)).gate
        ]
        return credit.decide(facts, self.program, self.calendar, self.catalogue, others, now)


def _closing(agenda: Agenda, now: datetime) -> StateChange | None:
    return next((turn for turn in agenda.state_changes if turn.closes and turn.due <= now), None)
