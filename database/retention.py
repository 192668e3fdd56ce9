"""What each table, log and workflow history holds, and how long: the one declaration (STA5).

A test fails for a column, a field of a log line or a search attribute that is not declared here. Erasure and the export
of a person's data go by the kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class DataKind(StrEnum):
    """What a column or field can hold."""

    ID = "id"
    """Names of rows, workflows, programs and events, which say nothing about a person by themselves."""
    TECHNICAL = "technical"
    """States, instants, counters, dates, versions, digests."""
    PERSONAL = "personal"
    """What describes or reaches a member."""
    FREE_TEXT = "free_text"
    """Words or data from outside, which may be about anybody."""
    EVIDENCE = "evidence"
    """What proves earned credit."""
    STAFF = "staff"
    """Who of the staff did something, and what their accounts hold."""
    SECRET = "secret"
    """Keys and tokens, sealed or as digests."""
    CONTENT = "content"
    """Texts and settings of a program, which are about nobody."""


class Retention(StrEnum):
    """How long rows are kept, and what removes them or their personal data."""

    DEPLOYMENT = "deployment"
    """As long as the deployment; they hold nothing about a member."""
    ERASURE = "erasure"
    """Until the person is erased; what then stays are ids and technical values."""
    CREDIT = "credit"
    """As `ERASURE`; evidence of earned credit stays for `retention_years` of its program (CPE11)."""
    MAIL_CONTENT = "mail_content"
    """`mail_content_days` of the program, then the watchdog removes the body; the person's erasure before."""
    OUTBOX = "outbox"
    """30 days after the delivery was decided, then the watchdog removes the row."""
    DAYS = "days"
    """Two days, then the watchdog removes the row."""
    HOUR = "hour"
    """An hour after the last use, then the next use of a personal page removes the row."""
    USE = "use"
    """Until it is applied, used or expired; then the program removes the row."""
    BATCH = "batch"
    """90 days after it was made, then the next batch removes the row. Its reason goes when it ends."""
    STAFF_ORDER = "staff_order"
    """Until staff remove it."""


@dataclass(frozen=True, slots=True)
class TableRetention:
    """A table: the kind of each column, and how long its rows are kept."""

    retention: Retention
    columns: Mapping[str, DataKind]

    def of_kinds(self, *kinds: DataKind) -> tuple[str, ...]:
        """Return the columns of some kinds."""
        return tuple(name for name, kind in self.columns.items() if kind in kinds)


_LIFECYCLE: Final = "program policy_version program_version state state_since facts next_at closed_at"
"""The columns of every lifecycle beside its id. `facts` is what its workflow carries: ids and instants."""


def _table(retention: Retention, **columns: str) -> TableRetention:
    """Return a declaration; each keyword is a kind with the names of its columns."""
    return TableRetention(
        retention,
        MappingProxyType({name: DataKind(kind) for kind, names in columns.items() for name in names.split()}),
    )


def _fields(kind: DataKind, names: str) -> dict[str, DataKind]:
    return dict.fromkeys(names.split(), kind)


