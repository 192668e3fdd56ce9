"""Reports of mail servers about our mail: read, within bounds, and in a process that can be stopped."""
