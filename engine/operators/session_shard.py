"""The sessions of some keys: which there are, uniting rows with them, and how they end.

A batch's rows and the stored sessions they may touch are intervals; those of a key that lie close enough
unite to new sessions. A stored session that takes part is taken back under its old bounds, the new one
put in, even if the bounds are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME, WINDOW_END, WINDOW_START
from streamsql.engine.operators.aggregate import Aggregate, keys_of
from streamsql.engine.operators.base import Context, WindowBounds
from streamsql.engine.operators.changes import by_processing, weights
from streamsql.engine.operators.group_states import GroupStates, StateArithmetic
from streamsql.engine.operators.partials import ROW, Partials
from streamsql.engine.operators.session_calendar import SessionCalendar
from streamsql.engine.operators.session_index import SessionIndex
from streamsql.engine.operators.session_rows import Intervals, Merging, resolve
from streamsql.engine.operators.session_steps import steps_of
from streamsql.engine.operators.session_unions import Stored, Unions, unions_of
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.state.columns import Bools, Int64s, concatenated, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.state.ordering import order_of
from streamsql.engine.windows import Session

_UNION = "$union"
_PIECE = "$piece"


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Rows through the stage, uniquely numbered, and stream time at each; int64[n]."""

    rows: pa.RecordBatch
    hashes: UInt64s
    partition: Int64s
    time: Int64s
    seq: Int64s
    stream_time: Int64s

    def at(self, places: Int64s | slice) -> SessionRows:
        """Some of them, by place."""
        if isinstance(places, slice):
            begin, end, _ = places.indices(len(self.time))
            rows = self.rows.slice(begin, end - begin)
        else:
            rows = self.rows.take(pa.array(places))
        return SessionRows(
            rows,
            self.hashes[places],
            self.partition[places],
            self.time[places],
            self.seq[places],
            self.stream_time[places],
        )


@dataclass(frozen=True, slots=True)
class _Joining:
    """Rows that join sessions.

    in_time   the rows that are not late, rising
    last_row  per union: the last row that joined it
    key_slot  per union: the index's number for its key
    """

    rows: SessionRows
    in_time: Int64s
    unions: Unions
    stored: Stored
    merging: Merging
    last_row: Int64s
    key_slot: Int64s


