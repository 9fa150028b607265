"""What pull queries read: tables and streams as of one moment, or as AS OF says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from streamsql.catalog import Catalog, SourceInfo
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.operators.base import WindowBounds
from streamsql.engine.state.keys import UInt64s
from streamsql.errors import DataError, StreamSQLError
from streamsql.formats.format import SchemaStore
from streamsql.history import Decoder, FoldedTable, History, LeftOut, Stretch
from streamsql.plan.pull_from import PullSource
from streamsql.plan.scope import at
from streamsql.queries import Moment, Queries
from streamsql.schema import PSEUDO_COLUMNS

_KEPT = 16
"""Decoders and folded tables kept for the next query, of each."""


@dataclass(slots=True)
class Rows:
    """Rows for a feed, as often as they are asked for; `error` and `left_out` as in `History`."""

    schema: pa.Schema
    batches: Sequence[pa.RecordBatch]
    left_out: LeftOut = field(default_factory=LeftOut)
    error: StreamSQLError | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches)


@dataclass(frozen=True, slots=True)
class Places:
    """What the constants of a source's WHERE and AS OF came to.

    bounds  (column, sign, value)
    as_of   offset or ms; None: now
    """

    bounds: Sequence[tuple[str, str, int | None]] = ()
    as_of: int | None = None


class Snapshots:
    """Fills the feeds of pull queries. For one thread at a time.

    rows_read  rows of tables handed out so far: what the work is proportional to
    """

    def __init__(self, log: Log, queries: Queries, schemas: SchemaStore) -> None:
        self.rows_read = 0
        self._log = log
        self._queries = queries
        self._schemas = schemas
        self._decoders: _Recent[tuple[int, frozenset[str]], Decoder] = _Recent()
        self._folded: _Recent[str, FoldedTable] = _Recent()

    def take(
        self, sources: Sequence[PullSource], places: Sequence[Places], catalog: Catalog
    ) -> dict[str, Rows | History]:
        """All sources of a query as of one moment, by feed; every row written before is in it.

        raises  StreamSQLError
        """
        found: dict[str, Rows | History] = {}
        later: list[tuple[PullSource, Places]] = []
        with self._queries.moment({source.info.name for source in sources}, catalog) as moment:
            for source, place in zip(sources, places, strict=True):
                view = self._view(source.info)
                if view is None or source.as_of is not None:
                    later.append((source, place))
                    continue
                task = moment.tasks[source.info.query_id or ""]
                rows = task.snapshot(view)
                schema = task.graph.nodes[view].spec.output
                found[source.feed] = Rows(schema, [] if rows is None else [rows])
        # What is in the log does not change: the queries may go on.
        for source, place in later:
            found[source.feed] = self._from_log(source, place, moment)
        for rows_of in found.values():
            if isinstance(rows_of, Rows):
                self.rows_read += sum(batch.num_rows for batch in rows_of.batches)
        return found

    def look_up(
        self,
        info: SourceInfo,
        keys: Sequence[pa.Array],
        bounds: WindowBounds,
        hashes: UInt64s | None,
        catalog: Catalog,
    ) -> Rows | None:
        """Rows of a table by key, see `Task.look_up`; None if it cannot be looked into."""
        view = self._view(info)
        if view is not None:
            self._queries.catch_up(info.name, catalog)
            with self._queries.runners[info.query_id or ""].still() as task:
                rows = task.look_up(view, keys, bounds, hashes)
            schema, left_out = task.graph.nodes[view].spec.output, LeftOut()
        else:
            with self._queries.moment([info.name], catalog) as moment:
                pass
            table = self._table(info, moment)
            rows = table.task.look_up(table.node, keys, bounds, hashes)
            schema, left_out = table.schema, table.left_out
        if rows is None:
            return None
        self.rows_read += rows.num_rows
        return Rows(schema, [rows], left_out)

    def close(self) -> None:
        self._decoders.clear()
        self._folded.clear()

    def _view(self, info: SourceInfo) -> int | None:
        """The node of its query that keeps a table; None if there is no query, or none of its nodes does."""
        return self._queries.plans[info.query_id].view if info.query_id in self._queries.runners else None

    # --- from the log ---------------------------------------------------------------------------

    def _from_log(self, source: PullSource, place: Places, moment: Moment) -> Rows | History:
        info = source.info
        columns = source.columns & {*(c.name for c in info.schema.columns), *PSEUDO_COLUMNS}
        if source.as_of is not None:
            self._check_history(source, place.as_of)
        stretch = self._stretch(source, place, moment)
        if not info.is_table:
            decoder = self._decoders.get((id(info), columns))
            if decoder is None or decoder.info is not info:
                decoder = self._decoders.put((id(info), columns), Decoder(info, columns, self._schemas))
            return History(self._log, decoder, stretch)
        if source.as_of is None:
            table = self._table(info, moment)
            return Rows(table.schema, table.rows(), table.left_out)
        table = FoldedTable(self._log, info, columns, self._schemas, stretch)
        try:
            table.advance(stretch.end)
            self._check_whole(source, table, stretch)
            return Rows(table.schema, table.rows(), table.left_out)
        finally:
            table.close()

    def _table(self, info: SourceInfo, moment: Moment) -> FoldedTable:
        """A table that no query keeps, as of a moment."""
        own = {place: end for place, end in moment.ends.items() if place.topic == info.topic}
        start = {place: self._log.start_offset(*place) for place in own}
        table = self._folded.get(info.name)
        if table is None or table.info is not info or table.start != start:
            names = frozenset(c.name for c in info.schema.columns)
            table = FoldedTable(self._log, info, names, self._schemas, Stretch(start, own))
            self._folded.put(info.name, table)
        table.advance(own)
        return table

    def _stretch(self, source: PullSource, place: Places, moment: Moment) -> Stretch:
        """The part of the topic that can matter to a query."""
        topic, is_stamped = source.info.topic, source.info.timestamp is None
        offsets = _Interval()
        times = _Interval()
        partitions = _Interval()
        intervals = {"ROWOFFSET": offsets, "ROWTIME": times, "ROWPARTITION": partitions}
        for column, op, value in place.bounds:
            if value is not None:
                intervals[column].narrow(op, value)
        if source.as_of is not None and place.as_of is not None:
            (times if source.as_of.kind == "TIMESTAMP" else offsets).narrow("<=", place.as_of)
        start: dict[TopicPartition, int] = {}
        end: dict[TopicPartition, int] = {}
        for own in [p for p in moment.ends if p.topic == topic and partitions.holds(p.partition)]:
            end[own] = max(0, min(moment.ends[own], offsets.last + 1))
            start[own] = max(self._log.start_offset(*own), offsets.first)
            if is_stamped and times.first > 0:
                start[own] = max(start[own], self._log.offset_for_time(*own, times.first))
            if start[own] >= end[own]:
                start[own] = end[own] = max(self._log.start_offset(*own), end[own])
        return Stretch(start, end, times.first, times.last)

    # --- whether the past is still there --------------------------------------------------------

    def _check_history(self, source: PullSource, point: int | None) -> None:
        """raises  PlanError for a point that is none, DataError if retention has removed what came before"""
        as_of, info = source.as_of, source.info
        assert as_of is not None
        if point is None or point < 0:
            raise at(as_of.value.node.span, f"this is not {_POINTS[as_of.kind]}", "PLAN-AS-OF")
        for number in range(self._log.topic_config(info.topic).partitions):
            start = self._log.start_offset(info.topic, number)
            if not start:
                continue
            records = self._log.read(info.topic, number, start, 1)
            first = int(records[0].column("timestamp")[0].as_py()) if records else 0
            reached = point >= (start if as_of.kind == "OFFSET" else first)
            if reached and not (info.is_table and info.window is None and self._is_deleting(info)):
                continue
            raise DataError(
                f"{info.title} cannot be seen as of {as_of.kind} {point}: retention has removed the records "
                f"of topic {info.topic} partition {number} before offset {start}",
                code="DATA-HISTORY",
                span=as_of.span,
                hint=f"the history begins at OFFSET {start}, TIMESTAMP {first}",
            )

    def _check_whole(self, source: PullSource, table: FoldedTable, stretch: Stretch) -> None:
        """raises  DataError if compaction has removed records that made the table what it was"""
        info, as_of = source.info, source.as_of
        assert as_of is not None
        for place, end in stretch.end.items():
            compacted = self._log.compacted_offset(*place)
            if min(end, table.later.get(place, end)) >= min(compacted, self._log.end_offset(*place)):
                continue
            raise DataError(
                f"{info.title} cannot be seen as of this {as_of.kind}: of the records of topic {info.topic} "
                f"partition {place.partition} before offset {compacted} compaction has left the last of each "
                "key only",
                code="DATA-HISTORY",
                span=as_of.span,
                hint=f"the history begins at OFFSET {compacted - 1}",
            )

    def _is_deleting(self, info: SourceInfo) -> bool:
        return "compact" not in self._log.topic_config(info.topic).cleanup


_POINTS = {"OFFSET": "an offset: they count from 0", "TIMESTAMP": "a time from 1970 on"}


@dataclass(slots=True)
class _Interval:
    """Whole numbers from `first` to `last`."""

    first: int = -(1 << 62)
    last: int = 1 << 62

    def narrow(self, op: str, value: int) -> None:
        if op in (">", ">=", "="):
            self.first = max(self.first, value + (op == ">"))
        if op in ("<", "<=", "="):
            self.last = min(self.last, value - (op == "<"))

    def holds(self, value: int) -> bool:
        return self.first <= value <= self.last


class _Closable(Protocol):
    def close(self) -> None: ...


_Key = TypeVar("_Key")
_Value = TypeVar("_Value", bound=_Closable)


class _Recent(Generic[_Key, _Value]):
    """The things used last; others are closed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: _Key, value: _Value) -> _Value:
        old = self._kept.pop(key, None)
        if old is not None:
            old.close()
        self._kept[key] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)[1].close()
        return value

    def clear(self) -> None:
        while self._kept:
            self._kept.popitem()[1].close()
