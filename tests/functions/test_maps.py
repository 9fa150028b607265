"""Map functions and lambdas over arrays and maps."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from streamsql.errors import PlanError
from streamsql.functions.lambdas import split_lambda
from streamsql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, NULL, VARCHAR, Array, Decimal, Map
from tests.functions.evaluate import (
    Evaluator,
    Value,
    array,
    bigint,
    integer,
    lambda_,
    map_,
    text,
    value,
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


NO_INTS = array(INTEGER, None)
NO_MAP = map_(INTEGER, None)
AB = map_(INTEGER, {"a": 1, "b": 2})

CASES: list[tuple[str, list[Any], Any]] = [
    ("AS_MAP", [array(VARCHAR, ["a", "b"]), array(INTEGER, [1, 2])], {"a": 1, "b": 2}),
    ("AS_MAP", [array(VARCHAR, ["a", "b"]), array(INTEGER, [1])], {"a": 1, "b": None}),
    ("AS_MAP", [array(VARCHAR, ["a"]), array(INTEGER, [1, 2])], {"a": 1}),
    ("AS_MAP", [array(VARCHAR, ["a", "b", "a"]), array(INTEGER, [1, 2, 3])], {"a": 3, "b": 2}),
    ("AS_MAP", [array(VARCHAR, ["a", None]), array(INTEGER, [1, 2])], {"a": 1}),
    ("AS_MAP", [array(VARCHAR, []), array(INTEGER, [])], {}),
    ("AS_MAP", [array(VARCHAR, None), array(INTEGER, [1])], None),
    ("AS_MAP", [array(VARCHAR, ["a"]), NO_INTS], None),
    ("MAP_KEYS", [AB], ["a", "b"]),
    ("MAP_KEYS", [NO_MAP], None),
    ("MAP_VALUES", [AB], [1, 2]),
    ("MAP_UNION", [AB, map_(INTEGER, {"b": 3, "c": None})], {"a": 1, "b": 3, "c": None}),
    ("MAP_UNION", [NO_MAP, AB], {"a": 1, "b": 2}),
    ("MAP_UNION", [AB, NO_MAP], {"a": 1, "b": 2}),
    ("MAP_UNION", [NO_MAP, NO_MAP], None),
    ("MAP_UNION", [AB, map_(BIGINT, {"a": 5})], {"a": 5, "b": 2}),
    ("TRANSFORM", [array(INTEGER, [1, None, 3]), lambda_("x", "x * 2", INTEGER)], [2, None, 6]),
    ("TRANSFORM", [array(INTEGER, [1]), lambda_('"p~X"', """'v' || "p~X" """, VARCHAR)], ["v1"]),
    ("TRANSFORM", [NO_INTS, lambda_("x", "x", INTEGER)], None),
    ("TRANSFORM", [array(INTEGER, []), lambda_("x", "x", INTEGER)], []),
    (
        "TRANSFORM",
        [AB, lambda_("k, v", "k || v", VARCHAR), lambda_("k, v", "v * 2", INTEGER)],
        {"a1": 2, "b2": 4},
    ),
    ("TRANSFORM", [AB, lambda_("k, v", "v", INTEGER), lambda_("k, v", "k", VARCHAR)], {1: "a", 2: "b"}),
    ("TRANSFORM", [NO_MAP, lambda_("k, v", "k", VARCHAR), lambda_("k, v", "v", INTEGER)], None),
    ("FILTER", [array(INTEGER, [1, None, 3]), lambda_("x", "x > 1", BOOLEAN)], [3]),
    ("FILTER", [array(INTEGER, [1]), lambda_("x", "NULL", NULL)], []),
    ("FILTER", [NO_INTS, lambda_("x", "x > 1", BOOLEAN)], None),
    ("FILTER", [AB, lambda_("k, v", "k = 'b' AND v = 2", BOOLEAN)], {"b": 2}),
    ("FILTER", [map_(INTEGER, {"a": None, "b": 2}), lambda_("k, v", "v = 2", BOOLEAN)], {"b": 2}),
    ("FILTER", [AB, lambda_("k, v", "FALSE", BOOLEAN)], {}),
    ("FILTER", [NO_MAP, lambda_("k, v", "TRUE", BOOLEAN)], None),
    ("REDUCE", [array(INTEGER, [1, 2]), integer(10), lambda_("s, x", "s + x", INTEGER)], 13),
    ("REDUCE", [array(INTEGER, [1, 2]), bigint(10), lambda_("s, x", "s + x", BIGINT)], 13),
    ("REDUCE", [array(VARCHAR, ["a", "b"]), text("z"), lambda_("s, x", "s || x", VARCHAR)], "zab"),
    ("REDUCE", [array(INTEGER, []), integer(10), lambda_("s, x", "s + x", INTEGER)], 10),
    ("REDUCE", [NO_INTS, integer(10), lambda_("s, x", "s + x", INTEGER)], 10),
    ("REDUCE", [array(INTEGER, [1]), integer(None), lambda_("s, x", "s + x", INTEGER)], None),
    ("REDUCE", [AB, text(""), lambda_("s, k, v", "s || k || v", VARCHAR)], "a1b2"),
    ("REDUCE", [NO_MAP, integer(3), lambda_("s, k, v", "s + v", INTEGER)], 3),
    ("REDUCE", [AB, integer(None), lambda_("s, k, v", "s + v", INTEGER)], None),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    found = evaluate.one(name, *arguments)
    if isinstance(expected, dict):
        assert len(found) == len(expected)
        found = dict(found)
    assert found == expected


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "TRANSFORM",
            [AB, lambda_("k, v", "'same'", VARCHAR), lambda_("k, v", "v", INTEGER)],
            "keys must be unique",
        ),
        (
            "TRANSFORM",
            [AB, lambda_("k, v", "k", VARCHAR), lambda_("k, v", "nullif(v, 1)", INTEGER)],
            "function TRANSFORM gives a null value",
        ),
        (
            "FILTER",
            [map_(INTEGER, {"a": None, "b": 2}), lambda_("k, v", "TRUE", BOOLEAN)],
            "function FILTER gives a null value",
        ),
    ],
)
def test_an_error_names_its_reason_and_nulls_its_row(
    evaluate: Evaluator, name: str, arguments: list[Any], message: str
) -> None:
    with pytest.raises(duckdb.Error, match=message):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


def test_a_lambda_sees_columns_of_its_row(evaluate: Evaluator) -> None:
    arrays = Value(Array(INTEGER), [[1, 2], [3]])
    factor = Value(INTEGER, [10, 100])
    found = evaluate.column("REDUCE", arrays, factor, lambda_("s, x", '"A1" * x + s', INTEGER))
    assert found.to_pylist() == [40, 400]


def test_lambdas_nest(evaluate: Evaluator) -> None:
    inner = "list_transform(x, lambda y: y + list_reduce(x, lambda s, z: s + z, CAST(0 AS INTEGER)))"
    found = evaluate.one(
        "TRANSFORM", value(Array(Array(INTEGER)), [[1, 2]]), lambda_("x", inner, Array(INTEGER))
    )
    assert found == [[4, 5]]


def test_result_types_follow_the_lambda(evaluate: Evaluator) -> None:
    made = evaluate.column(
        "TRANSFORM",
        AB,
        lambda_("k, v", "CAST(v AS BIGINT)", BIGINT),
        lambda_("k, v", "CAST(v AS DECIMAL(5,2))", Decimal(5, 2)),
    )
    assert made.type.equals(Map(BIGINT, Decimal(5, 2)).arrow)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("FILTER", [array(INTEGER, [1]), lambda_("x", "x", INTEGER)]),
        ("FILTER", [AB, lambda_("k", "TRUE", BOOLEAN)]),
        ("REDUCE", [array(INTEGER, [1]), integer(0), lambda_("s, x", "s + 1.5", DOUBLE)]),
        ("TRANSFORM", [AB, lambda_("k, v", "k", VARCHAR)]),
        ("TRANSFORM", [array(INTEGER, [1]), integer(1)]),
    ],
)
def test_a_lambda_of_the_wrong_shape_is_refused(evaluate: Evaluator, name: str, arguments: list[Any]) -> None:
    with pytest.raises(PlanError, match=f"function {name} does not take"):
        evaluate.one(name, *arguments)


@pytest.mark.parametrize(
    ("sql", "parameters", "body"),
    [
        ("lambda x: x + 1", ["x"], "x + 1"),
        ('lambda "a b", "c:d": "a b"', ['"a b"', '"c:d"'], '"a b"'),
        ("lambda s, x: list_transform(x, lambda y: y)", ["s", "x"], "list_transform(x, lambda y: y)"),
        ('lambda "q""u": 1', ['"q""u"'], "1"),
    ],
)
def test_a_printed_lambda_is_taken_apart(sql: str, parameters: list[str], body: str) -> None:
    assert split_lambda(sql) == (parameters, body)
