"""The command topic: every statement that changed the catalog, in order.

A record's value is JSON: {"statement": SQL, "query_id": id or null, "settings": {..}}. The catalog is
what replaying them gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson
import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.errors import DataError

TOPIC = "_streamsql-commands"
_READ_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Command:
    """A statement as it was executed: variables filled in, with the settings of its session."""

    statement: str
    query_id: str | None
    settings: Mapping[str, str]


class Commands:
    """The command topic of a log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        if not log.has_topic(TOPIC):
            log.create_topic(TOPIC, TopicConfig())

    def next_number(self) -> int:
        """The number the next command will have; query ids end in it."""
        return self._log.end_offset(TOPIC, 0)

    def append(self, command: Command, timestamp_ms: int) -> None:
        """Make a command durable."""
        value = orjson.dumps(
            {"statement": command.statement, "query_id": command.query_id, "settings": dict(command.settings)}
        )
        batch = pa.record_batch(
            {
                "key": pa.nulls(1, pa.binary()),
                "value": pa.array([value], pa.binary()),
                "timestamp": pa.array([timestamp_ms], pa.int64()),
            }
        )
        fail_point("command.before_record")
        self._log.append(TOPIC, 0, batch)
        fail_point("command.after_record")

    def replay(self) -> Iterator[tuple[int, Command]]:
        """Every command with its number, from the first on.

        raises  DataError COMMANDS-UNREADABLE
        """
        offset, end = self._log.start_offset(TOPIC, 0), self._log.end_offset(TOPIC, 0)
        while offset < end:
            for batch in self._log.read(TOPIC, 0, offset, _READ_ROWS):
                for place, value in zip(
                    batch.column("offset").to_pylist(), batch.column("value").to_pylist(), strict=True
                ):
                    yield place, _read(value, place)
                    offset = place + 1


def _read(value: bytes, offset: int) -> Command:
    try:
        found = orjson.loads(value)
        return Command(found["statement"], found["query_id"], found["settings"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"command {offset} of the command topic cannot be read: {error}", code="COMMANDS-UNREADABLE"
        ) from error
