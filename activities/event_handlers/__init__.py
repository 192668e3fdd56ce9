"""The handlers of inbound events, by type: the one table that the inbox looks into.

A new type of event gets its fields in `rules/events`, a handler in the module of its noun, and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from activities.event_handlers import (
    claims,
    cohorts,
    curriculum,
    engagements,
    erased_members,
    mail,
    meetups,
    members,
    profiles,
    requests,
    staff,
    surveys,
)
from activities.event_handlers.base import AfterApplied, Handler

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "member.updated": members.member_updated,
        "member.erased": erased_members.member_erased,
        "profile.created": profiles.profile_created,
        "profile.updated": profiles.profile_updated,
        "profile.withdrawn": profiles.profile_withdrawn,
        "request.created": requests.request_created,
        "request.accepted": requests.request_answered,
        "request.declined": requests.request_answered,
        "request.canceled": requests.request_answered,
        "engagement.discovery": engagements.discovery_answered,
        "engagement.plan_agreed": engagements.plan_agreed,
        "engagement.met": engagements.meeting_answered,
        "engagement.extension_agreed": engagements.extension_agreed,
        "engagement.ended": engagements.engagement_ended,
        "engagement.misconduct_reported": engagements.misconduct_reported,
        "curriculum.done": curriculum.step_done,
        "claim.domains_chosen": claims.domains_chosen,
        "claim.submitted": claims.claim_submitted,
        "letter.signed": claims.letter_signed,
        "survey.answered": surveys.survey_answered,
        "mail.bounced": mail.mail_bounced,
        "cohort.scheduled": cohorts.cohort_scheduled,
        "cohort.confirmed": cohorts.cohort_confirmed,
        "cohort.pair_locked": cohorts.pair_marked,
        "cohort.pair_forbidden": cohorts.pair_marked,
        "cohort.pair_changed": cohorts.pair_changed,
        "meetup.scheduled": meetups.meetup_scheduled,
        "meetup.changed": meetups.meetup_changed,
        "meetup.canceled": meetups.meetup_canceled,
        "meetup.answered": meetups.meetup_answered,
        "staff.cancel": staff.staff_act,
        "staff.extend": staff.staff_act,
        "staff.pause": staff.staff_act,
        "staff.resume": staff.staff_act,
        "staff.end": staff.staff_act,
        "staff.accept": staff.staff_act,
        "staff.reject": staff.staff_act,
        "staff.reopen": staff.staff_act,
        "staff.revoke": staff.staff_act,
    }
)
"""What an event of each type writes, and which commands follow from it."""

AFTER_APPLIED: Mapping[str, AfterApplied] = MappingProxyType(
    {
        "request.accepted": requests.keep_answer_reason,
        "request.declined": requests.keep_answer_reason,
        "request.canceled": requests.keep_answer_reason,
        "engagement.plan_agreed": engagements.keep_goals,
        "engagement.met": engagements.keep_meeting,
    }
)
"""What is kept of an event only once its act is accepted: a refused event leaves nothing behind (REQ10)."""
