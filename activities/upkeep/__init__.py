"""What the engine does beside the lifecycles: the watchdog, the checkpoints, the messages that staff released."""
