"""A message from its row to the mail server's verdict."""
