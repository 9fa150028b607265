"""What comes out of a stream-stream join for one batch, put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import HEADERS, PARTITION, SEQ, TIME
from streamsql.engine.kernel import one_batch
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

    results  those of pairs by number and tie each; a row's pairs are all in one of them
    seq      `$seq` by number
    """
    results = [part for part in results if len(part.number)]
    if not results:
        return None
    number = np.concatenate([r.number for r in results])
    if all(r.phase == PAIR for r in results):
        # Stable sorting takes ordered stretches as they are: merging them is linear.
        order = np.argsort(number, kind="stable")
    else:
        phase = np.repeat([r.phase for r in results], [len(r.number) for r in results])
        order = np.lexsort((np.concatenate([r.tie for r in results]), phase, number))
    parts = []
    for part in results:
        columns = dict(zip(result_columns(output), part.columns, strict=True))
        columns[TIME] = pa.array(part.time)
        columns[SEQ] = pa.array(seq[part.number])
        columns[PARTITION] = pa.array(part.partition.astype(np.int32))
        if HEADERS in output.names:
            columns[HEADERS] = _headers(output.field(HEADERS), arrivals).take(pa.array(part.number))
        typed = [_cast(columns[f.name], f.type) for f in output]
        parts.append(pa.RecordBatch.from_arrays(typed, schema=output))
    return one_batch(output, parts).take(pa.array(order))


def _cast(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    return array if array.type == target else array.cast(target)


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
