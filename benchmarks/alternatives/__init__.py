"""What a user would write instead, by hand, as the comparison runs it. Each is a process of its own."""
