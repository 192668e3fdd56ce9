"""Cohorts: their agenda from rows, who takes part, and their pairs from the proposal to the engagement (COH1–COH3)."""
