"""What a mail says about its lifecycle, one function per kind (`rules.kinds`).

The other person's address is in it from the match on, and not before (REQ5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, CohortPair, Engagement, Message, Request
from lifecycles.participants import NotOnRecord, Participant, participant
from mail.credit_context import SURVEY_MINUTES, badge_link, claim_context, decision_of_staff
from mail.erased_names import name_of_erased
from mail.meetups.meetup_context import meetup_context
from mail.template_environment import first_name
from mail.turns import shared_mail
from rules.kinds import KINDS, parts_of
from rules.pairing import Reason, in_common
from rules.program import Program


@dataclass(frozen=True, slots=True)
class LifecycleMail:
    """A message to a participant, and what its lifecycle's data is read with."""

    session: AsyncSession
    row: Message
    reader: Participant
    program: Program
    link: Callable[..., str]
    """Makes a personal link of the reader, from its purpose, a preset choice (or an empty text), and its subject where
    that is another lifecycle."""
    people: Mapping[str, Participant]
    """The reader and, where they are known already, others of the lifecycle, by profile."""
    base_url: str
    """Where the gateway is reached from outside."""


async def _onboarding(mail: LifecycleMail) -> dict[str, object]:
    return {}


async def _request(mail: LifecycleMail) -> dict[str, object]:
    request = await _request_of(mail)
    if request is None:
        raise LookupError(f"there is no {mail.row.workflow}")
    return await _pair(mail, request, request, show_address=False)


async def _engagement(mail: LifecycleMail) -> dict[str, object]:
    row = await mail.session.get_one(Engagement, mail.row.workflow)
    request = await _request_of(mail)
    return {
        **await _pair(mail, row, request),
        "engagement": {
            "id": row.id,
            "goals": row.goals or "",
            "months": _months(row, request),
            "certificate": "letter" in mail.row.context,
        },
        **(_step(mail) if mail.row.message.endswith(".curriculum") else {}),
        **(_graduation(mail.program) if mail.row.message == "member.graduation" else {}),
    }


def _graduation(program: Program) -> dict[str, object]:
    """Return the link of the invitation to graduation (COH3)."""
    name = program.cohort.graduation if program.cohort else ""
    return {"links": {"graduation": program.resources.get(name, program.resources["community"])}}


def _step(mail: LifecycleMail) -> dict[str, object]:
    """Return what a mail says of its step of the curriculum (COH4). Raises NotOnRecord where there is no such."""
    policy, id = mail.program.curriculum, str(mail.row.context["step"])
    step = policy.step(id) if policy else None
    if policy is None or step is None:
        raise NotOnRecord(f"step {id} is not in the curriculum of {mail.program.id}")
    locale = mail.reader.locale(mail.program)
    material = {"material": step.link} if step.link else {}
    return {
        "step": {
            "place": policy.place(id),
            "of": len(policy.steps),
            "kind": step.kind,
            "title": step.title_in(locale),
            "text": step.text_in(locale),
            "is_shared": "yes" if step.who == "both" else "",
        },
        "links": {"step_done": mail.link("curriculum", id), **material},
    }


async def _claim(mail: LifecycleMail) -> dict[str, object]:
    row = await mail.session.get_one(Claim, mail.row.workflow)
    claim = await claim_context(mail.session, row, mail.program, mail.reader.locale(mail.program))
    decision = await decision_of_staff(mail.session, row, mail.row.context.get("step"))
    return {
        **await _of_engagement(mail),
        "claim": {**claim, **decision, "others": await _other_claims(mail)},
        "dates": {"started": date.fromisoformat(row.facts["started_on"])},
    }


async def _other_claims(mail: LifecycleMail) -> list[dict[str, object]]:
    """Return the other claims that a mail speaks for, each with its cycle and its links (CPE7)."""
    locale, kind = mail.reader.locale(mail.program), KINDS["claim"]
    return [
        {
            **await claim_context(mail.session, row, mail.program, locale),
            "links": {
                name: mail.link(purpose, detail, row.workflow)
                for name, (purpose, detail) in kind.links.items()
            }
            | await badge_link(mail.session, mail.base_url, message.context.get("letter")),
            "cycle_start": date.fromisoformat(message.context["cycle_start"]),
            "cycle_end": date.fromisoformat(message.context["cycle_end"]),
        }
        for row, message in await shared_mail.others(mail.session, mail.row)
    ]


