"""The check of a deployment's settings: what they name is read, and connected to, without changing anything."""
