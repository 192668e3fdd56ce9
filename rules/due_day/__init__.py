"""How the day of each message is computed, in the terms of its rule, for staff to read (MAIL1, T2–T4)."""

from rules.due_day.counting import AtOnce, Case, Counted
from rules.due_day.derivations import DERIVATIONS, derive
from rules.due_day.sentence import postponed, sentence

__all__ = ["DERIVATIONS", "AtOnce", "Case", "Counted", "derive", "postponed", "sentence"]
