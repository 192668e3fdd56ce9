"""The command `throughline`."""
