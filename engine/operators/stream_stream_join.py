"""Stream-stream join: rows of equal keys whose times lie close to each other.

A left row at tL and a right row at tR match if tL - before <= tR <= tL + after. The later one to arrive
finds the earlier in the other side's buffer. The rules of time are those of Kafka Streams:

- A row stays in its buffer as long as its time is greater than its own side's stream time less before +
  after + grace, judged at every row that looks for it. Each side has its own stream time for this, so that
  a side that lags does not find the other's rows gone because of what it has not reached itself.
- An unmatched row of a preserved side comes out with nulls once its window has closed: when stream time,
  the larger of both sides', is greater than the last time of a partner plus grace. A row that comes in
  after that comes out at once. If the join is eager it comes out at once in any case, and its
  partners follow when they arrive.
- A row without a key matches nothing; preserved, it comes out at once.

Stream times are per partition of the source. A pair has the larger of the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import HEADERS, PARTITION, SEQ, TIME
from streamsql.engine.operators.base import Context, Finish, Operator
from streamsql.engine.operators.join_arrivals import (
    Arrivals,
    arriving,
    numbered,
    reaches_back,
    times_of,
)
from streamsql.engine.operators.join_buffer import JoinBuffer
from streamsql.engine.operators.join_index import JoinIndex, LookedUp
from streamsql.engine.operators.join_pairs import Pairs
from streamsql.engine.operators.join_results import (
    ALONE,
    CLOSED,
    NOTHING,
    PAIR,
    Results,
    in_order,
    result_columns,
)
from streamsql.engine.operators.join_time import TimesInBatch
from streamsql.engine.operators.pair_filter import PairFilter
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.stage import Stage
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.ordering import order_of

_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class StreamStreamJoin:
    """Streams joined on keys and time.

    left, right  schemas of the inputs; no column but meta columns and the keys is in both
    keys         the key columns, of the same names and types on both sides; they come first in the output
    kind         INNER, LEFT, RIGHT or FULL
    before_ms, after_ms  how much earlier or later than the left row the right row may be
    grace_ms     how long after its window has closed a row may still match, by stream time
    is_eager     an unmatched row of a preserved side comes out at once, not when its window closes
    matching     what else must hold for a pair, as a stage over `pair_schema` that keeps the pairs that match
    """

    left: pa.Schema
    right: pa.Schema
    keys: tuple[str, ...]
    kind: str
    before_ms: int
    after_ms: int
    grace_ms: int
    is_eager: bool
    matching: Stage | None = None

    def columns(self, side: int) -> tuple[str, ...]:
        """Columns of a side (0 left, 1 right) other than keys and meta columns."""
        schema = self.right if side else self.left
        return tuple(n for n in schema.names if not n.startswith("$") and n not in self.keys)

    def schema(self, side: int) -> pa.Schema:
        """What is kept of a side's rows: keys and columns."""
        source = self.right if side else self.left
        return pa.schema([source.field(n) for n in (*self.keys, *self.columns(side))])

    def is_preserved(self, side: int) -> bool:
        return self.kind in ("FULL", ("LEFT", "RIGHT")[side])

    @property
    def retention_ms(self) -> int:
        return self.before_ms + self.after_ms + self.grace_ms

    def reach_ms(self, side: int) -> tuple[int, int]:
        """How much earlier and later than a row of this side its partner may be."""
        return (self.after_ms, self.before_ms) if side else (self.before_ms, self.after_ms)

    def closing_ms(self, side: int) -> int:
        """How far stream time goes beyond a row of this side before its window has closed."""
        return self.reach_ms(side)[1] + self.grace_ms

    @property
    def output(self) -> pa.Schema:
        return pa.schema(
            [
                *self.schema(0),
                *(self.right.field(n) for n in self.columns(1)),
                pa.field(TIME, pa.int64()),
                pa.field(SEQ, pa.int64()),
                pa.field(PARTITION, pa.int32()),
                *self.headers,
            ]
        )

    @property
    def headers(self) -> list[pa.Field[Any]]:
        """The field of the headers, if a side has them: a result has those of the row that caused it."""
        return [side.field(HEADERS) for side in (self.left, self.right) if HEADERS in side.names][:1]

    def open(self, context: Context) -> Operator:
        return StreamStreamJoinOperator(self, context)

    def describe(self) -> str:
        window = f"{self.before_ms} ms before, {self.after_ms} ms after, grace {self.grace_ms} ms"
        further = " where more holds" if self.matching else ""
        return f"{self.kind.lower()} join streams on ({', '.join(self.keys)}) within {window}{further}"


