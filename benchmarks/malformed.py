"""Malformed: what it costs when every eleventh record cannot be read.

For each format the same good records are read twice by the same query: alone, and with one malformed
record behind every ten good ones, of all the kinds that the format knows. Every good one must come out,
every bad one must be in the processing log with its topic, partition, offset and reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from streamsql.database import Database, connect

FORMATS = ("JSON", "DELIMITED", "AVRO", "PROTOBUF", "JSON_SR")
_GOOD_PER_BAD = 10
_FRAME_ROWS = 1 << 17
COLUMNS = "id BIGINT, name VARCHAR, price DOUBLE, amount DECIMAL(10, 2), seen TIMESTAMP, tags ARRAY<VARCHAR>"
FLAT = "id BIGINT, name VARCHAR, price DOUBLE, amount DECIMAL(10, 2), seen TIMESTAMP, flag BOOLEAN"

Spoil = Callable[[bytes], bytes]


def _in_text(old: bytes, new: bytes) -> Spoil:
    return lambda payload: payload.replace(old, new, 1)


def _behind_frame(spoil: Spoil) -> Spoil:
    return lambda payload: payload[:5] + spoil(payload[5:])


# Types that do not match, text that ends too early, bytes that are no text, nothing at all.
_TEXTS: tuple[Spoil, ...] = (
    _in_text(b'"ID":', b'"ID":"x",":":'),
    _in_text(b'"PRICE":', b'"PRICE":true,"":'),
    _in_text(b'"AMOUNT":', b'"AMOUNT":[1],"":'),
    _in_text(b'"TAGS":', b'"TAGS":{},"":'),
    _in_text(b'"SEEN":', b'"SEEN":"yesterday","":'),
    lambda payload: payload[: len(payload) // 2],
    lambda payload: payload[:9] + b"\xff\xfe" + payload[9:],
    lambda payload: b"not what was expected",
    lambda payload: b"",
)
_FRAMED: tuple[Spoil, ...] = (
    lambda payload: payload[: len(payload) // 2],
    lambda payload: b"\x01" + payload[1:],
    lambda payload: payload[:1] + b"\x00\x00\xff\xff" + payload[5:],
    lambda payload: payload[:5] + b"\xff" * 12,
    lambda payload: payload[:3],
)
SPOILT: dict[str, tuple[Spoil, ...]] = {
    "JSON": _TEXTS,
    "DELIMITED": (
        lambda payload: b"x" + payload,
        lambda payload: payload.rsplit(b",", 1)[0],
        lambda payload: payload + b",more",
        lambda payload: b'1,"never closed' + payload,
        lambda payload: payload[:2] + b"\xff" + payload[2:],
        lambda payload: payload.replace(b".", b".x"),
        lambda payload: b"",
    ),
    "AVRO": _FRAMED,
    "PROTOBUF": _FRAMED,
    # The id of a schema need not be known: a record says itself what it holds.
    "JSON_SR": (_FRAMED[1], *(_behind_frame(spoil) for spoil in _TEXTS)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rates in records per CPU-second; ratio is that of mixed input to clean input.

    is_complete  every good record came out, every bad one is in the processing log
    """

    format: str
    clean_rate: float
    mixed_rate: float
    ratio: float
    is_complete: bool


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks malformed", description=__doc__)
    parser.add_argument(
        "--bad", type=int, default=100_000, help="malformed records; good ones: ten times that"
    )
    parser.add_argument("--format", choices=FORMATS, action="append")
    parser.add_argument("--rounds", type=int, default=4, help="runs of each, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per format and line")
    options = parser.parse_args(arguments)
    found = []
    for name in options.format or FORMATS:
        found.append(outcome := measure(name, options.bad, options.rounds))
        if options.json:
            print(json.dumps(asdict(outcome)), flush=True)
            continue
        print(
            f"{outcome.format:10} clean {outcome.clean_rate:10,.0f}/s  mixed {outcome.mixed_rate:10,.0f}/s  "
            f"ratio {outcome.ratio:.2f}  {'complete' if outcome.is_complete else 'INCOMPLETE'}",
            flush=True,
        )
    return 0 if all(o.is_complete for o in found) else 1


