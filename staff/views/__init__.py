"""The read model of staff: what a command prints and a browser shows, as typed data without formatting."""

from staff.views.lifecycles import lifecycle_view, summaries_of, unapplied_events
from staff.views.members import (
    member_messages,
    member_named,
    member_view,
    profile_view,
    targets_named,
)
from staff.views.read_model import (
    Detail,
    HistoryItem,
    LifecycleSummary,
    LifecycleView,
    MemberView,
    MessageView,
    NotFound,
    OpenEvent,
    OpenTask,
    Party,
    ProfileView,
    Schedule,
    ScheduledChange,
)

__all__ = [
    "Detail",
    "HistoryItem",
    "LifecycleSummary",
    "LifecycleView",
    "MemberView",
    "MessageView",
    "NotFound",
    "OpenEvent",
    "OpenTask",
    "Party",
    "ProfileView",
    "Schedule",
    "ScheduledChange",
    "lifecycle_view",
    "member_messages",
    "member_named",
    "member_view",
    "profile_view",
    "summaries_of",
    "targets_named",
    "unapplied_events",
]
