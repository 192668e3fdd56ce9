"""Good standing lost by one of two people in the middle of something: it goes on, and staff are told (MEM2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rules.agenda import PlannedTask


@dataclass(frozen=True, slots=True)
class Lapse:
    """When the member behind a profile lost good standing."""

    profile: str
    at: datetime


def changed(lapses: Sequence[Lapse], profile: str, good: bool, at: datetime) -> list[Lapse]:
    """The lapses after a profile's good standing was lost or came back at `at`: one for each that is without it."""
    if not good and any(lapse.profile == profile for lapse in lapses):
        return list(lapses)
    others = [lapse for lapse in lapses if lapse.profile != profile]
    return others if good else [*others, Lapse(profile, at)]


def tasks(lapses: Sequence[Lapse], mentor: str, what_goes_on: str) -> list[PlannedTask]:
    """The staff task of each lapse; `mentor` is that profile, and `what_goes_on` a sentence for staff."""
    return [
        PlannedTask(
            lapse.at,
            "member_lapsed",
            f"the {who} lost good standing on {lapse.at.astimezone(UTC).date().isoformat()}",
            f"Help the {who} to renew. {what_goes_on}",
        )
        for lapse in lapses
        for who in ["mentor" if lapse.profile == mentor else "mentee"]
    ]
