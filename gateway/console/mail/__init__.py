"""Mail on the console: what is still to go out, orders about it, and how mail fares."""
