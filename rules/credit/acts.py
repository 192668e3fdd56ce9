"""What may be done to a claim, and what it changes in the facts (CPE6, CPE7, CPE10, CPE11, STA1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from rules.acts import Act
from rules.agenda import Refused, recorded_at
from rules.calendar import Calendar
from rules.credit.facts import _STATES, EARNED, OTHER, OVER, REVOCATIONS, ClaimFacts, Cycle, Record, Step
from rules.credit.gate import gate_days
from rules.credit.timeline import _cycles, _records_at
from rules.pauses import Pause, end_open_pauses
from rules.program import CreditPolicy, Program, program_calendar
from rules.program.catalogue import Certification


def record_changed(facts: ClaimFacts, good_standing: bool, cycle: Cycle | None, at: datetime) -> ClaimFacts:
    """The claimant's membership record as it stands from `at` on, when it reached the engine (CPE4, MEM2).

    What is on record at the gate decides; afterwards only good standing that returns does, or a reopened claim.
    """
    last = facts.records[-1]
    if (last.good_standing, last.cycle) == (good_standing, cycle):
        return facts
    after = [step.at + timedelta(microseconds=1) for step in facts.steps if step.name == "reopened"]
    at = max([at, last.at, *after])
    return replace(facts, records=[*facts.records, Record(at, good_standing, cycle)])


def engagement_changed(
    facts: ClaimFacts, pauses: Sequence[Pause], at: datetime, ended_at: datetime | None = None
) -> ClaimFacts:
    """The pauses of the engagement as they stand, suspensions among them, and its end (CPE1, ENG11).

    An end before the day of the gate closes the claim as not_eligible, whatever its reason; a later one leaves it
    as it is. An open pause ends with the engagement. Not for an engagement that staff cancel: `engagement_canceled`.
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
    """Staff cancelled the engagement: no credit for what is not earned yet (ENG6); earned credit is revoked by staff.

    Here and below, `state` is the state in force at `at`, as it was recorded.
    """
    if state in OVER | EARNED:
        return facts
    return with_step(facts, "canceled", at, actor, reason)


def choose_domains(
    facts: ClaimFacts, by: str, domains: Iterable[str], certification: Certification | None, state: str
) -> ClaimFacts:
    """The claimant, by profile, chooses domains, by id or name, for the self-report form and the letter (CPE7, CPE10).

    `certification` is the catalogue's of the gate day. Raises Refused for anybody else, for a domain that the
    certification does not have, and once the claim was submitted or is over.
    """
    if by != facts.profile:
        raise Refused("only the claimant chooses the domains of a claim")
    if state in OVER or state in ("submitted", "accepted", "rejected"):
        raise Refused(f"this claim {_STATES[state]}: its domains stay as they are")
    return replace(facts, domains=known_domains(facts, domains, certification))


def submit(facts: ClaimFacts, by: str, at: datetime, state: str) -> ClaimFacts:
    """The claimant, by profile, has reported the credit to the certifying body (CPE10); again changes nothing.

    Raises Refused for anybody else, and unless the claim is ready.
    """
    if by != facts.profile:
        raise Refused("only the claimant marks a claim as submitted")
    if state in ("submitted", "accepted"):
        return facts
    only_from(state, {"ready"}, "submitted")
    return with_step(facts, "submitted", at, by, "")


