"""The handlers of all personal links, by purpose."""

from __future__ import annotations

from evidence.letters import letter_text
from gateway.event_store import EventStore
from gateway.links.claim import ChooseDomains, MarkSubmitted, SignLetter, WriteLetter
from gateway.links.curriculum import DoStep
from gateway.links.engagement import (
    AgreeExtension,
    AgreePlan,
    AnswerDiscovery,
    AnswerMet,
    EndEngagement,
    ReportMisconduct,
)
from gateway.links.meetup import AnswerMeetup
from gateway.links.page import LinkHandler
from gateway.links.preferences import GiveFeedback, Preferences, Unsubscribe
from gateway.links.request import AnswerRequest, WithdrawRequest
from gateway.links.survey import AnswerSurvey
from gateway.services import GatewayServices


def link_handlers(services: GatewayServices, store: EventStore) -> dict[str, LinkHandler]:
    """Return the handler of each purpose. A link names its purpose, so these names never change."""
    database, letters = services.database, services.letters
    shared = (database, store)
    claim = (database, store, letters.catalogue, letter_text(services.programs, letters))
    return {
        # about the reader
        "unsubscribe": Unsubscribe(database, services.links),
        "preferences": Preferences(database),
        "feedback": GiveFeedback(database),
        # about a request
        "answer": AnswerRequest(*shared),
        "withdraw": WithdrawRequest(*shared),
        # about an engagement
        "discovery": AnswerDiscovery(*shared),
        "plan": AgreePlan(*shared),
        "met": AnswerMet(*shared),
        "extend": AgreeExtension(*shared),
        "end": EndEngagement(*shared),
        "report": ReportMisconduct(*shared),
        "curriculum": DoStep(*shared),
        # about a claim
        "sign": SignLetter(*claim),
        "letter": WriteLetter(*claim),
        "domains": ChooseDomains(*claim),
        "claim": MarkSubmitted(*claim),
        # about a survey
        "survey": AnswerSurvey(*shared),
        # about a meetup
        "meetup": AnswerMeetup(*shared),
    }
