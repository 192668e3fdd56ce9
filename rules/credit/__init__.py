"""Continuing professional education credit: gate, claims, evidence, letters, decisions (CPE1–CPE13)."""

from rules.credit.acts import (
    accept,
    apply,
    cancel,
    choose_domains,
    engagement_canceled,
    engagement_changed,
    record_changed,
    reject,
    reopen,
    revoke,
    submit,
)
from rules.credit.agenda import agenda
from rules.credit.decision import Decision, decide
from rules.credit.facts import (
    EARNED,
    OTHER,
    OVER,
    REVOCATIONS,
    ClaimFacts,
    Cycle,
    Record,
    Signature,
    claim_id,
)
from rules.credit.gate import Credit, GateDays, cap_on, claimable, countable, gate_days, in_cycle, opens_at
from rules.credit.letter import ShowAgain, Signing, check_signature, fingerprint, same_name, sign
from rules.credit.timeline import deciding_cycle

__all__ = [
    "EARNED",
    "OTHER",
    "OVER",
    "REVOCATIONS",
    "ClaimFacts",
    "Credit",
    "Cycle",
    "Decision",
    "GateDays",
    "Record",
    "ShowAgain",
    "Signature",
    "Signing",
    "accept",
    "agenda",
    "apply",
    "cancel",
    "cap_on",
    "check_signature",
    "choose_domains",
    "claim_id",
    "claimable",
    "countable",
    "decide",
    "deciding_cycle",
    "engagement_canceled",
    "engagement_changed",
    "fingerprint",
    "gate_days",
    "in_cycle",
    "opens_at",
    "record_changed",
    "reject",
    "reopen",
    "revoke",
    "same_name",
    "sign",
    "submit",
]
