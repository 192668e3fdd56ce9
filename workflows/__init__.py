"""Lifecycles in Temporal: a small state, an agenda, and handlers. They hold ids and instants only (MEM6)."""
