"""Encodings of bytes and the numbers in them."""

from __future__ import annotations

import math
import struct
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.types import BIGINT, BYTES, DOUBLE, INTEGER, VARCHAR, Array, SqlType, Struct
from tests.functions.evaluate import (
    Evaluator,
    Sql,
    Value,
    array,
    integer,
    literal,
    null,
    octets,
    shared,
    text,
    value,
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


CASES: list[tuple[str, list[str | None], Any]] = [
    ("ENCODE", ["Hello", "utf8", "hex"], "48656c6c6f"),
    ("ENCODE", ["48656C6c6f", "HEX", "Utf8"], "Hello"),
    ("ENCODE", ["0x4", "hex", "base64"], "BA=="),
    ("ENCODE", ["0x414", "hex", "utf8"], "\x04\x14"),
    ("ENCODE", ["x'4142'", "hex", "ascii"], "AB"),
    ("ENCODE", ["X'4142'", "hex", "utf8"], "AB"),
    ("ENCODE", ["", "hex", "utf8"], ""),
    ("ENCODE", ["é", "utf8", "base64"], "w6k="),
    ("ENCODE", ["w6k=", "base64", "hex"], "c3a9"),
    ("ENCODE", ["w6k", "base64", "utf8"], "é"),
    ("ENCODE", ["aé", "utf8", "ascii"], "a��"),
    ("ENCODE", ["aé", "ascii", "utf8"], "a?"),
    ("ENCODE", ["aé", "ascii", "hex"], "613f"),
    ("ENCODE", ["ff41", "hex", "utf8"], "�A"),
    ("ENCODE", ["ff41", "hex", "ascii"], "�A"),
    ("ENCODE", [None, "hex", "ascii"], None),
    ("ENCODE", ["a", None, "ascii"], None),
    ("ENCODE", ["a", "utf8", None], None),
    ("TO_BYTES", ["Hé", "utf8"], b"H\xc3\xa9"),
    ("TO_BYTES", ["Hé", "ascii"], b"H?"),
    ("TO_BYTES", ["0aFF", "hex"], b"\x0a\xff"),
    ("TO_BYTES", ["SGk=", "base64"], b"Hi"),
    ("TO_BYTES", ["", "base64"], b""),
    ("TO_BYTES", [None, "hex"], None),
    ("TO_BYTES", ["a", None], None),
]


@pytest.mark.parametrize(("name", "strings", "expected"), CASES)
@pytest.mark.parametrize("as_literals", [False, True], ids=["columns", "literals"])
def test_text_encodings(
    evaluate: Evaluator, name: str, strings: list[str | None], expected: Any, as_literals: bool
) -> None:
    source, *encodings = strings
    arguments: list[Value | Sql] = [text(source)]
    for encoding in encodings:
        if not as_literals:
            arguments.append(text(encoding))
        else:
            arguments.append(null() if encoding is None else literal(VARCHAR, f"'{encoding}'"))
    assert evaluate.one(name, *arguments) == expected


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        (b"\x0a\xff", "hex", "0AFF"),
        (b"H\xc3\xa9", "UTF8", "Hé"),
        (b"H\xc3", "utf8", "H�"),
        (b"H\xc3\xa9", "ascii", "H��"),
        (b"Hi", "ascii", "Hi"),
        (b"Hi", "base64", "SGk="),
        (b"", "hex", ""),
        (None, "hex", None),
        (b"a", None, None),
    ],
)
def test_from_bytes(evaluate: Evaluator, data: bytes | None, encoding: str | None, expected: Any) -> None:
    assert evaluate.one("FROM_BYTES", octets(data), text(encoding)) == expected


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=20))
def test_bytes_survive_the_way_through_a_text(values: list[bytes]) -> None:
    for encoding in ("hex", "base64"):
        name = literal(VARCHAR, f"'{encoding}'")
        texts = shared().column("FROM_BYTES", Value(BYTES, values), name).to_pylist()
        assert shared().column("TO_BYTES", Value(VARCHAR, texts), name).to_pylist() == values


