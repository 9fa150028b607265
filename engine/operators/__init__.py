"""Operators: one file each; batches in, batches out."""
