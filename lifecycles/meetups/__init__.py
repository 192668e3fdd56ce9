"""A meetup: its situation, who is invited, and the mail of the invited people, planned in batches (MEE1)."""
