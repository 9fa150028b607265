"""What persistent queries write, record by record: keys, nulls, values."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pytest

from streamsql.clock import ManualClock
from streamsql.database import Database
from streamsql.engine.log.memory import MemoryLog

Pair = tuple[Any, Any]


def run(setup: str, topic: str, records: list[Pair], sink: str) -> list[Pair]:
    """Key and value of every record of `sink`, as JSON, after records of JSON went into `topic`."""
    with Database(MemoryLog(), clock=ManualClock(0)) as db:
        db.execute(setup)
        for key, value in records:
            columns = [pa.array([_bytes(x)], pa.binary()) for x in (key, value)]
            names = ["key", "value", "timestamp"]
            db.log.append(topic, 0, pa.RecordBatch.from_arrays([*columns, pa.array([7])], names=names))
        db.wait_idle()
        found = db.log.read(sink, 0, 0, 1_000)
        return [
            (_json(key), _json(value))
            for batch in found
            for key, value in zip(
                batch.column("key").to_pylist(), batch.column("value").to_pylist(), strict=True
            )
        ]


def _bytes(value: Any) -> bytes | None:
    return None if value is None else orjson.dumps(value)


def _json(data: bytes | None) -> Any:
    return None if data is None else orjson.loads(data)


TWO_KEYS = "CREATE STREAM s (a INT KEY, b INT KEY, v INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');"


def test_no_key_stays_no_key(  # and is no key of nulls
) -> None:
    found = run(
        TWO_KEYS + "CREATE STREAM o AS SELECT * FROM s;",
        "t",
        [({"A": 1, "B": None}, {"V": 1}), (None, {"V": 2})],
        "O",
    )
    assert found == [({"A": 1, "B": None}, {"V": 1}), (None, {"V": 2})]


def test_a_computed_key_of_nulls_is_a_key() -> None:
    found = run(
        TWO_KEYS + "CREATE STREAM o AS SELECT * FROM s PARTITION BY v, b;", "t", [(None, {"V": None})], "O"
    )
    assert found == [({"V": None, "B": None}, {"A": None})]


@pytest.mark.parametrize(
    ("by", "with_value", "without_value"),
    [("v", 2, None), ("(v IS NULL)", False, None), ("ROWTIME", 7, None), ("a + b", 3, 3)],
)
def test_partition_by_without_a_value_knows_the_key_only(
    by: str, with_value: Any, without_value: Any
) -> None:
    found = run(
        TWO_KEYS + f"CREATE STREAM o AS SELECT *, 1 AS one FROM s PARTITION BY {by};",
        "t",
        [({"A": 1, "B": 2}, {"V": 2}), ({"A": 1, "B": 2}, None)],
        "O",
    )
    assert [key for key, _ in found] == [with_value, without_value]
    assert found[1][1] is None


@pytest.mark.parametrize(
    ("item", "matches"),
    [
        ("ARRAY['3', NULL]", [[3, None]]),
        ("ARRAY[1, 2]", [[1, 2]]),
        ("ARRAY[3000000000]", [[3000000000]]),
    ],
)
def test_literals_inside_constructors_follow_the_other_side(item: str, matches: list[Any]) -> None:
    found = run(
        "CREATE STREAM s (v ARRAY<BIGINT>, w INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');"
        f"CREATE STREAM o AS SELECT v FROM s WHERE v IN ({item});",
        "t",
        [(None, {"V": v}) for v in ([1, 2], [3, None], [3], [3000000000], None)],
        "O",
    )
    assert [value for _, value in found] == [{"V": v} for v in matches]


def test_a_null_key_of_a_map_is_the_text_null_and_a_key_given_twice_fails_its_row() -> None:
    found = run(
        "CREATE STREAM s (k VARCHAR, n VARCHAR) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');"
        "CREATE STREAM o AS SELECT k, MAP(k := 1, n := 2) AS m FROM s;",
        "t",
        [(None, {"K": "a", "N": None}), (None, {"K": "a", "N": "a"}), (None, {"K": "a", "N": "b"})],
        "O",
    )
    assert [value["M"] for _, value in found] == [{"a": 1, "null": 2}, None, {"a": 1, "b": 2}]


def test_limit_takes_the_rows_of_a_table_by_key(db: Database) -> None:
    db.execute(
        "CREATE STREAM s (id INT, v INT); CREATE TABLE t AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;"
    )
    db.append("s", [{"id": i, "v": 1} for i in (5, 3, 9, 1, 7)])
    assert db.execute("SELECT id FROM t LIMIT 3;").fetchall() == [(1,), (3,), (5,)]
    assert db.execute("SELECT id FROM t ORDER BY id DESC LIMIT 2;").fetchall() == [(9,), (7,)]


def test_the_key_of_a_windowed_table_has_its_bounds(db: Database) -> None:
    db.execute(
        "CREATE STREAM s (id INT, v INT); "
        "CREATE TABLE t AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY id;"
    )
    assert db.execute("SELECT n, WINDOWEND, id FROM t;").keys == ("WINDOWEND", "ID")


def test_a_stream_may_have_key_columns_only() -> None:
    found = run(
        "CREATE STREAM s (k VARCHAR KEY) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');"
        "INSERT INTO s VALUES ('a');"
        "CREATE STREAM o AS SELECT k, LEN(k) AS n FROM s;",
        "t",
        [("bcd", {"X": 1}), ("ef", {})],
        "O",
    )
    assert found == [("a", {"N": 1}), ("bcd", {"N": 3}), ("ef", {"N": 2})]


def test_all_windows_of_a_key_are_on_the_partition_of_the_key(db: Database) -> None:
    db.execute(
        "CREATE STREAM s (id INT KEY, ms BIGINT) WITH (FORMAT = 'JSON', PARTITIONS = 4, TIMESTAMP = 'MS');"
        "CREATE TABLE plain AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;"
        "CREATE TABLE windowed AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY id;"
    )
    db.append("s", [{"id": i, "ms": 1_000 * t} for i in range(8) for t in range(4)])
    db.wait_idle()
    places = {topic: _partitions_by_id(db, topic) for topic in ("PLAIN", "WINDOWED")}
    assert places["PLAIN"] == places["WINDOWED"]
    assert len(set(places["PLAIN"].values())) > 1


def _partitions_by_id(db: Database, topic: str) -> dict[int, int]:
    """Key -> the partition that its records are on."""
    found: dict[int, int] = {}
    for partition in range(4):
        for batch in db.log.read(topic, partition, 0, 1_000):
            for key in batch.column("key").to_pylist():
                assert found.setdefault(int(key[:1]), partition) == partition
    return found
