"""The demo: sample members, a clock to advance, a page to watch."""
