"""The console of staff: what needs them today, whom it concerns, and what they do about it."""
