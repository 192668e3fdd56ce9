"""One act on many lifecycles: chosen, previewed for all, then done in steps that survive a restart (STA1, STA3)."""
