"""The rules of meetups (MEE1, MEE2)."""

from rules.meetup.acts import (
    apply,
    cancel,
    change,
    closed_because,
    heard_at,
    pause,
    resume,
    settle,
)
from rules.meetup.agenda import (
    OUT,
    RESOURCES_WITHIN,
    STEPS,
    agenda,
    dropped_because,
    mails,
    over_because,
    parts_of_step,
    reminder_at,
    step_of,
    waits_for_resources,
)
from rules.meetup.facts import (
    ANSWERS,
    InvitedPerson,
    MeetupFacts,
    MeetupPlace,
    PastMail,
)

__all__ = [
    "ANSWERS",
    "OUT",
    "RESOURCES_WITHIN",
    "STEPS",
    "InvitedPerson",
    "MeetupFacts",
    "MeetupPlace",
    "PastMail",
    "agenda",
    "apply",
    "cancel",
    "change",
    "closed_because",
    "dropped_because",
    "heard_at",
    "mails",
    "over_because",
    "parts_of_step",
    "pause",
    "reminder_at",
    "resume",
    "settle",
    "step_of",
    "waits_for_resources",
]
