"""`throughline event relay`: rows of an association's own outbox table, sent as events."""
