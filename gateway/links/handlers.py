"""The handlers of personal links, by purpose."""

from __future__ import annotations

from database.session import Database
from gateway.event_store import Inbox
from gateway.links.base import LifecycleLinkHandler
from gateway.links.claim import (
    ChooseDomains,
    ClaimLinkHandler,
    MarkSubmitted,
    SignLetter,
    Statement,
    WriteLetter,
)
from gateway.links.engagement import (
    AgreeExtension,
    AgreePlan,
    AnswerDiscovery,
    AnswerMet,
    EndEngagement,
    ReportMisconduct,
)
from gateway.links.page import LinkHandler
from gateway.links.request import AnswerRequest, WithdrawRequest
from gateway.links.survey import AnswerSurvey
from rules.program.catalogue import Catalogue


def lifecycle_handlers(database: Database, inbox: Inbox) -> dict[str, LinkHandler]:
    """All purposes of this module by name."""
    kinds: tuple[type[LifecycleLinkHandler], ...] = (
        AnswerRequest,
        WithdrawRequest,
        AnswerDiscovery,
        AgreePlan,
        AnswerMet,
        AgreeExtension,
        EndEngagement,
        ReportMisconduct,
    )
    return {kind.name: kind(database, inbox) for kind in kinds}


def credit_handlers(
    database: Database, inbox: Inbox, catalogue: Catalogue, statement: Statement
) -> dict[str, LinkHandler]:
    """All purposes of this module by name."""
    kinds: dict[str, type[ClaimLinkHandler]] = {
        "sign": SignLetter,
        "letter": WriteLetter,
        "domains": ChooseDomains,
        "claim": MarkSubmitted,
    }
    about = {name: kind(database, inbox, catalogue, statement) for name, kind in kinds.items()}
    return {**about, "survey": AnswerSurvey(database, inbox)}
