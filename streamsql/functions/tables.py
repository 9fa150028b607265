"""Table functions: a list per row, of which the planner makes a row each."""

from __future__ import annotations

from streamsql.functions.registry import BoundCall, Fragment, TableFunction
from streamsql.sqltext import FAIL, fail

_MOST_CUBED = 20


def _cube(call: BoundCall) -> Fragment:
    """Every way to keep or null each element, counted in binary: the last element is the lowest bit.

    The bit of an element is the number of elements behind it that are not null; nulls have none, so that
    no combination comes twice.
    """
    array = call.arguments["array"]
    bit = f'list_count(list_slice({array}, "$at" + 1, len({array})))'
    kept = f'CASE WHEN ("$mask" >> {bit}) & 1 = 1 THEN "$x" END'
    combination = f'list_transform({array}, lambda "$x", "$at": {kept})'
    masks = f"range(CAST(1 AS BIGINT) << list_count({array}))"
    too_many = fail(
        f"'CUBE_EXPLODE takes at most {_MOST_CUBED} elements, not ' || len({array})",
        f"{call.types['array'].duckdb}[]",
    )
    return Fragment(
        f"CASE WHEN len({array}) > {_MOST_CUBED} THEN {too_many}"
        f' ELSE list_transform({masks}, lambda "$mask": {combination}) END',
        (FAIL,),
        True,
    )


TABLES = (
    TableFunction(
        "EXPLODE",
        "(array ARRAY<T>) -> T",
        says="A row for each element of an array.",
        sql="{array}",
        category="Arrays",
        example="EXPLODE(ARRAY[1, 2])",
        gives="1, 2",
    ),
    TableFunction(
        "CUBE_EXPLODE",
        "(array ARRAY<T>) -> ARRAY<T>",
        says="A row for each way to keep or null the elements of an array.",
        sql=_cube,
        can_fail=True,
        category="Arrays",
        example="CUBE_EXPLODE(ARRAY['a', 'b'])",
        gives="[null, null], [null, b], [a, null], [a, b]",
    ),
)
