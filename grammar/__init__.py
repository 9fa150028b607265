"""Text to syntax tree and back: knows SQL's form, not what a name means."""
