"""What comes out of a stream-stream join for one batch, put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import HEADERS, PARTITION, SEQ, TIME
from streamsql.engine.operators.join_arrivals import NONE, Arrivals
from streamsql.engine.state.columns import Int64s, concatenated

CLOSED, ALONE, PAIR = 0, 2, 3
"""The order among what one row causes: windows that close, left then right; itself alone; its pairs."""


@dataclass(frozen=True, slots=True)
class Results:
    """A part of what comes out; int64[n] each.

    columns  in the order of the output, without meta columns
    number   of the row that caused it
    phase, tie  the order among what one row causes
    """

    columns: list[pa.Array[Any]]
    number: Int64s
    phase: int
    tie: Int64s
    time: Int64s
    partition: Int64s


NOTHING = Results([], NONE, PAIR, NONE, NONE, NONE)


def result_columns(output: pa.Schema) -> list[str]:
    """The columns of an output that are in `Results.columns`."""
    return [n for n in output.names if n not in (TIME, SEQ, PARTITION, HEADERS)]


def in_order(
    results: Sequence[Results], output: pa.Schema, seq: Int64s, arrivals: Sequence[Arrivals]
) -> pa.RecordBatch | None:
    """All parts in the order of the rows that caused them; None if nothing is in them.

    seq  `$seq` by number
    """
    results = [part for part in results if len(part.number)]
    if not results:
        return None
    number, tie, time, partition = (
        np.concatenate([getattr(r, name) for r in results]) for name in ("number", "tie", "time", "partition")
    )
    phase = np.repeat([r.phase for r in results], [len(r.number) for r in results])
    order = np.lexsort((tie, phase, number))
    chosen = pa.array(order)
    columns: dict[str, pa.Array[Any]] = {
        name: concatenated([r.columns[i] for r in results], output.field(name).type).take(chosen)
        for i, name in enumerate(result_columns(output))
    }
    columns[TIME] = pa.array(time[order])
    columns[SEQ] = pa.array(seq[number[order]])
    columns[PARTITION] = pa.array(partition[order].astype(np.int32))
    if HEADERS in output.names:
        columns[HEADERS] = _headers(output.field(HEADERS), arrivals).take(pa.array(number[order]))
    return pa.RecordBatch.from_arrays([columns[f.name] for f in output], schema=output)


def _headers(field: pa.Field[Any], arrivals: Sequence[Arrivals]) -> pa.Array[Any]:
    """The headers of a batch's rows by number, empty lists on a side that has none."""
    parts = [
        a.batch.column(HEADERS)
        if HEADERS in a.batch.schema.names
        else pa.array([[]] * a.batch.num_rows, field.type)
        for a in arrivals
        if a.batch is not None
    ]
    order = np.argsort(np.concatenate([a.number for a in arrivals]))
    return concatenated(parts, field.type).take(pa.array(order))
