"""The web: events in, personal links, the console of staff, health."""
# long: a file for each thing that is served, and what they share
