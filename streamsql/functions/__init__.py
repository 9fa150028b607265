"""The functions, one row each."""
