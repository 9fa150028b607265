"""CSV and Parquet as batches: names and types, nulls, and errors that say where."""

from __future__ import annotations

import io
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from streamsql.connectors import columns
from streamsql.connectors.columns import read_csv, read_parquet
from streamsql.connectors.declare import sql_names
from streamsql.errors import DataError
from streamsql.types import BIGINT, BOOLEAN, VARCHAR, Array, Decimal, SqlType


def csv_rows(text: str | bytes, wanted: dict[str, SqlType] | None = None) -> list[dict[str, Any]]:
    data = text if isinstance(text, bytes) else text.encode()
    return [row for batch in read_csv(io.BytesIO(data), "f.csv", wanted) for row in batch.to_pylist()]


def test_types_come_from_the_first_rows_and_names_as_sql_has_them() -> None:
    assert csv_rows('user_id,Page,price,"two words"\n1,/,1.5,x\n2,/b,,y\n') == [
        {"USER_ID": 1, "PAGE": "/", "PRICE": 1.5, "two words": "x"},
        {"USER_ID": 2, "PAGE": "/b", "PRICE": None, "two words": "y"},
    ]


def test_declared_types_win_over_what_it_looks_like() -> None:
    wanted = {"ZIP": VARCHAR, "N": BIGINT, "AMOUNT": Decimal(10, 2), "OK": BOOLEAN}
    assert csv_rows("zip,n,amount,OK\n01234,5,1.5,true\n", wanted) == [
        {"zip": "01234", "n": 5, "amount": D("1.50"), "OK": True}
    ]


def test_an_empty_field_is_null_and_quotes_make_an_empty_text() -> None:
    assert csv_rows('A,B\n,""\n', {"A": VARCHAR, "B": VARCHAR}) == [{"A": None, "B": ""}]


@pytest.mark.parametrize("wanted", [None, {"A": VARCHAR, "B": VARCHAR}], ids=["guessed", "declared"])
def test_only_an_empty_field_is_null(wanted: dict[str, SqlType] | None) -> None:
    texts = ["NA", "N/A", "null", "NULL", "nan", "#N/A", "-NaN", "x"]
    found = csv_rows("A,B\n" + "".join(f"{text},\n" for text in texts), wanted)
    assert [(row["A"], row["B"]) for row in found] == [(text, None) for text in texts]


def test_a_number_that_is_none_is_refused_and_not_null() -> None:
    with pytest.raises(DataError, match=r"row 2, column 1: int64: invalid value 'N/A'"):
        csv_rows("A\nN/A\n", {"A": BIGINT})


def test_a_quoted_field_may_span_lines_and_hold_quotes() -> None:
    assert csv_rows('A,B\n"one\ntwo","say ""hi"""\n') == [{"A": "one\ntwo", "B": 'say "hi"'}]


def test_a_byte_order_mark_and_cr_lf_do_no_harm() -> None:
    assert csv_rows(b"\xef\xbb\xbfA,B\r\n1,2\r\n") == [{"A": 1, "B": 2}]


def test_names_alone_make_no_rows() -> None:
    assert csv_rows("A,B\n") == []


@pytest.mark.parametrize(
    ("text", "wanted", "message"),
    [
        ("A,B\n1,2\n3\n", None, "f.csv: row 3: Expected 2 columns, got 1: 3"),
        ("A,B\n1,2\n3,x\n", {"B": BIGINT}, "f.csv: row 3, column 2: int64: invalid value 'x'"),
        ("A\n1.234\n", {"A": Decimal(4, 2)}, "f.csv: row 2, column 1: Rescaling Decimal"),
        (b"A\n\xff\n", {"A": VARCHAR}, "f.csv: row 2, column 1: string: invalid UTF8"),
        ("A\n[1]\n", {"A": Array(BIGINT)}, "f.csv: column A is ARRAY<BIGINT>, which CSV cannot hold"),
        ("A,A\n1,2\n", None, "f.csv, row 1: column A is there twice"),
        ("A,\n1,2\n", None, "f.csv, row 1: a column has no name"),
        ("", None, "f.csv has no first line"),
        (b"\xff\xfe\n1\n", None, "f.csv, row 1: the names of the columns cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_row(
    text: str | bytes, wanted: dict[str, SqlType] | None, message: str
) -> None:
    with pytest.raises(DataError) as error:
        csv_rows(text, wanted)
    assert message in error.value.message


def test_a_wrong_guess_says_how_to_name_the_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_CSV_BLOCK_BYTES", 1000)
    with pytest.raises(DataError) as error:
        csv_rows("A\n" + "1\n" * 3000 + "x\n")
    assert "row 3,002, column 1: int64: invalid value 'x'" in error.value.message
    assert "CREATE STREAM" in (error.value.hint or "")


def test_parquet_types_become_sql_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int16()),
            "Text": pa.array(["a", "b"], pa.large_string()),
            "kind": pa.array(["x", "x"]).dictionary_encode(),
            "seen": pa.array([1, 2], pa.timestamp("ms", "Europe/Rome")),
            "tags": pa.array([["t"], None], pa.list_(pa.string())),
        }
    )
    path = tmp_path / "f.parquet"
    pyarrow.parquet.write_table(table, path)
    (batch,) = read_parquet(str(path), "f.parquet", 100, is_declared=False)
    assert {f.name: f.type for f in batch.schema} == {
        "SMALL": pa.int32(),
        "TEXT": pa.string(),
        "KIND": pa.string(),
        "SEEN": pa.timestamp("us"),
        "TAGS": pa.list_(pa.string()),
    }
    assert batch.column("SEEN").cast(pa.int64()).to_pylist() == [1000, 2000]


@pytest.mark.parametrize("data", [b"", b"PAR1 no, not really", b"x" * 100])
def test_a_file_that_is_no_parquet(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "f.parquet"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"f\.parquet cannot be read as Parquet"):
        list(read_parquet(str(path), "f.parquet", 100, is_declared=False))


def test_a_type_without_a_counterpart_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pyarrow.parquet.write_table(pa.table({"d": pa.array([1], pa.duration("s"))}), path)
    with pytest.raises(DataError, match="column d is duration"):
        list(read_parquet(str(path), "f.parquet", 100, is_declared=False))


@pytest.mark.parametrize(
    ("names", "as_sql"),
    [
        (["user_id"], ["USER_ID"]),
        (["from", "a-b"], ["from", "a-b"]),
        (["id", "Id", "n"], ["id", "Id", "N"]),
        (["rowtime", "ROWTIME"], ["rowtime", "ROWTIME"]),
    ],
)
def test_names_lose_their_case_only_if_sql_would_fold_them(names: list[str], as_sql: list[str]) -> None:
    assert sql_names(names) == as_sql
