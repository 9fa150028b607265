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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import HEADERS, PARTITION, SEQ, TIME
from streamsql.engine.operators.as_of import is_complete
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.join_buffer import JoinBuffer, JoinKeys
from streamsql.engine.operators.join_time import TimesInBatch
from streamsql.engine.operators.pair_filter import PairFilter
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.stage import Stage
from streamsql.engine.state.columns import Bools, Int64s, concatenated
from streamsql.engine.state.ordering import order_of
from streamsql.engine.state.spine import Run, sorted_run

_SIDES = ("left", "right")
_NONE: Int64s = np.zeros(0, dtype=np.int64)
_CLOSED, _ALONE, _PAIR = 0, 2, 3
"""The order among what one row causes: windows that close, left then right; itself alone; its pairs."""


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


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """The rows of one side in a batch; arrays [n] unless said otherwise.

    slots   of the keys; -1 where a key has a null in it
    number  rank in processing, over both sides
    order   the places of the rows with a key, by (slot, time), and
    ordered_slots, ordered_time  what they have there
    waits   the row's window is open, and the row will come out with nulls if no partner does
    first   rows from this on in the buffer came with this batch
    kept    int64[kept]: the places of the rows that are in the buffer, rising
    run     those rows, to be found by key and time
    """

    batch: pa.RecordBatch | None
    slots: Int64s
    number: Int64s
    time: Int64s
    partition: Int64s
    order: Int64s
    ordered_slots: Int64s
    ordered_time: Int64s
    waits: Bools
    first: int
    kept: Int64s
    run: Run | None

    def everyone(self) -> Run | None:
        """All rows with a key, kept or not, to be found as the row `first` + place."""
        if len(self.kept) == len(self.slots):
            return self.run
        return sorted_run(self.ordered_slots, self.ordered_time, self.order + self.first)

    def rows_of(self, places: Int64s) -> Int64s:
        """Rows of the buffer by place in the batch, -1 for those that are not kept."""
        if len(self.kept) == len(self.slots):
            return places + self.first
        rows = np.full(len(self.slots), -1)
        rows[self.kept] = self.first + np.arange(len(self.kept))
        return rows[places]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs that rows of one side made by arriving; all int64[m].

    probe    places of the arrived rows
    number   of the arrived rows
    partner  rows in the other side's buffer
    """

    probe: Int64s
    number: Int64s
    partner: Int64s
    partner_time: Int64s


@dataclass(frozen=True, slots=True)
class _Results:
    """A part of what comes out; int64[n] each.

    columns  in the order of the output, without meta columns
    number   of the row that caused it
    phase, tie  the order among what one row causes
    """

    columns: list[pa.Array[Any]]
    number: Int64s
    phase: int
    tie: Int64s
    time: Int64s
    partition: Int64s


class StreamStreamJoinOperator(Operator):
    def __init__(self, spec: StreamStreamJoin, context: Context) -> None:
        self.spec = spec
        self._keys = JoinKeys(pa.schema([spec.left.field(n) for n in spec.keys]), context.workspace)
        self.buffers = tuple(
            JoinBuffer(
                _SIDES[side],
                spec.schema(side),
                spec.keys,
                self._keys,
                spec.before_ms + spec.after_ms,
                waits=spec.is_preserved(side) and not spec.is_eager,
            )
            for side in (0, 1)
        )
        for buffer in self.buffers:
            buffer.store.bound = f"a row leaves {spec.retention_ms} ms after its time"
        self._times = (StreamTime(), StreamTime())
        for time, name in zip(self._times, _SIDES, strict=True):
            time.name = f"{name}-time"
        self.stores = (*(buffer.store for buffer in self.buffers), *self._times)
        self._restorations = 0
        # The spec works these out anew each time.
        self._columns = (spec.columns(0), spec.columns(1))
        self._schemas = (spec.schema(0), spec.schema(1))
        self._output, self._headers = spec.output, spec.headers
        self._names = [n for n in self._output.names if n not in (TIME, SEQ, PARTITION, HEADERS)]
        self._filter = None if spec.matching is None else PairFilter(spec.matching, context)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        self._rebuild_if_restored()
        batches = [batch if batch is not None and batch.num_rows else None for batch in inputs]
        if all(batch is None for batch in batches):
            return None
        seq, numbers = _numbered(batches)
        arrivals = [self._looked_up(*side) for side in zip((0, 1), batches, numbers, strict=True)]
        own = [_times_of([a], t.of) for a, t in zip(arrivals, self._times, strict=True)]
        shared = _times_of(arrivals if self._is_waited_for else [], self._shared_time)
        arrivals = [self._kept(side, arrivals[side], own[side], shared) for side in (0, 1)]
        pairs = self._pairs(arrivals, own)
        results = [self._joined(side, arrivals[side], pairs[side]) for side in (0, 1)]
        for side in (0, 1):
            if self.spec.is_preserved(side):
                results.append(self._alone(side, arrivals[side], pairs[side]))
                results.append(self._closed(side, arrivals[side], pairs, shared))
        for arrived, buffer in zip(arrivals, self.buffers, strict=True):
            buffer.by_key.add(arrived.run)
        self._drop(arrivals, own)
        for arrived, time in zip(arrivals, self._times, strict=True):
            keyed = _keyed(arrived)
            time.advance(arrived.partition[keyed], arrived.time[keyed])
        return self._in_order([r for r in results if len(r.number)], seq, arrivals)

    # --- what arrives ---------------------------------------------------------------------------

    def _rebuild_if_restored(self) -> None:
        restorations = sum(buffer.store.restorations for buffer in self.buffers)
        if restorations != self._restorations:
            self._restorations = restorations
            self._keys.clear()
            for side, buffer in enumerate(self.buffers):
                buffer.rebuild(self.spec.closing_ms(side))

    def _looked_up(self, side: int, batch: pa.RecordBatch | None, number: Int64s) -> _Arrivals:
        first = self.buffers[side].store.end
        nothing = np.zeros(len(number), dtype=np.bool_)
        if batch is None:
            return _Arrivals(
                None, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, nothing, first, _NONE, None
            )
        keys = [batch.column(n) for n in self.spec.keys]
        time = batch.column(TIME).to_numpy()
        complete = is_complete(keys)
        if complete.all():
            slots = self._keys.slots(keys)
            order = order_of(slots, time)
        else:
            whole = np.flatnonzero(complete)
            slots = np.full(len(complete), -1, dtype=np.int64)
            if len(whole):
                slots[whole] = self._keys.slots([key.take(pa.array(whole)) for key in keys])
            order = whole[order_of(slots[whole], time[whole])]
        partition = batch.column(PARTITION).to_numpy().astype(np.int64)
        return _Arrivals(
            batch,
            slots,
            number,
            time,
            partition,
            order,
            slots[order],
            time[order],
            nothing,
            first,
            _NONE,
            None,
        )

    def _kept(self, side: int, arrived: _Arrivals, own: TimesInBatch, shared: TimesInBatch) -> _Arrivals:
        """Put the rows that may find a partner, or have to wait for one, into the buffer."""
        if arrived.batch is None:
            return arrived
        spec, buffer = self.spec, self.buffers[side]
        has_key = arrived.slots >= 0
        waits = arrived.waits
        closing_ms = spec.closing_ms(side)
        if spec.is_preserved(side) and not spec.is_eager:
            waits = has_key
            if _reaches_back(arrived.time + closing_ms, shared, -1):
                now = shared.as_of(arrived.number, arrived.partition)
                waits = has_key & (arrived.time + closing_ms >= now)
        keeps = has_key
        if _reaches_back(arrived.time, own, spec.retention_ms):
            now = own.as_of(arrived.number, arrived.partition)
            keeps = has_key & ((arrived.time > now - spec.retention_ms) | waits)
        columns = [arrived.batch.column(n) for n in (*self._schemas[side].names, TIME, PARTITION)]
        slots, ordered = arrived.slots, (arrived.ordered_slots, arrived.ordered_time)
        if keeps.all():
            kept, order = np.arange(len(keeps)), arrived.order
        else:
            kept = np.flatnonzero(keeps)
            slots, columns = slots[kept], [column.take(pa.array(kept)) for column in columns]
            # The order stays, without those that are not kept.
            stay = keeps[arrived.order]
            ordered = (ordered[0][stay], ordered[1][stay])
            order = (np.cumsum(keeps) - 1)[arrived.order[stay]]
        rows = buffer.add(columns, slots, waits[kept])
        run = sorted_run(*ordered, rows[order])
        waiting = waits[kept]
        if waiting.any():
            some = kept[waiting]
            buffer.wait(rows[waiting], arrived.partition[some], arrived.time[some] + closing_ms + 1)
        return replace(arrived, waits=waits, kept=kept, run=run)

    # --- what comes out -------------------------------------------------------------------------

    def _pairs(self, arrivals: Sequence[_Arrivals], own: Sequence[TimesInBatch]) -> list[_Pairs]:
        """By side the pairs that its rows make with the other's that came before them."""
        among = self._among(arrivals)
        pairs = [
            self._valid(side, arrivals[side], [self._found(side, arrivals[side]), among[side]], own[1 - side])
            for side in (0, 1)
        ]
        if self._filter is None:
            return pairs
        return [self._matching(side, arrivals[side], pairs[side]) for side in (0, 1)]

    def _found(self, side: int, arrived: _Arrivals) -> _Pairs:
        """Pairs with rows that were there before the batch."""
        earlier, later = self.spec.reach_ms(side)
        time = arrived.ordered_time
        found = self.buffers[1 - side].by_key.find(arrived.ordered_slots, time - earlier, time + later)
        probe = arrived.order[found.probe]
        return _Pairs(probe, arrived.number[probe], found.rows, found.times)

    def _among(self, arrivals: Sequence[_Arrivals]) -> list[_Pairs]:
        """Pairs among the rows of the batch: found from the shorter side, made by the one that came later."""
        side = 0 if len(arrivals[0].order) <= len(arrivals[1].order) else 1
        mine, other = arrivals[side], arrivals[1 - side]
        pairs = [_Pairs(_NONE, _NONE, _NONE, _NONE)] * 2
        run = other.everyone()
        if run is None or not len(mine.order):
            return pairs
        earlier, later = self.spec.reach_ms(side)
        time = mine.ordered_time
        found = run.find(mine.ordered_slots, time - earlier, time + (later + 1))
        if found is None:
            return pairs
        self.buffers[1 - side].by_key.reached += len(found.rows)
        probe, partner = mine.order[found.probe], found.rows - other.first
        comes_later = mine.number[probe] > other.number[partner]
        pairs[side] = _made(mine, probe[comes_later], other, partner[comes_later])
        pairs[1 - side] = _made(other, partner[~comes_later], mine, probe[~comes_later])
        return pairs

    def _valid(
        self, side: int, arrived: _Arrivals, parts: Sequence[_Pairs], other_times: TimesInBatch
    ) -> _Pairs:
        """Those pairs whose partner has not been left behind by its side's stream time."""
        parts = [part for part in parts if len(part.probe)] or parts[:1]
        pairs = parts[0] if len(parts) == 1 else _joined_pairs(parts)
        oldest_ms = self.spec.retention_ms
        times = self._times[1 - side]
        before = max((times.of(p) for p in times.partitions()), default=NEVER)
        if not len(pairs.probe) or not (
            pairs.partner_time.min() <= before - oldest_ms
            or _reaches_back(pairs.partner_time, other_times, oldest_ms)
        ):
            return pairs
        now = other_times.as_of(pairs.number, self.buffers[1 - side].store.partitions(pairs.partner))
        valid = pairs.partner_time > now - oldest_ms
        return _Pairs(
            pairs.probe[valid], pairs.number[valid], pairs.partner[valid], pairs.partner_time[valid]
        )

    def _matching(self, side: int, arrived: _Arrivals, pairs: _Pairs) -> _Pairs:
        """The pairs for which the rest of the condition holds; the others never were any."""
        if arrived.batch is None or not len(pairs.probe) or self._filter is None:
            return pairs
        columns = self._columns_of(side, arrived.batch, pairs, self._filter.columns)
        times = np.maximum(arrived.time[pairs.probe], pairs.partner_time)
        kept = self._filter.matching(columns, times)
        return _Pairs(pairs.probe[kept], pairs.number[kept], pairs.partner[kept], pairs.partner_time[kept])

    def _columns_of(
        self, side: int, batch: pa.RecordBatch, pairs: _Pairs, names: Sequence[str]
    ) -> dict[str, pa.Array[Any]]:
        """Columns of pairs, from the rows that came or from the other side's buffer."""
        probe = pa.array(pairs.probe)
        theirs = [n for n in names if n in self._columns[1 - side]]
        found = {n: batch.column(n).take(probe) for n in names if n not in theirs}
        found.update(zip(theirs, self.buffers[1 - side].store.take(theirs, pairs.partner), strict=True))
        return found

    def _joined(self, side: int, arrived: _Arrivals, pairs: _Pairs) -> _Results:
        """The pairs as rows."""
        if arrived.batch is None or not len(pairs.probe):
            return self._nothing()
        columns = self._columns_of(side, arrived.batch, pairs, self._names)
        return _Results(
            [columns[n] for n in self._names],
            pairs.number,
            _PAIR,
            pairs.partner,
            np.maximum(arrived.time[pairs.probe], pairs.partner_time),
            arrived.partition[pairs.probe],
        )

    def _alone(self, side: int, arrived: _Arrivals, pairs: _Pairs) -> _Results:
        """Rows that come out with nulls as they arrive: no partner is there, and none is waited for."""
        alone = ~arrived.waits
        alone[pairs.probe] = False
        chosen = np.flatnonzero(alone)
        if arrived.batch is None or not len(chosen):
            return self._nothing()
        rows = pa.array(chosen)
        own = {n: arrived.batch.column(n).take(rows) for n in self._schemas[side].names}
        return _Results(
            self._padded(own, len(chosen)),
            arrived.number[chosen],
            _ALONE,
            arrived.number[chosen],
            arrived.time[chosen],
            arrived.partition[chosen],
        )

    def _closed(self, side: int, arrived: _Arrivals, pairs: list[_Pairs], shared: TimesInBatch) -> _Results:
        """Waiting rows whose windows close before a partner came; settles those that found one too."""
        if self.spec.is_eager or not shared.partitions():
            return self._nothing()
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
            return self._nothing()
        names = self._schemas[side].names
        ranks = np.empty(len(rows), dtype=np.int64)
        ranks[np.lexsort((rows, times))] = np.arange(len(rows))
        return _Results(
            self._padded(dict(zip(names, store.take(names, rows), strict=True)), len(rows)),
            causes,
            _CLOSED + side,
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

    def _drop(self, arrivals: Sequence[_Arrivals], own: Sequence[TimesInBatch]) -> None:
        """Forget rows that nobody will find any more, and keys that no row has."""
        unused = [
            arrived.slots[_without(len(arrived.slots), arrived.kept)]
            for arrived in arrivals
            if len(arrived.kept) < len(arrived.slots)
        ]
        for buffer, times in zip(self.buffers, own, strict=True):
            # A row that waits does so to the very millisecond at which others go: all stay for that long.
            unused.append(buffer.expire(times.at_end, self.spec.retention_ms + 1))
        slots = np.concatenate(unused)
        self._keys.forget_unused(slots[slots >= 0])

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

    def _nothing(self) -> _Results:
        return _Results([], _NONE, _PAIR, _NONE, _NONE, _NONE)

    def _in_order(
        self, results: list[_Results], seq: Int64s, arrivals: Sequence[_Arrivals]
    ) -> pa.RecordBatch | None:
        """All parts in the order of the rows that caused them."""
        if not results:
            return None
        number, tie, time, partition = (
            np.concatenate([getattr(r, name) for r in results])
            for name in ("number", "tie", "time", "partition")
        )
        phase = np.repeat([r.phase for r in results], [len(r.number) for r in results])
        order = np.lexsort((tie, phase, number))
        chosen = pa.array(order)
        columns: dict[str, pa.Array[Any]] = {
            name: concatenated([r.columns[i] for r in results], self._output.field(name).type).take(chosen)
            for i, name in enumerate(self._names)
        }
        columns[TIME] = pa.array(time[order])
        columns[SEQ] = pa.array(seq[number[order]])
        columns[PARTITION] = pa.array(partition[order].astype(np.int32))
        for field in self._headers:
            columns[HEADERS] = _headers(field, arrivals).take(pa.array(number[order]))
        return pa.RecordBatch.from_arrays([columns[f.name] for f in self._output], schema=self._output)


def _made(arrived: _Arrivals, probe: Int64s, other: _Arrivals, partner: Int64s) -> _Pairs:
    """Pairs of rows of a batch, by their places in it; partners that are not kept are not found."""
    rows = other.rows_of(partner)
    if len(other.kept) < len(other.slots):
        kept = rows >= 0
        probe, partner, rows = probe[kept], partner[kept], rows[kept]
    return _Pairs(probe, arrived.number[probe], rows, other.time[partner])


def _joined_pairs(parts: Sequence[_Pairs]) -> _Pairs:
    return _Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Pairs.__slots__))


