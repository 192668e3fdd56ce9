"""The production processes: a worker and a gateway, with their settings and connections."""
