"""Runs ksqlDB's functional tests, converted to JSON lines: `python -m tests.conformance`."""
