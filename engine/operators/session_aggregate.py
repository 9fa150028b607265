"""Aggregation in sessions: rows of a key with no long gap between them.

A batch's rows and the stored sessions they may touch are intervals; those of a key that lie close enough
unite to new sessions. A stored session that takes part is taken back under its old bounds, the new one
put in, even if the bounds are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME, WINDOW_END, WINDOW_START
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context, Operator, WindowBounds
from streamsql.engine.operators.changes import by_processing, key_order, weights
from streamsql.engine.operators.group_states import GroupStates, StateArithmetic
from streamsql.engine.operators.partials import ROW, Numbering, Partials, is_rising
from streamsql.engine.operators.session_calendar import SessionCalendar
from streamsql.engine.operators.session_index import SessionIndex
from streamsql.engine.operators.session_rows import Intervals, Merging, resolve
from streamsql.engine.operators.session_steps import rounds_in_order, steps_of
from streamsql.engine.operators.session_unions import Stored, Unions, unions_of
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.state.columns import Bools, Int64s, concatenated, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import KeyIndex, UInt64s
from streamsql.engine.state.ordering import order_of
from streamsql.engine.windows import Session

_UNION = "$union"
_PIECE = "$piece"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows through the stage, uniquely numbered; int64[n]."""

    rows: pa.RecordBatch
    hashes: UInt64s
    partition: Int64s
    time: Int64s
    seq: Int64s
    stream_time: Int64s

    def part(self, begin: int, end: int) -> _Rows:
        return self._of(self.rows.slice(begin, end - begin), slice(begin, end))

    def at(self, places: Int64s) -> _Rows:
        return self._of(self.rows.take(pa.array(places)), places)

    def _of(self, rows: pa.RecordBatch, some: slice | Int64s) -> _Rows:
        return _Rows(
            rows,
            self.hashes[some],
            self.partition[some],
            self.time[some],
            self.seq[some],
            self.stream_time[some],
        )


@dataclass(frozen=True, slots=True)
class _Joining:
    """Rows that join sessions.

    in_time   the rows that are not late, rising
    last_row  per union: the last row that joined it
    key_slot  per union: the index's number for its key
    """

    rows: _Rows
    in_time: Int64s
    unions: Unions
    stored: Stored
    merging: Merging
    last_row: Int64s
    key_slot: Int64s


