"""What workflows ask for and may not do themselves: the database, mail, documents. Each is idempotent."""
