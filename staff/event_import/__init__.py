"""What a take-over and a nightly export change, before their events are stored (T10)."""
