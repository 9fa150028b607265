"""The state rows of an aggregation: beginning groups, merging partials into them, reading results out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.batch import TIME
from streamsql.engine.kernel import Kernel, Workspace
from streamsql.engine.operators.aggregate_call import (
    AggregateCall,
    Plain,
    StateColumn,
    aggregate_failed,
    schema_of,
    state_columns,
)
from streamsql.engine.operators.number_merging import merge_numbers
from streamsql.engine.state.columns import Bools, FixedColumn, Int64s, Values, to_numpy
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.store import KeyedStore

_EARLIEST = -1
"""Below every time there is."""


class GroupStates:
    """One state row per group: the calls' state columns, `$time` (the latest), what else is asked for.

    keys    what a group is known by
    extra   further int32/int64 columns that the operator fills itself
    touched how many state rows have been read or written in all: what the work is proportional to
    """

    def __init__(
        self,
        keys: pa.Schema,
        calls: Sequence[AggregateCall],
        workspace: Workspace,
        extra: Sequence[pa.Field] = (),
    ) -> None:
        self._calls = calls
        self._columns = state_columns(calls)
        self.states = schema_of(self._columns)
        values = pa.schema([*self.states, pa.field(TIME, pa.int64()), *extra])
        self.store = KeyedStore("groups", keys, values, KeyHasher(workspace, keys), time=TIME)
        self.touched = 0
        self._initial = _initial(self._columns, workspace)
        self._plain: dict[str, Plain] = {c.name: c.plain for c in self._columns if c.plain is not None}
        merged = [c for c in self._columns if c.plain is None]
        self._merged = schema_of(merged)
        self._merge = _merge_kernel(merged, calls, workspace)
        computed = [call for call in calls if call.bare is None]
        self._computed = schema_of(state_columns(computed))
        self._result = _result_kernel(computed, workspace)

    def begin(self, slots: Int64s) -> None:
        """Give new groups the initial state."""
        if not len(slots):
            return
        values = self.store.values
        values.use(slots)
        for field, initial in zip(self.states, self._initial, strict=True):
            column = values.columns[values.schema.get_field_index(field.name)]
            if isinstance(column, FixedColumn):
                first, valid = to_numpy(initial)
                column.set(slots, first[0], None if valid is None else np.zeros(len(slots), dtype=np.bool_))
            elif initial[0].is_valid:
                column.put(slots, initial.take(pa.array(np.zeros(len(slots), dtype=np.int64))))
        values.fixed(TIME).values[slots] = _EARLIEST

    def merge(self, slots: Int64s, partials: pa.RecordBatch, touched: Int64s | None = None) -> None:
        """Merge a partial into the state of each slot, in the order given.

        partials  the state columns and `$time`, by name
        touched   if slots are given more than once: each of them once
        raises    DataError if an aggregate fails
        """
        is_distinct = touched is None
        self.touched += len(slots)
        self.store.touch(slots if touched is None else touched)
        for name, kind in (*self._plain.items(), (TIME, "max")):
            array = partials.column(name)
            column = self.store.values.fixed(name)
            if array.type != column.type:
                array = array.cast(column.type)
            values, valid = to_numpy(array)
            merge_numbers(column, kind, slots, values, valid, is_distinct=is_distinct)
        if self._merge is None:
            return
        news = partials.select(self._merged.names)
        if is_distinct:
            self._merge_round(slots, news)
            return
        # Rows of one slot follow each other; each round takes at most one row of every slot.
        rounds = occurrence(slots)
        for number in range(int(rounds.max(initial=-1)) + 1):
            rows = np.flatnonzero(rounds == number)
            self._merge_round(slots[rows], news.take(pa.array(rows)))

    @property
    def takes_rows(self) -> bool:
        """Whether `merge_rows` can be used."""
        return all(column.of_row is not None for column in self._columns)

    def merge_rows(self, slots: Int64s, rows: pa.RecordBatch, touched: Int64s) -> None:
        """Merge rows that were not grouped, each into the state of its slot.

        rows     what the stage gives
        touched  each slot once
        """
        self.touched += len(slots)
        self.store.touch(touched)

        def merge(column: FixedColumn, kind: Plain, values: Values, valid: Bools | None) -> None:
            with np.errstate(all="ignore"):
                own = values.astype(column.values.dtype, copy=False)
            merge_numbers(column, kind, slots, own, valid, is_distinct=False)

        for declared in self._columns:
            assert declared.plain is not None and declared.of_row is not None
            column = self.store.values.fixed(declared.name)
            values, valid = declared.of_row.of(rows)
            merge(column, declared.plain, values, valid)
        merge(self.store.values.fixed(TIME), "max", rows.column(TIME).to_numpy(), None)

    def put(self, slots: Int64s, states: Sequence[pa.Array]) -> None:
        """Write the state columns and `$time` of groups, each given once."""
        self.touched += len(slots)
        values = self.store.values
        for name, array in zip([*self.states.names, TIME], states, strict=True):
            values.columns[values.schema.get_field_index(name)].put(slots, array)
        self.store.touch(slots)

    def results(self, slots: Int64s) -> list[pa.Array]:
        """The calls' results, one array per call.

        raises  DataError if an aggregate fails, as a decimal sum does that does not fit its type
        """
        self.touched += len(slots)
        values = self.store.values
        computed: list[pa.Array] = []
        if self._result is not None:
            feed = [
                values.columns[values.schema.get_field_index(n)].get(slots, None)
                for n in self._computed.names
            ]
            state = pa.RecordBatch.from_arrays(feed, schema=self._computed)
            computed = list(_run(self._calls, self._result, state=state).columns)
        arrays: list[pa.Array] = []
        for call in self._calls:
            if call.bare is None:
                arrays.append(_cast(computed.pop(0), call.result_type))
            else:
                array = values.columns[values.schema.get_field_index(call.bare)].get(slots, None)
                # A wider integer is cut, as two's complement is.
                arrays.append(
                    array if array.type == call.result_type else array.cast(call.result_type, safe=False)
                )
        return arrays

    def states_of(self, slots: Int64s) -> pa.RecordBatch:
        """The state columns of each group."""
        self.touched += len(slots)
        return self.store.values.get(slots).select(self.states.names)

    def times(self, slots: Int64s) -> Values:
        """`$time` of each group."""
        return self.store.values.fixed(TIME).values[slots]

    def _merge_round(self, slots: Int64s, news: pa.RecordBatch) -> None:
        assert self._merge is not None
        values = self.store.values
        places = [values.schema.get_field_index(name) for name in self._merged.names]
        olds = [values.columns[place].get(slots, None) for place in places]
        news_typed = [
            a if a.type == f.type else a.cast(f.type) for a, f in zip(news.columns, self._merged, strict=True)
        ]
        sides = pa.RecordBatch.from_arrays([*olds, *news_typed], schema=_sides(self._merged))
        merged = _run(self._calls, self._merge, sides=sides)
        for place, field, array in zip(places, self._merged, merged.columns, strict=True):
            values.columns[place].put(slots, array if array.type == field.type else array.cast(field.type))


class StateArithmetic:
    """Merging states and reading results out of them, for states that are in no store: columns of arrays.

    calls  of at least one state column
    """

    def __init__(self, calls: Sequence[AggregateCall], workspace: Workspace) -> None:
        self._calls = calls
        columns = state_columns(calls)
        self.states = schema_of(columns)
        self._merge = _merge_kernel(columns, calls, workspace)
        self._result = _result_kernel(calls, workspace)

    def typed(self, partials: pa.RecordBatch) -> list[pa.Array]:
        """The state columns of partials, in the types of states."""
        return [_cast(partials.column(f.name), f.type) for f in self.states]

    def merged(self, olds: Sequence[pa.Array], news: Sequence[pa.Array]) -> list[pa.Array]:
        """States row by row: the old one with the new one, of the rows that follow, merged into it.

        raises  DataError if an aggregate fails
        """
        assert self._merge is not None
        sides = pa.RecordBatch.from_arrays([*olds, *news], schema=_sides(self.states))
        columns = _run(self._calls, self._merge, sides=sides).columns
        return [_cast(array, f.type) for array, f in zip(columns, self.states, strict=True)]

    def results(self, states: Sequence[pa.Array]) -> list[pa.Array]:
        """The calls' results, one array per call.

        raises  DataError if an aggregate fails
        """
        assert self._result is not None
        batch = pa.RecordBatch.from_arrays(list(states), schema=self.states)
        columns = _run(self._calls, self._result, state=batch).columns
        return [_cast(array, call.result_type) for array, call in zip(columns, self._calls, strict=True)]


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    return array if array.type == target else array.cast(target)


def _run(calls: Sequence[AggregateCall], kernel: Kernel, **batches: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return kernel.run(**batches)
    except duckdb.Error as error:
        raise aggregate_failed(error, calls) from error


def occurrence(slots: Int64s) -> Int64s:
    """How many times each slot has occurred before; int64[n].

    >>> occurrence(np.array([7, 3, 7, 7]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(slots)]
    places = np.arange(len(slots))
    counts = np.empty(len(slots), dtype=np.int64)
    counts[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return counts


def last_places(slots: Int64s) -> Int64s:
    """The place of each slot's last occurrence, by slot.

    >>> last_places(np.array([7, 3, 7, 7, 3]))
    array([4, 3])
    """
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)[: len(slots)]
    places: Int64s = order[ends]
    return places


def _initial(columns: Sequence[StateColumn], workspace: Workspace) -> list[pa.Array]:
    """The initial state, an array of one value per state column."""
    if not columns:
        return []
    row = workspace.kernel(f"SELECT {_listed((c.name, c.initial) for c in columns)}", {}).run()
    return [array.cast(c.type) for c, array in zip(columns, row.columns, strict=True)]


def _listed(values: Iterable[tuple[str, str]]) -> str:
    """A SELECT list of SQL by name."""
    return ", ".join(f'{sql} AS "{name}"' for name, sql in values)


def _sides(states: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_name(f"{side}.{f.name}") for side in ("old", "new") for f in states])


def _merge_kernel(
    columns: Sequence[StateColumn], calls: Sequence[AggregateCall], workspace: Workspace
) -> Kernel | None:
    """The statement that merges some columns of the calls' states; None if there are none."""
    if not columns:
        return None
    sql = f"SELECT {_listed((c.name, c.merge) for c in columns)} FROM {{sides}}"
    functions = [f for call in calls for f in call.functions]
    return workspace.kernel(sql, {"sides": _sides(schema_of(columns))}, functions)


def _result_kernel(calls: Sequence[AggregateCall], workspace: Workspace) -> Kernel | None:
    """The statement that reads the calls' results out of their states; None if there are no calls."""
    if not calls:
        return None
    sql = f"SELECT {_listed((f'r{n}', call.result) for n, call in enumerate(calls))} FROM {{state}}"
    functions = [f for call in calls for f in call.functions]
    return workspace.kernel(sql, {"state": schema_of(state_columns(calls))}, functions)
