"""python -m streamsql: the command line."""

import sys

from streamsql.repl.app import main

sys.exit(main())
