"""The documents, run: every block of README and docs is executed, parsed, or declared to be plain text."""
