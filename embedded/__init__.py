"""All parts on one machine: rehearsal, demo, up."""
