"""The SMTP channel: settings, connections, verdicts, DKIM."""
