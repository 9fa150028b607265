"""Functions of arrays; those with lambdas stand in lambdas.py.

`list_position` compares as IS NOT DISTINCT FROM does: nulls are equal, inside elements too. Lambda
parameters that a template brings along are named "$..." as no column is (see maps.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.errors import PlanError
from streamsql.functions.cast import cast_sql
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import FAIL, fail, literal_text
from streamsql.types import BOOLEAN, VARCHAR, Array, SqlType, duckdb_string, is_numeric


def _distinct(array: str, condition: str = "TRUE") -> str:
    """The first of equal elements, in order, one null among them; {x} in the condition is the element.

    DuckDB's list_distinct keeps neither order nor null. This is quadratic in the length of one array.
    """
    first = f'list_position({array}, "$x") = "$i"'
    wanted = condition.replace("{x}", '"$x"')
    return f'list_filter({array}, lambda "$x", "$i": {first} AND {wanted})'


def _common(call: BoundCall, is_in_both: bool) -> str:
    first, second = call.arguments["first"], call.arguments["second"]
    where = f"list_position({second}, {{x}}) IS {'NOT NULL' if is_in_both else 'NULL'}"
    return f"CASE WHEN {second} IS NOT NULL THEN {_distinct(first, where)} END"


def _union(call: BoundCall) -> str:
    first, second = call.arguments["first"], call.arguments["second"]
    distinct = _distinct('"$both"')
    both = f'list_transform([list_concat({first}, {second})], lambda "$both": {distinct})[1]'
    return f"CASE WHEN {first} IS NOT NULL AND {second} IS NOT NULL THEN {both} END"


def _join(call: BoundCall) -> Fragment:
    array = call.types["array"]
    assert isinstance(array, Array)
    shown = cast_sql('"$x"', array.element, VARCHAR)
    texts = f"list_transform({call.arguments['array']}, lambda \"$x\": coalesce({shown.sql}, 'null'))"
    delimiter = call.arguments.get("delimiter")
    if delimiter is None or literal_text(delimiter) is not None:
        sql = f"array_to_string({texts}, {delimiter or duckdb_string(',')})"
    else:
        # DuckDB's own function wants a delimiter that is the same for all rows.
        after = f'lambda "$done", "$x": "$done" || coalesce({delimiter}, \'\') || "$x"'
        joined = f'list_reduce("$texts", {after})'
        sql = f"CASE WHEN len(\"$texts\") = 0 THEN '' ELSE {joined} END"
        sql = f'list_transform([{texts}], lambda "$texts": {sql})[1]'
    return Fragment(sql, shown.functions)


def _joined(types: Sequence[SqlType]) -> SqlType:
    array = types[0]
    assert isinstance(array, Array)
    if array.element not in (BOOLEAN, VARCHAR) and not is_numeric(array.element):
        raise PlanError(
            f"function ARRAY_JOIN joins numbers, BOOLEAN and VARCHAR, not the elements of {array}",
            code="PLAN-NO-SUCH-OVERLOAD",
            hint="CAST the array to ARRAY<VARCHAR>",
        )
    return VARCHAR


def _sort(call: BoundCall) -> str:
    array, direction = call.arguments["array"], call.arguments.get("direction")
    up, down = (f"list_sort({array}, '{order}', 'NULLS LAST')" for order in ("ASC", "DESC"))
    if direction is None:
        return up
    return (
        f"CASE WHEN upper({direction}) IN ('ASC', 'ASCENDING') THEN {up}"
        f" WHEN upper({direction}) IN ('DESC', 'DESCENDING') THEN {down} END"
    )


def _slice(call: BoundCall) -> Fragment:
    """Java's subList: out of range gives null, a start behind the end fails."""
    array = call.arguments["array"]
    start = f"coalesce({call.arguments['start']}, 1)"
    end = f"coalesce({call.arguments['end']}, len({array}))"
    message = f"'slice from ' || {start} || ' to ' || {end} || ' ends before it starts'"
    sql = (
        f"CASE WHEN {array} IS NULL OR {start} < 1 OR {end} > len({array}) THEN NULL"
        f" WHEN {start} > {end} + 1 THEN {fail(message, call.result.duckdb)}"
        # An end of 0 would mean the end of the array to DuckDB.
        f" WHEN {end} = 0 THEN CAST([] AS {call.result.duckdb})"
        f" ELSE array_slice({array}, {start}, {end}) END"
    )
    return Fragment(sql, (FAIL,))


