"""`streamsql datagen`: made-up rows into a topic."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from streamsql.repl.opening import open_database
from streamsql.repl.progress import ProgressLine, bar, rate_text
from streamsql.repl.render import duration_text
from streamsql.result import counted

if TYPE_CHECKING:
    from argparse import Namespace


def datagen(arguments: Namespace) -> int:
    """Generate, then say how much it was and what to type next."""
    from streamsql.connectors import generate
    from streamsql.connectors.topics import ensured_topic

    template = generate.template(arguments.template)
    topic = arguments.topic
    line = ProgressLine(sys.stderr)
    started, done = 0.0, 0

    def show(rows: int) -> None:
        nonlocal done
        done = rows
        rate = rate_text(rows, time.perf_counter() - started, "rows")
        line.update(f"{topic} {bar(rows, arguments.rows, line.terminal)} {rows:,} rows · {rate}")

    with open_database(arguments) as db:
        is_declared = bool(db.catalog.on_topic(topic))
        statement = generate.create_statement(template, topic, has_key=arguments.create)
        if arguments.create and not is_declared:
            db.execute(statement)
        if arguments.rate is None:
            rows = generate.batches(template, arguments.rows, seed=arguments.seed)
        else:
            rows = generate.paced(template, arguments.rows, arguments.rate, db.clock, seed=arguments.seed)
        with ensured_topic(db, topic):
            writer = db.topic_writer(topic)
            started = time.perf_counter()
            with closing(writer), line.over(lambda: f"{counted(done, 'row')} written"):
                count = generate.send(rows, writer, show)
    seconds = time.perf_counter() - started
    speed = rate_text(count, seconds, "rows")
    print(f"{counted(count, 'row')} into topic {topic} in {duration_text(seconds)} · {speed}")
    if arguments.create and not is_declared:
        print(f"\n  {statement}\n")
    elif not is_declared:
        print(f"No stream reads topic {topic} yet. To query it:\n\n  {statement}\n")
    return 0
