"""Table functions: the list that each row becomes."""

from __future__ import annotations

from decimal import Decimal as D
from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streamsql.engine.kernel import Workspace
from streamsql.functions.call import print_call
from streamsql.functions.registry import Registry
from streamsql.functions.resolve import resolve
from streamsql.functions.tables import TABLES
from streamsql.types import BIGINT, INTEGER, VARCHAR, Array, Decimal, SqlType, Struct

REGISTRY = Registry(TABLES, "table function")


def lists(name: str, t: SqlType, rows: list[Any]) -> list[Any]:
    match = resolve(name, REGISTRY.overloads(name), [t])
    sql, functions, _ = print_call(match, ['"A"'])
    batch = pa.record_batch({"A": pa.array(rows, t.arrow)})
    space = Workspace()
    try:
        kernel = space.kernel(f"SELECT {sql} AS y FROM {{rows}}", {"rows": batch.schema}, functions)
        found = kernel.run(rows=batch).column("y")
        assert found.type.value_type.equals(match.result.arrow)
        return found.to_pylist()
    finally:
        space.close()


def test_explode_is_the_array() -> None:
    assert lists("EXPLODE", Array(INTEGER), [[1, None, 2], [], None]) == [[1, None, 2], [], None]
    assert lists("explode", Array(Decimal(4, 2)), [[D("1.50")]]) == [[D("1.50")]]
    nested = Array(Struct((("F1", BIGINT),)))
    assert lists("EXPLODE", nested, [[{"F1": 1}]]) == [[{"F1": 1}]]


def test_cube_counts_in_binary_from_all_null() -> None:
    assert lists("CUBE_EXPLODE", Array(VARCHAR), [["one", "two"]]) == [
        [[None, None], [None, "two"], ["one", None], ["one", "two"]]
    ]


def test_null_elements_have_no_place_in_the_count() -> None:
    given = [["a", None, "b"], [None], [], None]
    assert lists("CUBE_EXPLODE", Array(VARCHAR), given) == [
        [[None, None, None], [None, None, "b"], ["a", None, None], ["a", None, "b"]],
        [[None]],
        [[]],
        None,
    ]


def test_cube_of_five_is_every_combination() -> None:
    (found,) = lists("CUBE_EXPLODE", Array(INTEGER), [[1, 2, 3, 4, 5]])
    assert found == [
        [x if kept else None for x, kept in zip(range(1, 6), bits, strict=True)]
        for bits in product((0, 1), repeat=5)
    ]


def test_more_than_twenty_elements_fail() -> None:
    with pytest.raises(duckdb.Error, match="at most 20 elements, not 21"):
        lists("CUBE_EXPLODE", Array(INTEGER), [list(range(21))])
