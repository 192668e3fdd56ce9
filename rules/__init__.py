"""The rulebook in code: pure functions and small value types. Imports nothing of ours and does no I/O."""
