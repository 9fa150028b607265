"""Text functions at the edges: nulls, empty texts, negative positions, characters beyond ASCII."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.functions.call import print_call
from streamsql.functions.resolve import resolve
from streamsql.functions.strings import find
from streamsql.types import BYTES, INTEGER, VARCHAR, Array
from tests.functions.evaluate import (
    Evaluator,
    Value,
    built_in,
    integer,
    literal,
    octets,
    shared,
    text,
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


CASES: list[tuple[str, list[Any], Any]] = [
    ("CHR", [integer(75)], "K"),
    ("CHR", [integer(0x1F600)], "😀"),
    ("CHR", [integer(-1)], None),
    ("CHR", [integer(0xD800)], None),
    ("CHR", [integer(0x110000)], None),
    ("CHR", [text(r"\u004B")], "K"),
    ("CHR", [text(r"\u004B\u0041 x")], "KA x"),
    ("CHR", [text(r"\ud83d\ude00")], "😀"),
    ("CHR", [text(r"\u004B\n\101")], "K\nA"),
    ("CHR", [text("K")], None),
    ("CHR", [text(r"\u4B")], None),
    ("CONCAT", [text("a"), text(None), text("b")], "ab"),
    ("CONCAT", [text(None), text(None)], ""),
    ("CONCAT", [octets(b"a"), octets(None), octets(b"\xff")], b"a\xff"),
    ("CONCAT", [octets(None)], b""),
    ("CONCAT_WS", [text(","), text("a"), text(None), text(""), text("b")], "a,,b"),
    ("CONCAT_WS", [text(None), text("a"), text("b")], None),
    ("CONCAT_WS", [text(","), text(None)], ""),
    ("CONCAT_WS", [octets(b"-"), octets(b"a"), octets(None), octets(b"b")], b"a-b"),
    ("CONCAT_WS", [octets(None), octets(b"a")], None),
    ("CONCAT_WS", [octets(b"-"), octets(None)], b""),
    ("ELT", [integer(2), text("a"), text("b")], "b"),
    ("ELT", [integer(0), text("a")], None),
    ("ELT", [integer(-1), text("a")], None),
    ("ELT", [integer(3), text("a"), text("b")], None),
    ("ELT", [integer(None), text("a")], None),
    ("ELT", [integer(1)], None),
    ("FIELD", [text("b"), text("a"), text("b"), text("b")], 2),
    ("FIELD", [text("x"), text("a"), text(None)], 0),
    ("FIELD", [text(None), text("a"), text(None)], 0),
    ("FIELD", [text("a")], 0),
    ("INITCAP", [text("the QUICK  brown\tfox ")], "The Quick  Brown\tFox "),
    ("INITCAP", [text("  lead")], "Lead"),
    ("INITCAP", [text("éa ßb")], "Éa SSb"),
    ("INITCAP", [text("")], ""),
    ("INSTR", [text("CORPORATE FLOOR"), text("OR")], 2),
    ("INSTR", [text("abc"), text("x")], 0),
    ("INSTR", [text(None), text("x")], 0),
    ("INSTR", [text("abc"), text(None)], 0),
    ("INSTR", [text("é😀b"), text("b")], 3),
    ("INSTR", [text("CORPORATE FLOOR"), text("OR"), integer(3)], 5),
    ("INSTR", [text("CORPORATE FLOOR"), text("OR"), integer(3), integer(2)], 14),
    ("INSTR", [text("CORPORATE FLOOR"), text("OR"), integer(-3)], 5),
    ("INSTR", [text("CORPORATE FLOOR"), text("OR"), integer(-3), integer(2)], 2),
    ("INSTR", [text("aaaa"), text("aa"), integer(1), integer(3)], 3),
    ("INSTR", [text("aaaa"), text("aa"), integer(1), integer(4)], 0),
    ("INSTR", [text("abc"), text("c"), integer(-1)], 3),
    ("INSTR", [text("abc"), text("b"), integer(-1)], 2),
    ("INSTR", [text("abc"), text("a"), integer(4)], 0),
    ("INSTR", [text("abc"), text("c"), integer(0)], 3),
    ("INSTR", [text("abc"), text("b"), integer(0)], 0),
    ("INSTR", [text("abc"), text("a"), integer(1), integer(0)], 0),
    ("INSTR", [text(None), text("a"), integer(1)], 0),
    ("INSTR", [text("abc"), text("a"), integer(None)], None),
    ("LCASE", [text("ÀÉ X")], "àé x"),
    ("LCASE", [text("İ")], "i̇"),
    ("UCASE", [text("straße")], "STRASSE"),
    ("LEN", [text("é😀")], 2),
    ("LEN", [text("")], 0),
    ("LEN", [octets(b"\xc3\xa9")], 2),
    ("LPAD", [text("foo"), integer(7), text("Bar")], "BarBfoo"),
    ("RPAD", [text("foo"), integer(7), text("Bar")], "fooBarB"),
    ("LPAD", [text("foobar"), integer(3), text("x")], "foo"),
    ("RPAD", [text("foobar"), integer(3), text("x")], "foo"),
    ("LPAD", [text("foo"), integer(0), text("x")], ""),
    ("LPAD", [text("foo"), integer(-1), text("x")], None),
    ("LPAD", [text("foo"), integer(2), text("")], None),
    ("RPAD", [text("foo"), integer(2), text(None)], None),
    ("LPAD", [octets(b"foo"), integer(7), octets(b"Bar")], b"BarBfoo"),
    ("RPAD", [octets(b"foo"), integer(7), octets(b"Bar")], b"fooBarB"),
    ("RPAD", [octets(b"foo"), integer(4), octets(b"\x00")], b"foo\x00"),
    ("LPAD", [octets(b"foobar"), integer(3), octets(b"x")], b"foo"),
    ("LPAD", [octets(b"foo"), integer(3), octets(b"x")], b"foo"),
    ("LPAD", [octets(b"foo"), integer(0), octets(b"x")], b""),
    ("LPAD", [octets(b""), integer(0), octets(b"x")], b""),
    ("LPAD", [octets(b"foo"), integer(-1), octets(b"x")], None),
    ("RPAD", [octets(b"foo"), integer(5), octets(b"")], None),
    ("RPAD", [octets(b"foo"), integer(5), octets(None)], None),
    ("RPAD", [octets(None), integer(0), octets(b"x")], None),
    ("MASK", [text("Ab 1é€")], "Xx-nx-"),
    ("MASK", [text("Ab1-"), text(None), text("*"), text(None), text("#")], "A*1#"),
    ("MASK_LEFT", [text("AbCd12"), integer(3)], "XxXd12"),
    ("MASK_RIGHT", [text("AbCd12"), integer(9)], "XxXxnn"),
    ("MASK_KEEP_LEFT", [text("AbCd12"), integer(2)], "AbXxnn"),
    ("MASK_KEEP_RIGHT", [text("AbCd12"), integer(2)], "XxXx12"),
    ("MASK_KEEP_RIGHT", [text("é12"), integer(9)], "é12"),
    ("MASK_LEFT", [text("é12"), integer(2), *[text("*")] * 4], "**2"),
    ("MASK_LEFT", [text("abc"), integer(None)], None),
    ("MD5", [text("é")], "66ddcd97cfdeabb2f6fb8a999b4bc76f"),
    ("REPLACE", [text("foobar"), text("foo"), text("bar")], "barbar"),
    ("REPLACE", [text("a.b"), text("."), text("$1")], "a$1b"),
    ("REPLACE", [text("abc"), text(""), text("-")], "-a-b-c-"),
    ("REPLACE", [text(""), text(""), text("-")], "-"),
    ("REPLACE", [text("ab"), text(""), text(r"\1")], r"\1a\1b\1"),
    ("REPLACE", [text("ab"), literal(VARCHAR, "'a'"), text("x")], "xb"),
    ("REPLACE", [text("ab"), literal(VARCHAR, "''"), text("x")], "xaxbx"),
    ("REPLACE", [text("abc"), text(""), text(None)], None),
    ("REPLACE", [text(""), text(None), text("-")], None),
    ("SPLIT", [text("a,b,"), text(",")], ["a", "b", ""]),
    ("SPLIT", [text("abc"), text("x")], ["abc"]),
    ("SPLIT", [text("aéc"), text("")], ["a", "é", "c"]),
    ("SPLIT", [text(""), text("")], [""]),
    ("SPLIT", [text(""), text(",")], [""]),
    ("SPLIT", [text("a$b"), text("$")], ["a", "b"]),
    ("SPLIT", [text("a"), text(None)], None),
    ("SPLIT", [octets(b"a-b-"), octets(b"-")], [b"a", b"b", b""]),
    ("SPLIT", [octets(b"ab"), octets(b"")], [b"a", b"b"]),
    ("SPLIT", [octets(b""), octets(b"")], [b""]),
    ("SPLIT", [octets(b""), octets(b"x")], [b""]),
    ("SUBSTRING", [text("stream"), integer(4)], "eam"),
    ("SUBSTRING", [text("stream"), integer(0), integer(2)], "st"),
    ("SUBSTRING", [text("stream"), integer(-4), integer(2)], "re"),
    ("SUBSTRING", [text("stream"), integer(-10), integer(2)], "st"),
    ("SUBSTRING", [text("stream"), integer(7)], ""),
    ("SUBSTRING", [text("stream"), integer(2), integer(99)], "tream"),
    ("SUBSTRING", [text("stream"), integer(2), integer(2**31 - 1)], "tream"),
    ("SUBSTRING", [text("stream"), integer(2), integer(-1)], ""),
    ("SUBSTRING", [text("stream"), integer(2), integer(None)], None),
    ("SUBSTRING", [text("stream"), integer(None)], None),
    ("SUBSTRING", [text("stream"), literal(INTEGER, "CAST(2 AS INTEGER)"), literal(INTEGER, "3")], "tre"),
    ("SUBSTRING", [text("stream"), literal(INTEGER, "0"), literal(INTEGER, "0")], ""),
    ("SUBSTRING", [text("é😀x"), integer(2), integer(1)], "😀"),
    ("SUBSTRING", [octets(b"stream"), integer(4)], b"eam"),
    ("SUBSTRING", [octets(b"stream"), integer(0), integer(2)], b"st"),
    ("SUBSTRING", [octets(b"stream"), integer(-4), integer(2)], b"re"),
    ("SUBSTRING", [octets(b"stream"), integer(-10), integer(2)], b"st"),
    ("SUBSTRING", [octets(b"stream"), integer(7)], b""),
    ("SUBSTRING", [octets(b"stream"), integer(7), integer(3)], b""),
    ("SUBSTRING", [octets(b"stream"), integer(2), integer(2**31 - 1)], b"tream"),
    ("SUBSTRING", [octets(b"stream"), integer(1), integer(0)], b""),
    ("SUBSTRING", [octets(b"stream"), integer(2), integer(-1)], b""),
    ("SUBSTRING", [octets(b"stream"), integer(2), integer(None)], None),
    ("SUBSTRING", [octets(b"stream"), integer(None), integer(0)], None),
    ("SUBSTRING", [octets(b""), integer(1)], b""),
    ("TRIM", [text(" \t\0 a b \n\x1f")], "a b"),
    ("TRIM", [text("\u00a0a\u00a0")], "\u00a0a\u00a0"),
    ("UUID", [octets(bytes(range(16)))], "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ("UUID", [octets(b"short")], None),
]

MAP_CASES: list[tuple[list[str | None], dict[str, str] | None]] = [
    (["a=1;b=2", ";", "="], {"a": "1", "b": "2"}),
    (["a=1;;c;b=2=3;=x", ";", "="], {"a": "1", "b": "2", "": "x"}),
    (["a=1;a=2", ";", "="], {"a": "2"}),
    (["a=1;b=1;a=2;b=3;a=4", ";", "="], {"b": "3", "a": "4"}),
    ([" a = 1 ", ";", "="], {" a ": " 1 "}),
    (["a=1", "", "="], None),
    (["a=1", "=", "="], None),
    (["a=1", None, "="], None),
    ([None, ";", "="], None),
    (["", ";", "="], {}),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    found = evaluate.one(name, *arguments)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("arguments", "expected"), MAP_CASES)
def test_split_to_map(
    evaluate: Evaluator, arguments: list[str | None], expected: dict[str, str] | None
) -> None:
    found = evaluate.one("SPLIT_TO_MAP", *map(text, arguments))
    assert (None if found is None else dict(found)) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("CHR", [text(r"\u00zz")], "cannot read the escape at position 1"),
        ("MASK_LEFT", [text("abc"), integer(-1)], "below 0: -1"),
        ("MASK_KEEP_RIGHT", [text("é"), integer(-2)], "below 0: -2"),
        ("MASK", [text("abc"), text("xx"), *[text("*")] * 3], "a single character, not 'xx'"),
        ("MASK", [text("abc"), text(""), *[text("*")] * 3], "a single character, not ''"),
    ],
)
def test_an_error_names_its_reason_and_nulls_its_row(
    evaluate: Evaluator, name: str, arguments: list[Any], message: str
) -> None:
    with pytest.raises(duckdb.Error, match=message):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


def test_only_the_failing_rows_of_a_batch_become_null(evaluate: Evaluator) -> None:
    arguments = Value(VARCHAR, ["Ab", "Cd", None, "Ef"]), Value(INTEGER, [1, -1, 1, 1])
    assert evaluate.column("MASK_LEFT", *arguments, guarded=True).to_pylist() == ["Xb", None, None, "Xf"]


def test_cases_are_alike_for_columns_and_for_computed_texts(evaluate: Evaluator) -> None:
    texts = ["straße", "ſß", "ẞ", "abc", "", None, "İi"]
    for name, expected in (
        ("UCASE", ["STRASSE", "SSS", "ẞ", "ABC", "", None, "İI"]),
        ("LCASE", ["straße", "ſß", "ß", "abc", "", None, "i̇i"]),
    ):
        column = Value(VARCHAR, texts)
        assert evaluate.column(name, column).to_pylist() == expected
        match = resolve(name, built_in().overloads(name), [VARCHAR])
        sql, functions, _ = print_call(match, ["nullif(\"A0\", '?')"])
        feeds = {"input": pa.schema([("A0", pa.string())])}
        kernel = evaluate.workspace.kernel(f"SELECT {sql} AS r FROM {{input}}", feeds, functions)
        rows = pa.record_batch({"A0": pa.array(texts)})
        assert kernel.run(input=rows).column(0).to_pylist() == expected


def test_every_row_has_its_own_uuid(evaluate: Evaluator) -> None:
    found = evaluate.column("UUID", rows=50).to_pylist()
    assert len(set(found)) == 50
    assert all(len(x) == 36 and x[14] == "4" for x in found)


texts = st.text("abAB1 é😀", max_size=8)
places = st.integers(-10, 10)


@given(st.lists(st.tuples(texts, places, places), min_size=1, max_size=30))
def test_substring_is_javas(rows: list[tuple[str, int, int]]) -> None:
    expected = [_java_substring(*row) for row in rows]
    strings, positions, lengths = (list(x) for x in zip(*rows, strict=True))
    rest = Value(INTEGER, positions), Value(INTEGER, lengths)
    assert shared().column("SUBSTRING", Value(VARCHAR, strings), *rest).to_pylist() == expected
    # The same over bytes, of which a Latin-1 text has one per character.
    encoded = [s.replace("😀", "x").encode("latin-1") for s in strings]
    found = shared().column("SUBSTRING", Value(BYTES, encoded), *rest).to_pylist()
    assert found == [e.replace("😀", "x").encode("latin-1") for e in expected]


def _java_substring(string: str, position: int, length: int) -> str:
    start = max(position - 1, 0) if position >= 0 else max(len(string) + position, 0)
    return string[start : start + max(length, 0)]


@given(st.lists(st.tuples(texts, st.integers(-3, 10), st.text("xyé", max_size=3)), min_size=1, max_size=30))
def test_pads_are_exactly_so_long(rows: list[tuple[str, int, str]]) -> None:
    strings, sizes, pads = (list(x) for x in zip(*rows, strict=True))
    for name in ("LPAD", "RPAD"):
        columns = Value(VARCHAR, strings), Value(INTEGER, sizes), Value(VARCHAR, pads)
        expected = [_padded(name, *row) for row in rows]
        assert shared().column(name, *columns).to_pylist() == expected
        octet_columns = (
            Value(BYTES, [s.replace("😀", "?").encode("latin-1") for s in strings]),
            columns[1],
            Value(BYTES, [p.encode("latin-1") for p in pads]),
        )
        assert shared().column(name, *octet_columns).to_pylist() == [
            None if e is None else e.replace("😀", "?").encode("latin-1") for e in expected
        ]


def _padded(name: str, string: str, size: int, pad: str) -> str | None:
    if size < 0 or not pad:
        return None
    missing = max(size - len(string), 0)
    padding = (pad * missing)[:missing]
    return padding + string[:size] if name == "LPAD" else string[:size] + padding


@given(texts, st.text("abA1é", min_size=1, max_size=2), st.integers(-9, 9), st.integers(1, 4))
def test_find_counts_overlapping_matches(string: str, part: str, position: int, occurrence: int) -> None:
    matches = [i + 1 for i in range(len(string)) if string.startswith(part, i)]
    if abs(position) > len(string):
        reachable = []
    elif position < 0:
        reachable = [i for i in reversed(matches) if i <= len(string) + position + 1]
    else:
        reachable = [i for i in matches if i >= (position or len(string))]
    expected = reachable[occurrence - 1] if len(reachable) >= occurrence else 0
    assert find(string, part, position, occurrence) == expected


@given(st.lists(st.tuples(st.none() | st.text("aB1 -"), st.integers(0, 9)), min_size=1, max_size=40))
def test_masking_a_buffer_is_masking_each_text(rows: list[tuple[str | None, int]]) -> None:
    """The vectorised path, which one text beyond ASCII turns off, against the other."""
    strings, counts = [s for s, _ in rows], [n for _, n in rows]
    for name in ("MASK_LEFT", "MASK_RIGHT", "MASK_KEEP_LEFT", "MASK_KEEP_RIGHT"):
        fast = shared().column(name, Value(VARCHAR, strings), Value(INTEGER, counts)).to_pylist()
        slow = (
            shared().column(name, Value(VARCHAR, [*strings, "é"]), Value(INTEGER, [*counts, 0])).to_pylist()
        )
        assert fast == slow[:-1]


def test_an_array_of_bytes_has_its_type(evaluate: Evaluator) -> None:
    column = evaluate.column("SPLIT", Value(BYTES, [b"a-b", None]), Value(BYTES, [b"-", b"-"]))
    assert column.type == Array(BYTES).arrow
    assert column.to_pylist() == [[b"a", b"b"], None]
