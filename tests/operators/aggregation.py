"""What the tests of aggregation share: an input, calls of aggregates, and cutting an input into batches."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pyarrow as pa

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.problems import Problems
from streamsql.engine.stage import Stage
from streamsql.functions.aggregate import StateNames
from streamsql.functions.aggregates import AGGREGATES, bind
from streamsql.functions.registry import Registry
from streamsql.functions.resolve import resolve
from streamsql.types import BIGINT, BOOLEAN, INTEGER, SqlType
from tests.workspaces import kept_workspace

INPUT = pa.schema(
    [
        ("k", pa.string()),
        ("x", pa.int64()),
        ("$time", pa.int64()),
        ("$seq", pa.int64()),
        ("$partition", pa.int32()),
    ]
)
REGISTRY = Registry(AGGREGATES)
_prefixes = itertools.count()


@dataclass(frozen=True)
class Row:
    """An input row; `weight` is for a table's changes."""

    key: str | None
    x: int | None
    time: int
    partition: int = 0
    weight: int = 1


def call(
    name: str,
    function: str,
    *arguments: tuple[str, SqlType],
    literals: Sequence[Any] = (),
    on_table: bool = False,
    settings: dict[str, str] | None = None,
    names: StateNames | None = None,
) -> AggregateCall:
    """An aggregate over columns, `name` its output; calls with the same `names` share state columns."""
    types = [t for _, t in arguments] + [BOOLEAN if isinstance(v, bool) else INTEGER for v in literals]
    match = resolve(function, REGISTRY.overloads(function), types, widening=False)
    sql = [f'"{column}"' for column, _ in arguments]
    prefix = f"s{next(_prefixes)}_"
    return bind(match, sql, literals, name, prefix, on_table=on_table, settings=settings, names=names)


X = ("x", BIGINT)
"""The argument of most calls."""


@cache
def commutative_calls(on_table: bool = False) -> tuple[AggregateCall, ...]:
    """Aggregates that do not look at the order of rows: numpy merges some, SQL the others."""
    calls = [
        call("n", "COUNT", on_table=on_table),
        call("total", "SUM", X, on_table=on_table),
        call("mean", "AVG", X, on_table=on_table),
    ]
    if not on_table:
        calls += [call("least", "MIN", X), call("top", "TOPK", X, literals=[2])]
    return tuple(calls)


@cache
def plain_calls(on_table: bool = False) -> tuple[AggregateCall, ...]:
    """Aggregates that rows can be merged into without grouping them first."""
    calls = [
        call("n", "COUNT", on_table=on_table),
        call("present", "COUNT", X, on_table=on_table),
        call("total", "SUM", X, on_table=on_table),
        call("mean", "AVG", X, on_table=on_table),
    ]
    if not on_table:
        calls += [call("least", "MIN", X), call("most", "MAX", X)]
    return tuple(calls)


@cache
def ordered_calls(on_table: bool = False) -> tuple[AggregateCall, ...]:
    """Aggregates that show the order in which rows were merged."""
    calls = [call("n", "COUNT", on_table=on_table), call("all", "COLLECT_LIST", X, on_table=on_table)]
    if not on_table:
        calls += [call("last", "LATEST_BY_OFFSET", X), call("first", "EARLIEST_BY_OFFSET", X)]
    return tuple(calls)


def stage(schema: pa.Schema = INPUT, where: str = '"k" IS NOT NULL') -> Stage:
    return Stage(f"SELECT * FROM {{input}} WHERE {where}", None, schema, schema)


def batch(rows: Sequence[Row], first_seq: int = 0, schema: pa.Schema = INPUT) -> pa.RecordBatch:
    columns = {
        "k": [r.key for r in rows],
        "x": [r.x for r in rows],
        "$time": [r.time for r in rows],
        "$seq": list(range(first_seq, first_seq + len(rows))),
        "$partition": [r.partition for r in rows],
        "$weight": [r.weight for r in rows],
    }
    return pa.RecordBatch.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


Feeding = Callable[[], list[dict[str, Any]]]


@dataclass
class Run:
    """An operator under check, and its problems."""

    operator: CheckedOperator
    problems: Problems

    def feed(self, rows: Sequence[Row], first_seq: int = 0) -> list[dict[str, Any]]:
        """What comes out for one batch."""
        schema = INPUT
        inner = self.operator.operator
        if "$weight" in inner.spec.stage.input.names:  # type: ignore[attr-defined]
            schema = inner.spec.stage.input  # type: ignore[attr-defined]
        output = self.operator.process(batch(rows, first_seq, schema))
        return [] if output is None else output.to_pylist()

    def prepare(self, rows: Sequence[Row], place: int, first_seq: int = 0) -> Feeding | None:
        """What gives what comes out for one batch, which is looked at now, in the workspace of `place`; None
        if there is nothing to be done so early."""
        finish = self.operator.prepare(place, batch(rows, first_seq))
        if finish is None:
            return None

        def finished() -> list[dict[str, Any]]:
            output = finish()
            return [] if output is None else output.to_pylist()

        return finished

    def feed_ahead(
        self, batches: Sequence[Sequence[Row]], ahead: int, first_seq: int = 0
    ) -> Iterator[list[dict[str, Any]]]:
        """What comes out for each batch, when so many of those after it have been looked at."""
        begun: deque[Feeding] = deque()
        for number, rows in enumerate(batches):
            prepared = self.prepare(rows, number % 2, first_seq) if ahead else None
            begun.append(prepared or partial(self.feed, rows, first_seq))
            first_seq += len(rows)
            if len(begun) > ahead:
                yield begun.popleft()()
        for finish in begun:
            yield finish()

    def table(self) -> list[dict[str, Any]]:
        snapshot = self.operator.snapshot()
        assert snapshot is not None
        rows = [
            {n: v for n, v in row.items() if n not in ("$seq", "$weight")} for row in snapshot.to_pylist()
        ]
        return sorted(rows, key=lambda r: (r.get("k") or "", r.get("$start", 0)))


def open_run(spec: Aggregate, threads: int = 1) -> Run:
    """An operator in a workspace of so many threads."""
    problems = Problems()
    operator: Operator = spec.open(Context(kept_workspace(threads), problems))
    checked = CheckedOperator(operator, spec.output, spec.keys, takes_back_old=spec.emit_old)
    return Run(checked, problems)


def pieces(rows: Sequence[Row], cuts: Sequence[int]) -> list[Sequence[Row]]:
    """The rows cut into batches at some places; none of them empty."""
    places = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [rows[a:b] for a, b in itertools.pairwise(places)]


def as_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Key and window bounds of an output row."""
    return row["k"], row.get("$start"), row.get("$end")


def apply(changes: Sequence[dict[str, Any]], table: dict[Any, Any], check_old: bool) -> None:
    """Apply changes to a table, key -> row without meta columns; with `check_old` see that -1 fits."""
    for change in changes:
        row = {n: v for n, v in change.items() if n not in ("$seq", "$weight")}
        if change["$weight"] > 0:
            table[as_key(change)] = row
        else:
            old = table.pop(as_key(change))
            if check_old:
                assert {**row, "$time": old["$time"]} == old, "all but the time, which is the change's"
