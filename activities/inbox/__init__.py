"""The inbox: stored events, applied in the order of their subjects, held or refused with a reason; none is lost (T8).

An event's data is written and its commands to workflows are listed in one transaction. The commands follow; after a
crash they are repeated until all are done. Each of them tolerates a repeat. A shard of the inbox takes many events at
once: one transaction writes those that nothing precedes, their commands go out side by side, and one transaction
records how they ended.
"""

from activities.command_sender import QUEUE
from activities.inbox.activity import Applied, InboxActivities
from activities.inbox.decisions import BLOCKED_FOR
from activities.inbox.wakeup import INBOX, shard_id

__all__ = ["BLOCKED_FOR", "INBOX", "QUEUE", "Applied", "InboxActivities", "shard_id"]
