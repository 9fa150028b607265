"""Aggregates that keep values: COLLECT_LIST, COLLECT_SET, HISTOGRAM, ATTR."""

from __future__ import annotations

from streamsql.functions.aggregate import AggregateBinding, AggregateFunction, State
from streamsql.functions.aggregate_lists import counts_settled, distinct_in_order, last_equal_removed
from streamsql.types import VARCHAR

_LARGEST_HISTOGRAM = 1000
_LISTED = 'coalesce(list({x} ORDER BY "$seq"), [])'
_COUNTED = "ARRAY<STRUCT<item T, n BIGINT>>"


def _entries(item: str, weight: str) -> str:
    """The values of a group's rows, each with its weight, in order."""
    return f"coalesce(list({{{{'item': {item}, 'n': {weight}::BIGINT}}}} ORDER BY \"$seq\"), [])"


def _list(binding: AggregateBinding) -> tuple[State, ...]:
    merged = _limited("list_concat({old.items}, {new.items})", "collect_list", binding)
    return (State("items", "ARRAY<T>", "[]", _LISTED, merged),)


def _set(binding: AggregateBinding) -> tuple[State, ...]:
    merged = _limited("{distinct}(list_concat({old.items}, {new.items}))", "collect_set", binding)
    return (State("items", "ARRAY<T>", "[]", f"{{distinct}}({_LISTED})", merged),)


def _limited(lists: str, name: str, binding: AggregateBinding) -> str:
    """The lists, cut to the length that the setting allows."""
    limit = int(binding.settings.get(f"ksql.functions.{name}.limit", 0))
    return f"({lists})[1:{limit}]" if limit > 0 else lists


def _counts(t: str, item: str, limit: int, *, on_table: bool) -> State:
    """How often each value occurs, in the order of first occurrence."""
    entries = _entries(item, '"$weight"' if on_table else "1")
    return State(
        "counts",
        t,
        "[]",
        # Over a table a partial has negative counts too, which only make sense beside the state.
        entries if on_table else f"{{settled}}({entries}, 0)",
        f"{{settled}}(list_concat({{old.counts}}, {{new.counts}}), {limit})",
    )


_HISTOGRAM_TYPE = "ARRAY<STRUCT<item VARCHAR, n BIGINT>>"
_HISTOGRAM_ITEM = "coalesce({x}, 'null')"

COLLECTIONS = (
    AggregateFunction(
        "COLLECT_LIST",
        "(x T) -> ARRAY<T>",
        "All values in the order in which they came, nulls too.",
        state=_list,
        value="{items}",
        on_table=(
            State("items", "ARRAY<T>", "[]", "[]", "{undo}({old.items}, {new.changes})"),
            State("changes", _COUNTED, "[]", _entries("{x}", '"$weight"'), "[]"),
        ),
        functions={"undo": lambda b: last_equal_removed(b.variables["T"])},
        is_ordered=True,
        uses_seq=True,
        example="COLLECT_LIST(x) of 2, NULL, 1, 2",
        gives="[2, None, 1, 2]",
    ),
    AggregateFunction(
        "COLLECT_SET",
        "(x T) -> ARRAY<T>",
        "The distinct values in the order in which they first came; null counts as a value.",
        state=_set,
        value="{items}",
        functions={"distinct": lambda b: distinct_in_order(b.variables["T"])},
        is_ordered=True,
        uses_seq=True,
        example="COLLECT_SET(x) of 2, NULL, 1, 2",
        gives="[2, None, 1]",
    ),
    AggregateFunction(
        "HISTOGRAM",
        "(x VARCHAR) -> MAP<VARCHAR, BIGINT>",
        "How often each value occurs, for the first 1000 values; nulls are counted under 'null'.",
        state=(_counts(_HISTOGRAM_TYPE, _HISTOGRAM_ITEM, _LARGEST_HISTOGRAM, on_table=False),),
        value=f"map_from_entries({{counts}}[1:{_LARGEST_HISTOGRAM}])",
        on_table=(_counts(_HISTOGRAM_TYPE, _HISTOGRAM_ITEM, _LARGEST_HISTOGRAM, on_table=True),),
        functions={"settled": lambda b: counts_settled(VARCHAR)},
        is_ordered=True,
        uses_seq=True,
        example="HISTOGRAM(x) of 'b', 'a', NULL, 'b'",
        gives="[('b', 2), ('a', 1), ('null', 1)]",
    ),
    AggregateFunction(
        "ATTR",
        "(x T) -> T",
        "The value that all rows have, null counting as one; NULL if they have several.",
        state=(
            State(
                "kinds",
                "INTEGER",
                "0",
                "CASE WHEN count(*) = 0 THEN 0 WHEN count({x}) = 0 THEN 1"
                " WHEN count({x}) = count(*) AND min({x}) = max({x}) THEN 1 ELSE 2 END",
                "CASE WHEN {new.kinds} = 0 THEN {old.kinds} WHEN {old.kinds} = 0 THEN {new.kinds}"
                " WHEN {old.kinds} = 1 AND {new.kinds} = 1 AND {old.item} IS NOT DISTINCT FROM {new.item}"
                " THEN 1 ELSE 2 END",
            ),
            State(
                "item",
                "T",
                "NULL",
                "min({x})",
                "CASE WHEN {old.kinds} = 0 THEN {new.item} ELSE {old.item} END",
            ),
        ),
        value="CASE WHEN {kinds} = 1 THEN {item} END",
        on_table=(_counts(_COUNTED, "{x}", 0, on_table=True),),
        table_value="CASE WHEN len({counts}) = 1 THEN {counts}[1].item END",
        functions={"settled": lambda b: counts_settled(b.variables["T"])},
        uses_seq=True,
        example="ATTR(x) of 7, 7",
        gives="7",
    ),
)
