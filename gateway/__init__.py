"""The web: events in, personal links, health."""
