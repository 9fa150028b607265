"""load(resume=True): whatever happens between, each record of a file is in the topic once and in its order."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

import streamsql
from streamsql.connectors import lines
from streamsql.connectors.files import LoadReport, load
from streamsql.database import Database
from streamsql.errors import DataError, PlanError

ROWS = 400


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines.read_lines, "__defaults__", (1000, 0))


def contents(topic: str, rows: range) -> bytes:
    """The file of a format with the numbers of some rows."""
    match topic.removesuffix("_gz"):
        case "lines":
            return b"".join(b"line %d\n" % n for n in rows)
        case "jsonl":
            return b"".join(b'{"N":%d}\n' % n + b"\n" * (n % 7 == 0) for n in rows)
        case "csv":
            return b"n,t\n" + b"".join(b"%d,text %d\n" % (n, n) for n in rows)
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"n": list(rows)}), out, row_group_size=90)
    return out.getvalue().to_pybytes()


TOPICS = ("lines", "jsonl", "csv", "parquet", "lines_gz", "jsonl_gz", "csv_gz")


def write(directory: Path, topic: str, rows: range) -> Path:
    path = directory / topic
    body = contents(topic, rows)
    path.write_bytes(gzip.compress(body) if topic.endswith("_gz") else body)
    return path


def numbers(db: Database, topic: str) -> list[int]:
    """The numbers of the rows that are in a topic."""
    found = []
    for batch in db.log.read(topic, 0, 0, 10**6):
        for value in batch.column("value").to_pylist():
            if isinstance(value, dict):
                found.append(value["N"])
            else:
                found.append(int(bytes(c for c in value if chr(c).isdigit())))
    return found


def load_some(db: Database, path: Path, batches: int | None = None, rows: int = 30) -> LoadReport | None:
    """Load a file as its topic, and stop, as a failure would, after some batches."""
    left = [batches]

    def stop(_: object) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    topic = path.name
    try:
        return load(
            db, topic, [path], topic.removesuffix("_gz"), batch_rows=rows, resume=True, on_progress=stop
        )
    except KeyboardInterrupt:
        return None


# -- going on


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("rows", [1, 30, 77, 1000])
def test_a_load_that_was_stopped_goes_on_where_it_was(
    db: Database, tmp_path: Path, topic: str, rows: int
) -> None:
    path = write(tmp_path, topic, range(ROWS))
    for batches in (1, 2, 1):
        load_some(db, path, batches, rows)
    assert numbers(db, topic) == list(range(min(ROWS, len(numbers(db, topic)))))
    before = len(numbers(db, topic))
    report = load_some(db, path, None, 50)
    assert report is not None and (report.rows, report.rows_before) == (ROWS - before, before)
    assert numbers(db, topic) == list(range(ROWS))
    again = load_some(db, path)
    assert again is not None and (again.rows, again.rows_before) == (0, ROWS)


@pytest.mark.parametrize("topic", ["lines", "jsonl", "csv", "lines_gz", "jsonl_gz"])
def test_what_is_added_to_a_file_is_loaded_next_time(db: Database, tmp_path: Path, topic: str) -> None:
    path = write(tmp_path, topic, range(100))
    for end in (150, 400):
        load_some(db, path, 2)
        load_some(db, path)
        body = contents(topic, range(end - 50, end)).removeprefix(b"n,t\n")
        with open(path, "ab") as file:
            file.write(gzip.compress(body) if topic.endswith("_gz") else body)
    report = load_some(db, path)
    assert report is not None and report.rows == 50
    assert numbers(db, topic) == [*range(150), *range(350, 400)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_last_line_may_get_its_end_later(db: Database, tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"line 1\nline 2")
    load_some(db, path)
    path.write_bytes(b"line 1\nline 2" + end + b"line 3" + end)
    load_some(db, path)
    assert numbers(db, "lines") == [1, 2, 3]


def test_the_same_file_goes_into_two_topics(db: Database, tmp_path: Path) -> None:
    path = write(tmp_path, "lines", range(10))
    for topic in ("a", "b", "a"):
        load(db, topic, [path], "lines", resume=True)
    assert numbers(db, "a") == numbers(db, "b") == list(range(10))


def test_a_topic_that_was_deleted_is_loaded_anew(db: Database, tmp_path: Path) -> None:
    path = write(tmp_path, "lines", range(10))
    for _ in range(2):
        db.execute("CREATE STREAM s (l VARCHAR) WITH (KAFKA_TOPIC='t', PARTITIONS=1, VALUE_FORMAT='KAFKA');")
        load(db, "t", [path], "lines", resume=True)
        assert len(db.execute("SELECT * FROM s;").fetchall()) == 10
        db.execute("DROP STREAM s DELETE TOPIC;")


def test_what_was_not_loaded_yet_may_be_mended(db: Database, tmp_path: Path) -> None:
    db.execute("CREATE STREAM s (n BIGINT) WITH (KAFKA_TOPIC='jsonl', PARTITIONS=1, VALUE_FORMAT='ARROW');")
    good = contents("jsonl", range(300))
    path = tmp_path / "jsonl"
    path.write_bytes(good.replace(b'{"N":200}', b'{"N":oh no}'))
    with pytest.raises(DataError, match="line 230"):
        load_some(db, path, None, 1)
    path.write_bytes(good)
    report = load_some(db, path)
    assert report is not None and report.rows_before == 200
    assert numbers(db, "jsonl") == list(range(300))


# -- files that are not what they were


@pytest.mark.parametrize("topic", TOPICS)
def test_a_file_that_shrank_is_told(db: Database, tmp_path: Path, topic: str) -> None:
    path = write(tmp_path, topic, range(ROWS))
    load_some(db, path)
    before = path.stat().st_size
    write(tmp_path, topic, range(3))
    with pytest.raises(DataError) as found:
        load_some(db, path)
    assert found.value.code == "LOAD-RESUME"
    assert (
        found.value.message
        == f"{path} has {path.stat().st_size:,} bytes, and had {before:,} when it was loaded"
    )
    assert numbers(db, topic) == list(range(ROWS))


@pytest.mark.parametrize("topic", TOPICS)
def test_another_file_of_the_same_name_is_told(db: Database, tmp_path: Path, topic: str) -> None:
    path = write(tmp_path, topic, range(100))
    load_some(db, path, 2)
    write(tmp_path, topic, range(5000, 5900))
    with pytest.raises(DataError, match="is another file than the one that was loaded"):
        load_some(db, path)


@pytest.mark.parametrize("topic", ["parquet", "csv_gz"])
def test_a_file_that_cannot_grow_and_did_is_told(db: Database, tmp_path: Path, topic: str) -> None:
    path = write(tmp_path, topic, range(100))
    load_some(db, path)
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="bytes, and had .* when it was loaded"):
        load_some(db, path)


@pytest.mark.parametrize("topic", ["lines", "csv"])
def test_a_last_line_that_goes_on_is_told(db: Database, tmp_path: Path, topic: str) -> None:
    path = tmp_path / topic
    path.write_bytes(contents(topic, range(10)) + b"1")
    if topic == "csv":
        path.write_bytes(contents(topic, range(10)) + b"10,text")
    load_some(db, path)
    with open(path, "ab") as file:
        file.write(b"1\n")
    with pytest.raises(DataError, match="had no line end when it was loaded, and goes on now"):
        load_some(db, path)


def test_what_cannot_be_resumed(db: Database, tmp_path: Path) -> None:
    path = write(tmp_path, "lines", range(10))
    load_some(db, path)
    with pytest.raises(DataError, match="was loaded as lines, not as jsonl"):
        load(db, "lines", [path], "jsonl", resume=True)
    with pytest.raises(PlanError, match="standard input cannot be resumed"):
        load(db, "lines", ["-"], "lines", resume=True)


# -- killed


CHILD = """
import sys
from pathlib import Path
import streamsql
from streamsql.connectors import lines
from streamsql.connectors.files import load
lines.read_lines.__defaults__ = (1000, 0)
home = Path(sys.argv[1])
with streamsql.connect(home / "data") as db:
    for topic in sys.argv[2:]:
        format = topic.removesuffix("_gz")
        load(db, topic, [home / topic], format, batch_rows=20, resume=True, on_progress=lambda p: print(p.rows, flush=True))
