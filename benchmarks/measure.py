"""Clickstream: each query kept up to date, and computed once by DuckDB, from ARROW and from JSON.

The results are compared row by row.

Every measurement is taken at two sizes: the slope between them leaves out what a start costs.

Beside a query over ARROW stands DuckDB's one-shot SQL for it. Beside a query over JSON stand DuckDB's
`from_json` alone, on the columns that the query uses, since reading them is most of the work, and `from_json`
with the query over what it reads. Our reading alone is measured beside the first.

    python -m benchmarks clickstream [--events N] [--query q1] [--format arrow|json] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from streamsql import formats
from streamsql.connectors.generate import START_MS
from streamsql.database import Database, connect
from streamsql.engine.kernel import Workspace
from streamsql.formats.format import Layout
from streamsql.schema import Column
from streamsql.types import BIGINT, DOUBLE, INTEGER, VARCHAR

_LOAD_ROWS = 1 << 18
"""Rows of one append, and so of one frame of the log."""


@dataclass(frozen=True, slots=True)
class Run:
    """Wall and CPU seconds of one run, and its final rows."""

    seconds: float
    cpu_seconds: float
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rates in events per second; cpu is CPU-seconds per million events.

    rate              0 where none could be measured; duckdb_rate too
    duckdb_rate       of the same query over ARROW; of `from_json` for JSON
    ratio, cpu_ratio  our rate over DuckDB's, by wall time and by CPU time: on a machine that others use as
                      well, the second is the one to believe
    reading_ratio     for JSON: our reading alone over `from_json`, by CPU time
    query_rate        for JSON: DuckDB's of `from_json` and the query together
    query_ratio, query_cpu_ratio  our rate over that
    """

    query: str
    value_format: str
    rate: float
    cpu: float
    duckdb_rate: float
    ratio: float
    cpu_ratio: float
    is_equal: bool
    reading_ratio: float = 0.0
    query_rate: float = 0.0
    query_ratio: float = 0.0
    query_cpu_ratio: float = 0.0


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result is not DuckDB's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks clickstream")
    parser.add_argument(
        "--events", type=int, default=2_000_000, help="the smaller size; the larger is three times it"
    )
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--rounds", type=int, default=3, help="runs per size, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args(arguments)
    chosen = [q for q in QUERIES if not options.query or q.name in options.query]
    found: list[Measurement] = []
    is_json = options.format == "json"
    if not options.json:
        more = f"{'reading':>7} {'with query/s':>12} {'ratio':>6} {'by CPU':>6}  " if is_json else ""
        print(
            f"{'query':6} {'events/s':>12} {'CPU-s/M':>8} {'DuckDB/s':>12} {'ratio':>6} {'by CPU':>6}  "
            f"{more}equal  what"
        )
    for query in chosen:
        result = measure(query, (options.events, options.events * 3), options.format.upper(), options.rounds)
        found.append(result)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            more = (
                f"{result.reading_ratio:7.2f} {result.query_rate:12,.0f} {result.query_ratio:6.2f} "
                f"{result.query_cpu_ratio:6.2f}  "
            )
            print(
                f"{result.query:6} {result.rate:12,.0f} {result.cpu:8.3f} {result.duckdb_rate:12,.0f} "
                f"{result.ratio:6.2f} {result.cpu_ratio:6.2f}  {more if is_json else ''}"
                f"{'yes' if result.is_equal else 'NO':5}  {query.says}",
                flush=True,
            )
    return 0 if all(m.is_equal for m in found) else 1


