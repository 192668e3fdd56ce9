"""From rows to facts, people and agenda, and an agenda written down: one module per kind of lifecycle."""
# long: a module for each kind of lifecycle, and what they share
