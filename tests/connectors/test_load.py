"""Files into topics: what is stored, in which format, and what a bad file does."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from streamsql.connectors import declare
from streamsql.connectors.files import Progress, load
from streamsql.connectors.topics import ensured_topic
from streamsql.database import Database
from streamsql.errors import DataError, ExternalError, PlanError, StreamSQLError


def values(db: Database, topic: str) -> list[Any]:
    """The values of partition 0, in order."""
    batches = db.log.read(topic, 0, 0, 1 << 20)
    return [v for batch in batches for v in batch.column("value").to_pylist()]


def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    return db.execute(sql).fetchall()


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


LINES = b"one\ntwo\r\n\nnot \xff utf-8\nlast"


def test_lines_are_stored_as_they_are(db: Database, tmp_path: Path) -> None:
    report = load(db, "raw", [write(tmp_path / "a.txt", LINES)], "lines")
    assert values(db, "raw") == [b"one", b"two", b"", b"not \xff utf-8", b"last"]
    assert (report.rows, report.bytes) == (5, len(LINES))
    assert db.log.topic_config("raw").partitions == 1


def test_gzip_is_read_as_it_is_also_in_pieces_and_by_another_name(db: Database, tmp_path: Path) -> None:
    data = gzip.compress(b"a\nb", mtime=0) + gzip.compress(b"c\nd\n", mtime=0)
    report = load(db, "raw", [write(tmp_path / "data", data)], "lines")
    assert values(db, "raw") == [b"a", b"bc", b"d"]
    assert report.bytes == len(data)


def test_ten_pieces_make_the_same_topic_as_one_file(db: Database, tmp_path: Path) -> None:
    lines = [f'{{"n": {i}}}' for i in range(1000)]
    paths = [write(tmp_path / f"{i}.jsonl", "\n".join(lines[i * 100 : i * 100 + 100])) for i in range(10)]
    assert load(db, "pieces", paths, "jsonl", batch_rows=7).rows == 1000
    load(db, "whole", [write(tmp_path / "whole.jsonl", "\n".join(lines))], "jsonl")
    assert values(db, "pieces") == values(db, "whole") == [line.encode() for line in lines]


def test_jsonl_leaves_out_blank_lines_and_is_not_looked_into(db: Database, tmp_path: Path) -> None:
    load(db, "raw", [write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a":1}\n\nno json\n')], "jsonl")
    assert values(db, "raw") == [b'{"a":1}', b"no json"]


def test_a_json_stream_reads_what_was_loaded_before_it(db: Database, tmp_path: Path) -> None:
    load(db, "views", [write(tmp_path / "a.jsonl", '{"page":"/","n":1}\n{"page":"/b","n":2}\n')], "jsonl")
    db.execute(
        "CREATE STREAM views (page VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='views', VALUE_FORMAT='JSON');"
    )
    assert rows(db, "SELECT page, n FROM views ORDER BY n;") == [("/", 1), ("/b", 2)]


def test_jsonl_fills_the_columns_of_a_typed_stream(db: Database, tmp_path: Path) -> None:
    db.execute(
        "CREATE STREAM views (page VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='views', VALUE_FORMAT='ARROW');"
    )
    load(db, "views", [write(tmp_path / "a.jsonl", '{"page":"/","n":1}\n\n{"N":2,"more":0}\n')], "jsonl")
    assert rows(db, "SELECT page, n FROM views;") == [("/", 1), (None, 2)]


def test_a_bad_line_for_a_typed_stream_is_named(db: Database, tmp_path: Path) -> None:
    db.execute(
        "CREATE STREAM views (page VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='views', VALUE_FORMAT='ARROW');"
    )
    path = write(tmp_path / "a.jsonl", '{"n":1}\n\n{"n":"many"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: ") as error:
        load(db, "views", [path], "jsonl", batch_rows=1)
    assert error.value.hint == (
        "a topic with VALUE_FORMAT = 'JSON' takes each line as it is; loaded before it: 1 record"
    )


def test_lines_fill_the_only_column_of_a_typed_stream(db: Database, tmp_path: Path) -> None:
    db.execute("CREATE STREAM raw (line VARCHAR) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='ARROW');")
    load(db, "raw", [write(tmp_path / "a.txt", "one\ntwo\n")], "lines")
    assert rows(db, "SELECT line FROM raw;") == [("one",), ("two",)]
    with pytest.raises(DataError, match="not UTF-8"):
        load(db, "raw", [write(tmp_path / "b.txt", b"\xff\n")], "lines")


def test_csv_fills_a_declared_stream_with_its_types_and_keys(db: Database, tmp_path: Path) -> None:
    db.execute(
        "CREATE TABLE shops (zip VARCHAR PRIMARY KEY, amount DECIMAL(10, 2), n BIGINT) "
        "WITH (KAFKA_TOPIC='shops', VALUE_FORMAT='JSON');"
    )
    load(db, "shops", [write(tmp_path / "a.csv", "zip,amount\n01234,1.5\n99999,\n")], "csv")
    assert values(db, "shops") == [b'{"AMOUNT":1.50,"N":null}', b'{"AMOUNT":null,"N":null}']
    (batch,) = db.log.read("shops", 0, 0, 10)
    assert batch.column("key").to_pylist() == [b"01234", b"99999"]


def test_csv_without_a_stream_makes_typed_columns_that_one_can_declare(db: Database, tmp_path: Path) -> None:
    load(db, "sales", [write(tmp_path / "a.csv", "day,amount\n2024-01-31,1.5\n2024-02-01,2\n")], "csv")
    statement = declare.for_topic(db, "sales", "csv")
    assert statement == "CREATE STREAM SALES (DAY DATE, AMOUNT DOUBLE) WITH (KAFKA_TOPIC = 'sales');"
    db.execute(statement)
    assert rows(db, "SELECT CAST(day AS VARCHAR), amount FROM sales;") == [
        ("2024-01-31", 1.5),
        ("2024-02-01", 2.0),
    ]
    assert declare.for_topic(db, "sales", "csv") is None


def test_parquet_also_from_a_gzip(db: Database, tmp_path: Path) -> None:
    table = pa.table({"page": ["/", "/b"], "n": pa.array([1, 2], pa.int64())})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    load(db, "views", [write(tmp_path / "a.parquet", out.getvalue())], "parquet")
    load(
        db,
        "views",
        [write(tmp_path / "b.parquet.gz", gzip.compress(out.getvalue(), mtime=0))],
        "parquet",
        batch_rows=1,
    )
    assert values(db, "views") == [{"PAGE": "/", "N": 1}, {"PAGE": "/b", "N": 2}] * 2


def test_a_first_line_of_json_suggests_a_stream(db: Database, tmp_path: Path) -> None:
    line = '{"userId": 1, "tags": ["a"], "at": {"x": 1.5}, "ok": true, "from": null, "empty": []}\n'
    load(db, "page-views", [write(tmp_path / "a.jsonl", line)], "jsonl")
    assert declare.for_topic(db, "page-views", "jsonl") == (
        "CREATE STREAM PAGE_VIEWS (USERID BIGINT, TAGS ARRAY<VARCHAR>, `at` STRUCT<X DOUBLE>, OK BOOLEAN, "
        "`from` VARCHAR, EMPTY VARCHAR) WITH (KAFKA_TOPIC = 'page-views', VALUE_FORMAT = 'JSON');"
    )


@pytest.mark.parametrize(
    ("name", "text", "format", "columns", "found"),
    [
        (
            "a.jsonl",
            '{"id": 1, "ID": 2, "rowtime": 3, "WINDOWEND": 4, "": 5, "two": {"a": 6, "A": 7}, "no": {"": 8}}\n',
            "jsonl",
            "`id` BIGINT, ID BIGINT, `rowtime` BIGINT, TWO VARCHAR, NO VARCHAR",
            [(1, 2, 3, '{"a":6,"A":7}', '{"":8}')],
        ),
        ("a.csv", "id,ID,rowtime,ROWOFFSET\n1,2,3,4\n", "csv", "`id` BIGINT, ID BIGINT, `rowtime` BIGINT", [(1, 2, 3)]),
    ],
)  # fmt: skip
def test_names_that_sql_would_fold_into_one_or_has_itself_are_suggested_as_they_are(
    db: Database,
    tmp_path: Path,
    name: str,
    text: str,
    format: str,
    columns: str,
    found: list[tuple[Any, ...]],
) -> None:
    load(db, "t", [write(tmp_path / name, text)], format)
    statement = declare.for_topic(db, "t", format)
    assert statement is not None and f"({columns})" in statement
    db.execute(statement)
    assert rows(db, "SELECT * FROM t;") == found


def test_a_whole_number_too_large_for_a_bigint_suggests_a_decimal(db: Database, tmp_path: Path) -> None:
    line = '{"id": 18446744073709551615, "least": -9223372036854775808}\n'
    load(db, "t", [write(tmp_path / "a.jsonl", line)], "jsonl")
    statement = declare.for_topic(db, "t", "jsonl")
    assert statement is not None and "(ID DECIMAL(20, 0), LEAST BIGINT)" in statement
    db.execute(statement)
    assert rows(db, "SELECT * FROM t;") == [(18446744073709551615, -9223372036854775808)]


@pytest.mark.parametrize("line", ['{"": 1}\n', "[1]\n", '{"ROWTIME": 1}\n'])
def test_a_line_without_a_column_suggests_nothing(db: Database, tmp_path: Path, line: str) -> None:
    load(db, "t", [write(tmp_path / "a.jsonl", line)], "jsonl")
    assert declare.for_topic(db, "t", "jsonl") is None


def test_progress_counts_rows_and_bytes_to_the_end(db: Database, tmp_path: Path) -> None:
    seen: list[Progress] = []
    paths = [write(tmp_path / name, "x\n" * 100) for name in ("a", "b")]
    load(db, "raw", paths, "lines", batch_rows=50, on_progress=seen.append)
    assert [p.rows for p in seen] == [50, 100, 150, 200]
    assert (seen[-1].bytes, seen[-1].total_bytes) == (400, 400)


@pytest.mark.parametrize(
    ("name", "data", "format", "code", "message"),
    [
        ("missing", None, "lines", "LOAD-FILE", "missing cannot be read: No such file"),
        (
            "bad.gz",
            gzip.compress(b"x\n" * 1000, mtime=0)[:-12],
            "lines",
            "LOAD-GZIP",
            "bad.gz is a damaged gzip file",
        ),
        (
            "bad.gz",
            gzip.compress(b"x\n" * 9, mtime=0)[:12] + b"!" * 30,
            "lines",
            "LOAD-GZIP",
            "bad.gz is a damaged gzip",
        ),
        ("a.csv", b"A,B\n1\n", "csv", "LOAD-CSV", "row 2: Expected 2 columns, got 1"),
        ("a.csv", b'{"A": 1, "B": 2}\n', "csv", "LOAD-CSV", "row 1: this is JSON"),
        ("a.csv", b"A,B\n1,2\n", "parquet", "LOAD-PARQUET", "a.csv cannot be read as Parquet"),
    ],
)
def test_a_bad_file_is_named(
    db: Database, tmp_path: Path, name: str, data: bytes | None, format: str, code: str, message: str
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(StreamSQLError) as error:
        load(db, "raw", [path], format)
    assert error.value.code == code
    assert message in error.value.message
    assert not db.log.has_topic("raw")


@pytest.mark.parametrize("resume", [False, True])
def test_a_load_that_stores_nothing_leaves_nothing(db: Database, tmp_path: Path, resume: bool) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    empty, bad = write(tmp_path / "empty.csv", "A,B\n"), write(tmp_path / "bad.csv", '{"A": 1}\n')
    topics, writers = db.log.topics(), db.log.writers()
    with pytest.raises(DataError, match="this is JSON") as error:
        load(db, "raw", [empty, bad], "csv", resume=resume)
    assert (error.value.hint or "").endswith("nothing was loaded")
    assert (db.log.topics(), db.log.writers()) == (topics, writers)
    # What has been stored stays, and so does a topic that was there.
    with pytest.raises(KeyboardInterrupt):
        load(db, "some", [write(tmp_path / "a", "x\ny\n")], "lines", on_progress=interrupt, resume=resume)
    with pytest.raises(DataError, match="is no JSON"):
        load(db, "some", [write(tmp_path / "b", "x\n")], "jsonl", resume=resume)
    assert values(db, "some") == [b"x", b"y"]
    load(db, "none", [write(tmp_path / "c", "")], "lines", resume=resume)
    with pytest.raises(DataError, match="is no JSON"):
        load(db, "none", [write(tmp_path / "d", "x\n")], "jsonl", resume=resume)
    assert db.log.has_topic("none")


def test_a_topic_on_which_a_stream_was_declared_meanwhile_stays(db: Database, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ensured_topic(db, "raw"):
        db.execute("CREATE STREAM s (line VARCHAR) WITH (KAFKA_TOPIC = 'raw', VALUE_FORMAT = 'KAFKA');")
        raise ZeroDivisionError
    assert rows(db, "SELECT * FROM s;") == []


def test_a_missing_file_keeps_the_others_from_being_loaded(db: Database, tmp_path: Path) -> None:
    good = write(tmp_path / "good", "x\n")
    with pytest.raises(ExternalError):
        load(db, "raw", [good, tmp_path / "missing"], "lines")
    with pytest.raises(ExternalError, match="is a directory"):
        load(db, "raw", [good, tmp_path], "lines")
    assert not db.log.has_topic("raw")


def test_formats_and_topics_that_cannot_be(db: Database, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="'xml' is no format"):
        load(db, "raw", [tmp_path], "xml")
    with pytest.raises(PlanError, match="the database's own"):
        load(db, "_streamsql-commands", [write(tmp_path / "a", "x")], "lines")
    db.execute("CREATE STREAM clicks (line VARCHAR);")
    with pytest.raises(PlanError, match="no topic clicks, but there is CLICKS"):
        load(db, "clicks", [write(tmp_path / "a", "x")], "lines")
    assert db.log.topics().count("clicks") == 0


def test_plain_text_is_not_taken_for_json(db: Database, tmp_path: Path) -> None:
    db.execute("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');")
    plain, mixed = tmp_path / "plain.log", tmp_path / "mixed.jsonl"
    plain.write_text("GET /\nGET /a\n")
    mixed.write_text('GET /\n{"a": 1}\n')
    with pytest.raises(DataError, match="plain.log is no JSON") as refused:
        load(db, "t", [str(plain)], "jsonl")
    assert refused.value.hint is not None and "--format lines" in refused.value.hint
    load(db, "t", [str(mixed)], "jsonl")  # a bad line among others is for those who read the topic
    assert db.execute("SELECT a FROM s;").fetchall() == [(1,)]
