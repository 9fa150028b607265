"""Foreign-key join of tables: many left rows point at one right row, and follow it.

The result has the left table's key. A change of a left row, or of what it points at, changes one row of the
result; a change of a right row changes the rows of all left rows that point at it.

In a micro-batch a left row has *versions*, each alive from the event that wrote it to the next event of its
key. A right row's event meets exactly the versions that point at it and are alive when it is processed, and
a left row's event sees the right rows as they are at that moment; so the result does not depend on how the
input is cut. Left rows are found by what they point at through a spine whose entries die when a newer
version of the row comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT
from streamsql.engine.operators.as_of import LastChanges, is_complete, pooled, without_replaced
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.group_states import last_places
from streamsql.engine.operators.join_keys import JoinKeys
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.operators.table_state import known
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.spine import Spine, sorted_run
from streamsql.engine.state.store import KeyedStore

VERSION = "$version"
"""The number of the event that wrote a left row."""

_NEVER = -(1 << 60)
_FOREVER = 1 << 60
_NONE: Int64s = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ForeignKeyJoin:
    """Tables joined where a left table's expression is the right table's key.

    left, right      schemas of the inputs; no column but meta columns is in both
    left_keys        the left table's key, which is the result's
    foreign_key      the left columns that point at `right_key`
    right_key        the right table's key; not in the output
    keeps_unmatched  LEFT: a left row that points at nothing has nulls; INNER leaves it out
    tells_all_deletes  a left row that goes is taken back even where the result had no row for it, as Kafka
                     Streams does; for consumers that upsert and delete by key, not for those that count
    """

    left: pa.Schema
    right: pa.Schema
    left_keys: tuple[str, ...]
    foreign_key: tuple[str, ...]
    right_key: tuple[str, ...]
    keeps_unmatched: bool
    tells_all_deletes: bool = False

    @property
    def left_columns(self) -> tuple[str, ...]:
        """What is kept of a left row besides its key."""
        return tuple(n for n in self.left.names if not n.startswith("$") and n not in self.left_keys)

    @property
    def right_columns(self) -> tuple[str, ...]:
        """What a right row adds."""
        return tuple(n for n in self.right.names if not n.startswith("$") and n not in self.right_key)

    @property
    def output(self) -> pa.Schema:
        return pa.schema(
            [
                *(self.left.field(n) for n in (*self.left_keys, *self.left_columns)),
                *(self.right.field(n) for n in self.right_columns),
                pa.field(TIME, pa.int64()),
                pa.field(SEQ, pa.int64()),
                pa.field(WEIGHT, pa.int8()),
            ]
        )

    def open(self, context: Context) -> Operator:
        return ForeignKeyJoinOperator(self, context)

    def describe(self) -> str:
        kind = "left" if self.keeps_unmatched else "inner"
        ours, theirs = ", ".join(self.foreign_key), ", ".join(self.right_key)
        return f"{kind} join tables on a foreign key ({ours}) = ({theirs})"


@dataclass(frozen=True, slots=True)
class _Events:
    """One side's events of a batch, in order; arrays [n].

    slots   of the rows in the side's store
    target  slot of the foreign key; -1 where a left row is deleted or points at nothing
    number  rank in processing, over both sides and the operator's life
    added   slots that held no row before the batch
    """

    batch: pa.RecordBatch
    slots: Int64s
    target: Int64s
    number: Int64s
    time: Int64s
    puts_in: Bools
    added: Int64s

    @property
    def rows(self) -> int:
        return self.batch.num_rows


@dataclass(frozen=True, slots=True)
class _Versions:
    """Left rows over time; int64[n].

    place   of the row: below the number of rows in the batch a row of it, from there on a slot of the store
    target  slot of the foreign key
    start, end  numbers of the events between which it is alive: start < number < end
    order   the number of the event that wrote it
    """

    place: Int64s
    target: Int64s
    start: Int64s
    end: Int64s
    order: Int64s


@dataclass(frozen=True, slots=True)
class _Changes:
    """What becomes of rows of the result; int64[n]. Rows are places as in `_Versions`, -1 for none.

    number, time  of the event
    tie           orders what one event causes
    """

    number: Int64s
    time: Int64s
    tie: Int64s
    old_left: Int64s
    old_right: Int64s
    new_left: Int64s
    new_right: Int64s


class ForeignKeyJoinOperator(Operator):
    def __init__(self, spec: ForeignKeyJoin, context: Context) -> None:
        self.spec = spec
        workspace = context.workspace
        left_keys = pa.schema([spec.left.field(n) for n in spec.left_keys])
        left_marks = [pa.field(TIME, pa.int64()), pa.field(VERSION, pa.int64())]
        left_values = pa.schema([*(spec.left.field(n) for n in spec.left_columns), *left_marks])
        right_keys = pa.schema([spec.right.field(n) for n in spec.right_key])
        right_values = pa.schema(
            [*(spec.right.field(n) for n in spec.right_columns), pa.field(TIME, pa.int64())]
        )
        self.left = KeyedStore("left", left_keys, left_values, KeyHasher(workspace, left_keys), time=TIME)
        self.right = KeyedStore(
            "right", right_keys, right_values, KeyHasher(workspace, right_keys), time=TIME
        )
        self._numbers = StreamTime()
        self._numbers.name = "numbers"
        self.stores = (self.left, self.right, self._numbers)
        self._targets = JoinKeys(right_keys, workspace)
        self._target_of: Int64s = _NONE
        """By left slot: the slot of its foreign key, -1 if that is null."""
        self._row_of: Int64s = _NONE
        """By slot of a foreign key: the right row's slot, -1 if there is none."""
        self.by_target = Spine(self._is_current)
        self._restorations = 0
        self._last = LastChanges()

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        self._rebuild_if_restored()
        left, right = (self._looked_up(side, batch) for side, batch in enumerate(inputs))
        if not left.rows + right.rows:
            return None
        first, seq, (left, right) = self._numbered(left, right)
        self._last.begin(right.target, right.number)
        changes = [self._of_left(left, right)]
        if right.rows:
            changes.append(self._of_right(right, self._versions(left, right), first, len(seq)))
        out = self._in_order(changes, left, right, seq, first)
        self._apply(left, right)
        return out

    def snapshot(self) -> pa.RecordBatch:
        self._rebuild_if_restored()
        slots = self.left.values.slots()
        right = self._stored_right(_at(self._target_of, slots))
        if not self.spec.keeps_unmatched:
            slots, right = slots[right >= 0], right[right >= 0]
        nothing = [self._looked_up(side, None) for side in (0, 1)]
        columns = self._left_columns(slots, nothing[0]) | self._right_columns(right, nothing[1])
        times = _times_at(slots, nothing[0], self.left)
        columns[TIME] = pa.array(np.maximum(times, _times_at(right, nothing[1], self.right)))
        columns[SEQ] = pa.array(np.zeros(len(slots), dtype=np.int64))
        columns[WEIGHT] = pa.array(np.ones(len(slots), dtype=np.int8))
        return pa.RecordBatch.from_arrays(
            [columns[f.name] for f in self.spec.output], schema=self.spec.output
        )

    # --- what arrives ---------------------------------------------------------------------------

    def _rebuild_if_restored(self) -> None:
        restorations = self.left.restorations + self.right.restorations
        if restorations == self._restorations:
            return
        self._restorations = restorations
        self._targets.clear()
        self.by_target.clear()
        self._target_of, self._row_of = _NONE, _NONE
        rows = self.right.values.slots()
        self._point(rows, self._targets.slots(self.right.index.keys.get(rows).columns))
        rows = self.left.values.slots()
        self._follow(rows, self._targets_of(self._pointers(self.left.values.get(rows))))

    def _looked_up(self, side: int, batch: pa.RecordBatch | None) -> _Events:
        """A side's events with their slots; rows without a whole key are no rows of a table."""
        spec, store = self.spec, (self.left, self.right)[side]
        names = spec.right_key if side else spec.left_keys
        if batch is not None:
            complete = is_complete([batch.column(n) for n in names])
            batch = batch if complete.all() else batch.filter(pa.array(complete))
        if batch is None or not batch.num_rows:
            empty = pa.RecordBatch.from_pylist([], schema=spec.right if side else spec.left)
            return _Events(empty, _NONE, _NONE, _NONE, _NONE, np.zeros(0, dtype=np.bool_), _NONE)
        keys = [batch.column(n) for n in names]
        if side and spec.keeps_unmatched:
            # Left rows are there without it, and are said again by a delete of what was never there, too.
            slots, is_new = store.find_or_add(keys)
        else:
            slots, is_new = store.find_or_put_in(keys, batch.column(WEIGHT).to_numpy() > 0)
        added = slots[is_new]
        batch, slots = without_replaced(*known(batch, slots))
        puts_in = batch.column(WEIGHT).to_numpy() > 0
        if side:
            target = self._targets_of([batch.column(n) for n in spec.right_key])
        else:
            target = np.full(batch.num_rows, -1, dtype=np.int64)
            there = batch if puts_in.all() else batch.filter(pa.array(puts_in))
            target[puts_in] = self._targets_of(self._pointers(there))
        return _Events(batch, slots, target, _NONE, batch.column(TIME).to_numpy(), puts_in, added)

    def _pointers(self, rows: pa.RecordBatch) -> list[pa.Array[Any]]:
        return [rows.column(n) for n in self.spec.foreign_key]

    def _targets_of(self, pointers: Sequence[pa.Array[Any]]) -> Int64s:
        """The slot of each foreign key, -1 for one with a null in it; int64[n]."""
        points = is_complete(pointers)
        target = np.full(len(points), -1, dtype=np.int64)
        if points.all():
            return self._targets.slots(pointers) if len(points) else target
        if points.any():
            whole = pa.array(points)
            target[points] = self._targets.slots([pointer.filter(whole) for pointer in pointers])
        return target

    def _numbered(self, left: _Events, right: _Events) -> tuple[int, Int64s, tuple[_Events, _Events]]:
        """Events with their numbers; the first number, and `$seq` by number."""
        both = np.concatenate([side.batch.column(SEQ).to_numpy() for side in (left, right)])
        order = np.argsort(both, kind="stable")
        first = self._numbers.number(len(both))
        number = np.empty(len(both), dtype=np.int64)
        number[order] = first + np.arange(len(both))
        sides = replace(left, number=number[: left.rows]), replace(right, number=number[left.rows :])
        return first, both[order], sides

    # --- what follows from it -------------------------------------------------------------------

    def _right_as_of(self, target: Int64s, number: Int64s, right: _Events) -> Int64s:
        """The right row that is there for a foreign key just before an event; places, -1 for none."""
        last = self._last.before(target, number)
        stored = self._stored_right(target)
        stored = np.where(stored >= 0, right.rows + stored, -1)
        if not right.rows:
            return stored
        return np.where(last >= 0, np.where(right.puts_in[last], last, -1), stored)

    def _stored_right(self, target: Int64s) -> Int64s:
        """Slots of stored right rows by slots of foreign keys, -1 for none."""
        return _at(self._row_of, target)

    def _of_left(self, left: _Events, right: _Events) -> _Changes:
        """Each left event changes the row of its own key."""
        count = left.rows
        order = np.lexsort((left.number, left.slots))
        slots = left.slots[order]
        is_first = np.append(True, slots[1:] != slots[:-1])[:count]
        previous = np.append(-1, order[:-1])[:count]
        follows = ~is_first & left.puts_in[previous]
        was_stored = is_first & ~np.isin(slots, left.added)
        old_left, old_target = np.full((2, count), -1, dtype=np.int64)
        old_left[order] = np.where(follows, previous, np.where(was_stored, count + slots, -1))
        old_target[order] = np.where(
            follows,
            left.target[previous],
            np.where(was_stored, _at(self._target_of, np.where(was_stored, slots, -1)), -1),
        )
        if not self.spec.keeps_unmatched:
            old_left[old_target < 0] = -1
        return _Changes(
            left.number,
            left.time,
            np.zeros(count, dtype=np.int64),
            old_left,
            self._right_as_of(old_target, left.number, right),
            np.where(left.puts_in, np.arange(count), -1),
            self._right_as_of(left.target, left.number, right),
        )

    def _versions(self, left: _Events, right: _Events) -> _Versions:
        """Versions of left rows that may meet an event of the right side."""
        count = left.rows
        order = np.lexsort((left.number, left.slots))
        slots, numbers = left.slots[order], left.number[order]
        is_last = np.append(slots[1:] != slots[:-1], True)[:count]
        end = np.empty(count, dtype=np.int64)
        end[order] = np.where(is_last, _FOREVER, np.append(numbers[1:], _FOREVER)[:count])
        targets = distinct(right.target)
        everything = np.full(len(targets), _FOREVER)
        found = self.by_target.find(targets, -everything, everything)
        # A stored row lives until the first event of its key.
        place = np.searchsorted(slots, found.rows, side="left")
        until = np.where(_at(slots, place) == found.rows, _at(numbers, place), _FOREVER)
        fresh = np.flatnonzero(left.target >= 0)
        return _Versions(
            np.concatenate([fresh, count + found.rows]),
            np.concatenate([left.target[fresh], targets[found.probe]]),
            np.concatenate([left.number[fresh], np.full(len(found.rows), -_FOREVER)]),
            np.concatenate([end[fresh], until]),
            np.concatenate([left.number[fresh], found.times]),
        )

    def _of_right(self, right: _Events, versions: _Versions, first: int, count: int) -> _Changes:
        """Each right event meets the left rows that point at it when it is processed."""
        order = np.lexsort((right.number, right.target))
        width = count + 2
        keys = right.target[order] * width + right.number[order] - first + 1
        block = versions.target * width + 1
        begin = np.searchsorted(keys, block + np.clip(versions.start - first, -1, count), side="right")
        end = np.searchsorted(keys, block + np.clip(versions.end - first, -1, count), side="left")
        counts = np.maximum(end - begin, 0)
        met = np.repeat(np.arange(len(counts)), counts)
        places = np.arange(len(met)) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
        event = order[places]
        number, rows = right.number[event], versions.place[met]
        return _Changes(
            number,
            right.time[event],
            versions.order[met],
            rows,
            self._right_as_of(right.target[event], number, right),
            rows,
            np.where(right.puts_in[event], event, -1),
        )

    def _in_order(
        self, changes: Sequence[_Changes], left: _Events, right: _Events, seq: Int64s, first: int
    ) -> pa.RecordBatch | None:
        """Rows taken back and put in, in the order of the events."""
        number, time, tie, old_left, old_right, new_left, new_right = (
            np.concatenate([getattr(c, name) for c in changes]) for name in _Changes.__slots__
        )
        was = (old_left >= 0) & ((old_right >= 0) | self.spec.keeps_unmatched)
        if self.spec.tells_all_deletes:
            was |= (old_left >= 0) & (new_left < 0)
        is_there = (new_left >= 0) & ((new_right >= 0) | self.spec.keeps_unmatched)
        olds, news = np.flatnonzero(was), np.flatnonzero(is_there)
        cause = np.concatenate([olds, news])
        if not len(cause):
            return None
        weight = np.repeat(np.array([-1, 1], dtype=np.int8), [len(olds), len(news)])
        lefts = np.concatenate([old_left[olds], new_left[news]])
        rights = np.concatenate([old_right[olds], new_right[news]])
        order = np.lexsort((weight, tie[cause], number[cause]))
        cause, weight, lefts, rights = cause[order], weight[order], lefts[order], rights[order]
        columns = self._left_columns(lefts, left) | self._right_columns(rights, right)
        times = np.maximum(time[cause], _times_at(lefts, left, self.left))
        columns[TIME] = pa.array(np.maximum(times, _times_at(rights, right, self.right)))
        columns[SEQ] = pa.array(seq[number[cause] - first])
        columns[WEIGHT] = pa.array(weight)
        return pa.RecordBatch.from_arrays(
            [columns[f.name] for f in self.spec.output], schema=self.spec.output
        )

    def _left_columns(self, places: Int64s, left: _Events) -> dict[str, pa.Array[Any]]:
        names = (*self.spec.left_keys, *self.spec.left_columns)
        stored = np.flatnonzero(places >= left.rows)
        slots = places[stored] - left.rows
        kept = [*self.left.index.keys.get(slots).columns, *self.left.values.get(slots).columns[:-2]]
        return _picked(names, places, left, stored, kept)

    def _right_columns(self, places: Int64s, right: _Events) -> dict[str, pa.Array[Any]]:
        stored = np.flatnonzero(places >= right.rows)
        kept = self.right.values.get(places[stored] - right.rows).columns[:-1]
        return _picked(self.spec.right_columns, places, right, stored, kept)

    # --- what stays -----------------------------------------------------------------------------

    def _apply(self, left: _Events, right: _Events) -> None:
        """Bring both tables to where the batch leaves them."""
        touched = [left.target[left.target >= 0], right.target]
        touched.append(self._apply_left(left))
        self._apply_right(right)
        self._targets.forget_unused(np.concatenate(touched))

    def _apply_left(self, left: _Events) -> Int64s:
        """Gives the slots of the foreign keys that rows pointed at before."""
        if not left.rows:
            return _NONE
        stored = distinct(left.slots)
        stored = stored[~np.isin(stored, left.added)]
        released = _at(self._target_of, stored)
        released = released[released >= 0]
        self._targets.release(released)
        self.by_target.forget(len(released))
        last = last_places(left.slots)
        kept, gone = last[left.puts_in[last]], left.slots[last[~left.puts_in[last]]]
        rows = pa.array(kept)
        columns = [left.batch.column(n).take(rows) for n in (*self.spec.left_columns, TIME)]
        self.left.put(left.slots[kept], [*columns, pa.array(left.number[kept])])
        self._follow(left.slots[kept], left.target[kept])
        _drop(self.left, gone, left.added)
        return released

    def _apply_right(self, right: _Events) -> None:
        if not right.rows:
            return
        last = last_places(right.slots)
        kept, gone = last[right.puts_in[last]], last[~right.puts_in[last]]
        rows = pa.array(kept)
        columns = [right.batch.column(n).take(rows) for n in (*self.spec.right_columns, TIME)]
        self.right.put(right.slots[kept], columns)
        self._targets.release(right.target[last[~np.isin(right.slots[last], right.added)]])
        self._point(right.slots[kept], right.target[kept])
        unpointed = right.target[gone]
        self._row_of[unpointed[unpointed < len(self._row_of)]] = -1
        _drop(self.right, right.slots[gone], right.added)

    def _follow(self, slots: Int64s, target: Int64s) -> None:
        """Left rows point at these foreign keys from now on; their versions are in the store."""
        self._target_of = _with(self._target_of, slots, target)
        points = target >= 0
        slots, target = slots[points], target[points]
        self._targets.hold(target)
        numbers = self.left.values.fixed(VERSION).values[slots]
        self.by_target.add(sorted_run(target, numbers, slots))

    def _point(self, slots: Int64s, target: Int64s) -> None:
        """Right rows stand for these foreign keys from now on."""
        self._row_of = _with(self._row_of, target, slots)
        self._targets.hold(target)

    def _is_current(self, rows: Int64s, numbers: Int64s) -> Bools:
        same: Bools = self.left.values.fixed(VERSION).values[rows] == numbers
        return same & self.left.values.is_live(rows)


