"""From rows to facts, people and agenda, and an agenda written down: one module per kind of lifecycle."""