def _series(call: BoundCall) -> Fragment:
    start, end = f"CAST({call.arguments['start']} AS BIGINT)", f"CAST({call.arguments['end']} AS BIGINT)"
    step = call.arguments.get("step")
    if step is None:
        sql = f"generate_series({start}, {end}, CASE WHEN {end} >= {start} THEN 1 ELSE -1 END)"
    else:
        message = f"'step ' || {step} || ' does not lead from ' || {start} || ' to ' || {end}"
        sql = (
            f"CASE WHEN {step} = 0 OR ({step} > 0 AND {end} < {start}) OR ({step} < 0 AND {end} > {start})"
            f" THEN {fail(message, 'BIGINT[]')} ELSE generate_series({start}, {end}, {step}) END"
        )
    return Fragment(f"CAST({sql} AS {call.result.duckdb})", (FAIL,), can_fail=step is not None)


def _entries(call: BoundCall) -> str:
    pairs = (
        f"list_transform(map_entries({call.arguments['map']}),"
        ' lambda "$e": {\'K\': "$e".key, \'V\': "$e".value})'
    )
    order = call.arguments["sorted"]
    return f"CASE WHEN {order} THEN list_sort({pairs}) WHEN NOT {order} THEN {pairs} END"


_SERIES = "The whole numbers from one to another, both included, by a step (1 or -1 toward the end)."

