"""Batches in, batches out: log, state, operators and runners; knows Arrow and DuckDB, not KSQL."""
