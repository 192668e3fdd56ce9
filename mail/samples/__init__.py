"""Messages with sample data: the data, and the messages to look at or to send as a test."""

from mail.samples.contexts import sample_context

__all__ = ["sample_context"]
