"""Every name that somebody outside of the code relies on, as plain literals; `test_wire_names.py` holds the code to it.

Add a new name to its list on purpose: from its first release on it can be neither removed nor renamed. Names that are
in no list here may be changed freely.
"""

from __future__ import annotations

WORKFLOW_TYPES = """
    Checkpoints Claim Cohort Digest Engagement Inbox InboxShard Meetup Onboarding Request Resend Survey Watchdog
    Webhook
"""

WORKFLOW_IDS = """
    onboarding/ request/ engagement/ claim/ survey/ checkpoint/ resend/ inbox inbox/ watchdog checkpoints digest digest/
    webhook/ alarm/ cohort/ meetup/
"""

TASK_QUEUES = "throughline throughline-mail"

PATCHES = """
    one timer
    acts in plan
    checked input
    sharded inbox 0
"""

SIGNALS = {
    "Inbox": "arrived",
    "InboxShard": "arrived",
    "Onboarding": "cancel extend match_ended matched pause replan resume standing withdrawn",
    "Request": "accept cancel decline extend replan standing superseded unavailable withdraw",
    "Engagement": "agree_extension cancel end extend party_withdrawn pause replan resume standing",
    "Claim": """
        accept cancel choose_domains engagement_changed reject reopen replan revoke sign standing submit
    """,
    "Survey": "answered cancel replan",
    "Cohort": "cancel confirm pair replan reschedule",
    "Meetup": "cancel changed pause replan resume",
}

UPDATES = {
    "Onboarding": "cancel extend matched pause resume withdrawn",
    "Request": "accept cancel decline extend withdraw",
    "Engagement": """
        agree_extension cancel curriculum_done discovery end extend met misconduct pause plan_agreed resume
    """,
    "Claim": "accept cancel choose_domains reject reopen revoke sign submit",
    "Survey": "answered cancel",
    "Cohort": "cancel confirm pair reschedule",
    "Meetup": "cancel changed pause resume",
}

ACTIVITIES = """
    apply_events deliver_events hand_over_inbox look_for_checkpoint look_for_digest look_for_overdue plan_claim
    plan_cohort plan_engagement plan_meetup plan_onboarding plan_request plan_survey propose_pairs
    send_mail start_pairs tell
"""

FACTS = {
    "OnboardingFacts": """
        profile role created_at blocked unblocked_at first_decided_at extensions pauses ended
        heard_at unblocked_heard_at taken_over_at matches matches.request matches.since matches.until matches.no_fit
        cohort_program outside_window window_opens window_closes
        matches.returned extensions.at extensions.check_ins extensions.event
        pauses.since pauses.until pauses.cause
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "RequestFacts": """
        request mentee mentor created_at extensions lapses ended ended_by unavailable_because heard_at taken_over_at
        extensions.at extensions.business_days extensions.event
        lapses.at lapses.profile
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "EngagementFacts": """
        engagement mentee mentor started_at months acts answered discovery met new_ends votes pauses reports lapses
        ended ended_by end_reason heard_at taken_over_at withdrawals withdrawals.at withdrawals.profile
        curriculum curriculum.starts_on curriculum.version curriculum.moved_at
        curriculum.carried curriculum.carried.by curriculum.carried.step curriculum.carried.at
        curriculum.done curriculum.done.by curriculum.done.step curriculum.done.at
        curriculum.mailed curriculum.mailed.by curriculum.mailed.step curriculum.mailed.at
        cohort ends_on
        answered.by answered.number
        discovery.answer discovery.at discovery.by
        new_ends.at new_ends.by new_ends.end new_ends.event new_ends.months
        votes.at votes.by votes.end
        pauses.since pauses.until pauses.cause
        reports.at reports.by reports.event
        lapses.at lapses.profile
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "ClaimFacts": """
        engagement role profile counterpart certification started_on created_at records domains signatures steps
        pauses ended_at ended_known_at taken_over_at
        records.at records.good_standing records.cycle records.cycle.start records.cycle.end
        signatures.at signatures.by signatures.domains signatures.letter signatures.void_from
        steps.name steps.at steps.actor steps.reason steps.because
        pauses.since pauses.until pauses.cause
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "SurveyFacts": """
        engagement role profile opened_at answered_at ended notified_at waits_until taken_over_at
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "CohortFacts": """
        cohort program announced_at opens closes kick_off months partners by_event asked proposals proposed_at
        confirmations confirmed_at ended taken_over_at
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
    "MeetupFacts": """
        meetup program scheduled_at starts_at ends_at cohort sequence edition changed_at moves moved_at revision
        resources_at paused_at resumed_at held finished_at ended heard_at taken_over_at
        ended.state ended.at ended.cause ended.actor ended.heard_at ended.history
        received received.signals received.updates received.pending received.pending.id received.pending.name
        received.pending.actor received.pending.reason received.pending.details received.pending.at
        received.pending.by received.pending.event received.pending.signal received.pending.unreadable
        received.pending.heard_at received.pending.history
    """,
}

