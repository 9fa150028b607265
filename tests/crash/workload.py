"""What is loaded, and what runs over it.

Each record is a function of the seed, its topic and partition, and its number, so that whoever has to go
on, or to judge, knows all of them. The sources are loaded in three ways, as producers do it:

    events          JSON, three partitions, plain appends, some records unreadable
    visits          typed, by a producer with a name, which sends its last batch again after a restart
    lefts, rights   typed, streams to join; users, plans: typed, tables to join. All four by commits
                    that say which round they are, so that a round is there in all of them or in none

Of a topic loaded by rounds, a round's records are later than those of the round before: what is read in
order of time is then read in one order, however far a reader had got.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pyarrow as pa

from streamsql.engine.log.log import TopicPartition
from streamsql.engine.log.partitioner import partition_keys

EVENTS_PARTITIONS = 3
EVENTS_BATCH = 3
VISITS_BATCH = 3
ROUND_ROWS = 3
# In the future, so that no record is older than its topic keeps records.
_START = 4_000_000_000_000

DECLARED = (
    "CREATE STREAM IF NOT EXISTS events (k VARCHAR KEY, n BIGINT, note VARCHAR) WITH (KAFKA_TOPIC = 'events', "
    f"PARTITIONS = {EVENTS_PARTITIONS}, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    "CREATE STREAM IF NOT EXISTS visits (visitor VARCHAR, page VARCHAR) WITH (KAFKA_TOPIC = 'visits');",
    "CREATE STREAM IF NOT EXISTS lefts (id BIGINT, x BIGINT) WITH (KAFKA_TOPIC = 'lefts');",
    "CREATE STREAM IF NOT EXISTS rights (id BIGINT, y BIGINT) WITH (KAFKA_TOPIC = 'rights');",
    "CREATE TABLE IF NOT EXISTS users (id BIGINT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC = 'users');",
    "CREATE TABLE IF NOT EXISTS plans (id BIGINT PRIMARY KEY, plan VARCHAR) WITH (KAFKA_TOPIC = 'plans');",
)


INPUTS = ("events", "visits", "lefts", "rights", "users", "plans")
KEPT_SHORT = "JOINED"
"""The output whose old segments go."""
COMPACTED_LATE = "CHAINED"
"""An output that a query reads: it has to learn of every deletion."""


@dataclass(frozen=True, slots=True)
class Query:
    """A persistent query: the name of what it makes, whether that is a table, and its statement."""

    name: str
    is_table: bool
    sql: str


QUERIES = (
    Query(
        "NOTED",
        False,
        "CREATE STREAM IF NOT EXISTS noted WITH (VALUE_FORMAT = 'JSON') AS "
        "SELECT k, n, UCASE(note) AS note FROM events WHERE n % 3 <> 0;",
    ),
    Query(
        "COUNTED",
        True,
        "CREATE TABLE IF NOT EXISTS counted AS SELECT k, COUNT(*) AS c, SUM(n) AS s, "
        "LATEST_BY_OFFSET(note) AS latest, COLLECT_SET(n % 7) AS sevens FROM events GROUP BY k;",
    ),
    Query(
        "SESSIONS",
        True,
        "CREATE TABLE IF NOT EXISTS sessions AS SELECT visitor, COUNT(*) AS c, MIN(page) AS page FROM visits "
        "WINDOW SESSION (900 MILLISECONDS, GRACE PERIOD 600 MILLISECONDS) GROUP BY visitor;",
    ),
    Query(
        "CLOSED",
        False,
        "CREATE TABLE IF NOT EXISTS closed AS SELECT visitor, COUNT(*) AS c FROM visits WINDOW TUMBLING "
        "(SIZE 1 SECOND, GRACE PERIOD 500 MILLISECONDS) GROUP BY visitor EMIT FINAL;",
    ),
    Query(
        "JOINED",
        False,
        "CREATE STREAM IF NOT EXISTS joined AS SELECT l.id AS id, l.x AS x, r.y AS y FROM lefts l "
        "LEFT JOIN rights r WITHIN 1500 MILLISECONDS GRACE PERIOD 500 MILLISECONDS ON l.id = r.id;",
    ),
    Query(
        "SUBSCRIBED",
        True,
        "CREATE TABLE IF NOT EXISTS subscribed AS SELECT ROWKEY AS id, u.name, p.plan "
        "FROM users u FULL OUTER JOIN plans p ON u.id = p.id;",
    ),
    Query(
        "CHAINED",
        True,
        "CREATE TABLE IF NOT EXISTS chained AS SELECT k, COUNT(*) AS c, MAX(n) AS most FROM noted GROUP BY k;",
    ),
    Query("MANY", True, "CREATE TABLE IF NOT EXISTS many AS SELECT k, c FROM chained WHERE c % 4 > 1;"),
)

# A query that takes the place of one that says the same goes on from its offsets and its state.
_REPLACED = tuple(
    query.sql.replace("CREATE", "CREATE OR REPLACE").replace("IF NOT EXISTS ", "") for query in QUERIES[:2]
)
IN_BETWEEN = (
    "SELECT COUNT(*) FROM counted;",
    "CREATE TABLE IF NOT EXISTS fleeting AS SELECT k, COUNT(*) AS c FROM events GROUP BY k;",
    "DROP TABLE IF EXISTS fleeting DELETE TOPIC;",
    "PAUSE ALL;",
    "RESUME ALL;",
    *_REPLACED,
)
"""What a life does now and then while it loads."""
IN_THE_END = ("DROP TABLE IF EXISTS fleeting DELETE TOPIC;", "RESUME ALL;")


def _keys_by_partition(keys_each: int) -> list[list[bytes]]:
    """Keys that belong into each partition of events, so that what a query writes stays where it was read.

    Between partitions there is no order: what has come of one does not wait for another.
    """
    keys = [f"k{number}".encode() for number in range(100)]
    partitions = partition_keys(pa.array(keys, pa.binary()), EVENTS_PARTITIONS).tolist()
    return [
        [key for key, own in zip(keys, partitions, strict=True) if own == partition][:keys_each]
        for partition in range(EVENTS_PARTITIONS)
    ]


_KEYS = _keys_by_partition(6)


def events(seed: int, partition: int, first: int, count: int) -> pa.RecordBatch:
    """Records `first` .. `first + count` of a partition of the topic events."""
    keys, values, times = [], [], []
    for number in range(first, first + count):
        chance = Random(f"{seed}/events/{partition}/{number}")
        keys.append(chance.choice(_KEYS[partition]))
        note = chance.choice(["red", "green", "blue", None])
        text = orjson.dumps({"n": number, "note": note})
        values.append(text[: len(text) // 2] if chance.random() < 0.05 else text)
        times.append(_START + number * 100 - chance.choice([0, 0, 0, 50, 1000]))
    columns = {
        "key": pa.array(keys, pa.binary()),
        "value": pa.array(values, pa.binary()),
        "timestamp": pa.array(times, pa.int64()),
    }
    return pa.record_batch(columns)


def visits(seed: int, batch: int) -> pa.RecordBatch:
    """A batch, counted from 0, of the topic visits."""
    rows: list[dict[str, Any]] = []
    times = []
    for number in range(batch * VISITS_BATCH, (batch + 1) * VISITS_BATCH):
        chance = Random(f"{seed}/visits/{number}")
        rows.append({"VISITOR": f"v{chance.randrange(5)}", "PAGE": f"/{chance.randrange(30)}"})
        times.append(_START + number * 120 - chance.choice([0, 0, 0, 200, 900, 4000]))
    value = pa.array(rows, pa.struct([("VISITOR", pa.string()), ("PAGE", pa.string())]))
    return pa.record_batch({"key": pa.nulls(len(rows)), "value": value, "timestamp": pa.array(times)})


def round_of(seed: int, number: int) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    """The appends of a round, counted from 0."""
    chance = Random(f"{seed}/round/{number}")
    start = _START + number * 1000
    for topic, column in (("lefts", "X"), ("rights", "Y")):
        times = [start + chance.randrange(1000) for _ in range(ROUND_ROWS)]
        rows = [{"ID": chance.randrange(4), column: number * 100 + i} for i in range(ROUND_ROWS)]
        value = pa.array(rows, pa.struct([("ID", pa.int64()), (column, pa.int64())]))
        columns = {"key": pa.nulls(len(rows)), "value": value, "timestamp": pa.array(times)}
        yield topic, 0, pa.record_batch(columns)
    for topic, column in (("users", "NAME"), ("plans", "PLAN")):
        times = [start + chance.randrange(1000) for _ in range(ROUND_ROWS)]
        keys = [{"ID": chance.randrange(12)} for _ in range(ROUND_ROWS)]
        texts = [None if chance.random() < 0.3 else {column: f"{number}-{i}"} for i in range(ROUND_ROWS)]
        columns = {
            "key": pa.array(keys, pa.struct([("ID", pa.int64())])),
            "value": pa.array(texts, pa.struct([(column, pa.string())])),
            "timestamp": pa.array(times),
        }
        yield topic, 0, pa.record_batch(columns)


def inputs(seed: int, ends: dict[TopicPartition, int]) -> Iterator[tuple[TopicPartition, list[Any]]]:
    """All records that each partition of the inputs must hold up to its end, as (key, value, timestamp)."""
    for partition in range(EVENTS_PARTITIONS):
        place = TopicPartition("events", partition)
        yield place, as_rows([events(seed, partition, 0, ends[place])])
    batches = ends[TopicPartition("visits", 0)] // VISITS_BATCH
    yield TopicPartition("visits", 0), as_rows([visits(seed, batch) for batch in range(batches)])
    rounds = ends[TopicPartition("lefts", 0)] // ROUND_ROWS
    appends = [append for number in range(rounds) for append in round_of(seed, number)]
    for topic in ("lefts", "rights", "users", "plans"):
        yield TopicPartition(topic, 0), as_rows([batch for name, _, batch in appends if name == topic])


def as_rows(batches: list[pa.RecordBatch]) -> list[Any]:
    """(key, value, timestamp) of every record."""
    return [(row["key"], row["value"], row["timestamp"]) for batch in batches for row in batch.to_pylist()]
