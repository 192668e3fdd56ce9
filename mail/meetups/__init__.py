"""The mail of meetups: calendar files, replies of calendars, and what a mail says of a meetup (MEE1)."""