def accept(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Staff record that the certifying body accepted it (CPE10). Raises Refused unless it was ready, submitted or
    rejected."""
    if state == "accepted":
        return facts
    only_from(state, {"ready", "submitted", "rejected"}, "accepted")
    return with_step(facts, "accepted", at, actor, reason)


def reject(facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "") -> ClaimFacts:
    """Staff record that the certifying body rejected it (CPE10). Raises Refused without a reason, and unless it was
    ready or submitted."""
    if state == "rejected":
        return facts
    need_reason(reason)
    only_from(state, {"ready", "submitted"}, "rejected")
    return with_step(facts, "rejected", at, actor, reason)


def revoke(
    facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "", because: str = ""
) -> ClaimFacts:
    """Staff take earned credit back, for good; its share of the cap is free again (CPE9, CPE11).

    `because` is the class of the reason that the public check of the letter shows, `other` unless given. Raises
    Refused without a reason, for an unknown class, and for a claim that is not complete.
    """
    if state == "revoked":
        return facts
    need_reason(reason)
    only_from(state, EARNED, "revoked")
    if (because or OTHER) not in REVOCATIONS:
        raise Refused(f"because is one of {', '.join(REVOCATIONS)}")
    return with_step(facts, "revoked", at, actor, reason, because or OTHER)


def cancel(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Staff cancel a claim that is not earned. Raises Refused for one that is: that is revoked, with a reason."""
    if state == "canceled":
        return facts
    if state in EARNED:
        raise Refused(f"this claim {_STATES[state]}: it can be revoked, but no longer cancelled")
    only_from(state, _STATES.keys() - OVER - EARNED, "cancelled")
    return with_step(facts, "canceled", at, actor, reason)


def reopen(
    facts: ClaimFacts,
    at: datetime,
    state: str,
    reason: str,
    policy: CreditPolicy,
    program: Calendar,
    actor: str = "",
) -> ClaimFacts:
    """Staff ask for the evidence anew, with the whole time for it (CPE7).

    A rejected claim needs another letter; one that was outside its cycle keeps a letter signed early. The cycle is
    looked at again, as it is on record at `at`. Raises Refused without a reason, unless the claim was
    evidence_missing, outside_cycle or rejected, and while the credit date lies outside the cycle.
    """
    if state == "awaiting_evidence" and facts.steps and facts.steps[-1].name == "reopened":
        return facts
    need_reason(reason)
    only_from(state, {"evidence_missing", "outside_cycle", "rejected"}, "reopened")
    gate = gate_days(date.fromisoformat(facts.started_on), facts.pauses, policy, program).earliest
    cycles = _cycles(_records_at(facts, at, 2))
    if cycles.latest is None:
        raise Refused(f"{facts.certification} is not on the member's record")
    if cycles.covering(gate) is None:
        raise Refused(
            f"the credit date, {gate.isoformat()}, lies outside the cycle on record, "
            f"{cycles.latest.start} to {cycles.latest.end}; have the membership record corrected first"
        )
    reopened = with_step(facts, "reopened", at, actor, reason)
    if state != "rejected":
        return reopened
    number = 1 + sum(step.name == "reopened" for step in reopened.steps)
    return replace(
        reopened,
        signatures=[replace(each, void_from=each.void_from or number) for each in facts.signatures],
    )


def with_step(
    facts: ClaimFacts, name: str, at: datetime, actor: str, reason: str, because: str = ""
) -> ClaimFacts:
    at = max([at, facts.created_at, *(step.at for step in facts.steps)])
    return replace(facts, steps=[*facts.steps, Step(name, at, actor, reason.strip(), because)])


def need_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("a reason is needed")


def only_from(state: str, states: Iterable[str], done: str) -> None:
    if state not in states:
        raise Refused(f"this claim {_STATES[state]}: it cannot be {done}")


def known_domains(facts: ClaimFacts, words: Iterable[str], certification: Certification | None) -> list[str]:
    """The ids of domains given by id or name, each once. Raises Refused for none, and for any that is not of it."""
    given = [word for word in words if word.strip()]
    if not given:
        raise Refused(f"at least one domain of {facts.certification} has to be named")
    found = {word: certification.domain(word) if certification else None for word in given}
    strange = [word for word, domain in found.items() if domain is None]
    if strange:
        raise Refused(f"{facts.certification} has no domain {', '.join(strange)}")
    return list(dict.fromkeys(domain.id for domain in found.values() if domain))


def apply(
    facts: ClaimFacts,
    act: Act,
    state: str,
    now: datetime,
    program: Program,
    certification: Certification | None = None,
) -> ClaimFacts:
    """Return a claim's facts after an act of the claimant or of staff in a state (CPE7, CPE10, CPE11).

    `certification` is what the catalogue says of the one claimed; only a choice of domains needs it. A signature is
    no act of this kind: it comes with its letter, by `sign`. Raises Refused.
    """
    at, actor = act.at or now, act.actor
    match act.name:
        case "choose_domains":
            chosen = act.details.get("domains", "").split("\n")
            return choose_domains(facts, act.by, chosen, certification, state)
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
            return reopen(facts, at, state, act.reason, program.credit, program_calendar(program), actor)
    raise Refused(f"a claim has no act {act.name}")
