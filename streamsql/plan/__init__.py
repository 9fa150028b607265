"""Meaning: from a syntax tree and the catalog to an operator graph."""