class SessionAggregateOperator(Operator):
    """With `emit_final`, a session is emitted when it is final; should rows still join it within the
    grace, it is taken back, and the longer one is emitted in turn."""

    def __init__(self, spec: Aggregate, context: Context) -> None:
        assert isinstance(spec.window, Session)
        self.spec = spec
        self.window = spec.window
        self._problems = context.problems
        bare = pa.schema(spec.key_fields)
        self.groups = GroupStates(
            pa.schema([*spec.key_fields, pa.field(WINDOW_START, pa.int64())]),
            spec.calls,
            context.workspace,
            extra=[pa.field(WINDOW_END, pa.int64()), pa.field(PARTITION, pa.int32())],
        )
        since = "it is final" if spec.emit_final else "its end"
        self.groups.store.bound = f"a session leaves {self.window.retention_ms} ms after {since}"
        self.stream_time = StreamTime()
        self.stores = (self.groups.store, self.stream_time)
        group = {_UNION: f'"{_UNION}"', _PIECE: f'"{_PIECE}"'}
        self._partials = Partials(spec.stage, spec.calls, group, context)
        self._single = Partials(spec.stage, spec.calls, {ROW: f'"{SEQ}"'}, context)
        self._arithmetic = StateArithmetic(spec.calls, context.workspace)
        self._bare_keys = bare
        self._hasher = KeyHasher(context.workspace, bare)
        self._is_ordered = any(call.is_ordered for call in spec.calls)
        self._index = SessionIndex(bare)
        self._calendar = SessionCalendar(self.groups.store.values, self.window, spec.emit_final)
        self._restorations = 0

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None or not batch.num_rows:
            return None
        self._catch_up_with_restored_rows()
        rows, numbering = self._rows(batch)
        if not len(rows.time):
            return None
        outputs: list[pa.RecordBatch] = []
        for stretch in self._stretches(rows):
            outputs += self._unite(stretch)
            self.stream_time.advance(stretch.partition, stretch.time)
            if self.spec.emit_final:
                outputs += self._close(stretch)
                self._expire()
        if not self.spec.emit_final:
            self._expire()
        outputs = [o for o in outputs if o.num_rows]
        if not outputs:
            return None
        changes = outputs[0] if len(outputs) == 1 else pa.concat_batches(outputs)
        if self.spec.emit_every and len(outputs) > 1:
            changes = _in_order(changes)
        if numbering is None:
            return changes
        seq = numbering.given(changes.column(SEQ).to_numpy())
        return changes.set_column(changes.schema.get_field_index(SEQ), SEQ, pa.array(seq))

    def snapshot(self) -> pa.RecordBatch:
        self._catch_up_with_restored_rows()
        slots = self.groups.store.values.slots()
        if self.spec.emit_final:
            slots = slots[self._is_final(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64), 1)

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        self._catch_up_with_restored_rows()
        store = self.groups.store
        ends = store.values.fixed(WINDOW_END).values
        found = self._index.keys.find(self._hasher(keys) if hashes is None else hashes, keys)
        owners = distinct(found[found >= 0])
        _, slots, _ = self._index.ending_from(owners, np.full(len(owners), bounds.first_end), ends)
        start = store.index.keys.fixed(WINDOW_START).values[slots]
        end = ends[slots]
        slots = slots[(start >= bounds.first_start) & (start <= bounds.last_start) & (end <= bounds.last_end)]
        if self.spec.emit_final:
            slots = slots[self._is_final(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64), 1)

    def _rows(self, batch: pa.RecordBatch) -> tuple[_Rows, Numbering | None]:
        rows = self._partials.rows(batch)
        seq = rows.column(SEQ).to_numpy()
        numbering = None
        uses_seq = any(call.uses_seq for call in self.spec.calls)
        if uses_seq or not is_rising(seq):
            numbering = Numbering(seq, self.stream_time.number(rows.num_rows) if uses_seq else 0)
            rows = numbering.number(rows)
            seq = rows.column(SEQ).to_numpy()
        time = rows.column(TIME).to_numpy()
        partition = np.zeros(len(time), dtype=np.int64)
        if self.spec.by_partition:
            partition = rows.column(PARTITION).to_numpy().astype(np.int64)
        hashes = self._hasher(self._keys(rows))
        stream_time = self.stream_time.running(partition, time)
        return _Rows(rows, hashes, partition, time, seq, stream_time), numbering

    def _keys(self, rows: pa.RecordBatch) -> list[pa.Array]:
        if self.spec.keys:
            return [rows.column(f.name) for f in self._bare_keys]
        return [pa.array(np.ones(rows.num_rows, dtype=np.bool_))]

    def _stretches(self, rows: _Rows) -> list[_Rows]:
        """What can be united at once, one stretch after the other.

        With EMIT FINAL the batch is cut before each row that may join a session which rows before it have
        made final: it is out of order by more than the grace. If every change counts, the rows of a key that
        are out of order come in stretches of their own. Else it makes no difference.
        """
        if self.spec.emit_every:
            keys, _ = KeyIndex(self._bare_keys).find_or_add(rows.hashes, self._keys(rows.rows))
            number = rounds_in_order(keys, rows.time)
            rounds = int(number.max()) + 1
            return [rows] if rounds == 1 else [rows.at(np.flatnonzero(number == n)) for n in range(rounds)]
        if not self.spec.emit_final:
            return [rows]
        cuts = np.flatnonzero(rows.time < rows.stream_time - self.window.grace_ms).tolist()
        places = [0, *(cut for cut in cuts if cut), len(rows.time)]
        return [rows.part(begin, end) for begin, end in itertools.pairwise(places)]

    # Uniting

    def _unite(self, rows: _Rows) -> list[pa.RecordBatch]:
        """Let rows join sessions; gives the changes, in order."""
        row_slot = self._index.key_slots(rows.hashes, self._keys(rows.rows))
        order = order_of(row_slot, rows.time)
        ordered = row_slot[order]
        is_first = np.append(True, ordered[1:] != ordered[:-1])
        keys = ordered[is_first]
        row_key = np.empty(len(order), dtype=np.int64)
        row_key[order] = np.cumsum(is_first) - 1
        stored, rest = self._stored(keys, rows.time[order[is_first]] - self.window.gap_ms)
        intervals = Intervals(
            row_key,
            rows.time,
            self.window.late_bound(rows.stream_time),
            self.window.kept_end(rows.stream_time),
            stored.key,
            stored.start,
            stored.end,
        )
        merging = resolve(intervals, self.window.gap_ms, self._is_ordered)
        late = int(np.count_nonzero(merging.is_late))
        self._problems.late(late, "the sessions they belong to had closed")
        in_time = np.flatnonzero(~merging.is_late)
        if late:
            order = order[~merging.is_late[order]]
        if not len(in_time):
            self._index.forget_empty(keys)
            return []
        unions = unions_of(row_key, rows.time, order, stored, merging, self.window.gap_ms)
        last_row = np.full(len(unions.key), -1, dtype=np.int64)
        # Of several rows the last one stays.
        last_row[unions.of_row[in_time]] = in_time
        joining = _Joining(rows, in_time, unions, stored, merging, last_row, row_slot[last_row])
        slots, changes = self._step_by_step(joining) if self.spec.emit_every else self._at_once(joining)
        left = unions.of_stored < 0
        self._index.relink(
            keys,
            rest,
            np.concatenate([stored.key[left], unions.key]),
            np.concatenate([stored.slot[left], slots]),
            np.concatenate([stored.start[left], unions.start]),
        )
        self._index.forget_empty(keys)
        return changes

    def _at_once(self, joining: _Joining) -> tuple[Int64s, list[pa.RecordBatch]]:
        """The slots of the unions, and the changes from what was stored to them, in order."""
        seq = joining.rows.seq[joining.last_row]
        taken_back = self._taken_back(joining.stored, joining.unions, seq)
        slots = self._merge(joining)
        if self.spec.emit_final:
            return slots, [taken_back] if taken_back is not None else []
        news = self._output(slots, seq, 1)
        changes = news if taken_back is None else pa.concat_batches([taken_back, news])
        # A session's old parts go before it comes, earlier ones first: so they are in each number.
        return slots, [_in_order(changes)]

    def _step_by_step(self, joining: _Joining) -> tuple[Int64s, list[pa.RecordBatch]]:
        """The slots of the unions, and every change on the way to them, in order."""
        rows, unions, stored = joining.rows, joining.unions, joining.stored
        kept = rows.rows.take(pa.array(joining.in_time))
        partials = self._single.of_rows(kept)
        partials = partials.take(pa.array(by_processing(partials.column(SEQ).to_numpy())))
        steps = steps_of(
            self._arithmetic,
            joining.in_time,
            rows.time[joining.in_time],
            partials,
            stored,
            self.groups.states_of(stored.slot).columns,
            unions,
            self.window.gap_ms,
        )
        results = self._arithmetic.results(steps.states)
        keys = self._index.keys.keys.get(joining.key_slot[steps.union]).columns
        absorbed = np.flatnonzero(unions.of_stored >= 0)
        base = absorbed[stored.start[absorbed] == unions.start[unions.of_stored[absorbed]]]
        slots = self._settle(joining, base)
        last = np.flatnonzero(steps.is_last)
        states = [column.take(pa.array(last)) for column in steps.states]
        self.groups.put(slots, [*states, pa.array(steps.end[last])])
        # What a row takes back comes before what it puts in.
        shown = np.concatenate([np.flatnonzero(~steps.is_last), np.flatnonzero(steps.is_row)])
        olds = len(shown) - int(np.count_nonzero(steps.is_row))
        seq = rows.seq[np.concatenate([steps.next_row[shown[:olds]], steps.row[shown[olds:]]])]
        places = pa.array(shown)
        columns = [k.take(places) for k in keys] if self.spec.keys else []
        for result in results:
            old = result.take(places[:olds]) if self.spec.emit_old else pa.nulls(olds, result.type)
            columns.append(concatenated([old, result.take(places[olds:])], result.type))
        start, end = pa.array(steps.start[shown]), pa.array(steps.end[shown])
        weight = pa.array(np.repeat(np.array([-1, 1], dtype=np.int8), [olds, len(shown) - olds]))
        columns += [start, end, end, pa.array(seq), weight]
        return slots, [_in_order(pa.RecordBatch.from_arrays(columns, schema=self.spec.output))]

    def _stored(self, keys: Int64s, bounds: Int64s) -> tuple[Stored, Int64s]:
        store = self.groups.store
        ends = store.values.fixed(WINDOW_END).values
        key, slot, rest = self._index.ending_from(keys, bounds, ends)
        self.groups.touched += len(slot)
        if not len(slot):
            return Stored(key, slot, slot, slot), rest
        start = store.index.keys.fixed(WINDOW_START).values[slot]
        order = order_of(key, start)
        slot = slot[order]
        return Stored(key[order], slot, start[order], ends[slot]), rest

    def _partials_by_union(self, joining: _Joining) -> pa.RecordBatch:
        rows, in_time = joining.rows, joining.in_time
        kept = rows.rows
        if len(in_time) < len(rows.time):
            kept = kept.take(pa.array(in_time))
        kept = kept.append_column(_UNION, pa.array(joining.unions.of_row[in_time]))
        kept = kept.append_column(_PIECE, pa.array(joining.merging.row_piece[in_time]))
        return self._partials.of_rows(kept)

    def _merge(self, joining: _Joining) -> Int64s:
        """Bring the states of stored sessions and of rows together; gives the slot of each union."""
        groups, store = self.groups, self.groups.store
        unions, stored = joining.unions, joining.stored
        partials = self._partials_by_union(joining)
        absorbed = np.flatnonzero(unions.of_stored >= 0)
        union = np.concatenate([unions.of_stored[absorbed], partials.column(_UNION).to_numpy()])
        turn = np.concatenate([joining.merging.stored_turn[absorbed], partials.column(_PIECE).to_numpy()])
        # Stored sessions are in the order of their starts already.
        order = order_of(union, turn)
        # A stored session that comes first and starts where the union does becomes the union in its place.
        is_first = np.append(True, union[order][1:] != union[order][:-1])
        grows = order[is_first] < len(absorbed)
        base = absorbed[order[is_first][grows]]
        base = base[stored.start[base] == unions.start[unions.of_stored[base]]]
        is_leaving = ~np.isin(absorbed, base)
        columns = [*groups.states.names, TIME]
        old = store.values.get(stored.slot[absorbed[is_leaving]]).select(columns)
        slots = self._settle(joining, base)
        news = partials.select(columns)
        news = pa.RecordBatch.from_arrays(
            [
                c if c.type == f.type else c.cast(f.type)
                for c, f in zip(news.columns, old.schema, strict=True)
            ],
            schema=old.schema,
        )
        together = pa.concat_batches([old, news])
        places = np.full(len(absorbed), -1, dtype=np.int64)
        places[is_leaving] = np.arange(old.num_rows)
        places = np.concatenate([places, old.num_rows + np.arange(partials.num_rows)])
        order = order[places[order] >= 0]
        touched = slots if len(order) != len(slots) else None
        groups.merge(slots[union[order]], together.take(pa.array(places[order])), touched)
        return slots

    def _settle(self, joining: _Joining, base: Int64s) -> Int64s:
        """A slot for each union, with its bounds; that of a stored session that goes on, or a new one.

        base  the stored sessions that go on; the others that became part of a union leave
        """
        unions, stored = joining.unions, joining.stored
        leaves = unions.of_stored >= 0
        leaves[base] = False
        self._remove(stored.slot[leaves])
        slots = np.full(len(unions.key), -1, dtype=np.int64)
        slots[unions.of_stored[base]] = stored.slot[base]
        fresh = np.flatnonzero(slots < 0)
        slots[fresh] = self._add(joining.key_slot[fresh], unions.start[fresh])
        self.groups.begin(slots[fresh])
        partition = joining.rows.partition[joining.last_row[fresh]]
        values = self.groups.store.values
        values.fixed(PARTITION).values[slots[fresh]] = partition
        values.fixed(WINDOW_END).values[slots] = unions.end
        self._calendar.enter(slots[fresh], partition)
        return slots

    def _add(self, keys: Int64s, start: Int64s) -> Int64s:
        """New sessions, by the index's number for their keys."""
        if not len(keys):
            return keys
        columns = [*self._index.keys.keys.get(keys).columns, pa.array(start)]
        slots, is_new = self.groups.store.find_or_add(columns)
        assert is_new.all()
        return slots

    def _remove(self, slots: Int64s) -> None:
        self.groups.touched += len(slots)
        self.groups.store.remove(slots)

    # What follows

    def _taken_back(self, stored: Stored, unions: Unions, seq: Int64s) -> pa.RecordBatch | None:
        """The stored sessions that became part of others, under their old bounds."""
        chosen = np.flatnonzero(unions.of_stored >= 0)
        if self.spec.emit_final:
            chosen = chosen[self._is_final(stored.slot[chosen])]
        if not len(chosen):
            return None
        return self._output(stored.slot[chosen], seq[unions.of_stored[chosen]], -1)

    def _close(self, rows: _Rows) -> list[pa.RecordBatch]:
        """The sessions that these rows made final, each at the row that did."""
        closed: list[Int64s] = []
        seqs: list[Int64s] = []
        for partition in distinct(rows.partition):
            slots = self._calendar.closed(int(partition), self.stream_time.of(int(partition)))
            mine = np.flatnonzero(rows.partition == partition)
            driver = np.searchsorted(rows.stream_time[mine], self._calendar.close_time(slots))
            closed.append(slots)
            seqs.append(rows.seq[mine[driver]])
        if not closed:
            return []
        slots, seq = np.concatenate(closed), np.concatenate(seqs)
        keys = self.groups.store.index.keys.get(slots)
        order = by_processing(seq, keys.column(WINDOW_START).to_numpy(), key_order(keys.columns[:-1]))
        return [self._output(slots[order], seq[order], 1)]

    def _expire(self) -> None:
        for partition in self.stream_time.partitions():
            slots = self._calendar.expired(partition, self.stream_time.of(partition))
            if len(slots):
                owners = distinct(self._index.owners(slots))
                self._index.remove(slots)
                self._index.forget_empty(owners)
                self._remove(slots)

    def _catch_up_with_restored_rows(self) -> None:
        store = self.groups.store
        if self._restorations == store.restorations:
            return
        self._restorations = store.restorations
        self._calendar = SessionCalendar(store.values, self.window, self.spec.emit_final)
        self._index = SessionIndex(self._bare_keys)
        slots = store.values.slots()
        if not len(slots):
            return
        keys = store.index.keys.get(slots)
        start = keys.column(WINDOW_START).to_numpy()
        bare = keys.columns[:-1]
        key_slots, place = np.unique(self._index.key_slots(self._hasher(bare), bare), return_inverse=True)
        nothing_after = np.full(len(key_slots), -1, dtype=np.int64)
        self._index.relink(key_slots, nothing_after, place.reshape(-1), slots, start)
        partition = store.values.fixed(PARTITION).values[slots].astype(np.int64)
        self._calendar.enter(slots, partition)
        # What was final before the restart has been emitted.
        for number in self.stream_time.partitions():
            self._calendar.closed(number, self.stream_time.of(number))

    def _is_final(self, slots: Int64s) -> Bools:
        partition = self.groups.store.values.fixed(PARTITION).values[slots]
        stream_time = np.full(len(slots), NEVER)
        for number in self.stream_time.partitions():
            stream_time[partition == number] = self.stream_time.of(number)
        final: Bools = self._calendar.close_time(slots) <= stream_time
        return final

    def _output(self, slots: Int64s, seq: Int64s, weight: int) -> pa.RecordBatch:
        """Output rows for sessions as they are now; those taken back carry values only on request."""
        keys = self.groups.store.index.keys.get(slots)
        end = pa.array(self.groups.store.values.fixed(WINDOW_END).values[slots])
        columns: list[pa.Array] = list(keys.columns[:-1]) if self.spec.keys else []
        if weight > 0 or self.spec.emit_old:
            columns += self.groups.results(slots)
        else:
            columns += [pa.nulls(len(slots), call.result_type) for call in self.spec.calls]
        columns += [keys.column(WINDOW_START), end, end, pa.array(seq), weights(len(slots), weight)]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)


def _in_order(changes: pa.RecordBatch) -> pa.RecordBatch:
    """The changes by `$seq`; those of one number as they are."""
    seq = changes.column(SEQ).to_numpy()
    return changes.take(pa.array(order_of(seq, np.zeros_like(seq))))
