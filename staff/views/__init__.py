"""The read model of staff: what a command prints and a browser shows, as typed data without formatting."""

from staff.views.lifecycles import lifecycle_view, summaries_of
from staff.views.members import member_messages, member_view, profile_view
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
    "member_view",
    "profile_view",
    "summaries_of",
]
