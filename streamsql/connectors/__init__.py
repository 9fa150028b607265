"""Where records come from: files, and generators of made-up data."""
