"""The subcommands of `throughline`, one file per subject."""