def measure(query: Query, sizes: tuple[int, int], value_format: str, rounds: int = 3) -> Measurement:
    """Run the query at both sizes, `rounds` times each; the best of each counts.

    What is compared takes turns: while the machine is slow, it is for all of them.
    """
    both = sources(query, sizes[0]), sources(query, sizes[1])
    sides: list[Callable[[Query, Mapping[str, pa.Table]], Run]] = [
        lambda query, tables: _streaming(query, tables, value_format),
        *((_from_json_and_batch, _reading, _from_json) if value_format == "JSON" else (one_shot,)),
    ]
    ours, *theirs = growths(
        sizes[1] - sizes[0], [[partial(side, query, tables) for tables in both] for side in sides], rounds
    )
    if value_format != "JSON":
        return _measurement(query, value_format, ours, theirs[0], ours.is_equal(theirs[0]))
    whole, reading, from_json = theirs
    return replace(
        _measurement(query, value_format, ours, from_json, ours.is_equal(whole)),
        reading_ratio=ratio(from_json.cpu_seconds, reading.cpu_seconds),
        query_rate=whole.rate,
        query_ratio=ratio(ours.rate, whole.rate),
        query_cpu_ratio=ratio(whole.cpu_seconds, ours.cpu_seconds),
    )


@dataclass(frozen=True, slots=True)
class Growth:
    """A small run, and a large one over `grown` more events."""

    grown: int
    small: Run
    large: Run

    @property
    def rate(self) -> float:
        """Events per second from the one to the other; 0 if the machine was too busy to show any."""
        seconds = self.large.seconds - self.small.seconds
        return self.grown / seconds if seconds > 0 else 0.0

    @property
    def cpu_seconds(self) -> float:
        return self.large.cpu_seconds - self.small.cpu_seconds

    def is_equal(self, other: Growth) -> bool:
        """Whether both came to the same rows."""
        return same(self.small.rows, other.small.rows) and same(self.large.rows, other.large.rows)


def _measurement(
    query: Query, value_format: str, ours: Growth, theirs: Growth, is_equal: bool
) -> Measurement:
    return Measurement(
        query.name,
        value_format,
        ours.rate,
        ours.cpu_seconds / (ours.grown / 1e6),
        theirs.rate,
        ratio(ours.rate, theirs.rate),
        ratio(theirs.cpu_seconds, ours.cpu_seconds),
        is_equal,
    )


def ratio(one: float, other: float) -> float:
    """One over the other; 0 if the machine was too busy to show any."""
    return one / other if other > 0 else 0.0


def growths(grown: int, sides: Sequence[Sequence[Callable[[], Run]]], rounds: int) -> list[Growth]:
    """What is compared, each with a small run and a large one: all of them in turn, `rounds` times."""
    found = [[run() for run in sizes] for sizes in sides]
    for _ in range(rounds - 1):
        found = [
            [better(so_far, run()) for so_far, run in zip(runs, sizes, strict=True)]
            for runs, sizes in zip(found, sides, strict=True)
        ]
    return [Growth(grown, *runs) for runs in found]


def better(one: Run, last: Run) -> Run:
    """The shorter wall time and the shorter CPU time, of whichever run; the rows of the last."""
    return Run(min(one.seconds, last.seconds), min(one.cpu_seconds, last.cpu_seconds), last.rows)


def _streaming(query: Query, tables: Mapping[str, pa.Table], value_format: str) -> Run:
    """From the query's creation until all events are processed and committed to disk."""
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(declarations(query, value_format))
        for name, rows in tables.items():
            load(db, name, rows)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        db.execute(query.streaming)
        db.wait_idle()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Run(wall, cpu, db.execute(query.compared).arrow())


def load(db: Database, name: str, rows: pa.Table) -> None:
    for batch in rows.to_batches(max_chunksize=_LOAD_ROWS):
        # What has no time of its own was there before everything else.
        has_time = "VIEWTIME" in batch.schema.names
        times = batch.column("VIEWTIME") if has_time else pa.array([START_MS - 1] * batch.num_rows)
        db.append(name, batch, timestamps=times)


def one_shot(query: Query, tables: Mapping[str, pa.Table], threads: int = 1) -> Run:
    """DuckDB's one-shot SQL over the same events in memory."""
    con = duckdb.connect(":memory:", config={"threads": threads})
    try:
        for name, rows in tables.items():
            con.register(name, rows)
        wall, cpu = time.perf_counter(), time.process_time()
        result = con.execute(query.batch).to_arrow_reader(1 << 20).read_all()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, result)
    finally:
        con.close()


