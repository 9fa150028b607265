"""Functions of JSON texts."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal as D
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import DataError
from streamsql.functions.json_exact import dumps, loads, path_tokens
from streamsql.functions.json_text import extract_field
from streamsql.types import (
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    duckdb_string,
)
from tests.examples import tried
from tests.functions.evaluate import (
    Evaluator,
    Sql,
    Value,
    bigint,
    boolean,
    decimal,
    double,
    integer,
    literal,
    null,
    text,
    value,
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


def quoted(x: str) -> Sql:
    return literal(VARCHAR, duckdb_string(x))


DOCUMENT = (
    '{"s": "té\\"x", "i": 12, "big": 123456789012345678901234567890, "f": 1.23450, "e": 1e3, "z": -0,'
    ' "t": true, "n": null, "o": {"b": 2.50, "a": [1, "x"]}, "a": [1, {"k": "v"}, 2.0],'
    ' "x:y": 1, "@t": 2, "with space": 3, "q\\"uote": 4, "0": "zero", "": "empty", "d": 1, "d": 1}'
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.s", 'té"x'),
        ("$.i", "12"),
        ("$.big", "123456789012345678901234567890"),
        ("$.f", "1.23450"),
        ("$.e", "1e3"),
        ("$.z", "0"),
        ("$.t", "true"),
        ("$.n", "null"),
        ("$.o", '{"b":2.50,"a":[1,"x"]}'),
        ("$.o.a[1]", "x"),
        ('$["o"]["b"]', "2.50"),
        ("$.a[0]", "1"),
        ("$.a[1].k", "v"),
        ("$.a[2]", "2.0"),
        ("$.a[3]", None),
        ("$.a.k", None),
        ("$.a", '[1,{"k":"v"},2.0]'),
        ("$.x:y", "1"),
        ("$.@t", "2"),
        ('$["with space"]', "3"),
        ('$["q\\"uote"]', "4"),
        ('$[""]', "empty"),
        ("$.0", "zero"),
        ("$.missing", None),
        ("$.i.deeper", None),
        ("$.S", None),
    ],
)
def test_extract_a_field(evaluate: Evaluator, path: str, expected: str | None) -> None:
    assert evaluate.one("EXTRACTJSONFIELD", text(DOCUMENT), quoted(path)) == expected
    assert evaluate.one("EXTRACTJSONFIELD", text(DOCUMENT), text(path)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"a" : 2.50}', "2.50"),
        ('{"b": {"a": 2.5}, "a": 2.50}', "2.50"),
        ('{"x": "\\"a\\": 2.5", "a": 2.50}', "2.50"),
        ('{"a": "2.50", "b": {"a": 2.5}}', "2.50"),
        ('{"a": -1.0E+2}', "-1.0E+2"),
        ('{"a": 0.1000000000000000055511151231257827}', "0.1000000000000000055511151231257827"),
        ('{"a": [2.50]}', "[2.50]"),
    ],
)
def test_digits_of_a_fraction_are_kept(evaluate: Evaluator, document: str, expected: str) -> None:
    assert evaluate.one("EXTRACTJSONFIELD", text(document), quoted("$.a")) == expected


def test_the_whole_document_is_a_path_too(evaluate: Evaluator) -> None:
    assert evaluate.one("EXTRACTJSONFIELD", text(" [1.0 ,2] "), quoted("$")) == "[1.0,2]"
    assert evaluate.one("EXTRACTJSONFIELD", text('"x"'), quoted("$")) == "x"


@pytest.mark.parametrize(
    "path",
    ["", "a", "$a", "$.", "$.a-b", "$[-1]", "$[*]", "$.a[", '$["a]', '$["a"', '$["\\x"]', "$..a", "$.a b"],
)
def test_a_path_that_is_none_fails_the_row(evaluate: Evaluator, path: str) -> None:
    with pytest.raises(DataError, match="no JSON path"):
        path_tokens(path)
    with pytest.raises(duckdb.Error, match="no JSON path"):
        evaluate.one("EXTRACTJSONFIELD", text("{}"), quoted(path))
    assert evaluate.one("EXTRACTJSONFIELD", text("{}"), quoted(path), guarded=True) is None


INVALID = [
    "",
    " ",
    "tru",
    "{",
    "[1 2]",
    "{a:1}",
    "1 2",
    "01",
    '"\t"',
    "'a'",
    "[1,]",
    '{"a":1,}',
    "NaN",
    "[Infinity]",
]


@pytest.mark.parametrize("document", INVALID)
def test_what_is_no_json(evaluate: Evaluator, document: str) -> None:
    assert evaluate.one("IS_JSON_STRING", text(document)) is False
    assert evaluate.one("JSON_ARRAY_CONTAINS", text(document), integer(1)) is False
    for name, arguments in (("JSON_ITEMS", []), ("JSON_RECORDS", []), ("JSON_CONCAT", [text("{}")])):
        with pytest.raises(duckdb.Error):
            evaluate.one(name, text(document), *arguments)
        assert evaluate.one(name, text(document), *arguments, guarded=True) is None


@pytest.mark.parametrize("document", INVALID[:10])
def test_what_duckdb_refuses_too(evaluate: Evaluator, document: str) -> None:
    for name, arguments in (
        ("EXTRACTJSONFIELD", [quoted("$.a")]),
        ("JSON_ARRAY_LENGTH", []),
        ("JSON_KEYS", []),
    ):
        assert evaluate.one(name, text(document), *arguments, guarded=True) is None


@pytest.mark.parametrize(
    "document", ["1", '"abc"', "null", "[1, 2]", "{}", ' {"a": [1e5, -0.1]} ', '"[1,]"', '"nan"']
)
def test_what_is_json(evaluate: Evaluator, document: str) -> None:
    assert evaluate.one("IS_JSON_STRING", text(document)) is True


CASES: list[tuple[str, list[Any], Any]] = [
    ("IS_JSON_STRING", [text(None)], False),
    ("JSON_ARRAY_CONTAINS", [text("[1, 2]"), integer(2)], True),
    ("JSON_ARRAY_CONTAINS", [text("[1, 2]"), bigint(2)], True),
    ("JSON_ARRAY_CONTAINS", [text("[1, 2]"), double(2.0)], False),
    ("JSON_ARRAY_CONTAINS", [text("[1, 2.0]"), double(2.0)], True),
    ("JSON_ARRAY_CONTAINS", [text("[2.0]"), integer(2)], False),
    ("JSON_ARRAY_CONTAINS", [text('["2"]'), integer(2)], False),
    ("JSON_ARRAY_CONTAINS", [text('["2"]'), text("2")], True),
    ("JSON_ARRAY_CONTAINS", [text("[2]"), text("2")], False),
    ("JSON_ARRAY_CONTAINS", [text("[true]"), boolean(True)], True),
    ("JSON_ARRAY_CONTAINS", [text("[1]"), boolean(True)], False),
    ("JSON_ARRAY_CONTAINS", [text("[2.5]"), decimal("2.5", 2, 1)], False),
    ("JSON_ARRAY_CONTAINS", [text("[null]"), decimal(None, 2, 1)], True),
    ("JSON_ARRAY_CONTAINS", [text("[1, null]"), null()], True),
    ("JSON_ARRAY_CONTAINS", [text("[1]"), null()], False),
    ("JSON_ARRAY_CONTAINS", [text("[1, null]"), integer(None)], True),
    ("JSON_ARRAY_CONTAINS", [text("[[1]]"), integer(1)], False),
    ("JSON_ARRAY_CONTAINS", [text('{"a": 1}'), integer(1)], False),
    ("JSON_ARRAY_CONTAINS", [text(None), integer(1)], False),
    ("JSON_ARRAY_LENGTH", [text("[1, [2, 3], null]")], 3),
    ("JSON_ARRAY_LENGTH", [text("[]")], 0),
    ("JSON_ARRAY_LENGTH", [text('{"a": 1}')], None),
    ("JSON_ARRAY_LENGTH", [text("1")], None),
    ("JSON_ARRAY_LENGTH", [text(None)], None),
    ("JSON_CONCAT", [text('{"a": 1}'), text('{"b": 2.0}')], '{"a":1,"b":2.0}'),
    ("JSON_CONCAT", [text('{"a": {"5": 6}}'), text('{"a": {"3": 4}}')], '{"a":{"3":4}}'),
    ("JSON_CONCAT", [text("{}"), text("{}")], "{}"),
    ("JSON_CONCAT", [text("[1, 2]"), text("[3]")], "[1,2,3]"),
    ("JSON_CONCAT", [text("[1, 2]"), text('{"a": 1}'), text("4")], '[1,2,{"a":1},4]'),
    ("JSON_CONCAT", [text("null"), text("null")], "[null,null]"),
    ("JSON_CONCAT", [text("[]")], "[]"),
    ("JSON_CONCAT", [text("1")], "[1]"),
    ("JSON_CONCAT", [text("1"), text(None)], None),
    ("JSON_CONCAT", [], None),
    (
        "JSON_ITEMS",
        [text('[{"type": "A", "n": 1.0}, "x", null, 2]')],
        ['{"type":"A","n":1.0}', '"x"', "null", "2"],
    ),
    ("JSON_ITEMS", [text("[]")], []),
    ("JSON_ITEMS", [text(None)], None),
    ("JSON_KEYS", [text('{"b": 1, "a": {"c": 2}, "b": 3}')], ["b", "a"]),
    ("JSON_KEYS", [text("{}")], []),
    ("JSON_KEYS", [text("[1]")], None),
    ("JSON_KEYS", [text("null")], None),
    ("JSON_KEYS", [text(None)], None),
    (
        "JSON_RECORDS",
        [text('{"a": "x", "b": 1.50, "c": null, "d": ["y"], "a": "z"}')],
        [("a", "z"), ("b", "1.50"), ("c", "null"), ("d", '["y"]')],
    ),
    ("JSON_RECORDS", [text("{}")], []),
    ("JSON_RECORDS", [text("[1]")], None),
    ("JSON_RECORDS", [text(None)], None),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    assert evaluate.one(name, *arguments) == expected


def test_items_of_what_is_no_array(evaluate: Evaluator) -> None:
    with pytest.raises(duckdb.Error, match="no array"):
        evaluate.one("JSON_ITEMS", text("{}"))


NESTED = Struct(
    (
        ("b", Array(Map(VARCHAR, DOUBLE))),
        ("A", INTEGER),
        ('q"', Struct((("X", VARCHAR),))),
        ("D", Decimal(4, 2)),
    )
)


@pytest.mark.parametrize(
    ("t", "given_value", "expected"),
    [
        (VARCHAR, 'a"\\/\n\x01é', '"a\\"\\\\/\\n\\u0001é"'),
        (INTEGER, -1, "-1"),
        (DOUBLE, 123.456, "123.456"),
        (DOUBLE, 1e10, "1.0E10"),
        (DOUBLE, float("nan"), '"NaN"'),
        (DOUBLE, float("-inf"), '"-Infinity"'),
        (Decimal(5, 2), D("1.50"), "1.50"),
        (Decimal(2, 2), D("0.50"), "0.50"),
        (BYTES, b"!", '"IQ=="'),
        (DATE, dt.date(1972, 9, 27), '"1972-09-27"'),
        (TIME, dt.time(10, 5, 9, 5000), '"10:05:09"'),
        (TIMESTAMP, dt.datetime(1971, 11, 28, 23, 46, 40), '"1971-11-28T23:46:40.000"'),
        (Array(VARCHAR), ["a", None], '["a",null]'),
        (Array(Array(INTEGER)), [[1], [], None], "[[1],[],null]"),
        (Map(VARCHAR, INTEGER), [("b", 1), ("a", None)], '{"a":null,"b":1}'),
        (Map(VARCHAR, Map(VARCHAR, VARCHAR)), [("x", [("y", "z")])], '{"x":{"y":"z"}}'),
        (
            NESTED,
            {"b": [[("k", 0.5)], None], "A": 1, 'q"': {"X": None}, "D": D("1.00")},
            '{"A":1,"D":1.00,"b":[{"k":0.5},null],"q\\"":{"X":null}}',
        ),
        (NESTED, {"b": None, "A": None, 'q"': None, "D": None}, '{"A":null,"D":null,"b":null,"q\\"":null}'),
    ],
)
def test_to_json(evaluate: Evaluator, t: SqlType, given_value: Any, expected: str) -> None:
    assert evaluate.one("TO_JSON_STRING", value(t, given_value)) == expected
    assert evaluate.one("TO_JSON_STRING", value(t, None)) == "null"
    json.loads(expected)


def test_to_json_of_a_bare_null(evaluate: Evaluator) -> None:
    assert evaluate.one("TO_JSON_STRING", null()) == "null"


DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('a{[."e é', max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = st.lists(st.sampled_from([".a", ".b", '["c d"]', "[0]", "[1]"]), max_size=3).map(
    lambda steps: "$" + "".join(steps)
)


@tried(60)
@given(documents=st.lists(DOCUMENTS.map(json.dumps), min_size=1, max_size=10), path=PATHS)
def test_duckdb_and_the_exact_way_agree(evaluate: Evaluator, documents: list[str], path: str) -> None:
    found = evaluate.column("EXTRACTJSONFIELD", Value(VARCHAR, documents), quoted(path)).to_pylist()
    assert found == [extract_field(document, path) for document in documents]
    for document in documents:
        assert json.loads(dumps(loads(document))) == json.loads(document)
