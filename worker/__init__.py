"""The composition root: settings, Temporal client and workers, the embedded stack, rehearsal, the command."""
