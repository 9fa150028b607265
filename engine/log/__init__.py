"""The append-only log: topics, partitions, segments, frames."""
