"""A streaming SQL database in one process."""
