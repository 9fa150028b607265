"""A row that fails is NULL where it failed and has an entry in the processing log; its neighbours are fine."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import streamsql
from streamsql import udf
from streamsql.engine import reasons
from streamsql.errors import DataError

UNPAIRED: list[int] = []
CALLS: list[int] = []


@udf("every_second() -> BIGINT", volatile=True)
def every_second() -> int:
    UNPAIRED.append(0)
    if len(UNPAIRED) % 2:
        raise ValueError("odd")
    return len(UNPAIRED)


@udf("told(text VARCHAR) -> VARCHAR", vectorised=True)
def told(texts: Any) -> Any:
    CALLS.append(len(texts))
    return texts


@udf("shaken(x BIGINT) -> BIGINT", volatile=True)
def shaken(x: int) -> int:
    if x == 7:
        raise ValueError("seven")
    return x


@pytest.mark.parametrize(
    ("expression", "values", "reason"),
    [
        ("CAST(t AS INTEGER)", [1, None, 3], "cannot cast to INTEGER: 'x'"),
        ("CAST(t AS INTEGER) + FLOOR(RANDOM())", [1.0, None, 3.0], "cannot cast to INTEGER: 'x'"),
        ("CAST(t || SUBSTRING(UUID(), 1, 0) AS INTEGER)", [1, None, 3], "cannot cast to INTEGER: 'x'"),
        ("shaken(n)", [1, None, 3], "function SHAKEN failed: ValueError: seven"),
        ("COALESCE(shaken(n), -1)", [1, -1, 3], "function SHAKEN failed: ValueError: seven"),
        (
            "TRANSFORM(ARRAY[n], q => shaken(q))",
            [[1], None, [3]],
            "function SHAKEN failed: ValueError: seven",
        ),
    ],
)
def test_a_bad_row_does_not_end_a_query_whatever_is_volatile_in_it(
    expression: str, values: list[Any], reason: str
) -> None:
    with streamsql.connect(udfs=[shaken]) as db:
        db.execute(
            f"CREATE STREAM s (t VARCHAR, n BIGINT); CREATE STREAM r AS SELECT {expression} AS v FROM s;"
        )
        db.append("s", [{"T": "1", "N": 1}, {"T": "x", "N": 7}, {"T": "3", "N": 3}])
        assert [v for (v,) in db.execute("SELECT v FROM r;").fetchall()] == values
        entries = db.execute("SELECT kind, reason FROM KSQL_PROCESSING_LOG;").fetchall()
        assert entries == [("EXPRESSION", reason)]


def test_a_batch_with_a_bad_row_has_another_random_value_in_each_row() -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR);"
            "CREATE STREAM r AS SELECT RANDOM() AS a, RANDOM() AS b, UUID() AS u, CAST(t AS INTEGER) AS i FROM s;"
        )
        db.append("s", [{"T": "x"}, *({"T": str(i)} for i in range(99))])
        rows = db.execute("SELECT a, b, u, i FROM r;").fetchall()
    assert len({value for a, b, u, _ in rows for value in (a, b, u)}) == 300
    assert [i for *_, i in rows] == [None, *range(99)]


def entries_of(db: streamsql.Database) -> list[tuple[Any, ...]]:
    db.wait_idle()
    return db.execute("SELECT record_time, text, reason FROM KSQL_PROCESSING_LOG;").fetchall()


@pytest.mark.parametrize(
    ("expression", "reasons"),
    [
        ("CAST(t AS INTEGER)", {1: "cannot cast to INTEGER: 'x'", 2: "cannot cast to INTEGER: 'y'"}),
        (
            "100 / CAST(t AS INTEGER)",
            {1: "cannot cast to INTEGER: 'x'", 2: "cannot cast to INTEGER: 'y'", 3: "division by zero"},
        ),
        (
            "n * 4611686018427387904",
            {2: "Overflow in multiplication of INT64 (2 * 461", 3: "(3 * 461", 4: "(4 * 461"},
        ),
        ("shaken(n + 4)", {3: "function SHAKEN failed: ValueError: seven"}),
        ("CASE WHEN n = 2 THEN CAST(t AS INTEGER) END", {2: "cannot cast to INTEGER: 'y'"}),
        ("TRANSFORM(ARRAY[n], q => shaken(q + 5))", {2: "function SHAKEN failed: ValueError: seven"}),
        ("t LIKE t || '!' ESCAPE '!'", dict.fromkeys(range(5), "ends in its escape character: '")),
        ("EXPLODE(ARRAY[CAST(t AS INTEGER)])", {1: "to INTEGER: 'x'", 2: "to INTEGER: 'y'"}),
    ],
)
def test_each_bad_row_has_its_own_reason(expression: str, reasons: dict[int, str]) -> None:
    with streamsql.connect(udfs=[shaken]) as db:
        db.execute(
            f"CREATE STREAM s (t VARCHAR, n BIGINT); CREATE STREAM r AS SELECT {expression} AS v FROM s;"
        )
        rows = [{"T": t, "N": i} for i, t in enumerate("1xy04")]
        db.append("s", rows, timestamps=list(range(5)))
        found = {row: reason for row, _, reason in entries_of(db)}
    assert found.keys() == reasons.keys()
    assert all(reasons[row] in found[row] for row in reasons), found


def test_each_expression_of_a_bad_row_has_its_entry() -> None:
    with streamsql.connect(udfs=[shaken]) as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR, n BIGINT);"
            "CREATE STREAM r AS SELECT CAST(t AS INTEGER) AS i, CAST(t AS DOUBLE) AS d, shaken(n) AS s FROM s "
            "WHERE 1 / (n - 1) <> 5;"
        )
        db.append("s", [{"T": "x", "N": 7}, {"T": "1", "N": 1}, {"T": "y", "N": 2}], timestamps=[0, 1, 2])
        assert entries_of(db) == [
            (0, "CAST(T AS INTEGER)", "cannot cast to INTEGER: 'x'"),
            (0, "CAST(T AS DOUBLE)", "cannot cast to DOUBLE: 'x'"),
            (0, "SHAKEN(N)", "function SHAKEN failed: ValueError: seven"),
            (1, "1 / (N - 1) <> 5", "division by zero"),
            (2, "CAST(T AS INTEGER)", "cannot cast to INTEGER: 'y'"),
            (2, "CAST(T AS DOUBLE)", "cannot cast to DOUBLE: 'y'"),
        ]


def test_a_table_that_is_asked_has_no_more_bad_rows_than_before() -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (id INT KEY, t VARCHAR);"
            "CREATE TABLE r AS SELECT id, CAST(MAX(t) AS INTEGER) AS n FROM s GROUP BY id;"
        )
        db.append("s", [{"ID": 1, "T": "x"}], timestamps=[7])
        for where in ("", "WHERE id = 1"):
            assert db.execute(f"SELECT n FROM r {where};").fetchall() == [(None,)]
        db.append("s", [{"ID": 2, "T": "5"}])
        assert entries_of(db) == [(7, "CAST(MAX(T) AS INTEGER)", "cannot cast to INTEGER: 'x'")]


def test_a_volatile_function_without_arguments_fails_a_row_and_not_the_query() -> None:
    with streamsql.connect(udfs=[every_second]) as db:
        db.execute("CREATE STREAM s (n BIGINT); CREATE STREAM r AS SELECT n, every_second() AS v FROM s;")
        db.append("s", [{"N": i} for i in range(10)])
        rows = db.execute("SELECT n, v FROM r;").fetchall()
        failed = {row for row, text, reason in entries_of(db)}
    assert [n for n, _ in rows] == list(range(10))
    assert sum(v is None for _, v in rows) == 5
    assert len(failed) <= 5


def test_rows_beyond_many_say_what_others_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where DuckDB itself fails: it tells the reason of one row at a time."""
    monkeypatch.setattr(reasons, "MOST", 3)
    monkeypatch.setattr(reasons, "_MOST_COMPARED", 6)
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (n BIGINT); CREATE STREAM r AS SELECT n * 4611686018427387904 AS v FROM s;"
        )
        db.append("s", [{"N": n} for n in (2, 3, 3, 4, 5, 2, 2)], timestamps=list(range(7)))
        found = [reason for _, _, reason in entries_of(db)]
    own = [
        f"({n} * 461" in reason and "other rows" not in reason
        for n, reason in zip("2334522", found, strict=True)
    ]
    assert own == [True, True, True, True, False, True, False]
    assert all("other rows of the batch, one of them with: Overflow" in found[i] for i in (4, 6)), found


