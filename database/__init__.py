"""What people read and what deliveries are decided by: models, sessions, the delivery ledger, the audit chain."""
