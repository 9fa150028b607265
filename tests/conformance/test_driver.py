"""The driver itself: what it calls equal, and what becomes of cases of our own."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamsql.schema import Column
from streamsql.types import BIGINT, BYTES, DOUBLE, INTEGER, VARCHAR, Array, Map, SqlType, Struct
from streamsql.types import Decimal as SqlDecimal
from tests.conformance import wire
from tests.conformance.__main__ import main
from tests.conformance.cases import run_case
from tests.conformance.compare import Rules, matches
from tests.conformance.outcome import FAILED, PASSED, UNSUPPORTED, Outcome
from tests.conformance.report import judged, table

D = Decimal
LENIENT, STRICT, TYPED = Rules(), Rules(strict=True), Rules(is_typed=True)
PRICE = SqlDecimal(4, 2)
COMPARISONS: list[tuple[Any, Any, SqlType | None, Rules, bool]] = [
    (None, None, None, LENIENT, True),
    (None, 0, INTEGER, LENIENT, False),
    (True, True, None, LENIENT, True),
    (1, True, None, LENIENT, False),
    (1, 1, INTEGER, LENIENT, True),
    (1, D("1"), PRICE, LENIENT, True),
    (1, D("1.0"), PRICE, LENIENT, False),
    (1, D("1.0"), DOUBLE, LENIENT, False),
    (1, 1.0, DOUBLE, TYPED, True),
    (10**9, D("1.0E9"), DOUBLE, LENIENT, True),
    (10**9, D("1000000000.0"), DOUBLE, STRICT, False),
    (D("1.5"), D("1.50"), PRICE, LENIENT, False),
    (D("1.50"), D("1.50"), PRICE, LENIENT, True),
    (D("1.5"), D("1.50"), DOUBLE, LENIENT, True),
    (D("1.5"), D("1.50"), DOUBLE, STRICT, False),
    (D("1.0"), 1, BIGINT, LENIENT, False),
    (D("1.7"), 1, BIGINT, STRICT, True),
    (D("0.1"), 0.1 + 1e-9, DOUBLE, TYPED, True),
    (D("0.1"), 0.11, DOUBLE, TYPED, False),
    ("a", "a", VARCHAR, LENIENT, True),
    ("a", "b", VARCHAR, LENIENT, False),
    ("005.4", D("5.4"), PRICE, LENIENT, True),
    ("5.40", D("5.4"), PRICE, LENIENT, False),
    ("IQ==", b"!", BYTES, LENIENT, True),
    ("NaN", float("nan"), DOUBLE, LENIENT, True),
    ("Infinity", float("-inf"), DOUBLE, LENIENT, False),
    ([1, None], [1, None], Array(INTEGER), LENIENT, True),
    ([1, 2], [2, 1], Array(INTEGER), LENIENT, False),
    ({"a": 1}, {"A": 1}, Struct((("A", INTEGER),)), LENIENT, True),
    ({"A": 1}, {"a": 1}, Struct((("a", INTEGER),)), LENIENT, False),
    ({"A": 1}, {"A": 1, "B": 2}, None, LENIENT, False),
    ({"k": D("1.5")}, {"k": D("1.50")}, Map(VARCHAR, DOUBLE), LENIENT, True),
]


@pytest.mark.parametrize(("expected", "actual", "t", "rules", "equal"), COMPARISONS)
def test_what_counts_as_equal(
    expected: Any, actual: Any, t: SqlType | None, rules: Rules, equal: bool
) -> None:
    assert matches(expected, actual, t, rules) == equal


@pytest.mark.parametrize(
    ("name", "t", "spec", "data"),
    [
        ("JSON", None, {"a": D("1.50"), "b": [None, "x"]}, b'{"a":1.50,"b":[null,"x"]}'),
        ("KAFKA", INTEGER, -2, b"\xff\xff\xff\xfe"),
        ("KAFKA", BIGINT, 1, b"\0\0\0\0\0\0\0\1"),
        ("KAFKA", DOUBLE, D("1.5"), b"\x3f\xf8\0\0\0\0\0\0"),
        ("KAFKA", VARCHAR, "é", b"\xc3\xa9"),
        ("DELIMITED", None, "a,b", b"a,b"),
    ],
)
def test_bytes_of_the_simple_formats(name: str, t: SqlType | None, spec: Any, data: bytes) -> None:
    columns = () if t is None else (Column("K", t),)
    assert wire.encode(name, spec, columns) == data
    assert wire.decode(name, data, columns) == spec


@pytest.mark.parametrize("kind", ["TIME", "SESSION"])
def test_windowed_keys(kind: str) -> None:
    window = {"start": 5, "end": 15, "type": kind}
    key = wire.windowed(b"k", window)
    found = wire.unwindowed(key, "SESSION" if kind == "SESSION" else "TUMBLING", 10)
    assert found == (b"k", window)


STREAM = "CREATE STREAM S (ID INT KEY, V INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"


def case(*statements: str, **others: Any) -> str:
    """A line of a corpus."""
    base: dict[str, Any] = {
        "id": "own/case",
        "suite": "qtt",
        "file": "own",
        "needs": [],
        "properties": {},
        "topics": [],
        "inputs": [],
        "outputs": [],
        "expectedError": None,
        "post": None,
    }
    return json.dumps({**base, "statements": statements, **others})


def record(topic: str, key: Any, value: Any, **others: Any) -> dict[str, Any]:
    return {"topic": topic, "key": key, "value": value, "timestamp": 7, **others}


DOUBLED = "CREATE STREAM O AS SELECT ID, V * 2 AS W FROM S;"
INPUTS = [record("s", 1, {"v": 4}), record("s", None, {"V": 5})]
OUTPUTS = [record("O", 1, {"W": 8}, headers=[]), record("O", None, {"W": 10}, headers=[])]
REFUSED = {"phase": "build", "statement": 1, "kind": "statement", "message": "nobody says this"}
SCRIPTS = [
    ("passes", case(STREAM, DOUBLED, inputs=INPUTS, outputs=OUTPUTS), PASSED, ""),
    (
        "two queries by a topic",
        case(
            STREAM,
            "CREATE STREAM P AS SELECT * FROM S WHERE V > 4;",
            "CREATE STREAM O AS SELECT ID, V * 2 AS W FROM P;",
            inputs=INPUTS,
            outputs=OUTPUTS[1:],
        ),
        PASSED,
        "",
    ),
    ("a wrong value", case(STREAM, DOUBLED, inputs=INPUTS[:1], outputs=OUTPUTS[1:]), FAILED, "O[0] key"),
    (
        "a record missing",
        case(STREAM, DOUBLED, inputs=INPUTS[:1], outputs=OUTPUTS),
        FAILED,
        "expected 2 records",
    ),
    (
        "a record too many",
        case(STREAM, DOUBLED, inputs=INPUTS, outputs=OUTPUTS[:1]),
        FAILED,
        "expected 1 records",
    ),
    (
        "another time",
        case(STREAM, DOUBLED, inputs=INPUTS[:1], outputs=[{**OUTPUTS[0], "timestamp": 8}]),
        FAILED,
        "timestamp",
    ),
    ("no query", case(STREAM), FAILED, "no persistent query"),
    ("a refusal", case(STREAM, "CREATE STREAM O AS SELECT X FROM S;", expectedError=REFUSED), PASSED, ""),
    ("a refusal too early", case("nonsense;", DOUBLED, expectedError=REFUSED), FAILED, "statement 0"),
    ("no refusal", case(STREAM, DOUBLED, expectedError=REFUSED), FAILED, "no error"),
    (
        "a refusal that is no syntax error",
        case(STREAM, "CREATE STREAM O AS SELECT X FROM S;", expectedError={**REFUSED, "kind": "parse"}),
        FAILED,
        "no parse error",
    ),
    (
        "what is not built is no refusal",
        case(
            STREAM,
            "CREATE STREAM O AS SELECT ID, V FROM S WHERE V IN (SELECT V FROM S);",
            expectedError=REFUSED,
        ),
        FAILED,
        "no rejection",
    ),
    (
        "what is not built",
        case(STREAM, "CREATE STREAM O AS SELECT ID, V FROM S WHERE V IN (SELECT V FROM S);"),
        UNSUPPORTED,
        "NOT-SUPPORTED",
    ),
    (
        "a source as it must be",
        case(
            STREAM,
            DOUBLED,
            post={"sources": [{"name": "O", "type": "STREAM", "schema": "ID INT KEY, W INT"}]},
        ),
        PASSED,
        "",
    ),
    (
        "a source of another schema",
        case(
            STREAM,
            DOUBLED,
            post={"sources": [{"name": "O", "type": "STREAM", "schema": "ID INT KEY, W BIGINT"}]},
        ),
        FAILED,
        "post.sources",
    ),
]


@pytest.mark.parametrize(("line", "status", "reason"), [s[1:] for s in SCRIPTS], ids=[s[0] for s in SCRIPTS])
def test_the_outcome_of_a_case(line: str, status: str, reason: str) -> None:
    outcome = run_case(line, strict=False)
    assert outcome.status == status, outcome
    assert reason in outcome.reason


def answers(schema: str, rows: list[list[Any]], **others: Any) -> str:
    """A case of suite rqtt with one query."""
    elements: list[dict[str, Any]] = [
        {"header": {"schema": schema}},
        *({"row": {"columns": r}} for r in rows),
    ]
    return case(
        STREAM,
        "CREATE TABLE T AS SELECT ID, COUNT(*) AS N FROM S GROUP BY ID;",
        "SELECT * FROM T;",
        suite="rqtt",
        inputs=[record("s", key, {"V": 1}) for key in (1, 2, 1)],
        responses=[{"admin": {}}, {"admin": {}}, {"query": elements}],
        **others,
    )


HEADER = "`ID` INTEGER KEY, `N` BIGINT"


@pytest.mark.parametrize(
    ("line", "status", "in_other_order"),
    [
        (answers(HEADER, [[1, 2], [2, 1]]), PASSED, False),
        (answers(HEADER, [[2, 1], [1, 2]]), PASSED, True),
        (answers(HEADER, [[2, 1], [1, 2]], outputConditions={"verifyOrder": True}), FAILED, False),
        (answers(HEADER, [[1, 2], [1, 2]]), FAILED, False),
        (answers(HEADER, [[1, 2]]), FAILED, False),
        (answers("`ID` INTEGER, `N` BIGINT", [[1, 2], [2, 1]]), FAILED, False),
    ],
)
def test_the_answers_of_queries(line: str, status: str, in_other_order: bool) -> None:
    outcome = run_case(line, strict=False)
    assert (outcome.status, outcome.order) == (status, in_other_order), outcome


def test_a_strict_run_wants_the_message_too() -> None:
    line = case(STREAM, "CREATE STREAM O AS SELECT X FROM S;", expectedError=REFUSED)
    assert run_case(line, strict=True).status == FAILED
    told = {**REFUSED, "message": "X"}
    assert run_case(line.replace(json.dumps(REFUSED), json.dumps(told)), strict=True).status == PASSED


def test_differences_count_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conformance.report.DIFFERENCES", {"f/b": "we do it otherwise"})
    outcomes = judged([Outcome("f/a", "f", PASSED), Outcome("f/b", "f", FAILED, "x", True)])
    rows = {line.split("  ")[0]: line.split()[-5:] for line in table(outcomes).splitlines() if line}
    assert rows["all"] == ["1", "0", "0", "1", "2"]
    assert rows["negative cases"] == ["0", "0", "0", "1", "1"]


def test_the_command_keeps_a_list_of_what_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = json.loads(SCRIPTS[0][1]) | {"id": "own/good"}
    bad = json.loads(SCRIPTS[2][1]) | {"id": "own/bad"}
    corpus, passing, out = tmp_path / "corpus.jsonl", tmp_path / "passing.txt", tmp_path / "out.json"
    corpus.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    run = [str(corpus), "--jobs", "2", "--passing", str(passing), "--json", str(out)]
    assert main([*run, "--update"]) == 0
    assert passing.read_text() == "own/good\n"
    data = json.loads(out.read_text())
    assert (data["passed"], data["failed"], data["total"]) == (1, 1, 2)
    assert data["cases"] == {"own/good": PASSED, "own/bad": FAILED}
    passing.write_text("own/bad\nown/good\nown/other\n")
    assert main([*run, "--filter", "bad"]) == 1
    assert "does not pass any more: own/bad" in capsys.readouterr().out
