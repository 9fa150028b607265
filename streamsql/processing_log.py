"""The processing log: what went wrong with single records, as a stream one can query."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from streamsql.catalog import STREAM, SideFormat, SourceInfo
from streamsql.clock import Clock
from streamsql.engine.log.log import Append, Log, TopicConfig
from streamsql.schema import Column, Schema
from streamsql.types import BIGINT, INTEGER, VARCHAR

TOPIC = "_streamsql-processing-log"
_RETENTION_MS = 7 * 24 * 3600 * 1000

STREAM_INFO = SourceInfo(
    STREAM,
    "KSQL_PROCESSING_LOG",
    Schema(
        value=(
            Column("QUERY_ID", VARCHAR),
            Column("KIND", VARCHAR),
            Column("REASON", VARCHAR),
            Column("SOURCE_TOPIC", VARCHAR),
            Column("SOURCE_PARTITION", INTEGER),
            Column("SOURCE_OFFSET", BIGINT),
            Column("RECORD_TIME", BIGINT),
            Column("TEXT", VARCHAR),
        )
    ),
    TOPIC,
    SideFormat("ARROW"),
    SideFormat("ARROW"),
    is_source=True,
)


class ProcessingLog:
    """Problems as records of the topic of the stream above, which a query's commit writes with the rest."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._clock = clock
        if not log.has_topic(TOPIC):
            log.create_topic(TOPIC, TopicConfig(retention_ms=_RETENTION_MS))

    def records(self, query_id: str, problems: pa.RecordBatch) -> Sequence[Append]:
        """What to append for a query's problems (in the schema ENTRIES); its time is the wall clock's."""
        rows = problems.num_rows
        if not rows:
            return ()
        names = ("kind", "reason", "topic", "partition", "offset", "time_ms", "text")
        arrays = [pa.repeat(query_id, rows), *(problems.column(name) for name in names)]
        fields = [pa.field(c.name, c.type.arrow) for c in STREAM_INFO.schema.value]
        batch = pa.record_batch(
            {
                "key": pa.nulls(rows, pa.null()),
                "value": pa.StructArray.from_arrays(arrays, fields=fields),
                "timestamp": pa.repeat(pa.scalar(self._clock.now_ms(), pa.int64()), rows),
            }
        )
        return ((TOPIC, 0, batch),)
