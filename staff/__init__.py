"""What staff see and do, once, for command and browser."""