TABLES: Final[Mapping[str, TableRetention]] = MappingProxyType(
    {
        "act_batch_items": _table(
            Retention.BATCH,
            id="batch_id number target",
            technical="state tries digest outcome said",
        ),
        "act_batches": _table(
            Retention.BATCH,
            id="id",
            technical="kind act given state made_at started_at ended_at held_until",
            staff="account_id",
            free_text="reason",
        ),
        "audit_records": _table(
            Retention.CREDIT,
            id="id chain subject",
            technical="sequence at kind data salt veil previous hash",
            staff="actor",
            free_text="veiled",
        ),
        "badge_achievements": _table(Retention.DEPLOYMENT, id="id", content="content"),
        "badge_keys": _table(
            Retention.DEPLOYMENT,
            id="number kid",
            technical="public sealed_by made_at retired_at withdrawn_at",
            secret="private",
        ),
        "badge_status": _table(Retention.DEPLOYMENT, id="number program", technical="opened_at"),
        "badges": _table(
            Retention.CREDIT,
            id="id letter_id member_id program achievement status_list status_index kid",
            technical="made_at",
            personal="content",
        ),
        "bounces": _table(Retention.ERASURE, id="delivery", technical="kind at"),
        "channel_stop": _table(
            Retention.DEPLOYMENT, id="id probe", technical="stopped_at reason probed_at proved_at"
        ),
        "checkpoint_heads": _table(Retention.DEPLOYMENT, id="number chain", technical="sequence head"),
        "checkpoints": _table(Retention.DEPLOYMENT, id="number", technical="at chains root previous hash"),
        "claims": _table(
            Retention.CREDIT,
            id="workflow engagement_id profile_id member_id",
            technical=f"{_LIFECYCLE} role",
            personal="certification",
            evidence="credit_date cycle_start cycle_end earned countable domains decision",
        ),
        "cohort_members": _table(
            Retention.ERASURE,
            id="cohort_id profile_id partner",
            technical="role joined_at left_at unpaired_told_at",
            free_text="unpaired_because",
        ),
        "cohort_pairs": _table(
            Retention.ERASURE,
            id="id cohort_id mentee_id mentor_id engagement",
            technical="state mark run fit told_at confirmed_at",
            personal="why",
            free_text="broken_because",
        ),
        "cohorts": _table(
            Retention.DEPLOYMENT,
            id="workflow id",
            technical=f"{_LIFECYCLE} opens_on closes_on kick_off_on months proposal proposed_at figures",
            content="partners",
        ),
        "curriculum_progress": _table(
            Retention.ERASURE, id="engagement_id profile_id step by", technical="done_at"
        ),
        "engagements": _table(
            Retention.CREDIT,
            id="workflow id mentee_id mentor_id cohort",
            technical=f"{_LIFECYCLE} started_at",
            free_text="goals end_reason",
        ),
        "environment": _table(Retention.DEPLOYMENT, id="id name", technical="production keys versions"),
        "event_subjects": _table(Retention.USE, id="subject event_id"),
        "events": _table(
            Retention.ERASURE,
            id="id source event_id type subject waits_for trace",
            technical="ignored occurred_at heard_at history state held_until effects applied_at shard",
            free_text="data reason",
        ),
        "feedback": _table(
            Retention.ERASURE, id="id profile_id event_id", technical="given_at", free_text="text"
        ),
        "letters": _table(
            Retention.CREDIT,
            id="id engagement_id claim signer_profile",
            technical="kind role locale sha256 signed_at revoked_at revoked_class",
            personal="signer_name data",
            evidence="certification statement document",
            free_text="revoked_because",
        ),
        "link_uses": _table(Retention.HOUR, id="purpose profile subject", technical="times last_at"),
        "mail_bodies": _table(
            Retention.MAIL_CONTENT,
            id="delivery member_id program",
            technical="kept_at removed_at",
            personal="content",
        ),
        "mail_canary": _table(
            Retention.DEPLOYMENT,
            id="id token",
            technical="began_at sent_at taken_at seen_at seen_sent_at",
        ),
        "mail_rate": _table(Retention.DEPLOYMENT, id="name", technical="next_at"),
        "meetings": _table(
            Retention.CREDIT,
            id="id engagement_id by_profile event_id",
            technical="answered_at",
            evidence="answer met_on",
        ),
        "meetup_invitations": _table(
            Retention.ERASURE,
            id="workflow member_id number profile_id uid",
            technical="invited_at planned_for answered_at answered_by",
            personal="answer",
        ),
        "meetups": _table(
            Retention.DEPLOYMENT,
            id="workflow id cohort",
            technical=f"{_LIFECYCLE} starts_local time_zone duration starts_at ends_at",
            content="title link resources",
        ),
        "members": _table(
            Retention.ERASURE,
            id="id",
            technical="standing_since updated_at",
            personal="name email email_given standing time_zone country subdivision languages nationality "
            "birth_year years_management employer certifications preferences folded",
        ),
        "messages": _table(
            Retention.ERASURE,
            id="id delivery workflow step occurrence message number program to_profile member_id claimed_by "
            "message_id text_version",
            technical="message_class context planned_at due_at state decided_at claimed_at attempts "
            "attempted_at came_back came_back_at delivered_at postponed_from staff_order ordered_at",
            staff="ordered_by",
            personal="recipient subject content",
            free_text="reason trouble response came_back_reason order_reason",
        ),
        "nudge_places": _table(Retention.DAYS, id="member_id delivery", technical="day place"),
        "onboardings": _table(Retention.ERASURE, id="workflow profile_id", technical=_LIFECYCLE),
        "outbox": _table(
            Retention.OUTBOX,
            id="id endpoint event_id subject type",
            technical="sequence at data state attempts first_tried_at next_at decided_at answer",
        ),
        "person_keys": _table(
            Retention.DEPLOYMENT, id="member_id", technical="wrapped_by created_at", secret="wrapped"
        ),
        "profiles": _table(
            Retention.ERASURE,
            id="id member_id program partner",
            technical="role mentees_at_a_time created_at updated_at withdrawn_at",
            personal="areas interests languages",
            free_text="goals",
        ),
        "program_trials": _table(
            Retention.DEPLOYMENT,
            id="program",
            technical="since live_at",
            staff="live_by live_because",
        ),
        "program_versions": _table(
            Retention.DEPLOYMENT,
            id="fingerprint program policy_version",
            technical="first_seen_at",
            content="content",
        ),
        "reports": _table(
            Retention.ERASURE,
            id="id engagement_id by_profile event_id",
            technical="reported_at",
            free_text="text",
        ),
        "requests": _table(
            Retention.ERASURE,
            id="workflow id mentee_id mentor_id",
            technical=f"{_LIFECYCLE} months created_at",
            personal="areas",
            free_text="message answer_reason",
        ),
        "sign_in_attempts": _table(Retention.USE, technical="failures last_at", secret="key"),
        "staff_accounts": _table(
            Retention.STAFF_ORDER,
            technical="may_send may_set created_at closed_at",
            staff="id name email role language zone oidc_subject",
            secret="password",
        ),
        "staff_assignments": _table(
            Retention.STAFF_ORDER, id="subject", technical="since", staff="account_id"
        ),
        "staff_links": _table(Retention.USE, technical="expires_at", staff="account_id", secret="token"),
        "staff_sessions": _table(
            Retention.USE, technical="created_at expires_at seen_at", staff="account_id", secret="token"
        ),
        "suppressions": _table(
            Retention.ERASURE,
            technical="kind score last_at since",
            personal="address",
            free_text="reason",
        ),
        "surveys": _table(
            Retention.ERASURE,
            id="workflow engagement_id profile_id",
            technical=f"{_LIFECYCLE} role answered_at",
            free_text="answers",
        ),
        "tasks": _table(
            Retention.ERASURE,
            id="id kind subject",
            technical="state opened_at due_at closed_at",
            staff="closed_by",
            free_text="cause action note",
        ),
        "text_versions": _table(
            Retention.DEPLOYMENT,
            id="id program file fingerprint",
            technical="first_seen_at seen_by",
            content="content",
        ),
        "trial_guests": _table(
            Retention.ERASURE, id="program", technical="added_at", staff="added_by", personal="address"
        ),
        "webhook_endpoints": _table(
            Retention.STAFF_ORDER,
            id="name",
            technical="url types state collects disabled_because disabled_at failing_since old_until "
            "created_at",
            secret="secret old_secret",
        ),
    }
)
"""Each table by name."""

