"""The values of the read model. Every instant is in UTC; a `zone` beside it names the clock to show it on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class NotFound(LookupError):
    """A target that the database does not have; the text names it."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who takes part in a lifecycle."""

    role: str
    """`profile` where only one person takes part; else `mentee`, `mentor`, `claimant` or `signer`."""
    profile: str
    label: str
    """The name with the profile."""
    zone: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A fact that only some kinds of lifecycle have, such as the certification of a claim."""

    name: str
    value: str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LifecycleSummary:
    """Where a lifecycle is."""

    workflow: str
    state: str
    since: datetime
    closed_at: datetime | None
    next_at: datetime | None
    """The next instant at which a state changes or a task opens."""
    program: str
    policy_version: str
    program_version: str | None
    """The fingerprint of the program file that it began with."""
    zone: str
    """The program's time zone."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message with its decision and the reason."""

    delivery: str
    message: str
    number: int | None
    to: str
    """The recipient's profile."""
    workflow: str
    state: str
    """The ledger's state, or `held` for a planned message without an instant."""
    due: datetime | None
    decided: datetime | None
    came_back: str | None
    """What a report said of it later: `hard`, `soft`, `refused` or `complaint`."""
    came_back_cause: str | None
    """The name of the cause, such as `provider_list`."""
    delivered: datetime | None
    """When the recipient's server took it, where a report says so."""
    reason: str | None
    """The ledger's own reason; None where it has none."""
    rule: str
    """The id of the rule that asks for it."""
    day: str
    """How its day is computed: the rule, the arithmetic, the holiday that moved it."""
    why: str
    """The decision's reason in words, and `day`."""
    subject: str | None
    zone: str
    """The recipient's time zone."""
    order: str | None = None
    """What staff ordered for it: `skip`, `hold` or `send`; None where it goes by its plan."""
    ordered_by: str | None = None
    program: str = ""
    text_version: str | None = None
    """The fingerprint of the text that it was written with; None until then, and of mails of before there was one."""


@dataclass(frozen=True, slots=True)
class ScheduledChange:
    """A state change, a staff task or a date that comes if nobody acts."""

    at: datetime
    kind: str
    """`state`, `task` or `date`."""
    what: str
    why: str
    workflow: str
    zone: str
    """The program's time zone."""


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """Something on the audit record."""

    at: datetime
    subject: str
    kind: str
    what: str
    why: str
    actor: str | None
    zone: str
    """The recipient's time zone for a mail, else the program's or the member's."""
    delivery: str = ""
    """The id of a mail's delivery; empty for all else."""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task for staff that is open or snoozed."""

    id: int
    kind: str
    subject: str
    state: str
    due: datetime
    action: str
    zone: str


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that is not applied: held, refused, or not looked at yet."""

    number: int
    """The number that tasks and commands name it by."""
    type: str
    id: str
    """The sender's own."""
    source: str
    subject: str
    state: str
    at: datetime | None
    """When it happened; None where it was not looked at yet and names no time."""
    why: str
    held_until: datetime | None
    ignored: tuple[str, ...]
    """JSON pointers to keys of its data that no field reads."""
    zone: str


@dataclass(frozen=True, slots=True)
class UnreadableLifecycle:
    """A lifecycle of which nothing can be computed, and why."""

    workflow: str
    why: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """What lies ahead, what happened, and what needs attention."""

    zones: tuple[tuple[str, str], ...]
    """The clocks that upcoming items are shown on: a role, and its time zone."""
    ahead: tuple[MessageView, ...]
    """Messages without a decision."""
    coming: tuple[ScheduledChange, ...]
    happened: tuple[HistoryItem, ...]
    tasks: tuple[OpenTask, ...]
    events: tuple[OpenEvent, ...]
    unreadable: tuple[UnreadableLifecycle, ...] = ()
    """The lifecycles whose changes ahead are not among `coming`."""


@dataclass(frozen=True, slots=True)
class LifecycleView:
    """Everything about one lifecycle."""

    summary: LifecycleSummary
    parties: tuple[Party, ...]
    details: tuple[Detail, ...]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class MemberView:
    """Everything about one member."""

    id: str
    name: str
    email: str
    not_mailed: str | None
    """Why the address is suppressed; None if it is not."""
    standing: str
    standing_since: datetime
    zone: str
    country: str | None
    """The country with its subdivision, as in `CA-ON`."""
    languages: tuple[str, ...]
    certifications: tuple[str, ...]
    """Each with its code, and the start and end of its cycle."""
    stopped: tuple[str, ...]
    """The classes of messages that the member has stopped."""
    profiles: tuple[str, ...]
    """Each with its id, role and program."""
    lifecycles: tuple[LifecycleSummary, ...]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class ProfileView:
    """Everything about one profile."""

    id: str
    member: str
    """The member's name and id."""
    role: str
    program: str
    zone: str
    created: datetime
    withdrawn: datetime | None
    mentees_at_a_time: int | None
    areas: tuple[str, ...]
    languages: tuple[str, ...]
    lifecycles: tuple[LifecycleSummary, ...]
    schedule: Schedule
