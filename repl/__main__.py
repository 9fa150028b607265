"""`python -m streamsql.repl`: the program without its entry point installed."""

from streamsql.repl.app import main

main()
