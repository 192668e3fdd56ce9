"""The program in the console: its rules in words, its versions, and what runs by which."""
