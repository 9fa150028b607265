"""State: key index, row store, changelogs."""