def _numbered(batches: Sequence[pa.RecordBatch | None]) -> tuple[Int64s, list[Int64s]]:
    """Ranks in processing over both sides: `$seq` by rank, and each side's ranks."""
    seqs = [_NONE if batch is None else batch.column(SEQ).to_numpy() for batch in batches]
    if not len(seqs[0]) or not len(seqs[1]):
        return np.concatenate(seqs), [np.arange(len(seq)) for seq in seqs]
    both = np.concatenate(seqs)
    order = np.argsort(both, kind="stable")
    number = np.empty(len(both), dtype=np.int64)
    number[order] = np.arange(len(both))
    return both[order], [number[: len(seqs[0])], number[len(seqs[0]) :]]


def _keyed(arrived: _Arrivals) -> Bools | slice:
    """The rows that have a key."""
    keyed = arrived.slots >= 0
    return slice(None) if keyed.all() else keyed


def _without(count: int, places: Int64s) -> Bools:
    """All places up to a count but some; bool[count]."""
    rest = np.ones(count, dtype=np.bool_)
    rest[places] = False
    return rest


def _reaches_back(time: Int64s, times: TimesInBatch, by_ms: int) -> bool:
    """Whether a time is so early that stream time may have left it behind by so much in this batch."""
    latest = max((times.at_end(p) for p in times.partitions()), default=NEVER)
    return len(time) > 0 and bool(time.min() <= latest - by_ms)


