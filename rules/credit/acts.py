"""What may be done to a claim, and how it changes the facts (CPE6, CPE7, CPE10, CPE11, STA1).

In every function `state` is the state in force when the act happens, as it was recorded: what the gate and the
deadlines did is no part of the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from rules.acts import Act
from rules.agenda import Refused, recorded_at
from rules.credit.facts import EARNED, OTHER, OVER, REVOCATIONS, STATE_TEXTS, ClaimFacts, Cycle, Record, Step
from rules.credit.gate import days_in_cycle, gate_days_of
from rules.credit.records import cycles_on_record, records_known_at
from rules.pauses import Pause, end_open_pauses
from rules.program import Program, program_calendar
from rules.program.catalogue import Certification


def record_changed(facts: ClaimFacts, good_standing: bool, cycle: Cycle | None, at: datetime) -> ClaimFacts:
    """Add the claimant's membership record as it reached the engine at `at` (CPE4, MEM2).

    What is on record at the gate decides. After the gate only regained good standing and a reopened claim count.
    """
    last = facts.records[-1]
    if (last.good_standing, last.cycle) == (good_standing, cycle):
        return facts
    reopened = [step.at + timedelta(microseconds=1) for step in facts.steps if step.name == "reopened"]
    at = max([at, last.at, *reopened])
    return replace(facts, records=[*facts.records, Record(at, good_standing, cycle)])


def engagement_changed(
    facts: ClaimFacts, pauses: Sequence[Pause], at: datetime, ended_at: datetime | None = None
) -> ClaimFacts:
    """Take over the pauses of the engagement, suspensions included, and its end (CPE1, ENG11).

    An end before the day of the gate closes the claim as `not_eligible`, whatever its reason; a later one changes
    nothing. An open pause ends with the engagement. Use `engagement_canceled` where staff cancel the engagement.
    """
    if ended_at is not None:
        pauses = end_open_pauses(pauses, ended_at)
    known_at = facts.ended_known_at
    if facts.ended_at != ended_at:
        known_at = max(recorded_at(ended_at, at), facts.created_at)
    return replace(
        facts,
        pauses=list(pauses),
        ended_at=ended_at,
        ended_known_at=known_at if ended_at is not None else None,
    )


def engagement_canceled(
    facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = ""
) -> ClaimFacts:
    """Cancel a claim that is not earned because staff cancelled its engagement (ENG6).

    Staff revoke earned credit, if they decide to, by an act of its own.
    """
    if state in OVER | EARNED:
        return facts
    return _with_step(facts, Step("canceled", at, actor, reason))


def choose_domains(
    facts: ClaimFacts, by: str, domains: Iterable[str], certification: Certification | None, state: str
) -> ClaimFacts:
    """Record the domains, by id or name, that the claimant, by profile, chooses (CPE7, CPE10).

    They go into the self-report form and the letter. `certification` is the catalogue's entry on the gate day. Raises
    Refused for anybody else, for a domain that the certification does not have, and once the claim was submitted or
    is over.
    """
    if by != facts.profile:
        raise Refused("only the claimant chooses the domains of a claim")
    if state in OVER or state in ("submitted", "accepted", "rejected"):
        raise Refused(f"this claim {STATE_TEXTS[state]}: its domains stay as they are")
    return replace(facts, domains=domain_ids(facts, domains, certification))


def submit(facts: ClaimFacts, by: str, at: datetime, state: str) -> ClaimFacts:
    """Record that the claimant, by profile, reported the credit to the certifying body (CPE10).

    Raises Refused for anybody else, and unless the claim is ready. A repeated report changes nothing.
    """
    if by != facts.profile:
        raise Refused("only the claimant marks a claim as submitted")
    if state in ("submitted", "accepted"):
        return facts
    _refuse_unless(state, {"ready"}, "submitted")
    return _with_step(facts, Step("submitted", at, by))


def accept(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Record, for staff, that the certifying body accepted the claim (CPE10).

    Raises Refused unless it was ready, submitted or rejected.
    """
    if state == "accepted":
        return facts
    _refuse_unless(state, {"ready", "submitted", "rejected"}, "accepted")
    return _with_step(facts, Step("accepted", at, actor, reason))


def reject(facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "") -> ClaimFacts:
    """Record, for staff, that the certifying body rejected the claim (CPE10).

    Raises Refused without a reason, and unless the claim was ready or submitted.
    """
    if state == "rejected":
        return facts
    _refuse_without_reason(reason)
    _refuse_unless(state, {"ready", "submitted"}, "rejected")
    return _with_step(facts, Step("rejected", at, actor, reason))


def revoke(
    facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "", reason_code: str = ""
) -> ClaimFacts:
    """Revoke earned credit for good, by order of staff; its share of the cap is free again (CPE9, CPE11).

    `reason_code` is one of REVOCATIONS, which the public check of the letter shows; `other` if empty. Raises Refused
    without a reason, for an unknown code, and for a claim that is not complete.
    """
    if state == "revoked":
        return facts
    _refuse_without_reason(reason)
    _refuse_unless(state, EARNED, "revoked")
    if (reason_code or OTHER) not in REVOCATIONS:
        raise Refused(f"because is one of {', '.join(REVOCATIONS)}")
    return _with_step(facts, Step("revoked", at, actor, reason, reason_code or OTHER))


