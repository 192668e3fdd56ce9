"""The rulebook in code: pure functions and small value types. No I/O, no clock, no import from another room."""
