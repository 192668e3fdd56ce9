"""The subcommands of `throughline`, one file per subject."""
# long: a file for each group of commands