"""

POINTS = ("commit.before_record", "commit.after_record", "commit.before_sync", "commit.before_listeners")


def run_child(home: Path, chance: random.Random, how: str) -> int:
    """Load all in another process, which is killed at some moment unless it gets to the end before; its code."""
    environment = dict(os.environ)
    if how == "at a fail point":
        environment["STREAMSQL_FAILPOINTS"] = f"{chance.choice(POINTS)}=kill:{chance.randrange(1, 60)}"
    batches = chance.randrange(1, 60) if how == "from outside" else None
    command = [sys.executable, "-c", CHILD, str(home), *TOPICS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        for number, _ in enumerate(child.stdout, 1):
            if number == batches:
                child.send_signal(signal.SIGKILL)
        return child.wait(60)


def test_killed_at_any_time_and_run_again_every_record_is_there_once(tmp_path: Path) -> None:
    chance = random.Random(7)
    for topic in TOPICS:
        write(tmp_path, topic, range(ROWS))
    codes = [run_child(tmp_path, chance, how) for how in ("from outside", "at a fail point") * 2]
    assert codes == [-signal.SIGKILL] * 4
    assert run_child(tmp_path, chance, "not at all") == 0
    with streamsql.connect(tmp_path / "data") as db:
        for topic in TOPICS:
            assert numbers(db, topic) == list(range(ROWS)), topic
