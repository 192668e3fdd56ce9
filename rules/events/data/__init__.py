"""The data of each type of event, a module for each noun."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rules.events.data.claims import ClaimDomainsChosen, ClaimSubmitted, LetterSigned
from rules.events.data.cohorts import (
    CohortConfirmed,
    CohortPairChanged,
    CohortPairForbidden,
    CohortPairLocked,
    CohortScheduled,
)
from rules.events.data.curriculum import CurriculumDone
from rules.events.data.engagements import (
    EngagementDiscovery,
    EngagementEnded,
    EngagementExtensionAgreed,
    EngagementMet,
    EngagementMisconductReported,
    EngagementPlanAgreed,
)
from rules.events.data.mail import MailBounced
from rules.events.data.meetups import MeetupAnswered, MeetupCanceled, MeetupChanged, MeetupScheduled
from rules.events.data.members import (
    MemberErased,
    MemberUpdated,
    ProfileCreated,
    ProfileUpdated,
    ProfileWithdrawn,
)
from rules.events.data.requests import RequestAccepted, RequestCanceled, RequestCreated, RequestDeclined
from rules.events.data.staff import (
    StaffAccept,
    StaffCancel,
    StaffEnd,
    StaffExtend,
    StaffPause,
    StaffReject,
    StaffReopen,
    StaffResume,
    StaffRevoke,
)
from rules.events.data.surveys import SurveyAnswered
from rules.events.schema import EventData

_MODELS: tuple[type[EventData], ...] = (
    MemberUpdated,
    MemberErased,
    ProfileCreated,
    ProfileUpdated,
    ProfileWithdrawn,
    RequestCreated,
    RequestAccepted,
    RequestDeclined,
    RequestCanceled,
    EngagementDiscovery,
    EngagementPlanAgreed,
    EngagementMet,
    EngagementExtensionAgreed,
    EngagementEnded,
    EngagementMisconductReported,
    CurriculumDone,
    ClaimDomainsChosen,
    LetterSigned,
    ClaimSubmitted,
    SurveyAnswered,
    MailBounced,
    MeetupScheduled,
    MeetupChanged,
    MeetupCanceled,
    CohortScheduled,
    CohortConfirmed,
    CohortPairLocked,
    CohortPairForbidden,
    CohortPairChanged,
    MeetupAnswered,
    StaffCancel,
    StaffExtend,
    StaffPause,
    StaffResume,
    StaffEnd,
    StaffAccept,
    StaffReject,
    StaffReopen,
    StaffRevoke,
)

EVENT_TYPES: Mapping[str, type[EventData]] = MappingProxyType({model.event_type: model for model in _MODELS})
"""The model of each type of event that comes in, by the type's name."""
