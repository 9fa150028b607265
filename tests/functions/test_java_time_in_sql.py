"""Java's patterns of dates and times as DuckDB's SQL: the quick way and the exact one give the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.errors import DataError, PlanError
from streamsql.functions.java_time import format_timestamp_sql, parse_timestamp_sql, timestamp_sql
from streamsql.functions.java_values import (
    read_timestamp,
    write_timestamp,
)
from streamsql.functions.registry import Fragment
from streamsql.types import duckdb_string
from tests.examples import tried


@pytest.fixture(scope="module")
def workspace() -> Any:
    space = Workspace()
    yield space
    space.close()


def run(space: Workspace, printed: Fragment, values: pa.Array) -> list[Any]:
    """The expression over a column X, null where it fails."""
    batch = pa.record_batch({"X": values})
    kernel = space.kernel(
        f"SELECT TRY({printed.sql}) AS y FROM {{rows}}", {"rows": batch.schema}, printed.functions
    )
    return kernel.run(rows=batch).column("y").to_pylist()


def exact(text: str, pattern: str, zone: str) -> datetime | None:
    try:
        return datetime(1970, 1, 1) + timedelta(microseconds=read_timestamp(text, pattern, zone))
    except DataError:
        return None


QUICK = [
    "yyyy-MM-dd",
    "yyyyMMddHHmmssSSS",
    "yyyy-MM-dd HH:mm:ss",
    "dd/MMM/yyyy:HH:mm:ss Z",
    "yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "uuuu-MM-dd'T'HH:mm:ss.SSSSx",
    "d. MMMM yyyy h:mm:ss.SS a",
    "M/d/yyyy H:m",
    "yyyy DDD",
    "100% 'Q' yyyy.MM.dd",
]
SLOW = [
    "yy-MM-dd",
    "yyyy-MM-dd s.SSSSSSSSS",
    "EEE, d MMM yyyy",
    "yyyy[-MM]",
    "yyyy-MM-dd hh:mm",
    "MM-dd",
    "yyyy-MM-dd VV",
    "yyyyM",
]
SPOILT = ["", " ", "x", "0", "+", "99", "Z", ":", "pm"]


@pytest.mark.parametrize("pattern", QUICK)
def test_common_patterns_take_the_quick_way(pattern: str) -> None:
    assert "try_strptime" in parse_timestamp_sql('"X"', duckdb_string(pattern)).sql
    assert (
        "strftime" in format_timestamp_sql('"X"', duckdb_string(pattern)).sql
        or "SSSSx" in pattern
        or ".SS " in pattern
    )


@pytest.mark.parametrize("pattern", SLOW)
def test_other_patterns_take_the_exact_way(pattern: str) -> None:
    assert "try_strptime" not in parse_timestamp_sql('"X"', duckdb_string(pattern)).sql


ZONES = ["GMT", "Europe/Paris", "+05:30", "America/New_York"]


@pytest.mark.parametrize("pattern", QUICK + SLOW)
@tried(15, share=20)
@given(data=st.data())
def test_both_ways_read_and_write_the_same(workspace: Workspace, pattern: str, data: st.DataObject) -> None:
    zone = data.draw(st.sampled_from(ZONES))
    micros = st.integers(-20_000_000_000_000_000, 250_000_000_000_000_000) | st.integers(0, 10**16)
    moments = data.draw(st.lists(micros | st.none(), min_size=1, max_size=40))
    quoted = duckdb_string(pattern), duckdb_string(zone)
    texts = [None if m is None else write_timestamp(m, pattern, zone) for m in moments]
    written = run(workspace, format_timestamp_sql('"X"', *quoted), pa.array(moments, pa.timestamp("us")))
    assert written == texts

    # Texts as written, and spoilt ones: a piece put in somewhere, a piece cut out.
    spoilt = [*texts]
    for text in texts:
        if text:
            at = data.draw(st.integers(0, len(text)))
            cut = data.draw(st.integers(0, 2))
            spoilt.append(text[:at] + data.draw(st.sampled_from(SPOILT)) + text[at + cut :])
    read = run(workspace, parse_timestamp_sql('"X"', *quoted), pa.array(spoilt, pa.string()))
    assert read == [None if text is None else exact(text, pattern, zone) for text in spoilt]


def test_a_timestamp_format_gives_milliseconds(workspace: Workspace) -> None:
    texts = pa.array(["10-04-19 12:00:17Z", "!!!!", None], pa.string())
    assert run(workspace, timestamp_sql('"X"', "yy-MM-dd HH:mm:ssX"), texts) == [1271678417000, None, None]


def test_pattern_and_zone_may_be_columns(workspace: Workspace) -> None:
    batch = pa.record_batch(
        {
            "X": ["1.2.2020 12", "2020-02-01 12", "2020-02-01 12", None, "x"],
            "P": ["d.M.yyyy H", "yyyy-MM-dd HH", "yyyy-MM-dd HH", "d", "b"],
            "Z": ["UTC", "Europe/Paris", None, "UTC", "UTC"],
        }
    )
    printed = parse_timestamp_sql('"X"', '"P"', '"Z"')
    sql = f"SELECT TRY({printed.sql}) AS y FROM {{rows}}"
    kernel = workspace.kernel(sql, {"rows": batch.schema}, printed.functions)
    noon = datetime(2020, 2, 1, 12)
    assert kernel.run(rows=batch).column("y").to_pylist() == [
        noon,
        noon - timedelta(hours=1),
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("pattern", "zone", "code"),
    [
        ("'b'", "'UTC'", "PLAN-TIME-PATTERN"),
        ("'yyyy'", "'Mars'", "PLAN-TIME-ZONE"),
        ('"P"', "'Mars'", "PLAN-TIME-ZONE"),
    ],
)
def test_literals_are_checked_before_anything_runs(pattern: str, zone: str, code: str) -> None:
    pattern = pattern if pattern != "'b'" else "'bbb'"
    for printer in (parse_timestamp_sql, format_timestamp_sql):
        with pytest.raises(PlanError) as error:
            printer('"X"', pattern, zone)
        assert error.value.code == code
