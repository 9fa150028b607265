"""Java regular expressions: their translation, and the functions, in DuckDB and in Python alike."""

from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import NotSupportedError, PlanError
from streamsql.functions.java_regex import compile_regex
from streamsql.functions.regexp import extract, extract_all, replace_all, split
from streamsql.types import INTEGER, VARCHAR, duckdb_string
from tests.examples import tried
from tests.functions.evaluate import Evaluator, Sql, Value, integer, literal, text


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


def quoted(x: str) -> Sql:
    return literal(VARCHAR, duckdb_string(x))


LOG = '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 -'
LOG_PATTERN = r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) (\S+) ([^"]*)" (\d{3}) (\d+|-)'

# pattern, text, group -> group of the first match, of all matches
MATCHES: list[tuple[str, str, int, str | None, list[str | None] | None]] = [
    (r"(\w+)@(\w+)", "to ann@home, bob@work", 0, "ann@home", ["ann@home", "bob@work"]),
    (r"(\w+)@(\w+)", "to ann@home, bob@work", 2, "home", ["home", "work"]),
    (r"(\w+)@(\w+)", "nobody", 1, None, []),
    (r"(\w+)@(\w+)", "ann@home", 3, None, None),
    (r"(a)|(b)", "xb", 1, None, [None]),
    (r"[^a]", "a^b", 0, "^", ["^", "b"]),
    (r"[a^]+", "xa^b", 0, "a^", ["a^"]),
    (r"(a)|(b)", "xb", 2, "b", ["b"]),
    (r"(a*)b|(c*)d", "d", 1, None, [None]),
    (r"(a*)b|(c*)d", "d", 2, "", [""]),
    (r"x(a*)", "x", 1, "", [""]),
    (r"x(a*)", "y", 1, None, []),
    (r"(?:(a)|b)+", "ab", 1, "a", ["a"]),
    (r"a*", "baac", 0, "", ["", "aa", "", ""]),
    (r"a*", "", 0, "", [""]),
    (r"a.c", "a\nc a\rc a\u2028c abc", 0, "abc", ["abc"]),
    (r"(?s)a.c", "a\nc", 0, "a\nc", ["a\nc"]),
    (r"(?i)straße|K", "STRASSE k \u212a", 0, "k", ["k"]),
    (r"(?i)é", "É", 0, None, []),
    (r"(?iu)é", "É", 0, "É", ["É"]),
    (r"a(?i)b(?-i)c|(?i:d)e", "aBc aBC De DE", 0, "aBc", ["aBc", "De"]),
    (r"\s", "\x0b", 0, "\x0b", ["\x0b"]),
    (r"\w+|\d", "é1٣", 0, "1", ["1"]),
    (r"[a-c&&[^b]]+", "abcacb", 0, "a", ["a", "cac"]),
    (r"[a-c[x-z]]+", "abxzd", 0, "abxz", ["abxz"]),
    (r"[]a]+", "]a[", 0, "]a", ["]a"]),
    (r"[\]\-a^]+", "b^-]a", 0, "^-]a", ["^-]a"]),
    (r"[^\d\s]+", "1 ab", 0, "ab", ["ab"]),
    (r"\p{Lu}\p{L}+", "ab Äé", 0, "Äé", ["Äé"]),
    (r"\P{L}+|\pN", "ab12", 0, "12", ["12"]),
    (r"\p{Punct}\p{javaUpperCase}", "a.B", 0, ".B", [".B"]),
    (r"\Qa.b\E+", "a.bbaxb", 0, "a.bb", ["a.bb"]),
    (r"\u0041\x42\x{43}\0104", "ABCD", 0, "ABCD", ["ABCD"]),
    (r"\uD83D\uDE00", "😀", 0, "😀", ["😀"]),
    (r"[\t\n]\e?", "\t\x1b", 0, "\t\x1b", ["\t\x1b"]),
    (r"(?x) a b # comment", "ab", 0, "ab", ["ab"]),
    (r"end$", "end\n", 0, "end", ["end"]),
    (r"end$", "end\r\n", 0, "end", ["end"]),
    (r"end$", "end\nx", 0, None, []),
    (r"end\z", "end\n", 0, None, []),
    (r"(?m)^\w+$", "one\ntwo\r\nthree", 0, "one", ["one", "two", "three"]),
    (r"\R", "a\r\nb\n", 0, "\r\n", ["\r\n", "\n"]),
    (r"\bb\b", "ab b", 0, "b", ["b"]),
    (r"(?<=\$)\d+(?!\d|%)", "$12% $34", 0, "34", ["34"]),
    (r"(?<year>\d{4})-\k<year>", "1999-2000 2000-2000", 1, "2000", ["2000"]),
    (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\11", "abcdefghija1", 10, "j", ["j"]),
    (r"x*+x", "xxx", 0, None, []),
    (r"(?>a|ab)c", "abc", 0, None, []),
    (r"(a|ab)(c|bcd)(d*)", "abcd", 1, "a", ["a"]),
    (r"a{2,3}?", "aaaa", 0, "aa", ["aa", "aa"]),
    (r"(?:a{500}){3}", "a" * 1501, 0, "a" * 1500, ["a" * 1500]),
    (r"", "ab", 0, "", ["", "", ""]),
    *[
        (LOG_PATTERN, LOG, n, LOG_GROUP, [LOG_GROUP])
        for n, LOG_GROUP in enumerate(re.findall(LOG_PATTERN, LOG)[0], 1)
    ],
]


@pytest.mark.parametrize(("pattern", "subject", "group", "first", "every"), MATCHES)
def test_extract(
    evaluate: Evaluator,
    pattern: str,
    subject: str,
    group: int,
    first: str | None,
    every: list[str | None] | None,
) -> None:
    number = literal(INTEGER, str(group))
    for given_pattern, given_group in ((quoted(pattern), number), (text(pattern), integer(group))):
        assert evaluate.one("REGEXP_EXTRACT", given_pattern, text(subject), given_group) == first
        assert evaluate.one("REGEXP_EXTRACT_ALL", given_pattern, text(subject), given_group) == every
    if group == 0:
        assert evaluate.one("REGEXP_EXTRACT", quoted(pattern), text(subject)) == first
        assert evaluate.one("REGEXP_EXTRACT_ALL", quoted(pattern), text(subject)) == every


@pytest.mark.parametrize(
    ("subject", "pattern", "new", "expected"),
    [
        ("2020-02", r"(\d+)-(\d+)", "$2/$1", "02/2020"),
        ("aba", "a", r"\$\\", r"$\b$\ "[:-1]),
        ("aba", "(?<x>a)", "<${x}>", "<a>b<a>"),
        ("ab", "(a)|(b)", "[$1|$2]", "[a|][|b]"),
        ("abc", "(a)(b)(c)", "$12$0", "a2abc"),
        ("baac", "a*", "X", "XbXXcX"),
        ("", "a*", "X", "X"),
        ("line\n", "e$", "X", "linX\n"),
        ("a.b", r"\.", "", "ab"),
        ("aXbxc", "(?i)x", "-", "a-b-c"),
        ("ab", "(?=b)", "-", "a-b"),
    ],
)
def test_replace(evaluate: Evaluator, subject: str, pattern: str, new: str, expected: str) -> None:
    assert evaluate.one("REGEXP_REPLACE", text(subject), quoted(pattern), quoted(new)) == expected
    assert evaluate.one("REGEXP_REPLACE", text(subject), text(pattern), text(new)) == expected


@pytest.mark.parametrize(
    ("subject", "pattern", "expected"),
    [
        ("a, b;c", r"[,;]\s*", ["a", "b", "c"]),
        (",a,,b,", ",", ["", "a", "", "b", ""]),
        ("", ",", [""]),
        ("ab", "(b)", ["a", ""]),
        ("abc", "", ["a", "b", "c"]),
        ("abxc", "x*", ["a", "b", "", "c"]),
        ("xab", "x*", ["", "", "a", "b"]),
        ("", "x*", [""]),
        ("aXbX", "(?=X)", ["a", "Xb", "X"]),
    ],
)
def test_split(evaluate: Evaluator, subject: str, pattern: str, expected: list[str]) -> None:
    assert evaluate.one("REGEXP_SPLIT_TO_ARRAY", text(subject), quoted(pattern)) == expected
    assert evaluate.one("REGEXP_SPLIT_TO_ARRAY", text(subject), text(pattern)) == expected


def test_null_arguments_give_null(evaluate: Evaluator) -> None:
    for pattern in (quoted("(a)"), quoted("(a)*"), quoted("(?=a)"), quoted("a$"), text("a")):
        assert evaluate.one("REGEXP_EXTRACT", pattern, text(None)) is None
        assert evaluate.one("REGEXP_EXTRACT", pattern, text(None), literal(INTEGER, "1")) is None
        assert evaluate.one("REGEXP_EXTRACT_ALL", pattern, text(None)) is None
        assert evaluate.one("REGEXP_REPLACE", text(None), pattern, quoted("")) is None
        assert evaluate.one("REGEXP_SPLIT_TO_ARRAY", text(None), pattern) is None
    assert evaluate.one("REGEXP_EXTRACT", text(None), text("a")) is None
    assert evaluate.one("REGEXP_EXTRACT", text("a"), text("a"), integer(None)) is None
    assert evaluate.one("REGEXP_REPLACE", text("a"), quoted("a"), text(None)) is None


BAD = [
    "(",
    "a)",
    "[a",
    "*a",
    "a**",
    "a{2}{3}",
    "a{2,1}",
    "a{2",
    r"\y",
    "(?<n>a)(?<n>b)",
    "(?z)",
    "[b-a]",
    r"\0",
    r"\p{L",
]


@pytest.mark.parametrize("pattern", [*BAD, "[a&&]", r"\k<n>", "(?<1>a)"])
def test_a_pattern_that_is_none(evaluate: Evaluator, pattern: str) -> None:
    for name, arguments in (
        ("REGEXP_EXTRACT", [quoted(pattern), text("a")]),
        ("REGEXP_EXTRACT_ALL", [quoted(pattern), text("a")]),
        ("REGEXP_REPLACE", [text("a"), quoted(pattern), quoted("")]),
        ("REGEXP_SPLIT_TO_ARRAY", [text("a"), quoted(pattern)]),
    ):
        with pytest.raises(PlanError) as error:
            evaluate.one(name, *arguments)
        assert error.value.code == "PLAN-REGEX" and repr(pattern) in error.value.message
    with pytest.raises(duckdb.Error, match="is not a regular expression"):
        evaluate.one("REGEXP_EXTRACT", text(pattern), text("a"))
    assert evaluate.one("REGEXP_EXTRACT", text(pattern), text("a"), guarded=True) is None


@pytest.mark.parametrize("pattern", [r"\X", r"\Ga", r"\p{IsGreek}", "(?<=a+)b", "(?U)a"])
def test_what_no_engine_can_do_is_named(pattern: str) -> None:
    with pytest.raises(NotSupportedError, match="not supported yet"):
        compile_regex(pattern)


@pytest.mark.parametrize("new", ["$1", "$x", "a$", "\\", "${n}"])
def test_a_replacement_that_is_none(evaluate: Evaluator, new: str) -> None:
    with pytest.raises(PlanError, match="is not a replacement"):
        evaluate.one("REGEXP_REPLACE", text("a"), quoted("a"), quoted(new))
    assert evaluate.one("REGEXP_REPLACE", text("a"), quoted("a"), text(new), guarded=True) is None


def test_a_negative_group_fails(evaluate: Evaluator) -> None:
    with pytest.raises(duckdb.Error, match="cannot be -1"):
        evaluate.one("REGEXP_EXTRACT", quoted("a"), text("a"), integer(-1))
    assert evaluate.one("REGEXP_EXTRACT", quoted("a"), text("a"), integer(-1), guarded=True) is None


@pytest.mark.parametrize(
    ("pattern", "in_duckdb"),
    [(LOG_PATTERN, True), (r"(\w+)\s*=\s*(.*)$", True), ("(?i)get|post", True)]
    + [(p, False) for p in ("(?=a)", r"(a)\1", "a*+", "(?>a)", "(a*)*", "(?m)^a", "a{1001}")],
)
def test_where_a_pattern_runs(pattern: str, in_duckdb: bool) -> None:
    assert (compile_regex(pattern).re2() is not None) is in_duckdb


# Small patterns over a small alphabet, where both engines must find the same.
PARTS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\s", r"\d", "$", "^", r"\b", r"\R?", "(?i)B"]
)
PATTERNS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        inner.map("({})".format),
        st.tuples(
            inner.map("(?:{})".format), st.sampled_from(["*", "+", "?", "*?", "+?", "{2}", "{0,1}"])
        ).map("".join),
    ),
    max_leaves=6,
)


@tried(40)
@given(pattern=PATTERNS, texts=st.lists(st.text("abB1 \n\r\u2028é", max_size=6), min_size=1, max_size=8))
def test_both_engines_agree(evaluate: Evaluator, pattern: str, texts: list[str]) -> None:
    rows = Value(VARCHAR, texts)
    for group in range(compile_regex(pattern).group_count + 1):
        number = literal(INTEGER, str(group))
        found = evaluate.column("REGEXP_EXTRACT", quoted(pattern), rows, number).to_pylist()
        assert found == [extract(pattern, t, group) for t in texts]
        found = evaluate.column("REGEXP_EXTRACT_ALL", quoted(pattern), rows, number).to_pylist()
        assert found == [extract_all(pattern, t, group) for t in texts]
    replaced = evaluate.column("REGEXP_REPLACE", rows, quoted(pattern), quoted("<$0>"))
    assert replaced.to_pylist() == [replace_all(t, pattern, "<$0>") for t in texts]
    pieces = evaluate.column("REGEXP_SPLIT_TO_ARRAY", rows, quoted(pattern))
    assert pieces.to_pylist() == [split(t, pattern) for t in texts]
