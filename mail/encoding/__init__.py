"""Headers and MIME parts as bytes. The writer of `email.message` takes six times as long for the same mail."""
