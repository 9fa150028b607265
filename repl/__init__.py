"""The terminal: command line, interactive shell, rendering; speaks only to the public API."""