def test_one_bad_row_does_not_make_python_run_row_by_row() -> None:
    with streamsql.connect(udfs=[told]) as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR);"
            "CREATE STREAM r AS SELECT 100 / CAST(told(t) AS INTEGER) AS v, CAST(told(t) AS DATE) AS d FROM s;"
        )
        CALLS.clear()
        db.append("s", [{"T": "x" if i == 700 else str(2000 + i)} for i in range(2000)])
        assert len(db.execute("SELECT v FROM r WHERE v IS NULL;").fetchall()) == 1
        assert [text for _, text, _ in entries_of(db)] == [
            "100 / CAST(TOLD(T) AS INTEGER)",
            "CAST(TOLD(T) AS DATE)",
        ]
    assert len(CALLS) < 20


@pytest.mark.parametrize("bad", ["x", "2020"])
def test_each_record_without_a_readable_time_has_its_own_reason(bad: str) -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1, "
            "TIMESTAMP='t', TIMESTAMP_FORMAT='yyyy-MM-dd'); CREATE STREAM r AS SELECT t FROM s;"
        )
        db.append("s", [{"T": "2020-01-01"}, {"T": bad}, {"T": None}, {"T": "2020-01-02"}, {"T": "z"}])
        db.wait_idle()
        found = db.execute("SELECT kind, source_offset, reason FROM KSQL_PROCESSING_LOG;").fetchall()
    assert [(kind, offset) for kind, offset, _ in found] == [
        ("TIMESTAMP", 1),
        ("TIMESTAMP", 2),
        ("TIMESTAMP", 4),
    ]
    assert (bad in found[0][2], found[1][2], "'z'" in found[2][2]) == (True, "the time is null", True)


