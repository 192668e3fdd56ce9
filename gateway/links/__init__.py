"""Personal pages: what a signed link shows and does."""
