"""The command line, the shell and everything that draws on a terminal."""
