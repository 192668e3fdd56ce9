"""All routes of the console."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.console.acts.batch_pages import BatchPages
from gateway.console.acts.erasure_page import ErasurePages
from gateway.console.acts.pages import ActPages
from gateway.console.cohorts.cohort_pages import CohortPages
from gateway.console.confidential_pages import ConfidentialPages
from gateway.console.details import DetailPages
from gateway.console.entry.sign_in import SignInPages
from gateway.console.lists import ListPages
from gateway.console.mail.ahead_page import AheadPages
from gateway.console.mail.health_page import MailHealthPages
from gateway.console.mail.mail_act_pages import MailActPages
from gateway.console.mail.order_pages import OrderPages
from gateway.console.old_addresses import old_addresses
from gateway.console.programs.curriculum_page import CurriculumPages
from gateway.console.programs.figures_page import FigurePages
from gateway.console.programs.move_pages import MovePages
from gateway.console.programs.rules_page import ProgramPages
from gateway.console.programs.text_history_page import TextHistoryPages
from gateway.console.programs.text_pages import TextPages
from gateway.console.programs.trial_pages import TrialPages
from gateway.console.search_page import SearchPages
from gateway.console.settings.take_over_page import TakeOverPages
from gateway.console.settings.webhook_pages import WebhookPages
from gateway.console.shell import Shell
from gateway.console.today import TodayPages
from gateway.console.trouble import TroublePages


def console_routes(shell: Shell) -> list[APIRouter]:
    """Return the routes of the console, by kind of access."""
    pages = (
        *(TodayPages, AheadPages, ListPages, ActPages, BatchPages, OrderPages, MailHealthPages),
        *(TroublePages, ConfidentialPages, ProgramPages, MovePages, TextPages, FigurePages, SearchPages),
        *(TrialPages, TextHistoryPages, WebhookPages, CurriculumPages, CohortPages),
        *(DetailPages, MailActPages, ErasurePages, TakeOverPages),
    )
    found = [router for each in pages for router in each(shell).routes()]
    return [SignInPages(shell).routes(), *found, old_addresses()]