HISTORY_VALUES = {
    "ActInput": "reason actor at event by answer end months business_days check_ins good domains heard_at history step",
    "Matched": "request at heard_at history no_fit",
    "Answer": "state moved dropped added",
    "MessageChange": "key message to number was due",
    "DueMail": "key due nudge",
    "Planned": "state closed mails wake_at moved dropped added refused program",
    "WorkflowCommand": "kind workflow name argument",
    "SendMail": "workflow keys",
    "Outcome": "key decision at",
    "Applied": "more next_deadline",
    "PlanOnboarding": "workflow facts at acts applied",
    "PlannedOnboarding": "state closed mails wake_at moved dropped added refused program facts",
    "PlanRequest": "workflow facts at acts",
    "PlannedRequest": "planned facts engagement matched unavailable superseded",
    "PlanEngagement": "workflow facts at acts",
    "PlannedEngagement": "planned facts effects",
    "PlanClaim": "workflow facts at acts",
    "PlannedClaim": "planned facts",
    "DeliverEvents": "endpoint",
    "WebhookTurn": "enabled",
    "PlanSurvey": "workflow facts at acts",
    "PlannedSurvey": "planned facts",
    "PlanCohort": "workflow facts at acts",
    "PlannedCohort": "planned facts work effects",
    "ProposePairs": "workflow number",
    "PlanMeetup": "workflow facts at acts",
    "PlannedMeetup": "planned facts",
}

STATES = {
    "onboarding": "waiting blocked active paused welcomed matched unmatched canceled withdrawn lapsed "
    "outside_window registered",
    "request": "open past_due accepted declined canceled expired unavailable",
    "engagement": "active paused suspended completed ended no_fit canceled",
    "claim": """
        precheck awaiting_evidence ready submitted accepted rejected revoked outside_cycle evidence_missing
        not_eligible canceled
    """,
    "survey": "open answered closed canceled",
    "cohort": "announced open pairing review confirmed running closed canceled",
    "meetup": "scheduled held canceled",
    "delivery": """
        planned claimed handed_over sent ambiguous failed skipped suppressed cancelled
    """,
}

STAFF_TASKS = """
    mentor_review member_lapsed mentee_unmatched request_unanswered discovery_stalled inactive evidence_missing
    outside_cycle misconduct mail_failed mail_ambiguous address_suppressed event_unapplied record_altered
    letter_failed mail_channel act_failed plan_failed workflow_gone workflow_stalled
    letter_script_missing party_withdrawn curriculum_lagging webhook_disabled webhook_undelivered
    pairing_review pair_broken
"""