def measure(name: str, bad: int, rounds: int = 2) -> Outcome:
    """Read a format's good records alone and mixed with bad ones."""
    with connect() as db:
        db.execute(_declared("written", name))
        good = _payloads(db, rows(bad * _GOOD_PER_BAD))
        mixed, is_bad = _mixed(good, SPOILT[name])
        clean_rate = max(_run(db, name, good, np.zeros(len(good), dtype=bool), i)[0] for i in range(rounds))
        runs = [_run(db, name, mixed, is_bad, rounds + i) for i in range(rounds)]
    mixed_rate = max(rate for rate, _ in runs)
    return Outcome(name, clean_rate, mixed_rate, mixed_rate / clean_rate, all(ok for _, ok in runs))


def rows(count: int) -> pa.Table:
    """Made-up records, the id counting from 0."""
    ids = np.arange(count)
    columns = {
        "ID": pa.array(ids),
        "NAME": pa.array([f"name {i % 1000}" for i in range(count)]),
        "PRICE": pa.array(ids / 8 + 0.5),
        "AMOUNT": pa.array(ids % 10**6, pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(10, 2)),
        "SEEN": pa.array(ids * 1_000_000, pa.timestamp("us")),
        "TAGS": pa.array([["a", f"t{i % 7}"] for i in range(count)]),
        "FLAG": pa.array(ids % 3 == 0),
    }
    return pa.table(columns)


def _declared(stream: str, name: str, topic: str = "written") -> str:
    columns = FLAT if name == "DELIMITED" else COLUMNS
    return (
        f"CREATE STREAM {stream} ({columns}) WITH (KAFKA_TOPIC = '{topic}', VALUE_FORMAT = '{name}', "
        "PARTITIONS = 1);"
    )


def _payloads(db: Database, table: pa.Table) -> pa.Array:
    wanted = [c.name for c in db.find_source("WRITTEN").schema.value]
    for batch in table.select(wanted).to_batches(max_chunksize=_FRAME_ROWS):
        db.append("written", batch)
    parts: list[pa.Array] = []
    offset = 0
    while read := db.log.read("written", 0, offset, table.num_rows):
        parts += [batch.column("value").cast(pa.binary()) for batch in read]
        offset += sum(batch.num_rows for batch in read)
    return pa.concat_arrays(parts)


def _mixed(good: pa.Array, spoilt: tuple[Spoil, ...]) -> tuple[pa.Array, np.ndarray]:
    """The good payloads with a bad one after every ten, and which are bad."""
    originals = good.take(pa.array(np.arange(0, len(good), _GOOD_PER_BAD))).to_pylist()
    bad = pa.array([spoilt[i % len(spoilt)](p) for i, p in enumerate(originals)], pa.binary())
    is_bad = np.arange(len(good) + len(bad)) % (_GOOD_PER_BAD + 1) == _GOOD_PER_BAD
    places = np.empty(len(is_bad), dtype=np.int64)
    places[~is_bad] = np.arange(len(good))
    places[is_bad] = len(good) + np.arange(len(bad))
    return pa.concat_arrays([good, bad]).take(pa.array(places)), is_bad


def _run(db: Database, name: str, payloads: pa.Array, is_bad: np.ndarray, number: int) -> tuple[float, bool]:
    """Records per CPU-second through a query of its own, and whether all came out as they should."""
    topic = f"topic_{number}"
    db.execute(_declared(f"input_{number}", name, topic))
    for start in range(0, len(payloads), _FRAME_ROWS):
        part = payloads.slice(start, _FRAME_ROWS)
        db.log.append(topic, 0, _records(part))
    before = time.process_time()
    db.execute(
        f"CREATE STREAM output_{number} WITH (VALUE_FORMAT = 'ARROW') AS SELECT * FROM input_{number};"
    )
    db.wait_idle()
    rate = len(payloads) / (time.process_time() - before)
    found = db.execute(f"SELECT id FROM output_{number};").arrow().column("ID").to_numpy()
    entries = db.execute(
        "SELECT source_offset, source_partition, reason, text FROM KSQL_PROCESSING_LOG "
        f"WHERE source_topic = '{topic}' AND kind = 'DESERIALIZATION';"
    ).arrow()
    offsets = np.sort(entries.column("SOURCE_OFFSET").to_numpy())
    is_complete = (
        bool(np.array_equal(np.sort(found), np.arange(np.count_nonzero(~is_bad))))
        and bool(np.array_equal(offsets, np.flatnonzero(is_bad)))
        and not sum(column.null_count for column in entries.columns)
    )
    return rate, is_complete


def _records(payloads: pa.Array) -> pa.RecordBatch:
    n = len(payloads)
    times = pa.array(np.arange(n), pa.int64())
    return pa.record_batch({"key": pa.nulls(n, pa.binary()), "value": payloads, "timestamp": times})
