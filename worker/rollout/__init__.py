"""How a new version of the worker takes over what runs: its name, its turn, and a proof before it."""
