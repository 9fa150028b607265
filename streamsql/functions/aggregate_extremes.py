"""Aggregates that pick by size: MIN, MAX, TOPK, TOPKDISTINCT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from streamsql.functions.aggregate import AggregateFunction, State, check_count
from streamsql.types import Array, SqlType, Struct

_EXAMPLES = {
    "INTEGER": ("3, NULL, 1", "1", "3"),
    "BIGINT": ("3, NULL, 1", "1", "3"),
    "DOUBLE": ("3.5, NULL, 1.5", "1.5", "3.5"),
    "DATE": ("3, NULL, 1", "1970-01-02", "1970-01-04"),
    "TIME": ("3000000, NULL, 1000000", "00:00:01", "00:00:03"),
    "TIMESTAMP": ("3000000, NULL, 1000000", "1970-01-01 00:00:01", "1970-01-01 00:00:03"),
    "D": ("3.50, NULL, 1.50", "1.50", "3.50"),
    "VARCHAR": ("'b', NULL, 'a'", "a", "b"),
    "BYTES": ("b'b', NULL, b'a'", "b'a'", "b'b'"),
}
"""Type -> values, the smallest of them, the largest."""
_PLAIN = ("INTEGER", "BIGINT", "DOUBLE", "DATE", "TIME", "TIMESTAMP")
_TOP_TYPES = ("INTEGER", "BIGINT", "DOUBLE", "VARCHAR")


def _extreme(which: Literal["min", "max"], pick: str, says: str, t: str) -> AggregateFunction:
    values, smallest, largest = _EXAMPLES[t]
    return AggregateFunction(
        which.upper(),
        f"(x {t}) -> {t}",
        says,
        state=(
            State(
                "best",
                t,
                "NULL",
                f"{which}({{x}})",
                f"{pick}({{old.best}}, {{new.best}})",
                plain=which if t in _PLAIN else None,
                of_row="value" if t in _PLAIN else "",
            ),
        ),
        value="{best}",
        example=f"{which.upper()}(x) of {values}",
        gives=smallest if which == "min" else largest,
    )


def _top(name: str, says: str, t: str, distinct: bool) -> AggregateFunction:
    both = "list_concat({old.top}, {new.top})"
    values, smallest, largest = _EXAMPLES[t]
    return AggregateFunction(
        name,
        f"(x {t}, k INTEGER literal) -> ARRAY<{t}>",
        says,
        state=(
            State(
                "top",
                f"ARRAY<{t}>",
                "[]",
                f"coalesce(max({'DISTINCT ' if distinct else ''}{{x}}, {{k}}), [])",
                f"list_reverse_sort({f'list_distinct({both})' if distinct else both})[1:{{k}}]",
            ),
        ),
        value="{top}",
        check=check_count("k"),
        example=f"{name}(x, 2) of {values}",
        gives=f"[{largest}, {smallest}]",
    )


def _top_rows(t: str, columns: int) -> AggregateFunction:
    """TOPK with further columns; each has a type of its own, so each number of them is an overload."""
    others = ", ".join(f"c{i} C{i}" for i in range(columns))
    kept = "".join(f", col{i} C{i}" for i in range(columns))
    packed = "".join(f", 'col{i}': {{c{i}}}" for i in range(columns))
    shown = "".join(f", 'col{i}': \"$r\".col{i}" for i in range(columns))
    return AggregateFunction(
        "TOPK",
        f"(x {t}, {others}, k INTEGER literal) -> ARRAY<STRUCT<sort_col {t}{kept}>>",
        "The rows with the k largest x, descending, with other columns of theirs; of equal ones the earlier.",
        state=(
            State(
                "top",
                # As structs sort field by field, descending means larger x first, then earlier rows.
                f"ARRAY<STRUCT<sort_col {t}, minus_seq BIGINT{kept}>>",
                "[]",
                f"coalesce(max({{{{'sort_col': {{x}}, 'minus_seq': -\"$seq\"{packed}}}}}, {{k}})"
                " FILTER (WHERE {x} IS NOT NULL), [])",
                "list_reverse_sort(list_concat({old.top}, {new.top}))[1:{k}]",
            ),
        ),
        value=f'list_transform({{top}}, lambda "$r": {{{{\'sort_col\': "$r".sort_col{shown}}}}})',
        check=check_count("k"),
        uses_seq=True,
        result=_top_rows_type(columns),
        example="TOPK(x, c0, 2) of (1, 'a'), (3, 'b'), (3, 'c')" if (t, columns) == ("INTEGER", 1) else "",
        gives="[{'sort_col': 3, 'col0': 'b'}, {'sort_col': 3, 'col0': 'c'}]",
    )


def _top_rows_type(columns: int) -> Callable[[Sequence[SqlType]], SqlType]:
    def result(types: Sequence[SqlType]) -> SqlType:
        fields = [("sort_col", types[0]), *((f"col{i}", types[1 + i]) for i in range(columns))]
        return Array(Struct(tuple(fields)))

    return result


EXTREMES = (
    *(_extreme("min", "least", "Smallest value.", t) for t in _EXAMPLES),
    *(_extreme("max", "greatest", "Largest value.", t) for t in _EXAMPLES),
    *(
        _top("TOPK", "The k largest values, descending, repeated ones repeated.", t, False)
        for t in _TOP_TYPES
    ),
    *(_top("TOPKDISTINCT", "The k largest distinct values, descending.", t, True) for t in _EXAMPLES),
    *(_top_rows(t, columns) for columns in range(1, 10) for t in _TOP_TYPES),
)