HISTORIES: Final[Mapping[str, DataKind]] = MappingProxyType(
    {
        "workflow ids": DataKind.ID,
        "inputs and results": DataKind.TECHNICAL,
        "signals and updates": DataKind.TECHNICAL,
        "summaries": DataKind.TECHNICAL,
    }
)
"""What Temporal holds, for the retention of its namespace after a workflow has closed (MEM6)."""

SEARCH_ATTRIBUTES: Final[Mapping[str, DataKind]] = MappingProxyType(
    {
        "ThroughlineKind": DataKind.TECHNICAL,
        "ThroughlineProgram": DataKind.ID,
        "ThroughlineState": DataKind.TECHNICAL,
    }
)
"""The search attributes of workflows, by name."""

LOG_FIELDS: Final[Mapping[str, DataKind]] = MappingProxyType(
    {
        **_fields(
            DataKind.ID,
            "account act activity badge batch cohort delivery document endpoint environment event_id kid kind "
            "message order program programs provider purpose source subject target way workflow",
        ),
        **_fields(
            DataKind.TECHNICAL,
            # `address` is where a process of ours listens.
            "address because before code connections count current dry_run error exc_info known last "
            "file lifecycles now number reason retry_in_seconds seconds sent stage status table version",
        ),
    }
)
"""The fields of our log lines. They go to standard error, and are kept by what collects them there (MEM6)."""


def personal_columns() -> Iterator[tuple[str, str]]:
    """Yield the table and column of all that erasure has to deal with."""
    for name, table in TABLES.items():
        for column in table.of_kinds(DataKind.PERSONAL, DataKind.FREE_TEXT, DataKind.EVIDENCE):
            yield name, column