EVENTS = {
    "member.updated": """
        member! name! email! standing! time_zone country subdivision languages nationality birth_year
        years_management employer certifications
    """,
    "member.erased": "member! actor! reason!",
    "profile.created": """
        profile! member! role! program mentees_at_a_time areas interests goals languages partner
    """,
    "profile.updated": "profile! mentees_at_a_time areas interests goals languages partner",
    "profile.withdrawn": "profile!",
    "request.created": "request! mentee! mentor! message areas months",
    "request.accepted": "request! reason",
    "request.declined": "request! reason",
    "request.canceled": "request! reason",
    "engagement.discovery": "engagement! by! answer!",
    "engagement.plan_agreed": "engagement! months end goals",
    "engagement.met": "engagement! by! answer! date",
    "engagement.extension_agreed": "engagement! by! end!",
    "engagement.ended": "engagement! by! reason!",
    "engagement.misconduct_reported": "engagement! by! text!",
    "curriculum.done": "engagement! by! step!",
    "claim.domains_chosen": "engagement! by! certification! domains!",
    "letter.signed": "engagement! by! for! name! certification purpose domains shown",
    "claim.submitted": "engagement! by! certification!",
    "survey.answered": "engagement! by! answers!",
    "mail.bounced": "delivery message_id kind! reason",
    "meetup.scheduled": "meetup! program! cohort title! starts_at! time_zone! duration link resources",
    "meetup.changed": "meetup! program title starts_at time_zone duration link resources",
    "meetup.canceled": "meetup! program title starts_at time_zone duration link resources",
    "cohort.scheduled": "cohort! program! opens! closes! kick_off! months partners",
    "cohort.confirmed": "cohort! actor!",
    "cohort.pair_locked": "cohort! mentee! mentor! actor! reason!",
    "cohort.pair_forbidden": "cohort! mentee! mentor! actor! reason!",
    "cohort.pair_changed": "cohort! mentee! mentor! actor! reason!",
    "meetup.answered": "meetup! by! answer!",
    "staff.cancel": "target! actor! reason!",
    "staff.extend": "target! actor! reason! check_ins business_days months end",
    "staff.pause": "target! actor! reason!",
    "staff.resume": "target! actor! reason!",
    "staff.end": "target! actor! reason!",
    "staff.accept": "target! actor! reason!",
    "staff.reject": "target! actor! reason!",
    "staff.reopen": "target! actor! reason!",
    "staff.revoke": "target! actor! reason! because",
}

OUTGOING_EVENTS = {
    "onboarding.state_changed": "profile! state! since!",
    "request.state_changed": "request! state! since!",
    "engagement.state_changed": "engagement! state! since!",
    "claim.state_changed": "engagement! role! certification! state! since!",
    "survey.state_changed": "engagement! role! state! since!",
    "cohort.state_changed": "cohort! state! since!",
    "meetup.state_changed": "meetup! state! since!",
    "lifecycle.extended": "lifecycle! check_ins business_days months end",
    "claim.decided": "engagement! role! certification! status! earned countable",
    "letter.made": "lifecycle! letter! letter_kind! sha256!",
    "letter.revoked": "lifecycle! letter!",
    "mail.decided": "lifecycle! message! to! delivery! decision! number",
    "mail.came_back": "lifecycle! message! to! delivery! class!",
    "task.opened": "task! number! about!",
    "task.closed": "task! number! about! state!",
    "event.refused": "event! id! about!",
    "webhook.test": "endpoint!",
}

OUTGOING_ENVELOPE = "specversion id source type subject sequence time datacontenttype data"

MESSAGES = """
    member.standing_lapsed
    mentor.welcome mentee.checkin
    mentor.request_received mentee.request_sent mentor.request_reminder mentor.request_past_due
    mentee.request_unanswered mentee.request_declined mentor.declined_checkin mentor.request_canceled
    mentee.request_canceled mentor.request_expired mentee.request_expired mentee.mentor_unavailable
    mentor.match mentee.match mentor.discovery mentee.discovery mentor.pulse mentee.pulse
    mentor.curriculum mentee.curriculum
    mentor.wrap_up mentee.wrap_up mentor.extended mentee.extended mentor.completed mentee.completed
    mentor.ended mentee.ended mentor.canceled mentee.canceled
    member.window_closed mentor.paired mentee.paired member.unpaired member.graduation
    mentor.credit_precheck mentee.credit_precheck mentee.sign_confirmation mentor.write_letter
    mentor.credit_ready mentee.credit_ready mentor.credit_outside_cycle mentee.credit_outside_cycle
    mentor.credit_accepted mentee.credit_accepted mentor.credit_rejected mentee.credit_rejected
    mentor.credit_reopened mentee.credit_reopened mentor.credit_revoked mentee.credit_revoked
    mentor.certificate mentee.certificate
    mentor.survey mentee.survey
    member.meetup_invitation member.meetup_changed member.meetup_canceled member.meetup_reminder
    member.meetup_resources
    staff.misconduct staff.alarm staff.checkpoint staff.digest
    staff.coordinator_digest
"""

