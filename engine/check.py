"""A checker around an operator: passes batches on and holds the operator to its contract.

the output has the promised schema; no batch is empty
`$seq` never falls, within a batch and against the input's
`$time` is never null
weights are 1 or -1, and by key no row is taken back that was not put in
the snapshot, if there is one, holds each key once, with weight 1
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.operators.base import Finish, Guess, Operator
from streamsql.errors import InternalError


class CheckedOperator(Operator):
    """The operator inside, its output checked; for tests, since the checks look at every row.

    keys            columns that a table's rows are told apart by, window bounds aside
    takes_back_old  updates come as -1 and +1; else a +1 stands for an update too
    deletes_unknown a -1 may come for a row that is not there: a delete that is handed on all the same
    """

    def __init__(
        self,
        operator: Operator,
        output: pa.Schema,
        keys: Sequence[str] = (),
        takes_back_old: bool = False,
        deletes_unknown: bool = False,
    ) -> None:
        self.operator = operator
        self.stores = operator.stores
        self.takes_guesses = operator.takes_guesses
        self._schema = output
        bounds = [name for name in (WINDOW_START, WINDOW_END) if name in output.names]
        self._keys = [*keys, *bounds]
        self._takes_back_old = takes_back_old
        self._deletes_unknown = deletes_unknown
        self._rows: Counter[object] = Counter()

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        output = self.operator.process(*inputs)
        if output is not None:
            self._check(output, [batch for batch in inputs if batch is not None])
        return output

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Finish | Guess | None:
        begun = self.operator.prepare(place, *inputs)
        if begun is None:
            return None
        if isinstance(begun, Guess):
            return Guess(begun.output, lambda: self._is_right(begun, inputs))
        return lambda: self._finished(begun, inputs)

    def forget_prepared(self) -> None:
        self.operator.forget_prepared()

    def _is_right(self, guess: Guess, inputs: Sequence[pa.RecordBatch | None]) -> bool:
        if not guess.is_right():
            return False
        if guess.output is not None:
            self._check(guess.output, [batch for batch in inputs if batch is not None])
        return True

    def _finished(self, finish: Finish, inputs: Sequence[pa.RecordBatch | None]) -> pa.RecordBatch | None:
        output = finish()
        if output is not None:
            self._check(output, [batch for batch in inputs if batch is not None])
        return output

    def snapshot(self) -> pa.RecordBatch | None:
        table = self.operator.snapshot()
        if table is not None:
            self._same_schema(table)
            keys = self._keys_of(table)
            if len(set(keys)) != len(keys):
                raise InternalError("a snapshot holds a key twice", code="INTERNAL-CHECK")
            if WEIGHT in table.schema.names and set(table.column(WEIGHT).to_pylist()) - {1}:
                raise InternalError("a snapshot holds a row of another weight than 1", code="INTERNAL-CHECK")
        return table

    def _check(self, output: pa.RecordBatch, inputs: Sequence[pa.RecordBatch]) -> None:
        self._same_schema(output)
        if not output.num_rows:
            raise InternalError("an empty batch came out instead of None", code="INTERNAL-CHECK")
        seq = output.column(SEQ).to_pylist()
        if sorted(seq) != seq:
            raise InternalError(f"{SEQ} falls: {seq}", code="INTERNAL-CHECK")
        known = {number for batch in inputs for number in batch.column(SEQ).to_pylist()}
        if not set(seq) <= known:
            raise InternalError(f"{SEQ} {set(seq) - known} came with no input", code="INTERNAL-CHECK")
        if output.column(TIME).null_count:
            raise InternalError(f"{TIME} is null", code="INTERNAL-CHECK")
        if WEIGHT in output.schema.names:
            self._weigh(self._keys_of(output), output.column(WEIGHT).to_pylist())

    def _weigh(self, keys: Sequence[object], weights: Sequence[int]) -> None:
        for key, weight in zip(keys, weights, strict=True):
            if weight not in (1, -1):
                raise InternalError(f"weight {weight} of {key}", code="INTERNAL-CHECK")
            self._rows[key] += weight
            if self._rows[key] > 1 and not self._takes_back_old:
                self._rows[key] = 1
            if self._rows[key] < 0 and self._deletes_unknown:
                self._rows[key] = 0
            if self._rows[key] not in (0, 1):
                raise InternalError(f"{key} is there {self._rows[key]} times", code="INTERNAL-CHECK")

    def _keys_of(self, rows: pa.RecordBatch) -> list[object]:
        if not self._keys:
            return [None] * rows.num_rows
        return [repr(row) for row in rows.select(self._keys).to_pylist()]

    def _same_schema(self, rows: pa.RecordBatch) -> None:
        if rows.schema != self._schema:
            raise InternalError(f"rows of {rows.schema} instead of {self._schema}", code="INTERNAL-CHECK")