NUMBERS: list[tuple[str, str, SqlType, list[Any]]] = [
    ("INT_FROM_BYTES", "i", INTEGER, [0, -1, 2**31 - 1, -(2**31)]),
    ("BIGINT_FROM_BYTES", "q", BIGINT, [0, -1, 2**63 - 1, -(2**63)]),
    ("DOUBLE_FROM_BYTES", "d", DOUBLE, [0.5, -1e300, math.inf]),
]


@pytest.mark.parametrize(("name", "code", "t", "numbers"), NUMBERS)
def test_numbers_from_bytes(
    evaluate: Evaluator, name: str, code: str, t: SqlType, numbers: list[Any]
) -> None:
    big = [struct.pack(f">{code}", x) for x in numbers]
    little = [struct.pack(f"<{code}", x) for x in numbers]
    assert evaluate.column(name, Value(BYTES, [*big, None])).to_pylist() == [*numbers, None]
    orders = Value(
        VARCHAR, ["BIG_ENDIAN"] * len(big) + ["little_endian"] * len(little) + [None, "BIG_ENDIAN"]
    )
    found = evaluate.column(name, Value(BYTES, [*big, *little, big[0], None]), orders)
    assert found.to_pylist() == [*numbers, *numbers, None, None]
    assert found.type == t.arrow


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("TO_BYTES", [text("abc"), text("hex")], "not a hexadecimal text: abc"),
        ("TO_BYTES", [text("0xAB"), text("hex")], "not a hexadecimal text: 0xAB"),
        ("TO_BYTES", [text("a*=="), text("base64")], "base64"),
        (
            "TO_BYTES",
            [text("a"), text("utf16")],
            "unknown encoding utf16, there are: hex, utf8",
        ),
        ("FROM_BYTES", [octets(b"a"), text("utf16")], "unknown encoding utf16"),
        ("FROM_BYTES", [octets(b"a"), literal(VARCHAR, "'latin1'")], "unknown encoding latin1"),
        ("ENCODE", [text("zz"), text("hex"), text("utf8")], "not a hexadecimal text: zz"),
        ("ENCODE", [text("a"), text("utf8"), text("UTF8")], "cannot encode from utf8 to itself"),
        ("ENCODE", [text("a"), text("utf8"), text("x")], "unknown encoding x"),
        ("INT_FROM_BYTES", [octets(b"abc")], "4 bytes are expected, not 3"),
        ("BIGINT_FROM_BYTES", [octets(b"abcd")], "8 bytes are expected, not 4"),
        ("INT_FROM_BYTES", [octets(b"abcd"), text("MIDDLE")], "unknown byte order MIDDLE"),
    ],
)
def test_an_error_names_its_reason_and_nulls_its_row(
    evaluate: Evaluator, name: str, arguments: list[Any], message: str
) -> None:
    with pytest.raises(duckdb.Error, match=message):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


PAIR = Struct((("A", INTEGER),))

NULL_CASES: list[tuple[str, list[Any], Any]] = [
    ("COALESCE", [integer(None), integer(2), integer(3)], 2),
    ("COALESCE", [integer(None)], None),
    ("COALESCE", [null(), text("a")], "a"),
    ("COALESCE", [integer(1), value(BIGINT, 2**40)], 1),
    ("COALESCE", [array(INTEGER, None), array(INTEGER, [1])], [1]),
    ("IFNULL", [text(None), text("x")], "x"),
    ("NULLIF", [integer(1), integer(1)], None),
    ("NULLIF", [integer(1), integer(None)], 1),
    ("NULLIF", [integer(None), integer(1)], None),
    ("NULLIF", [integer(None), integer(None)], None),
    ("NULLIF", [array(INTEGER, [1, None]), array(INTEGER, [1, None])], None),
    ("NULLIF", [value(PAIR, {"A": 1}), value(PAIR, {"A": 2})], {"A": 1}),
    ("NULLIF", [value(Array(PAIR), [{"A": None}]), value(Array(PAIR), [{"A": None}])], None),
    ("AS_VALUE", [value(PAIR, {"A": 1})], {"A": 1}),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), NULL_CASES)
def test_null_handling(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    assert evaluate.one(name, *arguments) == expected
