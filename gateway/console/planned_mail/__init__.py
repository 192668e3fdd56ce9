"""The mail that is still to go out, and what staff order for one message of it."""