def cancel(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Cancel a claim by order of staff. Raises Refused for an earned one: staff revoke it instead, with a reason."""
    if state == "canceled":
        return facts
    if state in EARNED:
        raise Refused(f"this claim {STATE_TEXTS[state]}: it can be revoked, but no longer cancelled")
    _refuse_unless(state, STATE_TEXTS.keys() - OVER - EARNED, "cancelled")
    return _with_step(facts, Step("canceled", at, actor, reason))


def reopen(
    facts: ClaimFacts, at: datetime, state: str, reason: str, inside: Sequence[date], actor: str = ""
) -> ClaimFacts:
    """Ask for the evidence again, by order of staff, with the full time for it (CPE7).

    The cycle on record at `at` decides again. A rejected claim needs another letter; a claim outside its cycle keeps a
    letter that was signed early. `inside` are the days that the cycle has to cover, the credit date last (CPE4). Raises
    Refused without a reason, unless the claim was `evidence_missing`, `outside_cycle` or `rejected`, and while one of
    those days lies outside the cycle.
    """
    if state == "awaiting_evidence" and facts.steps and facts.steps[-1].name == "reopened":
        return facts
    _refuse_without_reason(reason)
    _refuse_unless(state, {"evidence_missing", "outside_cycle", "rejected"}, "reopened")
    cycles = cycles_on_record(records_known_at(facts, at, inclusive=True))
    if cycles.latest is None:
        raise Refused(f"{facts.certification} is not on the member's record")
    if cycles.covering(*inside) is None:
        gate_lies_inside = cycles.covering(inside[-1]) is not None
        named = "first day of the mentoring" if gate_lies_inside else "credit date"
        day = inside[0] if gate_lies_inside else inside[-1]
        raise Refused(
            f"the {named}, {day.isoformat()}, lies outside the cycle on record, "
            f"{cycles.latest.start} to {cycles.latest.end}; have the membership record corrected first"
        )
    reopened = _with_step(facts, Step("reopened", at, actor, reason))
    if state != "rejected":
        return reopened
    round_number = 1 + sum(step.name == "reopened" for step in reopened.steps)
    return replace(
        reopened,
        signatures=[replace(each, void_from=each.void_from or round_number) for each in facts.signatures],
    )


def domain_ids(facts: ClaimFacts, domains: Iterable[str], certification: Certification | None) -> list[str]:
    """Return the ids of domains given by id or name, each once.

    Raises Refused if none is given, and for a domain that the certification does not have.
    """
    given = [domain for domain in domains if domain.strip()]
    if not given:
        raise Refused(f"at least one domain of {facts.certification} has to be named")
    found = {name: certification.domain(name) if certification else None for name in given}
    unknown = [name for name, domain in found.items() if domain is None]
    if unknown:
        raise Refused(f"{facts.certification} has no domain {', '.join(unknown)}")
    return list(dict.fromkeys(domain.id for domain in found.values() if domain))


def _with_step(facts: ClaimFacts, step: Step) -> ClaimFacts:
    """Return the facts with one more step, never before an earlier one."""
    at = max([step.at, facts.created_at, *(earlier.at for earlier in facts.steps)])
    return replace(facts, steps=[*facts.steps, replace(step, at=at, reason=step.reason.strip())])


def _refuse_without_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("a reason is needed")


def _refuse_unless(state: str, allowed: Iterable[str], done: str) -> None:
    if state not in allowed:
        raise Refused(f"this claim {STATE_TEXTS[state]}: it cannot be {done}")


def apply(
    facts: ClaimFacts,
    act: Act,
    state: str,
    now: datetime,
    program: Program,
    certification: Certification | None = None,
) -> ClaimFacts:
    """Return a claim's facts after an act of the claimant or of staff in a state (CPE7, CPE10, CPE11).

    `certification` is the catalogue's entry, which only a choice of domains needs. A signature is no act of this
    kind: it comes with its letter, by `sign`. Raises Refused.
    """
    at, actor = act.at or now, act.actor
    match act.name:
        case "choose_domains":
            domains = act.details.get("domains", "").split("\n")
            return choose_domains(facts, act.by, domains, certification, state)
        case "submit":
            return submit(facts, act.by, at, state)
        case "accept":
            return accept(facts, at, state, act.reason, actor)
        case "reject":
            return reject(facts, at, state, act.reason, actor)
        case "revoke":
            return revoke(facts, at, state, act.reason, actor, act.details.get("answer", ""))
        case "cancel":
            return cancel(facts, at, state, act.reason, actor)
        case "reopen":
            gate = gate_days_of(facts, program.credit, program_calendar(program)).earliest
            inside = days_in_cycle(facts, gate, program.credit)
            return reopen(facts, at, state, act.reason, inside, actor)
    raise Refused(f"a claim has no act {act.name}")
