"""Formats: typed columns to bytes and back."""
