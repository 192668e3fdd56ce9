"""The tables."""

from database.models.base import Base, Instant, Json, Serial
from database.models.lifecycles import (
    Claim,
    Engagement,
    Feedback,
    Letter,
    Lifecycle,
    Meeting,
    Onboarding,
    Report,
    Request,
    Survey,
)
from database.models.mail import DECISIONS, Bounce, ChannelStop, MailRate, Message, NudgePlace, Suppression
from database.models.outbox_tables import OutboxEvent, WebhookEndpoint
from database.models.people import LinkUse, Member, Profile
from database.models.records import (
    AuditRecord,
    Checkpoint,
    CheckpointHead,
    Environment,
    Event,
    EventSubject,
    ProgramVersion,
    Task,
)
from database.models.staff import SignInAttempt, StaffAccount, StaffAssignment, StaffLink, StaffSession

__all__ = [
    "DECISIONS",
    "AuditRecord",
    "Base",
    "Bounce",
    "ChannelStop",
    "Checkpoint",
    "CheckpointHead",
    "Claim",
    "Engagement",
    "Environment",
    "Event",
    "EventSubject",
    "Feedback",
    "Instant",
    "Json",
    "Letter",
    "Lifecycle",
    "LinkUse",
    "MailRate",
    "Meeting",
    "Member",
    "Message",
    "NudgePlace",
    "Onboarding",
    "OutboxEvent",
    "Profile",
    "ProgramVersion",
    "Report",
    "Request",
    "Serial",
    "SignInAttempt",
    "StaffAccount",
    "StaffAssignment",
    "StaffLink",
    "StaffSession",
    "Suppression",
    "Survey",
    "Task",
    "WebhookEndpoint",
]