class StreamStreamJoinOperator(Operator):
    """Rows are in the buffers, with their keys' slots as their tags.

    What rows have to do with their keys and with each other is found out ahead of the batches before, in
    `_looked_up`; in `_joined`, one batch after the other, they meet what is in the buffers.
    """

    # Rows that were looked up hold their keys.
    takes_guesses = False

    def __init__(self, spec: StreamStreamJoin, context: Context) -> None:
        self.spec = spec
        # The spec works these out anew each time.
        self._columns = (spec.columns(0), spec.columns(1))
        self._schemas = (spec.schema(0), spec.schema(1))
        self._output = spec.output
        self._names = result_columns(self._output)
        self.buffers = tuple(
            JoinBuffer(_SIDES[side], self._schemas[side], spec.is_preserved(side) and not spec.is_eager)
            for side in (0, 1)
        )
        for buffer in self.buffers:
            buffer.store.bound = f"a row leaves {spec.retention_ms} ms after its time"
        self._times = (StreamTime(), StreamTime())
        for time, name in zip(self._times, _SIDES, strict=True):
            time.name = f"{name}-time"
        stores = [buffer.store for buffer in self.buffers]
        self.stores = (*stores, *self._times)
        keys = pa.schema([spec.left.field(n) for n in spec.keys])
        reach = (spec.reach_ms(0), spec.reach_ms(1))
        self.index = JoinIndex(keys, stores, reach, context.workspace)
        self._hashers_ahead = [KeyHasher(workspace, keys) for workspace in context.workspace.ahead]
        self._rebuilding = Lock()
        self._restorations = 0
        self.met = 0
        """Pairs that were found so far: the work done, for who wants to count it."""
        self._filter = None if spec.matching is None else PairFilter(spec.matching, context)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        found = self._looked_up(inputs, None)
        return None if found is None else self._joined(found)

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Finish | None:
        found = self._looked_up(inputs, self._hashers_ahead[place])
        return None if found is None else partial(self._joined, found)

    def forget_prepared(self) -> None:
        self.index.keys.forget_ahead()

    def _joined(self, found: LookedUp) -> pa.RecordBatch | None:
        """What follows from a batch after those before it."""
        arrivals = [
            replace(arrived, first=buffer.store.end)
            for arrived, buffer in zip(found.arrivals, self.buffers, strict=True)
        ]
        own = [times_of([a], t.of) for a, t in zip(arrivals, self._times, strict=True)]
        shared = times_of(arrivals if self._is_waited_for else [], self._shared_time)
        arrivals = [self._kept(side, arrivals[side], found.slots[side], own[side], shared) for side in (0, 1)]
        pairs = self._pairs(found, arrivals, own)
        results = [self._of_pairs(side, arrivals[side], pairs[side]) for side in (0, 1)]
        if self.spec.kind != "INNER":
            for side in (0, 1):
                if self.spec.is_preserved(side):
                    results.append(self._alone(side, arrivals[side], pairs[side]))
                    results.append(self._closed(side, arrivals[side], pairs, shared))
        self._drop(found, arrivals, own)
        for arrived, time in zip(arrivals, self._times, strict=True):
            keyed = arrived.with_key()
            time.advance(arrived.partition[keyed], arrived.time[keyed])
        return in_order(results, self._output, found.seq, arrivals)

    # --- what arrives ---------------------------------------------------------------------------

    def _rebuild_if_restored(self) -> None:
        with self._rebuilding:
            restorations = sum(buffer.store.restorations for buffer in self.buffers)
            if restorations != self._restorations:
                self._restorations = restorations
                self.index.clear()
                for side, buffer in enumerate(self.buffers):
                    enter = partial(self.index.enter, side)
                    buffer.rebuild(self.spec.keys, self.spec.closing_ms(side), enter)

    def _looked_up(
        self, inputs: Sequence[pa.RecordBatch | None], hasher: KeyHasher | None
    ) -> LookedUp | None:
        """What can be said about a batch before those before it were joined; None if it is empty."""
        self._rebuild_if_restored()
        batches = [batch if batch is not None and batch.num_rows else None for batch in inputs]
        if all(batch is None for batch in batches):
            return None
        seq, numbers = numbered(batches)
        arrivals = [
            arriving(batch, number, self.spec.keys) for batch, number in zip(batches, numbers, strict=True)
        ]
        keys = [[] if batch is None else [batch.column(n) for n in self.spec.keys] for batch in batches]
        return self.index.look_up(seq, arrivals, keys, hasher)

    def _kept(
        self, side: int, arrived: Arrivals, slots: Int64s, own: TimesInBatch, shared: TimesInBatch
    ) -> Arrivals:
        """Put the rows that may find a partner, or have to wait for one, into the buffer."""
        if arrived.batch is None:
            return arrived
        spec, buffer = self.spec, self.buffers[side]
        waits = arrived.waits
        closing_ms = spec.closing_ms(side)
        if spec.is_preserved(side) and not spec.is_eager:
            waits = arrived.has_key
            if reaches_back(arrived.time + closing_ms, shared, -1):
                now = shared.as_of(arrived.number, arrived.partition)
                waits = arrived.has_key & (arrived.time + closing_ms >= now)
        keeps = arrived.has_key
        if reaches_back(arrived.time, own, spec.retention_ms):
            now = own.as_of(arrived.number, arrived.partition)
            keeps = arrived.has_key & ((arrived.time > now - spec.retention_ms) | waits)
        columns = [arrived.batch.column(n) for n in (*self._schemas[side].names, TIME, PARTITION)]
        if keeps.all():
            kept = np.arange(len(keeps))
        else:
            kept = np.flatnonzero(keeps)
            slots, columns = slots[kept], [column.take(pa.array(kept)) for column in columns]
        rows = buffer.add(columns, slots, waits[kept])
        waiting = waits[kept]
        if waiting.any():
            some = kept[waiting]
            buffer.wait(rows[waiting], arrived.partition[some], arrived.time[some] + closing_ms + 1)
        return replace(arrived, waits=waits, kept=kept)

    # --- what comes out -------------------------------------------------------------------------

    def _pairs(
        self, found: LookedUp, arrivals: Sequence[Arrivals], own: Sequence[TimesInBatch]
    ) -> list[Pairs]:
        """By side the pairs that its rows make with the other's that came before them."""
        both = self.index.pairs(found, arrivals)
        pairs = [self._valid(side, both[side], own[1 - side]) for side in (0, 1)]
        self.met += sum(map(len, pairs))
        return [self._matching(side, arrivals[side], pairs[side]) for side in (0, 1)]

    def _valid(self, side: int, pairs: Pairs, other_times: TimesInBatch) -> Pairs:
        """Those pairs whose partner has not been left behind by its side's stream time."""
        oldest_ms = self.spec.retention_ms
        times = self._times[1 - side]
        before = max((times.of(p) for p in times.partitions()), default=NEVER)
        if not len(pairs) or not (
            pairs.partner_time.min() <= before - oldest_ms
            or reaches_back(pairs.partner_time, other_times, oldest_ms)
        ):
            return pairs
        now = other_times.as_of(pairs.number, self.buffers[1 - side].store.partitions(pairs.partner))
        return pairs.some(pairs.partner_time > now - oldest_ms)

    def _matching(self, side: int, arrived: Arrivals, pairs: Pairs) -> Pairs:
        """The pairs for which the rest of the condition holds; the others never were any."""
        if arrived.batch is None or not len(pairs) or self._filter is None:
            return pairs
        columns = self._columns_of(side, arrived.batch, pairs, self._filter.columns)
        times = np.maximum(arrived.time[pairs.probe], pairs.partner_time)
        return pairs.some(self._filter.matching(columns, times))

    def _columns_of(
        self, side: int, batch: pa.RecordBatch, pairs: Pairs, names: Sequence[str]
    ) -> dict[str, pa.Array[Any]]:
        """Columns of pairs, from the rows that came or from the other side's buffer."""
        probe = pa.array(pairs.probe)
        theirs = [n for n in names if n in self._columns[1 - side]]
        found = {n: batch.column(n).take(probe) for n in names if n not in theirs}
        found.update(zip(theirs, self.buffers[1 - side].store.take(theirs, pairs.partner), strict=True))
        return found

    def _of_pairs(self, side: int, arrived: Arrivals, pairs: Pairs) -> Results:
        """The pairs that rows of a side make, as rows, in order."""
        if arrived.batch is None or not len(pairs):
            return NOTHING
        made = pairs.some(order_of(pairs.number, pairs.partner))
        columns = self._columns_of(side, arrived.batch, made, self._names)
        return Results(
            [columns[n] for n in self._names],
            made.number,
            PAIR,
            made.partner,
            np.maximum(arrived.time[made.probe], made.partner_time),
            arrived.partition[made.probe],
        )

    def _alone(self, side: int, arrived: Arrivals, pairs: Pairs) -> Results:
        """Rows that come out with nulls as they arrive: no partner is there, and none is waited for."""
        alone = ~arrived.waits
        alone[pairs.probe] = False
        chosen = np.flatnonzero(alone)
        if arrived.batch is None or not len(chosen):
            return NOTHING
        rows = pa.array(chosen)
        own = {n: arrived.batch.column(n).take(rows) for n in self._schemas[side].names}
        return Results(
            self._padded(own, len(chosen)),
            arrived.number[chosen],
            ALONE,
            arrived.number[chosen],
            arrived.time[chosen],
            arrived.partition[chosen],
        )

    def _closed(self, side: int, arrived: Arrivals, pairs: list[Pairs], shared: TimesInBatch) -> Results:
        """Waiting rows whose windows close before a partner came; settles those that found one too."""
        if self.spec.is_eager or not shared.partitions():
            return NOTHING
        store = self.buffers[side].store
        found = arrived.rows_of(pairs[side].probe)
        store.unmark(found[found >= 0])
        parts = [self._closing(side, partition, shared) for partition in shared.partitions()]
        rows, times, partitions, causes = (np.concatenate(part) for part in zip(*parts, strict=True))
        as_partner = pairs[1 - side]
        unmatched = _first_number(rows, as_partner.partner, as_partner.number) > causes
        store.unmark(np.concatenate([rows, as_partner.partner]))
        rows, times, causes = rows[unmatched], times[unmatched], causes[unmatched]
        if not len(rows):
            return NOTHING
        names = self._schemas[side].names
        ranks = np.empty(len(rows), dtype=np.int64)
        ranks[np.lexsort((rows, times))] = np.arange(len(rows))
        return Results(
            self._padded(dict(zip(names, store.take(names, rows), strict=True)), len(rows)),
            causes,
            CLOSED + side,
            ranks,
            times,
            partitions[unmatched],
        )

    def _closing(
        self, side: int, partition: int, shared: TimesInBatch
    ) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Waiting rows that stream time passes in this batch: the rows, their times and partitions, and the
        numbers of the rows that moved it."""
        rows, due = self.buffers[side].due(partition, shared.at_end(partition))
        times = due - self.spec.closing_ms(side) - 1
        return rows, times, np.full(len(rows), partition), shared.passed(partition, due - 1)

    def _drop(self, found: LookedUp, arrivals: Sequence[Arrivals], own: Sequence[TimesInBatch]) -> None:
        """Forget rows that nobody will find any more, and keys that no row has."""
        unused = [
            slots[_without(len(slots), arrived.kept) & arrived.has_key]
            for arrived, slots in zip(arrivals, found.slots, strict=True)
            if not arrived.are_all_kept
        ]
        # A row that waits does so to the very millisecond at which others go: all stay for that long.
        gone = [
            buffer.expire(times.at_end, self.spec.retention_ms + 1)
            for buffer, times in zip(self.buffers, own, strict=True)
        ]
        self.index.forget(found.held, unused, gone)

    # --- putting it together ----------------------------------------------------------------------

    @property
    def _is_waited_for(self) -> bool:
        """Whether a row may have to wait for a partner."""
        return self.spec.kind != "INNER" and not self.spec.is_eager

    def _shared_time(self, partition: int) -> int:
        return max(time.of(partition) for time in self._times)

    def _padded(self, own: dict[str, pa.Array[Any]], count: int) -> list[pa.Array[Any]]:
        types = self._output
        return [own[n] if n in own else pa.nulls(count, types.field(n).type) for n in self._names]


def _without(count: int, places: Int64s) -> Bools:
    """All places up to a count but some; bool[count]."""
    rest = np.ones(count, dtype=np.bool_)
    rest[places] = False
    return rest


def _first_number(rows: Int64s, partner: Int64s, number: Int64s) -> Int64s:
    """For each row the smallest number of those that found it, a very large one if none did; int64[n]."""
    result = np.full(len(rows), np.iinfo(np.int64).max)
    if len(rows) and len(partner):
        order = np.lexsort((number, partner))
        place = np.searchsorted(partner[order], rows, side="left")
        found = order[np.minimum(place, len(order) - 1)]
        result = np.where(partner[found] == rows, number[found], result)
    return result