LINKS = """
    unsubscribe preferences feedback answer withdraw discovery met plan extend end report curriculum domains sign
    letter claim survey
"""

ROUTES = """
    POST:/events GET:/healthz GET:/readyz GET:/l/{token} POST:/l/{token} GET:/verify GET:/verify/{letter}
    GET:/badges/keys GET:/badges/issuers/{program} GET:/badges/issuers/{program}/did.json
    GET:/badges/achievements/{achievement} GET:/badges/status/{number} GET:/badges/{badge}
"""

TABLES = {
    "members": """
        id name email email_given standing standing_since time_zone country subdivision languages nationality birth_year
        years_management employer certifications preferences updated_at folded
    """,
    "profiles": """
        id member_id role program partner mentees_at_a_time areas interests goals languages created_at updated_at
        withdrawn_at
    """,
    "onboardings": """
        profile_id workflow program policy_version program_version state state_since facts next_at closed_at
    """,
    "requests": """
        id mentee_id mentor_id message areas months answer_reason created_at workflow program policy_version
        program_version state state_since facts next_at closed_at
    """,
    "engagements": """
        id mentee_id mentor_id goals end_reason started_at cohort workflow program policy_version
        program_version state state_since facts next_at closed_at
    """,
    "claims": """
        engagement_id role profile_id member_id certification credit_date cycle_start cycle_end earned countable
        domains decision workflow program policy_version program_version state state_since facts next_at closed_at
    """,
    "surveys": """
        engagement_id role profile_id answers answered_at workflow program policy_version
        program_version state state_since facts next_at closed_at
    """,
    "curriculum_progress": "engagement_id profile_id step done_at by",
    "cohorts": """
        id opens_on closes_on kick_off_on months partners proposal proposed_at figures workflow program policy_version
        program_version state state_since facts next_at closed_at
    """,
    "cohort_members": "cohort_id profile_id role partner joined_at left_at unpaired_because unpaired_told_at",
    "cohort_pairs": """
        id cohort_id mentee_id mentor_id state mark run fit why told_at confirmed_at engagement broken_because
    """,
    "meetups": """
        id cohort title starts_local time_zone duration link resources starts_at ends_at workflow program
        policy_version program_version state state_since facts next_at closed_at
    """,
    "meetup_invitations": """
        workflow member_id number profile_id uid invited_at planned_for answer answered_at answered_by
    """,
    "meetings": "id engagement_id by_profile event_id answer met_on answered_at",
    "reports": "id engagement_id by_profile event_id text reported_at",
    "feedback": "id profile_id event_id text given_at",
    "letters": """
        id engagement_id claim kind role certification signer_profile signer_name locale statement data document
        sha256 signed_at revoked_at revoked_class revoked_because
    """,
    "messages": """
        id delivery workflow step occurrence message number message_class program to_profile member_id context
        planned_at due_at state reason decided_at claimed_at claimed_by attempts attempted_at trouble message_id
        recipient subject content response came_back came_back_at came_back_reason delivered_at postponed_from
        staff_order ordered_by ordered_at order_reason text_version
    """,
    "bounces": "delivery kind at",
    "mail_bodies": "delivery member_id program content kept_at removed_at",
    "person_keys": "member_id wrapped wrapped_by created_at",
    "badges": "id letter_id member_id program achievement status_list status_index kid content made_at",
    "badge_keys": "number kid public private sealed_by made_at retired_at withdrawn_at",
    "badge_status": "number program opened_at",
    "badge_achievements": "id content",
    "mail_rate": "name next_at",
    "mail_canary": "id token began_at sent_at taken_at seen_at seen_sent_at",
    "nudge_places": "member_id day place delivery",
    "channel_stop": "id stopped_at reason probe probed_at proved_at",
    "link_uses": "purpose profile subject times last_at",
    "suppressions": "address kind score last_at since reason",
    "tasks": "id kind subject cause action state opened_at due_at closed_at closed_by note",
    "events": """
        id source event_id type subject data occurred_at state waits_for held_until reason effects applied_at ignored
        heard_at history shard trace
    """,
    "event_subjects": "subject event_id",
    "webhook_endpoints": """
        name url types state collects disabled_because disabled_at failing_since secret old_secret old_until created_at
    """,
    "outbox": """
        id endpoint event_id subject sequence type at data state attempts first_tried_at next_at decided_at answer
    """,
    "audit_records": """
        id chain sequence subject at kind data actor veiled salt veil previous hash
    """,
    "checkpoints": "number at chains root previous hash",
    "checkpoint_heads": "number chain sequence head",
    "environment": "id name production keys versions",
    "staff_accounts": """
        id name email role may_send may_set language zone password oidc_subject created_at closed_at
    """,
    "staff_sessions": "token account_id created_at expires_at seen_at",
    "staff_links": "token account_id expires_at",
    "staff_assignments": "account_id subject since",
    "act_batches": "id account_id kind act given reason state made_at started_at ended_at held_until",
    "act_batch_items": "batch_id number target state tries digest outcome said",
    "sign_in_attempts": "key failures last_at",
    "program_trials": "program since live_at live_by live_because",
    "text_versions": "id program file fingerprint content first_seen_at seen_by",
    "trial_guests": "program address added_by added_at",
    "program_versions": "fingerprint program policy_version content first_seen_at",
}