def _from_json(query: Query, tables: Mapping[str, pa.Table]) -> Run:
    """DuckDB reading the columns that the query uses from JSON texts in memory, on one thread."""
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        reads = []
        for name, rows in tables.items():
            con.register(name, _texts(con, rows))
            # Every value is made, and looked at, but no rows are handed out.
            seen = ", ".join(f"max(value.{f.name})" for f in _used(query, rows))
            reads.append(f"SELECT {seen} FROM ({_read(query, rows, name)})")
        wall, cpu = time.perf_counter(), time.process_time()
        for read in reads:
            con.execute(read).fetchall()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, pa.table({}))


def _from_json_and_batch(query: Query, tables: Mapping[str, pa.Table]) -> Run:
    """DuckDB's one-shot SQL over what it reads of JSON texts in memory, on one thread."""
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        reads = []
        for name, rows in tables.items():
            con.register(f"{name}_texts", _texts(con, rows))
            read = _read(query, rows, f"{name}_texts")
            # Once: a filter would else be put in front of a second from_json.
            reads.append(f"{name} AS MATERIALIZED (SELECT unnest(value) FROM ({read}))")
        wall, cpu = time.perf_counter(), time.process_time()
        result = con.execute(f"WITH {', '.join(reads)} {query.batch}").to_arrow_reader(1 << 20).read_all()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, result)


def _reading(query: Query, tables: Mapping[str, pa.Table]) -> Run:
    """Our own reading of the columns that the query uses, from JSON texts in memory, and nothing else."""
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        texts = {name: _texts(con, rows) for name, rows in tables.items()}
    workspace = Workspace()
    wall = cpu = 0.0
    for name, rows in tables.items():
        columns = [Column(f.name, _SQL_TYPES[str(f.type)]) for f in _used(query, rows)]
        layout = Layout(tuple(columns), is_key=False, is_wrapped=True)
        decoder = formats.get("JSON").decoder(layout, [c.name for c in columns], workspace)
        payloads = [
            batch.column(0).cast(pa.binary()) for batch in texts[name].to_batches(max_chunksize=_LOAD_ROWS)
        ]
        wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
        for some in payloads:
            decoder.decode(some)
        wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
    workspace.close()
    return Run(wall, cpu, pa.table({}))


def _texts(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    con.register("rows", rows)
    return con.execute("SELECT to_json(rows)::VARCHAR AS text FROM rows").to_arrow_table().combine_chunks()


def _used(query: Query, rows: pa.Table) -> list[pa.Field]:
    return [f for f in rows.schema if f.name == "VIEWTIME" or f.name in query.batch]


def _read(query: Query, rows: pa.Table, texts: str) -> str:
    kinds = {f.name: _JSON_TYPES[str(f.type)] for f in _used(query, rows)}
    return f"SELECT from_json(text, '{json.dumps(kinds)}') AS value FROM {texts}"


_JSON_TYPES = {"int64": "BIGINT", "int32": "INTEGER", "double": "DOUBLE", "string": "VARCHAR"}
_SQL_TYPES = {"int64": BIGINT, "int32": INTEGER, "double": DOUBLE, "string": VARCHAR}


def same(ours: pa.Table, theirs: pa.Table) -> bool:
    """Whether two tables hold the same rows in any order; doubles to nine digits."""
    if ours.num_rows != theirs.num_rows or ours.num_columns != theirs.num_columns:
        return False
    return all(
        np.allclose(mine, other, rtol=1e-9) if pa.types.is_floating(mine.type) else mine.equals(other)
        for mine, other in zip(_ordered(ours), _ordered(theirs), strict=True)
    )


def _ordered(table: pa.Table) -> list[pa.ChunkedArray]:
    """The columns, rows sorted by all of them, what is not a double first."""
    names = [f"c{i}" for i in range(table.num_columns)]
    exact = sorted(names, key=lambda n: pa.types.is_floating(table.schema.field(int(n[1:])).type))
    ordered = table.rename_columns(names).sort_by([(name, "ascending") for name in exact])
    return [
        c.cast(pa.int64())
        if pa.types.is_integer(c.type)
        else c.cast(pa.string())
        if pa.types.is_string(c.type)
        else c
        for c in ordered.columns
    ]