ARRAYS: tuple[Scalar, ...] = (
    Scalar(
        "ARRAY_CONCAT",
        "(first ARRAY<T>, second ARRAY<T>) -> ARRAY<T>",
        "Both arrays one after the other, duplicates kept; a null array counts for nothing.",
        sql="CASE WHEN {first} IS NOT NULL OR {second} IS NOT NULL THEN list_concat({first}, {second}) END",
        example="ARRAY_CONCAT(ARRAY[1, 2], ARRAY[2, 3])",
        gives="[1, 2, 2, 3]",
    ),
    Scalar(
        "ARRAY_CONTAINS",
        "(array ARRAY<T>, wanted T) -> BOOLEAN",
        "Whether the array has such an element; false for a null array.",
        sql="coalesce(list_position({array}, {wanted}), 0) > 0",
        example="ARRAY_CONTAINS(ARRAY[1, 2], 2)",
        gives="true",
    ),
    Scalar(
        "ARRAY_DISTINCT",
        "(array ARRAY<T>) -> ARRAY<T>",
        "The array without repetitions, in the order of first occurrence.",
        sql=_distinct("{array}"),
        example="ARRAY_DISTINCT(ARRAY[2, 1, 2, 3])",
        gives="[2, 1, 3]",
    ),
    Scalar(
        "ARRAY_EXCEPT",
        "(first ARRAY<T>, second ARRAY<T>) -> ARRAY<T>",
        "The distinct elements of the first array that the second does not have.",
        sql=lambda call: _common(call, is_in_both=False),
        example="ARRAY_EXCEPT(ARRAY[3, 1, 2, 3], ARRAY[1])",
        gives="[3, 2]",
    ),
    Scalar(
        "ARRAY_INTERSECT",
        "(first ARRAY<T>, second ARRAY<T>) -> ARRAY<T>",
        "The distinct elements that both arrays have, in the order of the first.",
        sql=lambda call: _common(call, is_in_both=True),
        example="ARRAY_INTERSECT(ARRAY[3, 1, 2, 3], ARRAY[2, 3])",
        gives="[3, 2]",
    ),
    Scalar(
        "ARRAY_JOIN",
        "(array ARRAY<T>, [delimiter VARCHAR]) -> VARCHAR",
        "The elements as one text with a delimiter (a comma) between them; null elements read null.",
        sql=_join,
        result=_joined,
        example="ARRAY_JOIN(ARRAY[1, NULL, 3], ', ')",
        gives="1, null, 3",
    ),
    Scalar(
        "ARRAY_LENGTH",
        "(array ARRAY<T>) -> INTEGER",
        "The number of elements.",
        sql="CAST(len({array}) AS INTEGER)",
        example="ARRAY_LENGTH(ARRAY[1, 2, 3])",
        gives="3",
    ),
    Scalar(
        "ARRAY_MAX",
        "(array ARRAY<T cmp>) -> T",
        "The largest element; nulls are ignored.",
        sql="list_max({array})",
        example="ARRAY_MAX(ARRAY[1, 3, 2])",
        gives="3",
    ),
    Scalar(
        "ARRAY_MIN",
        "(array ARRAY<T cmp>) -> T",
        "The smallest element; nulls are ignored.",
        sql="list_min({array})",
        example="ARRAY_MIN(ARRAY[3, 1, 2])",
        gives="1",
    ),
    Scalar(
        "ARRAY_REMOVE",
        "(array ARRAY<T>, unwanted T) -> ARRAY<T>",
        "The array without the elements equal to a value; null takes the nulls out.",
        sql='list_filter({array}, lambda "$x": "$x" IS DISTINCT FROM {unwanted})',
        example="ARRAY_REMOVE(ARRAY[1, 2, 1], 1)",
        gives="[2]",
    ),
    Scalar(
        "ARRAY_SORT",
        "(array ARRAY<T cmp>, [direction VARCHAR]) -> ARRAY<T>",
        "The elements in order, ASC (the default) or DESC, nulls last.",
        sql=_sort,
        example="ARRAY_SORT(ARRAY[3, 1, 2], 'DESC')",
        gives="[3, 2, 1]",
    ),
    Scalar(
        "ARRAY_UNION",
        "(first ARRAY<T>, second ARRAY<T>) -> ARRAY<T>",
        "The distinct elements of both arrays, those of the first before the others.",
        sql=_union,
        example="ARRAY_UNION(ARRAY[2, 1], ARRAY[1, 3])",
        gives="[2, 1, 3]",
    ),
    Scalar(
        "ENTRIES",
        "(map MAP<VARCHAR, T>, sorted BOOLEAN) -> ARRAY<STRUCT<K VARCHAR, V T>>",
        "The entries of a map as structs of K and V, sorted by key if so asked.",
        sql=_entries,
        example="ENTRIES(MAP('b' := 1, 'a' := 2), TRUE)",
        gives="[Struct{K=a,V=2}, Struct{K=b,V=1}]",
    ),
    Scalar(
        "GENERATE_SERIES",
        "(start INTEGER, end INTEGER, [step INTEGER]) -> ARRAY<INTEGER>",
        _SERIES,
        sql=_series,
        example="GENERATE_SERIES(1, 7, 3)",
        gives="[1, 4, 7]",
    ),
    Scalar(
        "GENERATE_SERIES",
        "(start BIGINT, end BIGINT, [step INTEGER]) -> ARRAY<BIGINT>",
        _SERIES,
        sql=_series,
        example="GENERATE_SERIES(3, 1)",
        gives="[3, 2, 1]",
    ),
    Scalar(
        "SLICE",
        "(array ARRAY<T>, start INTEGER, end INTEGER) -> ARRAY<T>",
        "The elements from one place to another, from 1, both included; null if there are not so many.",
        sql=_slice,
        can_fail=True,
        example="SLICE(ARRAY[1, 2, 3, 4], 2, 3)",
        gives="[2, 3]",
    ),
)
