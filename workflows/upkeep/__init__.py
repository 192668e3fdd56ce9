"""Workflows that run for ever beside the lifecycles: the watchdog, the checkpoints, the weekly digest."""
