"""The checker finds each kind of broken promise."""

from __future__ import annotations

import pyarrow as pa
import pytest

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.base import Operator
from streamsql.errors import InternalError

SCHEMA = pa.schema([("k", pa.string()), ("$time", pa.int64()), ("$seq", pa.int64()), ("$weight", pa.int8())])


def rows(*values: tuple[str, int | None, int, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, v, strict=True)) for v in values], SCHEMA)


class Says(Operator):
    """Gives what it was told, whatever comes in."""

    def __init__(self, *outputs: pa.RecordBatch, table: pa.RecordBatch | None = None) -> None:
        self.outputs, self.table = list(outputs), table

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        return self.outputs.pop(0)

    def snapshot(self) -> pa.RecordBatch | None:
        return self.table


INPUT = rows(("a", 1, 0, 1), ("a", 1, 1, 1), ("a", 1, 2, 1))
GOOD = rows(("a", 1, 0, 1), ("a", 1, 1, -1), ("a", 1, 1, 1))


def test_what_keeps_its_promises_passes_through():
    checked = CheckedOperator(Says(GOOD, rows(("a", 1, 0, -1))), SCHEMA, ["k"], takes_back_old=True)
    assert checked.process(INPUT) == GOOD
    assert checked.process(INPUT) is not None


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([GOOD.select(["k", "$time", "$seq"])], "instead of"),
        ([GOOD.slice(0, 0)], "empty batch"),
        ([rows(("a", 1, 1, 1), ("b", 1, 0, 1))], r"\$seq falls"),
        ([rows(("a", 1, 7, 1))], "came with no input"),
        ([rows(("a", None, 0, 1))], r"\$time is null"),
        ([rows(("a", 1, 0, 2))], "weight 2"),
        ([rows(("a", 1, 0, -1))], "is there -1 times"),
        ([rows(("a", 1, 0, 1)), rows(("a", 1, 0, 1))], "is there 2 times"),
    ],
    ids=["schema", "empty", "falls", "unknown", "no time", "weight", "below zero", "twice"],
)
def test_a_broken_promise_is_named(outputs, message):
    checked = CheckedOperator(Says(*outputs), SCHEMA, ["k"], takes_back_old=True)
    with pytest.raises(InternalError, match=message):
        for _ in outputs:
            checked.process(INPUT)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(("a", 1, 0, 1), ("a", 2, 0, 1)), "a key twice"),
        (rows(("a", 1, 0, -1)), "another weight"),
    ],
)
def test_a_snapshot_is_looked_at_too(table, message):
    checked = CheckedOperator(Says(table=table), SCHEMA, ["k"])
    with pytest.raises(InternalError, match=message):
        checked.snapshot()