def _at(array: Int64s, places: Int64s) -> Int64s:
    """Elements by place, -1 for a place that is not there."""
    inside = (places >= 0) & (places < len(array))
    if not len(array):
        return np.full(len(places), -1, dtype=np.int64)
    return np.where(inside, array[np.where(inside, places, 0)], -1)


def _with(array: Int64s, places: Int64s, values: Int64s) -> Int64s:
    """The array with values at places, grown with -1 if it is too short."""
    if len(places) and int(places.max()) >= len(array):
        grown = np.full(max(64, 1 << int(places.max()).bit_length()), -1, dtype=np.int64)
        grown[: len(array)] = array
        array = grown
    array[places] = values
    return array


def _picked(
    names: Sequence[str], places: Int64s, events: _Events, stored: Int64s, kept: Sequence[pa.Array[Any]]
) -> dict[str, pa.Array[Any]]:
    """Columns of rows by place; `kept` holds those of the places `stored`, in that order."""
    index = places.copy()
    index[stored] = events.rows + np.arange(len(stored))
    if not names:
        return {}
    own = [events.batch.column(name) for name in names]
    return dict(zip(names, pooled([own, kept], index), strict=True))


def _times_at(places: Int64s, events: _Events, store: KeyedStore) -> Int64s:
    """Times of rows by place, far in the past for none."""
    times = np.full(len(places), _NEVER, dtype=np.int64)
    fresh, stored = (places >= 0) & (places < events.rows), places >= events.rows
    times[fresh] = events.time[places[fresh]]
    times[stored] = store.values.fixed(TIME).values[places[stored] - events.rows]
    return times


def _drop(store: KeyedStore, slots: Int64s, added: Int64s) -> None:
    """Drop rows; a key that came and went within the batch was never anyone's business."""
    is_unknown = np.isin(slots, added)
    store.index.remove(slots[is_unknown])
    store.remove(slots[~is_unknown])
