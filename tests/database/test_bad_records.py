"""Every record that cannot be read has an entry in the processing log, as it is; no good one is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import streamsql

BAD = {
    "JSON": [
        (b'{"N":"x"}', '{"N":"x"}', "value: $.N: 'x' is not a BIGINT"),
        (b'{"N"\xff', '{"N"\\xff', "value: the bytes are not UTF-8"),
        (b"", "", "value: not JSON: Input is a zero-length, empty document: line 1 column 1 (char 0)"),
        (
            b'{"N":true,"TEXT":"' + b"t" * 600 + b'"}',
            '{"N":true,"TEXT":"' + "t" * 494 + "…",
            "value: $.N: true is not a BIGINT",
        ),
        (
            b'{"N":[],"TEXT":"' + "é".encode() * 600 + b'"}',
            '{"N":[],"TEXT":"' + "é" * 248 + "…",
            "value: $.N: [] is not a BIGINT",
        ),
    ],
    "DELIMITED": [
        (b"x,t", "x,t", "value: $.N: 'x' is not a BIGINT"),
        (b"1,\xff", "1,\\xff", "value: the bytes are not UTF-8"),
        (b"", "", "value: the payload is empty"),
        (b"1,2," + b"t" * 600, "1,2," + "t" * 508 + "…", "value: 3 fields, the schema has 2"),
    ],
}
GOOD = {"JSON": '{{"N":{},"TEXT":"é"}}', "DELIMITED": "{},é"}
RECORDS, PARTITIONS = 2200, 2


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "bad_at",
    [range(10, RECORDS, 11), [RECORDS // 2], range(RECORDS), [RECORDS - 1]],
    ids=["every eleventh", "one", "all", "the last"],
)
def test_each_bad_record_has_its_entry(tmp_path: Path, name: str, bad_at: range | list[int]) -> None:
    bad = dict(zip(bad_at, BAD[name] * RECORDS, strict=False))
    payloads = [bad[i][0] if i in bad else GOOD[name].format(i).encode() for i in range(RECORDS)]
    expected = sorted((i % PARTITIONS, i // PARTITIONS, *bad[i][1:], i) for i in bad)
    with streamsql.connect(tmp_path / "data") as db:
        db.execute(
            "CREATE STREAM s (n BIGINT, text VARCHAR) "
            f"WITH (KAFKA_TOPIC = 'topic', VALUE_FORMAT = '{name}', PARTITIONS = {PARTITIONS});"
        )
        for partition in range(PARTITIONS):
            values = payloads[partition::PARTITIONS]
            times = np.arange(partition, RECORDS, PARTITIONS)
            columns = {"key": pa.nulls(len(values), pa.binary()), "value": pa.array(values, pa.binary())}
            db.log.append("topic", partition, pa.record_batch({**columns, "timestamp": pa.array(times)}))
        db.execute("CREATE STREAM r WITH (VALUE_FORMAT = 'JSON') AS SELECT n FROM s;")
        db.wait_idle()
        assert sorted(n for (n,) in db.execute("SELECT n FROM r;").fetchall()) == [
            i for i in range(RECORDS) if i not in bad
        ]
    # As durable as the rest of the commit: another opening finds the same.
    with streamsql.connect(tmp_path / "data") as db:
        found = db.execute(
            "SELECT source_partition, source_offset, text, reason, record_time, kind, source_topic "
            "FROM KSQL_PROCESSING_LOG;"
        ).fetchall()
    assert sorted(entry[:5] for entry in found) == expected
    assert {entry[5:] for entry in found} == {("DESERIALIZATION", "topic")}
