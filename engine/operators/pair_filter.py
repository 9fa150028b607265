"""The part of a join's condition that is no equality: which of the pairs found match after all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import TIME
from streamsql.engine.operators.base import Context
from streamsql.engine.stage import Stage, StageKernel
from streamsql.engine.state.columns import Int64s

PAIR = "$pair"
"""The place of a pair, which a stage over pairs passes on."""


def pair_schema(columns: Sequence[pa.Field[Any]]) -> pa.Schema:
    """What a condition over these columns of both sides reads."""
    return pa.schema([*columns, pa.field(TIME, pa.int64()), pa.field(PAIR, pa.int64())])


class PairFilter:
    """A condition, as a stage that keeps the pairs that match; one that fails on a pair is reported.

    columns  the columns of both sides that it reads
    """

    def __init__(self, stage: Stage, context: Context) -> None:
        self._kernel = StageKernel(stage, context.workspace, context.problems)
        self._schema = stage.input
        self.columns = tuple(n for n in stage.input.names if not n.startswith("$"))

    def matching(self, columns: dict[str, pa.Array[Any]], times: Int64s) -> Int64s:
        """Places of the pairs that match, rising.

        columns  those of `columns`, of all pairs
        times    of the pairs, ms
        """
        meta = {TIME: pa.array(times), PAIR: pa.array(np.arange(len(times)))}
        batch = pa.RecordBatch.from_arrays(
            [meta[n] if n in meta else columns[n] for n in self._schema.names], schema=self._schema
        )
        places: Int64s = self._kernel.run(batch).column(PAIR).to_numpy()
        return places
