"""Who of the staff may sign in, how, and whom they see."""
