"""Benchmarks: streamsql keeping a result up to date, beside DuckDB computing it once."""