def _headers(field: pa.Field[Any], arrivals: Sequence[_Arrivals]) -> pa.Array[Any]:
    """The headers of a batch's rows by number, empty lists on a side that has none."""
    parts = [
        a.batch.column(HEADERS)
        if HEADERS in a.batch.schema.names
        else pa.array([[]] * a.batch.num_rows, field.type)
        for a in arrivals
        if a.batch is not None
    ]
    order = np.argsort(np.concatenate([a.number for a in arrivals]))
    return concatenated(parts, field.type).take(pa.array(order))


def _times_of(arrivals: Sequence[_Arrivals], before: Callable[[int], int]) -> TimesInBatch:
    """Stream time in a batch; rows without a key do not move it."""
    keyed = [_keyed(arrived) for arrived in arrivals]
    return TimesInBatch(
        before,
        [a.number[k] for a, k in zip(arrivals, keyed, strict=True)],
        [a.partition[k] for a, k in zip(arrivals, keyed, strict=True)],
        [a.time[k] for a, k in zip(arrivals, keyed, strict=True)],
    )


def _first_number(rows: Int64s, partner: Int64s, number: Int64s) -> Int64s:
    """For each row the smallest number of those that found it, a very large one if none did; int64[n]."""
    result = np.full(len(rows), np.iinfo(np.int64).max)
    if len(rows) and len(partner):
        order = np.lexsort((number, partner))
        place = np.searchsorted(partner[order], rows, side="left")
        found = order[np.minimum(place, len(order) - 1)]
        result = np.where(partner[found] == rows, number[found], result)
    return result