async def _survey(mail: LifecycleMail) -> dict[str, object]:
    return {
        **await _of_engagement(mail),
        "survey": {"id": mail.row.workflow, "minutes": SURVEY_MINUTES},
    }


async def _cohort(mail: LifecycleMail) -> dict[str, object]:
    """Return what a mail of a cohort says: of the other one of a pair, and what the two have in common (COH2)."""
    cohort = {"id": parts_of(mail.row.workflow)[0]}
    number = str(mail.row.context.get("pair", ""))
    if not number:
        return {"cohort": cohort}
    pair = await mail.session.get_one(CohortPair, int(number))
    is_mentee = mail.reader.profile.id == pair.mentee_id
    other = await participant(mail.session, pair.mentor_id if is_mentee else pair.mentee_id)
    why = [Reason.from_plain(each) for each in pair.why or ()]
    return {
        "cohort": cohort,
        "other": _shown(mail, other, is_paired=True),
        "pair": {"in_common": list(in_common(why, mail.reader.locale(mail.program)))},
    }


async def _meetup(mail: LifecycleMail) -> dict[str, object]:
    return await meetup_context(mail.session, mail.row)


CONTEXTS: Mapping[str, Callable[[LifecycleMail], Awaitable[dict[str, object]]]] = {
    "onboarding": _onboarding,
    "request": _request,
    "engagement": _engagement,
    "claim": _claim,
    "survey": _survey,
    "cohort": _cohort,
    "meetup": _meetup,
}
"""What a mail about a lifecycle says beyond its reader, by kind."""


async def lifecycle_context(mail: LifecycleMail) -> dict[str, object]:
    """Return what a mail says about its lifecycle, with the personal links that its kind offers."""
    kind = KINDS[mail.row.workflow.partition("/")[0]]
    links = {name: mail.link(purpose, detail) for name, (purpose, detail) in kind.links.items()}
    about = await CONTEXTS[kind.name](mail)
    own = about.get("links")
    return {**about, "links": {**links, **(own if isinstance(own, dict) else {})}}


async def _request_of(mail: LifecycleMail) -> Request | None:
    """Return the request that the lifecycle began with; None for an engagement that a cohort began (COH3)."""
    return await mail.session.get(Request, f"request/{parts_of(mail.row.workflow)[0]}")


async def _of_engagement(mail: LifecycleMail) -> dict[str, object]:
    """Return what the mail of a claim or a survey says of the two people."""
    row = await mail.session.get_one(Engagement, f"engagement/{parts_of(mail.row.workflow)[0]}")
    return await _pair(mail, row, await _request_of(mail))


def _months(row: Engagement, request: Request | None) -> int | None:
    return request.months if request else row.facts.get("months")


async def _pair(
    mail: LifecycleMail, pair: Request | Engagement, request: Request | None, *, show_address: bool = True
) -> dict[str, object]:
    """Return what a mail says of the other person, and of the request between the two, where there is one."""
    reader_is_mentee = mail.reader.profile.id == pair.mentee_id
    profile = pair.mentor_id if reader_is_mentee else pair.mentee_id
    other = mail.people.get(profile) or await participant(mail.session, profile)
    return {
        "other": _shown(mail, other, is_paired=show_address),
        "request": {
            "id": pair.id,
            "message": (request.message if request else None) or "",
            "areas": list(request.areas) if request else [],
            "months": request.months if request else None,
        },
    }


def _shown(mail: LifecycleMail, other: Participant, *, is_paired: bool) -> dict[str, str]:
    """Return what a mail says of the other person; of one who was erased, only the role (STA5)."""
    role = other.profile.role
    if other.is_erased:
        name = name_of_erased(role, mail.reader.locale(mail.program), is_paired=is_paired)
        return {"name": name, "first_name": name, "role": role, "email": "", "erased": "yes"}
    shown = {"name": other.member.name, "first_name": first_name(other.member.name), "role": role}
    return {**shown, "email": other.member.email} if is_paired else shown
