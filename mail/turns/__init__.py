"""Whose turn it is: one mail for several claims, and so many nudges a day."""