DOSSIER = {
    "files": "README.txt records.jsonl versions.json checkpoints.json manifest.json verify.py letters/",
    "manifest.json": "format engagement records head files",
    "records.jsonl": """
        chain sequence subject at kind data actor veil previous hash veiled salt
    """,
    "versions.json": "policy_version policy_fingerprint catalogue_version catalogue_fingerprint",
    "checkpoints.json": "number at chains root previous hash proof proof.sequence proof.head proof.path",
}

TIMELINE = """
    at kind message number to workflow decision subject reason state task claim status earned countable event mails
    workflows_open cohort mentee mentor fit why engagement
"""

TIMELINE_KINDS = "mail state task credit refused came_back pair end"

FAULTS = "smtp_down smtp_4xx smtp_5xx_recipient smtp_drop_after_data database_down worker_killed"

COMMANDS = {
    "demo": "--data --port --program --script",
    "up": "--data --port --temporal-ui",
    "worker": "",
    "gateway": "",
    "rehearse": "SCENARIO --events-out --json --mail-dir --program",
    "event send": "FILE --direct --json --url",
    "event list": "--json --limit --state",
    "event import": "--column --days --differences --dry-run --json FILE",
    "event relay": "--database --interval --json --once --source --table --url",
    "event types": "--json --markdown",
    "event example": "TYPE",
    "erase": "MEMBER --actor --json --preview --reason --yes",
    "member export": "MEMBER --actor",
    "staff cancel": "TARGET --actor --json --preview --reason",
    "staff extend": """
        TARGET --actor --business-days --check-ins --end --json --months --preview --reason
    """,
    "staff pause": "TARGET --actor --json --preview --reason",
    "staff resume": "TARGET --actor --json --preview --reason",
    "staff end": "TARGET --actor --json --preview --reason",
    "staff accept": "TARGET --actor --json --preview --reason",
    "staff reject": "TARGET --actor --json --preview --reason",
    "staff reopen": "TARGET --actor --json --preview --reason",
    "staff revoke": "TARGET --actor --because --json --preview --reason",
    "staff sign-in": "EMAIL",
    "staff accounts": """
        --actor --add --change --json --language --name --password --role --send --settings
        --zone
    """,
    "staff close-account": "EMAIL --actor",
    "staff assign": "EMAIL SUBJECT --actor --remove",
    "show": "TARGET --json",
    "why": "MEMBER MESSAGE --json",
    "task list": "--all --json",
    "task done": "NUMBER --actor --note",
    "task snooze": "NUMBER --actor --note --until",
    "task dismiss": "NUMBER --actor --note",
    "survey results": "--csv --json",
    "figures": "--against --by-month --cohort --csv --json --partner --program --since --until",
    "report list": "--json",
    "report show": "REPORT --actor --json",
    "feedback list": "--actor --json",
    "cohort list": "--json",
    "cohort show": "COHORT --csv --json",
    "cohort pair": "COHORT --actor --csv --dry-run --json --reason",
    "cohort lock": "COHORT MENTEE MENTOR --actor --reason --undo",
    "cohort forbid": "COHORT MENTEE MENTOR --actor --reason --undo",
    "cohort exchange": "COHORT MENTEE MENTOR --actor --reason",
    "cohort confirm": "COHORT --actor --reason",
    "cohort report": "COHORT --csv --json",
    "mail log": "--json --limit --member --message --since --state",
    "mail ahead": "--days --json --limit --member --program",
    "mail health": "--days --json --program",
    "mail show": "DELIVERY --actor --json --out",
    "mail skip": "DELIVERY --actor --json --preview --reason",
    "mail hold": "DELIVERY --actor --json --preview --reason",
    "mail send-now": "DELIVERY --actor --json --preview --reason",
    "mail release": "DELIVERY --actor --json --preview --reason",
    "mail service-level": "--days --json",
    "mail resend": "DELIVERY --actor --reason --wait",
    "mail bounces": "MAILBOX",
    "mail classify": "FILES --json",
    "mail preview": "MESSAGE --json --locale --out --program",
    "mail test": "--locale --message --to",
    "mail suppressions list": "--json",
    "mail suppressions lift": "ADDRESS --actor --reason",
    "badge verify": "FILE --at --email --json --profile --status",
    "badge export": "DOCUMENT --json --out",
    "badge keys list": "--json",
    "badge keys rotate": "--actor --compromised --reason",
    "audit export": "ENGAGEMENT --out --staff",
    "audit verify": "FILE --checkpoint",
    "audit checkpoints": "--json",
    "meetup list": "--json",
    "meetup show": "MEETUP --answer --json",
    "meetup schedule": "MEETUP --cohort --duration --link --program --resource --starts-at --time-zone --title",
    "meetup change": "MEETUP --duration --link --preview --resource --starts-at --time-zone --title",
    "meetup cancel": "MEETUP --preview",
    "webhook add": "NAME URL --actor --type",
    "webhook list": "NAME --json --limit",
    "webhook test": "NAME --actor",
    "webhook disable": "NAME --actor --reason",
    "webhook enable": "NAME --actor",
    "webhook rotate": "NAME --actor --grace",
    "webhook replay": "NAME --actor --since",
    "webhook remove": "NAME --actor",
    "webhook types": "--json",
    "program check": "FILE --json",
    "program go-live": "PROGRAM --actor --although-open --reason",
    "program guests add": "PROGRAM ADDRESS --actor --reason",
    "program guests list": "PROGRAM --json",
    "program guests remove": "PROGRAM ADDRESS --actor --reason",
    "program move": "PROGRAM --actor --from --json --preview --reason --to",
    "program show": "WHICH --json",
    "program trial": "PROGRAM --actor --begin --json --reason",
    "program versions": "WHICH --json",
    "db upgrade": "",
    "db adopt": "",
    "config register": "",
    "config check": "--json",
    "version show": "--json",
    "version set-current": "VERSION",
    "version wake": "--per-second",
    "replay": "--from-server --json",
}

SETTINGS = """
    environment production allow database database_timeout programs templates base_url keys secret webhook_secret
    webhook_allow payload_keys canary_address canary_interval host
    port gateway_url outbox_database smtp_host smtp_port smtp_username smtp_password smtp_tls smtp_verify smtp_ca_file
    smtp_helo_name smtp_connections smtp_rate_per_minute bounce_host bounce_port dkim_domain dkim_selector dkim_key_file
    max_cached_workflows stop_seconds health_host health_port log_format
    oauth_provider oauth_tenant oauth_token_url oauth_client_id oauth_client_secret
    oauth_refresh_token oauth_scope imap_host imap_port imap_tls imap_username imap_password imap_ca_file imap_folder
    erased_file
    oauth_key_file oidc_issuer oidc_client_id oidc_client_secret oidc_trust_email
    imap_done_folder imap_interval bounce_ses_topic bounce_sendgrid_key bounce_postmark_login bounce_mailgun_key
"""