class SessionShard:
    """The state of a session aggregate, or a shard of it.

    stream_time  of the operator: that of all its rows, whatever their keys
    """

    def __init__(self, spec: Aggregate, context: Context, stream_time: StreamTime) -> None:
        assert isinstance(spec.window, Session)
        self.spec = spec
        self.window = spec.window
        self._stream_time = stream_time
        workspace = context.workspace
        self.groups = GroupStates(
            pa.schema([*spec.key_fields, pa.field(WINDOW_START, pa.int64())]),
            spec.calls,
            workspace,
            extra=[pa.field(WINDOW_END, pa.int64()), pa.field(PARTITION, pa.int32())],
        )
        since = "it is final" if spec.emit_final else "its end"
        self.groups.store.bound = f"a session leaves {self.window.retention_ms} ms after {since}"
        group = {_UNION: f'"{_UNION}"', _PIECE: f'"{_PIECE}"'}
        self._partials = Partials(spec.stage, spec.calls, group, context)
        self._single = Partials(spec.stage, spec.calls, {ROW: f'"{SEQ}"'}, context)
        self._arithmetic = StateArithmetic(spec.calls, workspace)
        self._bare_keys = pa.schema(spec.key_fields)
        self._hasher = KeyHasher(workspace, self._bare_keys)
        self._is_ordered = any(call.is_ordered for call in spec.calls)
        self.index = SessionIndex(self._bare_keys)
        self.calendar = SessionCalendar(self.groups.store.values, self.window, spec.emit_final)
        self._restorations = 0

    def table(self) -> pa.RecordBatch:
        """Its part of the operator's snapshot."""
        self.catch_up_with_restored_rows()
        return self._shown(self.groups.store.values.slots())

    def look_up(self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s) -> pa.RecordBatch:
        """The same, of some keys and windows."""
        self.catch_up_with_restored_rows()
        store = self.groups.store
        ends = store.values.fixed(WINDOW_END).values
        found = self.index.keys.find(hashes, keys)
        owners = distinct(found[found >= 0])
        _, slots, _ = self.index.ending_from(owners, np.full(len(owners), bounds.first_end), ends)
        start = store.index.keys.fixed(WINDOW_START).values[slots]
        end = ends[slots]
        return self._shown(
            slots[(start >= bounds.first_start) & (start <= bounds.last_start) & (end <= bounds.last_end)]
        )

    # Uniting

    def unite(self, rows: SessionRows) -> tuple[list[pa.RecordBatch], int]:
        """Let rows join sessions; gives the changes, those of a key in order, and how many rows were late."""
        row_slot = self.index.key_slots(rows.hashes, keys_of(self.spec, rows.rows))
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
        in_time = np.flatnonzero(~merging.is_late)
        if late:
            order = order[~merging.is_late[order]]
        if not len(in_time):
            self.index.forget_empty(keys)
            return [], late
        unions = unions_of(row_key, rows.time, order, stored, merging, self.window.gap_ms)
        last_row = np.full(len(unions.key), -1, dtype=np.int64)
        # Of several rows the last one stays.
        last_row[unions.of_row[in_time]] = in_time
        joining = _Joining(rows, in_time, unions, stored, merging, last_row, row_slot[last_row])
        slots, changes = self._step_by_step(joining) if self.spec.emit_every else self._at_once(joining)
        left = unions.of_stored < 0
        self.index.relink(
            keys,
            rest,
            np.concatenate([stored.key[left], unions.key]),
            np.concatenate([stored.slot[left], slots]),
            np.concatenate([stored.start[left], unions.start]),
        )
        self.index.forget_empty(keys)
        return changes, late

    def _at_once(self, joining: _Joining) -> tuple[Int64s, list[pa.RecordBatch]]:
        """The slots of the unions, and the changes from what was stored to them."""
        seq = joining.rows.seq[joining.last_row]
        taken_back = self._taken_back(joining.stored, joining.unions, seq)
        slots = self._merge(joining)
        if self.spec.emit_final:
            return slots, [taken_back] if taken_back is not None else []
        news = self._output(slots, seq, 1)
        changes = news if taken_back is None else pa.concat_batches([taken_back, news])
        # A session's old parts go before it comes, earlier ones first: so they are in each number.
        return slots, [changes]

    def _step_by_step(self, joining: _Joining) -> tuple[Int64s, list[pa.RecordBatch]]:
        """The slots of the unions, and every change on the way to them."""
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
        keys = self.index.keys.keys.get(joining.key_slot[steps.union]).columns
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
        return slots, [pa.RecordBatch.from_arrays(columns, schema=self.spec.output)]

    def _stored(self, keys: Int64s, bounds: Int64s) -> tuple[Stored, Int64s]:
        store = self.groups.store
        ends = store.values.fixed(WINDOW_END).values
        key, slot, rest = self.index.ending_from(keys, bounds, ends)
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
        self.calendar.enter(slots[fresh], partition)
        return slots

    def _add(self, keys: Int64s, start: Int64s) -> Int64s:
        """New sessions, by the index's number for their keys."""
        if not len(keys):
            return keys
        columns = [*self.index.keys.keys.get(keys).columns, pa.array(start)]
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

    def close(self, rows: SessionRows) -> pa.RecordBatch | None:
        """The sessions that the rows of all keys have made final, each at the row that did."""
        closed: list[Int64s] = []
        seqs: list[Int64s] = []
        for partition in distinct(rows.partition):
            slots = self.calendar.closed(int(partition), self._stream_time.of(int(partition)))
            mine = np.flatnonzero(rows.partition == partition)
            driver = np.searchsorted(rows.stream_time[mine], self.calendar.close_time(slots))
            closed.append(slots)
            seqs.append(rows.seq[mine[driver]])
        if not closed:
            return None
        slots, seq = np.concatenate(closed), np.concatenate(seqs)
        return self._output(slots, seq, 1)

    def expire(self) -> None:
        """Drop the sessions that stream time has left behind."""
        for partition in self._stream_time.partitions():
            slots = self.calendar.expired(partition, self._stream_time.of(partition))
            if len(slots):
                owners = distinct(self.index.owners(slots))
                self.index.remove(slots)
                self.index.forget_empty(owners)
                self._remove(slots)

    def catch_up_with_restored_rows(self) -> None:
        """Index what has been restored since the last call."""
        store = self.groups.store
        if self._restorations == store.restorations:
            return
        self._restorations = store.restorations
        self.calendar = SessionCalendar(store.values, self.window, self.spec.emit_final)
        self.index = SessionIndex(self._bare_keys)
        slots = store.values.slots()
        if not len(slots):
            return
        keys = store.index.keys.get(slots)
        start = keys.column(WINDOW_START).to_numpy()
        bare = keys.columns[:-1]
        key_slots, place = np.unique(self.index.key_slots(self._hasher(bare), bare), return_inverse=True)
        nothing_after = np.full(len(key_slots), -1, dtype=np.int64)
        self.index.relink(key_slots, nothing_after, place.reshape(-1), slots, start)
        partition = store.values.fixed(PARTITION).values[slots].astype(np.int64)
        self.calendar.enter(slots, partition)
        # What was final before the restart has been emitted.
        for number in self._stream_time.partitions():
            self.calendar.closed(number, self._stream_time.of(number))

    def _shown(self, slots: Int64s) -> pa.RecordBatch:
        if self.spec.emit_final:
            slots = slots[self._is_final(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64), 1)

    def _is_final(self, slots: Int64s) -> Bools:
        partition = self.groups.store.values.fixed(PARTITION).values[slots]
        stream_time = np.full(len(slots), NEVER)
        for number in self._stream_time.partitions():
            stream_time[partition == number] = self._stream_time.of(number)
        final: Bools = self.calendar.close_time(slots) <= stream_time
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
