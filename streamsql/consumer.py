"""Consumers: rows of streams and tables, or records of topics, as they come; alone or in a group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from streamsql.catalog import SourceInfo
from streamsql.engine.batch import OFFSET, PARTITION, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.graph import Graph
from streamsql.engine.kernel import Kernel
from streamsql.engine.log.consumer import Callback, GroupSettings, RecordConsumer
from streamsql.engine.log.groups import Groups
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.positions import Start
from streamsql.engine.operators.sink import Collect
from streamsql.engine.task import Task
from streamsql.errors import PlanError
from streamsql.formats.format import SchemaStore
from streamsql.plan.scope import physical
from streamsql.plan.sources import Needs, build_source, header_sql
from streamsql.types import duckdb_name

Places = Collection[tuple[str, int]]
"""(name of a stream, table or topic, partition) of each."""

_META = {"ROWTIME": TIME, "ROWPARTITION": PARTITION, "ROWOFFSET": OFFSET}
_BOUNDS = {"WINDOWSTART": WINDOW_START, "WINDOWEND": WINDOW_END}
_FOREVER_MS = 3_600_000


class Polled(NamedTuple):
    """What a poll gives: rows of one stream, table or topic.

    name        as the consumer was told it
    rows        of a stream or table its columns, then ROWTIME, ROWPARTITION and ROWOFFSET, and the bounds
                of a windowed key. Raw: key, value, timestamp, headers if a record has them, partition, offset
    tombstones  which rows of a table delete their key, and so have no values; None if none does
    """

    name: str
    rows: pa.RecordBatch
    tombstones: pa.BooleanArray | None = None


class Consumer:
    """Reads streams, tables or topics. Methods may be called from any thread; one at a time polls.

    The order within a partition is kept. A position is what was given so far: records that cannot be read
    as rows are passed over, and are in the processing log.

    >>> import streamsql
    >>> with streamsql.connect() as db:
    ...     _ = db.execute("CREATE STREAM views (page VARCHAR, user_id BIGINT);")
    ...     _ = db.append("views", [{"page": "/", "user_id": 1}, {"page": "/a", "user_id": 2}])
    ...     with db.consumer("views", group="mailer") as consumer:
    ...         polled = consumer.poll()
    ...         consumer.commit()
    ...     polled.rows.column("PAGE").to_pylist()
    ['/', '/a']
    """

    def __init__(
        self,
        log: Log,
        names: Mapping[str, SourceInfo | None],
        schemas: SchemaStore,
        problems: Callable[[pa.RecordBatch], None],
        start: str | int | datetime | Mapping[Any, int],
        grouped: GroupSettings | None,
    ) -> None:
        self._topics: dict[str, str] = {
            name: name if info is None else info.topic for name, info in names.items()
        }
        self._names = {topic: name for name, topic in self._topics.items()}
        if len(self._names) < len(self._topics):
            raise PlanError(
                f"{' and '.join(self._topics)} read one topic twice",
                code="CONSUMER-TOPICS",
                hint="open a consumer for each",
            )
        self._spellings = self._topics | {i.name: i.topic for i in names.values() if i is not None}
        self._problems = problems
        self._decoding = threading.Lock()
        self._decoders = {self._topics[n]: _Rows(i, schemas) for n, i in names.items() if i is not None}
        try:
            self._consumer = RecordConsumer(log, list(self._names), self._start(start), grouped)
        except BaseException:
            self._close_decoders()
            raise

    def poll(self, timeout_ms: float = 1000, *, max_rows: int = 65_536) -> Polled | None:
        """The next rows of one stream, table or topic, as soon as there are some.

        timeout_ms  how long to wait for them; 0: only what is there
        gives       None if nothing came, or the consumer was closed
        raises      DataError LOG-CORRUPT for damage, and what the callbacks of a group raise

        If the next records are gone (retention), it goes on at the first that are there; that is logged.
        """
        while (found := self._consumer.poll(max_rows, timeout_ms)) is not None:
            topic, raw = found
            decoder = self._decoders.get(topic)
            if decoder is None:
                names = [name.removeprefix("$") for name in raw.schema.names]
                return Polled(self._names[topic], raw.rename_columns(names))
            with self._decoding:
                if self._consumer.is_closed:
                    return None
                rows, tombstones = decoder.rows(raw)
                self._problems(decoder.problems())
            if rows.num_rows:
                return Polled(self._names[topic], rows, tombstones)
        return None

    def __iter__(self) -> Iterator[Polled]:
        """Polls without end, until the consumer is closed."""
        while not self._consumer.is_closed:
            polled = self.poll(_FOREVER_MS)
            if polled is not None:
                yield polled

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of every partition that this consumer reads now, by topic."""
        return self._consumer.positions()

    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets lie between each position and the end of its partition."""
        return self._consumer.lag()

    def seek(self, start: str | int | datetime | Mapping[Any, int]) -> None:
        """Go on elsewhere: as `start` of `db.consumer`; a mapping moves only the partitions it names.

        raises  PlanError CONSUMER-PARTITION for a partition that this consumer does not read,
                DataError LOG-OFFSET-OUT-OF-RANGE
        """
        self._consumer.seek(self._start(start))

    def pause(self, places: Places | None = None) -> None:
        """Give no rows of these partitions, or of any, until `resume`. In a group go on polling."""
        self._consumer.pause(None if places is None else self._places(places))

    def resume(self, places: Places | None = None) -> None:
        """Give rows of these partitions, or of all, again."""
        self._consumer.resume(None if places is None else self._places(places))

    def commit(self, offsets: Mapping[Any, int] | None = None) -> None:
        """Make the group go on here, durably: after all that was given, or at these offsets.

        raises  ConflictError GROUP-FENCED if this consumer has stayed away too long, or a partition went
                to another one: nothing is committed, and its records are read again
        """
        self._consumer.commit(None if offsets is None else self._offsets(offsets))

    def committed(self) -> dict[TopicPartition, int]:
        """What the group has committed of these topics."""
        return self._consumer.committed()

    def close(self) -> None:
        """Leave the group, without a commit; a poll that waits gives None. A second call does nothing."""
        self._consumer.close()
        self._close_decoders()

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_decoders(self) -> None:
        with self._decoding:
            for decoder in self._decoders.values():
                decoder.close()

    def _start(self, start: str | int | datetime | Mapping[Any, int]) -> Start:
        return self._offsets(start) if isinstance(start, Mapping) else start

    def _offsets(self, offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
        return dict(zip(self._places(offsets), offsets.values(), strict=True))

    def _places(self, places: Collection[Any]) -> list[TopicPartition]:
        """The partitions meant: by name, by topic, or by number alone where there is one name."""
        found = []
        for place in places:
            if isinstance(place, int) and len(self._topics) == 1:
                place = (next(iter(self._topics)), place)
            if not isinstance(place, tuple) or len(place) != 2:
                raise PlanError(
                    f"{place!r} names no partition", code="CONSUMER-PARTITION", hint="use (name, number)"
                )
            name, number = place
            found.append(TopicPartition(str(self._spellings.get(name, name)), number))
        return found


class _Rows:
    """Records of one topic into the rows of a stream or table; for one thread."""

    def __init__(self, info: SourceInfo, schemas: SchemaStore) -> None:
        names = [c.name for c in info.schema.columns]
        graph = Graph()
        node = graph.add(build_source(info, Needs(frozenset([*names, "ROWOFFSET"])), schemas))
        self._schema = graph.nodes[node].spec.output
        graph.add(Collect(self._schema), node)
        self._topic = info.topic
        self._task = Task(graph)
        self._columns = {name: physical(name) for name in names} | _META | (_BOUNDS if info.window else {})
        self._headers = info.schema.headers
        self._kernel: Kernel | None = None
        if self._headers:
            texts = {c.name: header_sql(c) for c in self._headers}
            chosen = [
                f"{texts.get(n) or duckdb_name(p)} AS {duckdb_name(n)}" for n, p in self._columns.items()
            ]
            weight = [f", {duckdb_name(WEIGHT)}"] if info.is_table else []
            sql = f"SELECT {', '.join(chosen)}{''.join(weight)} FROM {{input}}"
            self._kernel = self._task.workspace.kernel(sql, {"input": self._schema})

    def rows(self, raw: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.BooleanArray | None]:
        """The rows that can be read, and which of them are tombstones."""
        self._task.feed_topic(self._topic, raw)
        found = self._task.take_rows()
        batch = found[0] if found else pa.RecordBatch.from_pylist([], schema=self._schema)
        if self._kernel is not None:
            batch = self._kernel.run(input=batch)
            rows = batch.select(list(self._columns))
        else:
            columns = [batch.column(name) for name in self._columns.values()]
            rows = pa.RecordBatch.from_arrays(columns, names=list(self._columns))
        if WEIGHT not in batch.schema.names:
            return rows, None
        gone = pc.less(batch.column(WEIGHT), 0)
        return rows, gone if gone.true_count else None

    def problems(self) -> pa.RecordBatch:
        """What could not be read since the last call, as entries of the processing log."""
        return self._task.problems.drain()

    def close(self) -> None:
        self._task.close()


def group_settings(
    groups: Groups,
    name: str,
    assignment: str,
    session_timeout_ms: int,
    on_assigned: Callback | None,
    on_revoked: Callback | None,
    on_lost: Callback | None,
) -> GroupSettings:
    """A member's settings; callbacks that are not given do nothing. PlanError GROUP-NAME."""

    def nothing(places: Collection[TopicPartition]) -> None:
        pass

    callbacks = (on_assigned or nothing, on_revoked or nothing, on_lost or nothing)
    return GroupSettings(groups.group(name), assignment, session_timeout_ms, *callbacks)
