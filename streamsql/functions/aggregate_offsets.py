"""Aggregates that pick by place in the order of processing: EARLIEST_BY_OFFSET, LATEST_BY_OFFSET."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from streamsql.functions.aggregate import AggregateBinding, AggregateFunction, State, check_count

Which = Literal["min", "max"]


def _filter(binding: AggregateBinding) -> str:
    """Which rows count: without nulls unless the call says otherwise."""
    ignores_nulls = binding.literals.get("ignoreNulls", True)
    return " FILTER (WHERE {x} IS NOT NULL)" if ignores_nulls else ""


def _one(which: Which) -> Callable[[AggregateBinding], tuple[State, ...]]:
    earlier = "<" if which == "min" else ">"

    def states(binding: AggregateBinding) -> tuple[State, ...]:
        chosen = _filter(binding)
        replaces = f"({{old.seq}} IS NULL OR {{new.seq}} {earlier} {{old.seq}})"
        return (
            State(
                "seq",
                "BIGINT",
                "NULL",
                f'{which}("$seq"){chosen}',
                f"CASE WHEN {replaces} THEN {{new.seq}} ELSE {{old.seq}} END",
            ),
            State(
                "item",
                "T",
                "NULL",
                f'arg_{which}_null({{x}}, "$seq"){chosen}',
                f"CASE WHEN {replaces} THEN {{new.item}} ELSE {{old.item}} END",
            ),
        )

    return states


def _several(which: Which) -> Callable[[AggregateBinding], tuple[State, ...]]:
    sort = "list_sort" if which == "min" else "list_reverse_sort"

    def states(binding: AggregateBinding) -> tuple[State, ...]:
        entry = "{{'seq': \"$seq\", 'item': {x}}}"
        return (
            State(
                "found",
                "ARRAY<STRUCT<seq BIGINT, item T>>",
                "[]",
                f"coalesce({which}({entry}, {{n}}){_filter(binding)}, [])",
                f"{sort}(list_concat({{old.found}}, {{new.found}}))[1:{{n}}]",
            ),
        )

    return states


def _rows(name: str, word: str, which: Which) -> tuple[AggregateFunction, AggregateFunction]:
    in_order = "{found}" if which == "min" else "list_reverse({found})"
    return (
        AggregateFunction(
            name,
            "(x T, [ignoreNulls BOOLEAN literal]) -> T",
            f"The {word} value in the order of processing; nulls count if ignoreNulls is FALSE.",
            state=_one(which),
            value="{item}",
            uses_seq=True,
            example=f"{name}(x) of NULL, 3, 1, NULL",
            gives="3" if which == "min" else "1",
        ),
        AggregateFunction(
            name,
            "(x T, n INTEGER literal, [ignoreNulls BOOLEAN literal]) -> ARRAY<T>",
            f"The {word} n values in the order of processing; nulls count if ignoreNulls is FALSE.",
            state=_several(which),
            value=f'list_transform({in_order}, lambda "$e": "$e".item)',
            check=check_count("n"),
            uses_seq=True,
            example=f"{name}(x, 2) of NULL, 3, 1, 2, NULL",
            gives="[3, 1]" if which == "min" else "[1, 2]",
        ),
    )


OFFSETS = (*_rows("EARLIEST_BY_OFFSET", "first", "min"), *_rows("LATEST_BY_OFFSET", "last", "max"))
