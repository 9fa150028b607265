"""A look at what a topic holds already, when a stream or table is declared over it."""

from __future__ import annotations

from streamsql.catalog import SourceInfo
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.errors import StreamSQLError
from streamsql.formats.format import SchemaStore
from streamsql.history import Decoder, History, Stretch


def unreadable(log: Log, info: SourceInfo, schemas: SchemaStore) -> str | None:
    """Why the newest record of the topic cannot be read as declared; None if it can, or there is none.

    One record says enough: that another format or type was meant. It is a remark and no error, for the
    next record may be another.
    """
    for number in range(log.topic_config(info.topic).partitions):
        end = log.end_offset(info.topic, number)
        if end > log.start_offset(info.topic, number):
            place = TopicPartition(info.topic, number)
            return _why_not(log, info, schemas, Stretch({place: end - 1}, {place: end}))
    return None


def _why_not(log: Log, info: SourceInfo, schemas: SchemaStore, stretch: Stretch) -> str | None:
    decoder = Decoder(info, frozenset(c.name for c in info.schema.columns), schemas)
    try:
        history = History(log, decoder, stretch)
        for _ in history:
            pass
        return history.left_out.reason or None
    except StreamSQLError as error:
        return str(error)
    finally:
        decoder.close()
