"""Array functions: order, duplicates, null elements, null arrays, ranges."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import PlanError
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Array,
    Decimal,
    Struct,
)
from tests.functions.evaluate import (
    Evaluator,
    Value,
    array,
    bigint,
    boolean,
    integer,
    literal,
    map_,
    null,
    shared,
    text,
    value,
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


def ints(*numbers: int | None) -> Value:
    return array(INTEGER, list(numbers))


def texts(*strings: str | None) -> Value:
    return array(VARCHAR, list(strings))


NO_INTS = array(INTEGER, None)
PAIR = Struct((("A", INTEGER), ("B", VARCHAR)))

A_AND_B = [{"K": "a", "V": None}, {"K": "b", "V": 1}]

CASES: list[tuple[str, list[Any], Any]] = [
    ("ARRAY_CONCAT", [ints(1, 2), ints(2, None)], [1, 2, 2, None]),
    ("ARRAY_CONCAT", [NO_INTS, ints(1)], [1]),
    ("ARRAY_CONCAT", [ints(1), NO_INTS], [1]),
    ("ARRAY_CONCAT", [NO_INTS, NO_INTS], None),
    ("ARRAY_CONCAT", [ints(1), array(BIGINT, [2])], [1, 2]),
    ("ARRAY_CONTAINS", [ints(1, 2), integer(2)], True),
    ("ARRAY_CONTAINS", [ints(1, 2), integer(3)], False),
    ("ARRAY_CONTAINS", [ints(1, None), integer(None)], True),
    ("ARRAY_CONTAINS", [ints(1), integer(None)], False),
    ("ARRAY_CONTAINS", [NO_INTS, integer(1)], False),
    ("ARRAY_CONTAINS", [array(BIGINT, [1]), integer(1)], True),
    ("ARRAY_CONTAINS", [texts("a", None), null()], True),
    ("ARRAY_CONTAINS", [array(Array(INTEGER), [[1, None]]), ints(1, None)], True),
    ("ARRAY_DISTINCT", [ints(3, 1, None, 3, None, 2)], [3, 1, None, 2]),
    ("ARRAY_DISTINCT", [ints()], []),
    ("ARRAY_DISTINCT", [NO_INTS], None),
    ("ARRAY_DISTINCT", [array(PAIR, [{"A": 1, "B": None}, {"A": 1, "B": None}])], [{"A": 1, "B": None}]),
    ("ARRAY_EXCEPT", [ints(3, 1, None, 3, 2), ints(1, None)], [3, 2]),
    ("ARRAY_EXCEPT", [ints(1), NO_INTS], None),
    ("ARRAY_EXCEPT", [NO_INTS, ints(1)], None),
    ("ARRAY_INTERSECT", [ints(3, 1, None, 3, 2), ints(None, 2, 3)], [3, None, 2]),
    ("ARRAY_INTERSECT", [ints(1), NO_INTS], None),
    ("ARRAY_UNION", [ints(3, 1, None), ints(1, None, 2, 2)], [3, 1, None, 2]),
    ("ARRAY_UNION", [NO_INTS, ints(1)], None),
    ("ARRAY_UNION", [ints(1), NO_INTS], None),
    ("ARRAY_JOIN", [texts("a", None, "", "b")], "a,null,,b"),
    ("ARRAY_JOIN", [texts("a", "b"), text("; ")], "a; b"),
    ("ARRAY_JOIN", [texts("a", "b"), literal(VARCHAR, "'; '")], "a; b"),
    ("ARRAY_JOIN", [texts("a", "b"), text(None)], "ab"),
    ("ARRAY_JOIN", [texts("a", "b"), null()], "ab"),
    ("ARRAY_JOIN", [texts(), text("-")], ""),
    ("ARRAY_JOIN", [texts()], ""),
    ("ARRAY_JOIN", [array(VARCHAR, None)], None),
    ("ARRAY_JOIN", [array(VARCHAR, None), text("-")], None),
    ("ARRAY_JOIN", [array(DOUBLE, [1.0, 1e10, None])], "1.0,1.0E10,null"),
    ("ARRAY_JOIN", [array(Decimal(4, 2), [D("1.50")])], "1.50"),
    ("ARRAY_JOIN", [array(BOOLEAN, [True, False])], "true,false"),
    ("ARRAY_LENGTH", [ints(1, None)], 2),
    ("ARRAY_LENGTH", [NO_INTS], None),
    ("ARRAY_MAX", [ints(1, None, 3)], 3),
    ("ARRAY_MAX", [ints(None)], None),
    ("ARRAY_MAX", [ints()], None),
    ("ARRAY_MAX", [texts("b", "a")], "b"),
    ("ARRAY_MAX", [array(BYTES, [b"a", b"b"])], b"b"),
    ("ARRAY_MAX", [array(Decimal(4, 2), [D("1.50"), D("1.49")])], D("1.50")),
    ("ARRAY_MIN", [array(BOOLEAN, [True, False])], False),
    (
        "ARRAY_MIN",
        [array(DATE, [date(2020, 1, 2), date(2020, 1, 1)])],
        date(2020, 1, 1),
    ),
    ("ARRAY_REMOVE", [ints(1, 2, None, 1), integer(1)], [2, None]),
    ("ARRAY_REMOVE", [ints(1, 2, None), integer(None)], [1, 2]),
    ("ARRAY_REMOVE", [NO_INTS, integer(1)], None),
    ("ARRAY_SORT", [ints(3, None, 1, 2)], [1, 2, 3, None]),
    ("ARRAY_SORT", [ints(3, None, 1, 2), text("desc")], [3, 2, 1, None]),
    ("ARRAY_SORT", [ints(3, 1), text("Ascending")], [1, 3]),
    ("ARRAY_SORT", [ints(3, 1), literal(VARCHAR, "'DESCENDING'")], [3, 1]),
    ("ARRAY_SORT", [ints(3, 1), text("down")], None),
    ("ARRAY_SORT", [ints(3, 1), text(None)], None),
    ("ARRAY_SORT", [texts("b", "B", "a")], ["B", "a", "b"]),
    (
        "ENTRIES",
        [map_(INTEGER, {"b": 1, "a": None}), boolean(True)],
        A_AND_B,
    ),
    ("ENTRIES", [map_(VARCHAR, {"a": "x"}), boolean(False)], [{"K": "a", "V": "x"}]),
    ("ENTRIES", [map_(INTEGER, {"a": 1}), boolean(None)], None),
    ("ENTRIES", [map_(INTEGER, None), boolean(True)], None),
    ("GENERATE_SERIES", [integer(1), integer(4)], [1, 2, 3, 4]),
    ("GENERATE_SERIES", [integer(2), integer(2)], [2]),
    ("GENERATE_SERIES", [integer(2), integer(-1)], [2, 1, 0, -1]),
    ("GENERATE_SERIES", [integer(1), integer(6), integer(2)], [1, 3, 5]),
    ("GENERATE_SERIES", [integer(6), integer(1), integer(-2)], [6, 4, 2]),
    ("GENERATE_SERIES", [integer(1), integer(1), integer(-5)], [1]),
    ("GENERATE_SERIES", [integer(1), bigint(3)], [1, 2, 3]),
    ("GENERATE_SERIES", [bigint(2**62), bigint(2**62 + 4), integer(3)], [2**62, 2**62 + 3]),
    ("GENERATE_SERIES", [bigint(2**63 - 2), bigint(2**63 - 1)], [2**63 - 2, 2**63 - 1]),
    ("GENERATE_SERIES", [integer(None), integer(1)], None),
    ("GENERATE_SERIES", [integer(1), integer(2), integer(None)], None),
    ("SLICE", [ints(1, 2, 3, 4), integer(2), integer(3)], [2, 3]),
    ("SLICE", [ints(1, 2, 3), integer(None), integer(2)], [1, 2]),
    ("SLICE", [ints(1, 2, 3), integer(2), integer(None)], [2, 3]),
    ("SLICE", [ints(1, 2, 3), null(), null()], [1, 2, 3]),
    ("SLICE", [ints(1, 2, 3), integer(0), integer(2)], None),
    ("SLICE", [ints(1, 2, 3), integer(2), integer(4)], None),
    ("SLICE", [ints(1, 2, 3), integer(3), integer(2)], []),
    ("SLICE", [ints(1, 2, 3), integer(1), integer(0)], []),
    ("SLICE", [ints(1, 2, 3), integer(4), integer(3)], []),
    ("SLICE", [ints(), integer(None), integer(None)], []),
    ("SLICE", [NO_INTS, integer(1), integer(1)], None),
    ("SLICE", [value(Array(PAIR), [{"A": 1, "B": "x"}]), integer(1), integer(0)], []),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    found = evaluate.one(name, *arguments)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("GENERATE_SERIES", [integer(1), integer(3), integer(0)], "step 0 does not lead from 1 to 3"),
        ("GENERATE_SERIES", [integer(1), integer(3), integer(-1)], "step -1 does not lead from 1 to 3"),
        ("GENERATE_SERIES", [bigint(3), bigint(1), integer(1)], "step 1 does not lead from 3 to 1"),
        ("SLICE", [ints(1, 2, 3), integer(3), integer(1)], "slice from 3 to 1 ends before it starts"),
        ("SLICE", [ints(1, 2, 3), integer(1), integer(-1)], "slice from 1 to -1 ends before it starts"),
    ],
)
def test_an_error_names_its_reason_and_nulls_its_row(
    evaluate: Evaluator, name: str, arguments: list[Any], message: str
) -> None:
    with pytest.raises(duckdb.Error, match=message):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


def test_arrays_of_structures_cannot_be_joined(evaluate: Evaluator) -> None:
    with pytest.raises(PlanError, match="ARRAY_JOIN joins numbers, BOOLEAN and VARCHAR"):
        evaluate.one("ARRAY_JOIN", array(Array(INTEGER), [[1]]))


elements = st.lists(st.none() | st.integers(-3, 3), max_size=8)


@given(st.lists(st.tuples(elements, elements), min_size=1, max_size=20))
def test_set_functions_keep_first_occurrences_in_order(rows: list[tuple[list[Any], list[Any]]]) -> None:
    first, second = (Value(Array(INTEGER), list(x)) for x in zip(*rows, strict=True))

    def distinct(xs: list[Any]) -> list[Any]:
        return list(dict.fromkeys(xs))

    expected = {
        "ARRAY_DISTINCT": [distinct(a) for a, _ in rows],
        "ARRAY_UNION": [distinct(a + b) for a, b in rows],
        "ARRAY_EXCEPT": [distinct([x for x in a if x not in b]) for a, b in rows],
        "ARRAY_INTERSECT": [distinct([x for x in a if x in b]) for a, b in rows],
    }
    for name, values in expected.items():
        columns = (first,) if name == "ARRAY_DISTINCT" else (first, second)
        assert shared().column(name, *columns).to_pylist() == values, name