def test_a_timestamp_is_a_record_s_time_if_it_lies_in_time() -> None:
    """Whole milliseconds, rounded down; DuckDB's infinities are no times, and before 1970 there is none."""
    micros = [1_999, None, (1 << 63) - 1, -((1 << 63) - 1), -1, 2_000]
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (t TIMESTAMP) WITH (KAFKA_TOPIC='s', PARTITIONS=1, TIMESTAMP='t');"
            "CREATE STREAM r AS SELECT t FROM s;"
        )
        times = pa.array(micros, pa.timestamp("us"))
        db.append("s", pa.table({"T": times}), timestamps=pa.array([7] * len(micros)))
        db.wait_idle()
        assert db.execute("SELECT rowtime FROM r;").fetchall() == [(1,), (2,)]
        lost = db.execute("SELECT source_offset, reason FROM KSQL_PROCESSING_LOG;").fetchall()
    assert lost == [(offset, "the time is null") for offset in (1, 2, 3)]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("AS_MAP(ARRAY['k', 'k'], ARRAY[n, n + 1])", [{"k": 2}, {"k": 8}]),
        ("FROM_BYTES(TO_BYTES('ff', 'hex'), 'utf8')", ["\ufffd", "\ufffd"]),
        ("FROM_BYTES(TO_BYTES(t, 'utf8'), 'ascii')", ["1", "x"]),
    ],
)
def test_what_a_function_catches_itself_is_no_failure(expression: str, values: list[Any]) -> None:
    """Also not where another expression of the row fails, so that it runs under TRY."""
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR, n BIGINT);"
            f"CREATE STREAM r AS SELECT CAST(t AS INTEGER) AS i, {expression} AS v FROM s;"
        )
        db.append("s", [{"T": "1", "N": 1}, {"T": "x", "N": 7}], timestamps=[0, 1])
        assert entries_of(db) == [(1, "CAST(T AS INTEGER)", "cannot cast to INTEGER: 'x'")]
        assert [v for (v,) in db.execute("SELECT v FROM r;").fetchall()] == values


def test_rows_with_dates_that_python_does_not_have_have_their_reasons_too() -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (ms BIGINT, n INT); CREATE STREAM far AS SELECT FROM_UNIXTIME(ms) AS t, n FROM s;"
            "CREATE STREAM r AS SELECT LEN(CAST(t AS VARCHAR)) / n AS v FROM far;"
        )
        db.append("s", [{"MS": 253_402_300_800_000 + i, "N": i % 2} for i in range(4)], timestamps=range(4))
        assert [reason for *_, reason in entries_of(db)] == ["division by zero"] * 2
        with pytest.raises(DataError, match="outside the years 1 to 9999"):
            db.execute("SELECT t FROM far;").fetchall()
        assert db.execute("SELECT CAST(t AS VARCHAR) AS t FROM far LIMIT 1;").fetchall() == [
            ("10000-01-01T00:00:00.000",)
        ]


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("n + 1 > 0", False),
        ("0 < n - (-1)", False),
        ("n * 2 > 5", False),
        ("3 NOT BETWEEN 3 + n AND n", False),
        ("n + 1 < 0 OR n = 1", True),
    ],
)
@pytest.mark.parametrize("beside", ["7", "x"], ids=["a good row", "a bad row"])
def test_a_sum_in_a_comparison_overflows_as_java_s_does_whatever_is_beside_it(
    condition: str, value: bool, beside: str
) -> None:
    with streamsql.connect() as db:
        db.execute("CREATE STREAM s (n BIGINT, t VARCHAR);")
        db.execute(f"CREATE STREAM r AS SELECT n, {condition} AS v, CAST(t AS INTEGER) AS i FROM s;")
        db.append("s", [{"n": 2**63 - 1, "t": "1"}, {"n": 1, "t": beside}])
        assert db.execute("SELECT v FROM r WHERE n > 1;").fetchall() == [(value,)]
