"""Acts from the console: previewed, bound to their preview, done once."""
