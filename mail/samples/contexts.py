"""Sample data for every message: what previews show and what templates are checked against.

It has every variable that a template may use; a template that needs another one adds it here and to
`templates/README.md`. The people are invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from rules.messages import CATALOGUE, Audience

_MENTOR = {
    "name": "Marcus Oyelaran",
    "first_name": "Marcus",
    "email": "marcus@example.org",
}
_MENTEE = {
    "name": "Ana Pérez Castillo",
    "first_name": "Ana",
    "email": "ana@example.org",
}
_MANAGER = {"name": "Elena Ruiz", "first_name": "Elena"}
_RESOURCES = (
    "directory",
    "profile",
    "membership",
    "handbook",
    "video",
    "tip_sheet",
    "first_meeting_questions",
    "smart_goals",
    "oskar",
    "library",
    "community",
    "recertification_guide",
    "enroll_mentor",
    "enroll_mentee",
    "events",
)
_LINKS = (
    "feedback",
    "preferences",
    "accept",
    "decline",
    "withdraw",
    "discovery",
    "good_fit",
    "not_a_fit",
    "not_met",
    "plan",
    "met",
    "met_yes",
    "met_no",
    "extend",
    "end",
    "step_done",
    "material",
    "report",
    "domains",
    "sign",
    "letter",
    "claim",
    "verify",
    "badge",
    "certificate",
    "survey",
    "graduation",
    "meetup_yes",
    "meetup_no",
    "meetup_maybe",
    "task",
    "console",
    "ahead",
    "curriculum",
    "figures",
    "mail",
)
_WORDS: Mapping[str, Mapping[str, object]] = {
    "en": {
        "program": "Security Leaders Mentoring Program",
        "title": "Mentoring Program Manager",
        "request": "Your move from the police to running security for a hospital group is close to the change I "
        "am planning.\nWould an hour a month for half a year suit you?",
        "goals": "Be ready for interviews in the private sector.\nKnow five people there by name.",
        "purpose": "To prepare a change from public service to corporate security.",
        "areas": ["Career transition", "Management and leadership"],
        "domains": ["Security Principles and Practices", "Crisis Management"],
        "cause": "the mail server refuses our sign-in",
        "action": "Check the user name and password of the mail account, then resume the channel.",
        "text": "We spoke twice. The second call was not about mentoring.",
        "in_common": ["Physical security", "Spanish"],
        "reason": "The form names another domain than the letter.",
        "step": "A diary of your energy",
        "step_text": "For one week, note each evening what gave you energy and what took it.\nBring the two "
        "longest lists to your next meeting.",
        "meetup": "The first hundred days",
        "slides": "The slides",
        "recording": "The recording",
    },
    "es": {
        "program": "Programa de Mentoría para Líderes de Seguridad",
        "title": "Gerente del programa de mentoría",
        "request": "Su paso de la policía a la dirección de seguridad de un grupo hospitalario se parece mucho al "
        "cambio que estoy planeando.\n¿Le parecería bien una hora al mes durante medio año?",
        "goals": "Prepararme para entrevistas en el sector privado.\nConocer allí a cinco personas por su nombre.",
        "purpose": "Preparar un cambio del servicio público a la seguridad corporativa.",
        "areas": ["Transición de carrera", "Gestión y liderazgo"],
        "domains": ["Principios y prácticas de seguridad", "Gestión de crisis"],
        "cause": "el servidor de correo rechaza nuestra clave",
        "action": "Revise el usuario y la clave de la cuenta de correo y reanude el canal.",
        "text": "Hablamos dos veces. La segunda llamada no fue sobre mentoría.",
        "in_common": ["Seguridad física", "Español"],
        "reason": "El formulario indica un dominio distinto del de la carta.",
        "step": "Un diario de su energía",
        "step_text": "Durante una semana, anote cada noche qué le dio energía y qué se la quitó.\nLleve las dos "
        "listas más largas a su próxima reunión.",
        "meetup": "Los primeros cien días",
        "slides": "La presentación",
        "recording": "La grabación",
    },
}

_OF_THE_OTHERS_CLAIM = {"mentee.sign_confirmation": "mentor", "mentor.write_letter": "mentee"}
"""Messages to the signer of a letter, with the role whose credit the letter is for."""


_DATES: Mapping[str, date] = {
    "asked": datetime(2028, 3, 13, 15, 20, tzinfo=UTC),
    "due": datetime(2028, 3, 15, 21, 0, tzinfo=UTC),
    "opened": datetime(2028, 3, 14, 13, 5, tzinfo=UTC),
    "made": datetime(2028, 3, 14, 0, 0, 2, tzinfo=UTC),
    "expires": datetime(2028, 3, 28, 21, 0, tzinfo=UTC),
    "closes": date(2028, 11, 13),
    "started": date(2028, 3, 14),
    "ends": date(2028, 9, 14),
    "meet_by": date(2028, 3, 28),
    "new_end": date(2028, 12, 14),
    "since": date(2028, 5, 14),
    "gate": date(2028, 9, 14),
    "cycle_start": date(2027, 1, 1),
    "cycle_end": date(2029, 12, 31),
    "kick_off": date(2028, 5, 23),
    "opens_on": date(2029, 4, 21),
    "window_opens": datetime(2029, 4, 21, 6, 0, tzinfo=UTC),
    "window_closes": datetime(2029, 5, 7, 5, 59, tzinfo=UTC),
    "starts": datetime(2028, 4, 5, 16, 0, tzinfo=UTC),
}
_OUTSIDE_CYCLE = {"cycle_start": date(2025, 7, 1), "cycle_end": date(2028, 6, 30)}
"""The cycle of a claim whose gate lies outside of it (CPE4)."""

_PROGRAM = {
    "organisation": "Example Society of Security Leaders",
    "postal_address": "12 Example Street, Springfield, VA 22150, USA",
    "manager_name": _MANAGER["name"],
    "mailbox": "mentoring@example.org",
}
_TERMS = {"answer_days": 2, "months": 6, "credit_months": 6, "mentor_credits": 9, "mentee_credits": 5}
_STEP = {"of": 12, "kind": "task", "is_shared": "yes"}
_CLAIM = {
    "certification": "CPP",
    "cap": 30,
    "category": "Category 3: Instructor",
    "sub_type": "Mentoring",
    "sponsor": "Example Society of Security Leaders",
    "location": "Online",
    "fingerprint": "3b7e 90c4 1f55 a2d8",
}
_CHECKPOINT = {
    "number": "212",
    "chains": "1304",
    "hash": "3b7e90c41f55a2d8" * 4,
    "grouped": " ".join(["3b7e90c4", "1f55a2d8"] * 4),
}
_DIGEST = {
    "since": date(2028, 3, 6),
    "until": date(2028, 3, 12),
    "figures": {
        "mentors": "3",
        "mentees": "8",
        "requests": "6",
        "matches": "4",
        "completed": "2",
        "ended": "0",
        "credits": "1",
    },
    "misconduct": 1,
    "past_due": 2,
    "claims": 5,
    "failed": 1,
    "ambiguous": 0,
    "came_back": 2,
    "tasks": [{"kind": "inactive", "count": 2}, {"kind": "mentee_unmatched", "count": 3}],
    "open": 6,
    "is_quiet": "",
    "people": 24,
    "mentors": 1,
    "mentees": 2,
    "matches": 4,
    "lagging": 3,
    "ahead": [{"day": date(2028, 3, 13), "count": 14}, {"day": date(2028, 3, 14), "count": 9}],
    "ahead_total": 23,
}


def sample_context(message: str, number: int | None, locale: str) -> dict[str, object]:
    """Return sample data for a message, as its audience would see it; a new dict at each call.

    Raises KeyError for a message that is not in the catalogue. A locale without sample words gets English ones.
    """
    audience = CATALOGUE[message].audience
    words = _WORDS.get(locale, _WORDS["en"])
    mentor_reads = audience is Audience.MENTOR
    reader, other = (_MENTOR, _MENTEE) if mentor_reads else (_MENTEE, _MENTOR)
    if audience is Audience.STAFF:
        reader = _MANAGER
    role = audience.value if audience is not Audience.MEMBER else "mentee"
    context: dict[str, object] = {
        "program": _program(words, locale),
        "to": {
            "name": reader["name"],
            "first_name": reader["first_name"],
            "role": "coordinator" if message == "staff.coordinator_digest" else role,
            "language": locale,
            "zone": "America/New_York" if mentor_reads else "America/Bogota",
        },
        "other": {**other, "role": "mentee" if mentor_reads else "mentor"},
        "number": number,
        "links": {name: f"https://mentoring.example.org/l/{name}/4fJ2" for name in _LINKS},
        "request": {"id": "r-1041", "message": words["request"], "areas": words["areas"], "months": 6},
        "engagement": {"id": "r-1041", "goals": words["goals"], "months": 6, "certificate": False},
        "cohort": {"id": "example-2028"},
        "pair": {"in_common": words["in_common"]},
        "claim": _claim(words, _OF_THE_OTHERS_CLAIM.get(message, role)),
        "step": {**_STEP, "place": number or 1, "title": words["step"], "text": words["step_text"]},
        "survey": {"id": f"survey/r-1041/{role}", "minutes": 3},
        "meetup": _meetup(words),
        "checkpoint": dict(_CHECKPOINT),
        "digest": dict(_DIGEST),
        "dates": {**_DATES, **(_OUTSIDE_CYCLE if message.endswith("credit_outside_cycle") else {})},
        "task": {
            "kind": "mail_failed",
            "subject": "throughline-mail",
            **{name: words[name] for name in ("cause", "action", "text")},
        },
    }
    if message == "member.standing_lapsed":
        # The sign-up of a lapsed member; a claim that waits for good standing has the same message.
        del context["claim"]
    return context


def _program(words: Mapping[str, object], locale: str) -> dict[str, object]:
    return {
        **_PROGRAM,
        "name": words["program"],
        "manager_title": words["title"],
        "language": locale,
        "is_cohort": False,
        "resources": {name: f"https://members.example.org/mentoring/{name}" for name in _RESOURCES},
        "terms": dict(_TERMS),
    }


def _meetup(words: Mapping[str, object]) -> dict[str, object]:
    return {
        "id": "2028-spring",
        "title": words["meetup"],
        "link": "https://meet.example.org/spring",
        "minutes": 90,
        "answer": "",
        "material": [
            {"title": words[name], "link": f"https://files.example.org/{name}"}
            for name in ("slides", "recording")
        ],
    }


def _claim(words: Mapping[str, object], claimant: str) -> dict[str, object]:
    amount = 9 if claimant == "mentor" else 5
    return {
        **_CLAIM,
        "id": f"claim/r-1041/{claimant}/CPP",
        "domains": words["domains"],
        "purpose": words["purpose"],
        "credits": amount,
        "earned": amount,
        "countable": 3 if claimant == "mentor" else amount,
        "reason": words["reason"],
        "because": "mistake",
        "others": [],
    }
