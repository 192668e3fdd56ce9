"""The kinds of lifecycle: what each is called, what it depends on, what staff may do to it. Values only.

`lifecycles/registry.py` adds per kind its table, agenda and acts. Rooms above keep one table of handlers each, keyed by
the names here; a test fails where a kind is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_ID = r"[A-Za-z0-9._-]{1,64}"
_ROLE = r"(?:mentor|mentee)"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of lifecycle."""

    name: str
    """The first part of its workflow ids: `request` in `request/r-1`."""
    workflow: str
    """The Temporal workflow type."""
    id_pattern: str
    """What follows the name and a slash in a workflow id, as a regular expression."""
    subject: str
    """The kind of thing that must exist before it: the first part of an event's subject."""
    open_states: tuple[str, ...]
    closed_states: tuple[str, ...]
    """The states that it ends in. A claim can leave some of them again: staff reopen or revoke it."""
    staff_acts: tuple[str, ...]
    """The acts that staff may order (STA1)."""
    units: tuple[str, ...] = ()
    """What an extension is measured in: an order names exactly one of these."""
    follows_standing: bool = True
    """Whether good standing lost or regained changes it (MEM2): whether its workflow has the signal `standing`."""
    of_engagement: bool = False
    """Whether its records stand in the audit chain of its engagement (CPE11)."""
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The personal links that its mails offer: name in the template → purpose of the link, and a preset choice."""

    @property
    def states(self) -> tuple[str, ...]:
        """All its states, open ones first."""
        return self.open_states + self.closed_states


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                name="onboarding",
                workflow="Onboarding",
                id_pattern=_ID,
                subject="profile",
                open_states=("waiting", "blocked", "active", "paused"),
                closed_states=(
                    *("welcomed", "matched", "unmatched", "canceled", "withdrawn", "lapsed"),
                    *("outside_window", "registered"),
                ),
                staff_acts=("cancel", "extend", "pause", "resume"),
                units=("check_ins",),
            ),
            Kind(
                name="request",
                workflow="Request",
                id_pattern=_ID,
                subject="request",
                open_states=("open", "past_due"),
                closed_states=("accepted", "declined", "canceled", "expired", "unavailable"),
                staff_acts=("cancel", "extend"),
                units=("business_days",),
                of_engagement=True,
                links={
                    "accept": ("answer", "accept"),
                    "decline": ("answer", "decline"),
                    "withdraw": ("withdraw", ""),
                },
            ),
            Kind(
                name="engagement",
                workflow="Engagement",
                id_pattern=_ID,
                subject="engagement",
                open_states=("active", "paused", "suspended"),
                closed_states=("completed", "ended", "no_fit", "canceled"),
                staff_acts=("cancel", "extend", "pause", "resume", "end"),
                units=("months", "end"),
                of_engagement=True,
                links={
                    "discovery": ("discovery", ""),
                    "met": ("met", ""),
                    # Links of mail that went out before a page asked for every choice, and of a program's own texts.
                    "good_fit": ("discovery", "good_fit"),
                    "not_a_fit": ("discovery", "not_a_fit"),
                    "not_met": ("discovery", "not_met"),
                    "met_yes": ("met", "yes"),
                    "met_no": ("met", "no"),
                    "plan": ("plan", ""),
                    "extend": ("extend", ""),
                    "end": ("end", ""),
                    "report": ("report", ""),
                    "step_done": ("curriculum", ""),
                },
            ),
            Kind(
                name="claim",
                workflow="Claim",
                id_pattern=rf"{_ID}/{_ROLE}/[A-Z0-9-]{{2,10}}",
                subject="engagement",
                open_states=("precheck", "awaiting_evidence"),
                closed_states=(
                    *("ready", "submitted", "accepted", "rejected", "revoked"),
                    *("outside_cycle", "evidence_missing", "not_eligible", "canceled"),
                ),
                staff_acts=("cancel", "accept", "reject", "revoke", "reopen"),
                of_engagement=True,
                links={purpose: (purpose, "") for purpose in ("domains", "sign", "letter", "claim")},
            ),
            Kind(
                name="survey",
                workflow="Survey",
                id_pattern=rf"{_ID}/{_ROLE}",
                subject="engagement",
                open_states=("open",),
                closed_states=("answered", "closed", "canceled"),
                staff_acts=("cancel",),
                follows_standing=False,
                of_engagement=True,
                links={"survey": ("survey", "")},
            ),
            Kind(
                name="cohort",
                workflow="Cohort",
                id_pattern=_ID,
                subject="cohort",
                open_states=("announced", "open", "pairing", "review", "confirmed", "running"),
                closed_states=("closed", "canceled"),
                staff_acts=("cancel",),
                follows_standing=False,
            ),
            Kind(
                name="meetup",
                workflow="Meetup",
                id_pattern=_ID,
                subject="meetup",
                open_states=("scheduled",),
                closed_states=("held", "canceled"),
                staff_acts=("cancel", "pause", "resume"),
                follows_standing=False,
                links={f"meetup_{answer}": ("meetup", answer) for answer in ("yes", "no", "maybe")},
            ),
        )
    }
)
"""All kinds of lifecycle, by name."""

TARGET = re.compile("|".join(f"(?:{kind.name}/{kind.id_pattern})" for kind in KINDS.values()))
"""The workflow id of a lifecycle that staff may act on; to be matched in full."""


def kind_of(workflow: str) -> Kind | None:
    """Return the kind of a workflow id; None for one that is no lifecycle's."""
    return KINDS.get(workflow.partition("/")[0])


def parts_of(workflow: str) -> tuple[str, ...]:
    """Return what follows the kind in a workflow id: of `claim/r-1/mentor/CPP`, `("r-1", "mentor", "CPP")`."""
    return tuple(workflow.split("/")[1:])


def acting_on(act: str) -> tuple[str, ...]:
    """Return the names of the kinds that staff may order an act on."""
    return tuple(kind.name for kind in KINDS.values() if act in kind.staff_acts)
