"""Producers: rows into a stream, a table or a topic, collected into batches, acknowledged when durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.clock import Clock
from streamsql.engine.log.log import Log
from streamsql.engine.log.partitioner import partition_keys
from streamsql.engine.log.records import HEADERS
from streamsql.engine.log.refusals import unknown_partition
from streamsql.engine.log.sender import Int32Array, Int64Array, Sender, Sent
from streamsql.errors import DataError, PlanError
from streamsql.writer import Encoded, TopicWriter, as_batch, as_table

Partitioning = str | Callable[[pa.RecordBatch, int], Any]
"""'key', 'round-robin', or a function (rows, count of partitions) -> a partition per row."""

_TIME, _PARTITION = "$timestamp", "$partition"
_RAW = pa.schema([("key", pa.binary()), ("value", pa.binary()), ("headers", HEADERS)])


class Producer:
    """Rows into one stream, table or topic; every method may be called from any thread.

    >>> import streamsql
    >>> with streamsql.connect() as db:
    ...     _ = db.execute("CREATE STREAM views (page VARCHAR, user_id BIGINT);")
    ...     with db.producer("views", linger_ms=50) as producer:
    ...         sent = [producer.send({"page": "/", "user_id": n}) for n in range(3)]
    ...     [s.result().offset for s in sent]
    [0, 1, 2]
    """

    def __init__(
        self,
        log: Log,
        writer: TopicWriter,
        info: SourceInfo | None,
        clock: Clock,
        partitioner: Partitioning,
        linger_ms: float,
        batch_rows: int,
        name: str | None,
    ) -> None:
        if isinstance(partitioner, str) and partitioner not in ("key", "round-robin"):
            raise PlanError(
                f"there is no partitioner '{partitioner}'",
                code="PRODUCER-SETTING",
                hint="use 'key', 'round-robin' or a function of (rows, partitions)",
            )
        self._log = log
        self._writer = writer
        self._info = info
        self._clock = clock
        self._partitioner = partitioner
        self._sender = Sender(
            log, writer.topic, self._place, linger_ms=linger_ms, batch_rows=batch_rows, name=name
        )

    def send(
        self, rows: Any, *, partition: int | None = None, timestamps: Any = None, sequence: int | None = None
    ) -> Future[Sent]:
        """Hand rows over; they are on their way, and stay together in each partition they go to.

        rows        a dict, a list of dicts, a pyarrow Table or RecordBatch, a data frame. Raw: columns
                    key and value (bytes or text, or null), headers if there are any
        partition   where they go, whatever the partitioner says
        timestamps  ms per row; None: the wall clock
        sequence    with a producer_name: a number that rises from send to send, of your own, such as a
                    line number. What was sent with it before is not stored again; None counts by itself
        gives       partition and offset of each row, as soon as they are as durable as log.flush promises
        raises      DataError if the rows do not fit, PlanError for a partition or sequence out of range.
                    What goes wrong later is raised by the future's `result`, and by `flush`
        """
        table = as_table(rows, self._info) if self._info is not None else _raw_table(rows)
        fitted = self._writer.fitted(as_batch(table))
        if partition is not None:
            self._check_partition(partition)
        if timestamps is None:
            times = np.full(fitted.num_rows, self._clock.now_ms(), np.int64)
        else:
            times = np.asarray(timestamps, np.int64)
        where = np.full(fitted.num_rows, -1 if partition is None else partition, np.int32)
        batch = fitted.append_column(_TIME, pa.array(times)).append_column(_PARTITION, pa.array(where))
        return self._sender.send(batch, sequence)

    def flush(self) -> None:
        """Return when all that was sent is durable; raises the first error since the last flush."""
        self._sender.flush()

    def close(self) -> None:
        """Flush, and take no more rows. A second call does nothing."""
        try:
            self._sender.close()
        finally:
            self._writer.close()

    @property
    def stored(self) -> Mapping[int, int]:
        """With a producer_name: the sequence of the last send that is stored, by partition; 0 for none."""
        return dict(self._sender.stored)

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, rows: pa.RecordBatch, turns: Int64Array) -> tuple[pa.RecordBatch, Int32Array]:
        data = rows.drop_columns([_TIME, _PARTITION])
        if self._info is None:
            encoded = Encoded(_raw_records(data, rows.column(_TIME)), data.column("key"))
        else:
            encoded = self._writer.encode(data, rows.column(_TIME))
        given: Int32Array = rows.column(_PARTITION).to_numpy()
        if (given >= 0).all():
            return encoded.records, given
        chosen = self._chosen(data, encoded.hashed, self._writer.partitions, turns)
        return encoded.records, np.where(given >= 0, given, chosen)

    def _chosen(self, data: pa.RecordBatch, keys: pa.Array[Any], count: int, turns: Int64Array) -> Int32Array:
        round_robin: Int32Array = (turns % count).astype(np.int32)
        if callable(self._partitioner):
            chosen: npt.NDArray[Any] = np.asarray(self._partitioner(data, count))
            if chosen.shape != (data.num_rows,) or not np.issubdtype(chosen.dtype, np.integer):
                raise DataError(
                    f"the partitioner gave {chosen.dtype} of shape {chosen.shape} for {data.num_rows} rows",
                    code="PRODUCER-PARTITIONER",
                    hint="it must give a whole number for each row",
                )
            for bad in chosen[(chosen < 0) | (chosen >= count)][:1]:
                raise unknown_partition(self._writer.topic, int(bad), count)
            return chosen.astype(np.int32)
        if count == 1 or self._partitioner == "round-robin" or keys.null_count == len(keys):
            return round_robin
        hashed = partition_keys(keys, count)
        return np.where(keys.is_null().to_numpy(zero_copy_only=False), round_robin, hashed)

    def _check_partition(self, partition: int) -> None:
        count = self._log.topic_config(self._writer.topic).partitions
        if not 0 <= partition < count:
            raise unknown_partition(self._writer.topic, partition, count)


def _raw_table(rows: Any) -> pa.Table:
    """Rows as keys, values and headers, bytes.

    raises  DataError for other columns, or values that are no bytes
    """
    if isinstance(rows, Mapping):
        rows = [rows]
    is_listed = isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows)
    names = list(dict.fromkeys(n for row in rows for n in row)) if is_listed else pa.table(rows).column_names
    for name in names:
        if name not in _RAW.names:
            raise DataError(
                f"a raw record has no column {name}", code="DATA-COLUMN", hint="it has key, value, headers"
            )
    try:
        if is_listed:
            columns = {n: pa.array([row.get(n) for row in rows], _RAW.field(n).type) for n in names}
            count = len(rows)
        else:
            table = pa.table(rows)
            columns = {n: table.column(n).cast(_RAW.field(n).type) for n in names}
            count = table.num_rows
        return pa.table({f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in _RAW})
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"raw records are bytes or text: {error}", code="DATA-TYPE") from error


def _raw_records(data: pa.RecordBatch, times: pa.Array[Any]) -> pa.RecordBatch:
    columns = [data.column("key"), data.column("value"), times]
    names = ["key", "value", "timestamp"]
    headers = data.column("headers")
    if headers.null_count < len(headers):
        columns.append(headers)
        names.append("headers")
    return pa.RecordBatch.from_arrays(columns, names=names)
