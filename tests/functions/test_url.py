"""Functions of URLs: what java.net.URI takes and gives."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import DataError
from streamsql.functions.java_uri import Uri, parse_uri
from streamsql.functions.url import decode_parameter, parameter
from streamsql.types import VARCHAR, duckdb_string
from tests.examples import tried
from tests.functions.evaluate import Evaluator, Value, literal, text

PARTS = {
    "URL_EXTRACT_PROTOCOL": "scheme",
    "URL_EXTRACT_HOST": "host",
    "URL_EXTRACT_PORT": "port",
    "URL_EXTRACT_PATH": "path",
    "URL_EXTRACT_QUERY": "query",
    "URL_EXTRACT_FRAGMENT": "fragment",
}


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://www.test.com/?query#fragment", Uri("http", "www.test.com", None, "/", "query", "fragment")),
        ("http://www.test.com?query#fragment", Uri("http", "www.test.com", None, "", "query", "fragment")),
        (
            "http://test@confluent.io:8080/nested/path?a&b=1",
            Uri("http", "confluent.io", 8080, "/nested/path", "a&b=1", None),
        ),
        ("www.confluent.io", Uri(None, None, None, "www.confluent.io", None, None)),
        ("/a/b?c", Uri(None, None, None, "/a/b", "c", None)),
        ("//host/p", Uri(None, "host", None, "/p", None, None)),
        ("", Uri(None, None, None, "", None, None)),
        ("http://h/a%20b%C3%A9?x%3D1%26#%FF", Uri("http", "h", None, "/a bé", "x=1&", "\ufffd")),
        ("http://h/?", Uri("http", "h", None, "/", "", None)),
        ("http://h/#", Uri("http", "h", None, "/", None, "")),
        ("http://h:/", Uri("http", "h", None, "/", None, None)),
        ("http://10.0.0.1:80", Uri("http", "10.0.0.1", 80, "", None, None)),
        ("http://[::1]:80/", Uri("http", "[::1]", 80, "/", None, None)),
        ("http://my_host:80/", Uri("http", None, None, "/", None, None)),
        ("http://1.2.3.4.5/", Uri("http", None, None, "/", None, None)),
        ("http://h.example./", Uri("http", "h.example.", None, "/", None, None)),
        ("http://-h/", Uri("http", None, None, "/", None, None)),
        ("mailto:ann@example.org", Uri("mailto", None, None, None, None, None)),
        ("urn:a:b#c", Uri("urn", None, None, None, None, "c")),
        ("file:///etc/hosts", Uri("file", None, None, "/etc/hosts", None, None)),
        ("http://h/é?ü", Uri("http", "h", None, "/é", "ü", None)),
        ("http://h/a;b=c/(d)?[x]/?y#?/", Uri("http", "h", None, "/a;b=c/(d)", "[x]/?y", "?/")),
        ("http://h:99999999999/", Uri("http", None, None, "/", None, None)),
    ],
)
def test_parts(evaluate: Evaluator, url: str, expected: Uri) -> None:
    assert parse_uri(url) == expected
    for name, part in PARTS.items():
        assert evaluate.one(name, text(url)) == getattr(expected, part), name


BAD = [
    "http://h/a b",
    "http://",
    ":a",
    "1a:b",
    "http:",
    "http://h/%zz",
    "http://h/<a>",
    "http://h/\x01",
    "http://[::1",
    "a\u2028",
]


@pytest.mark.parametrize("url", [*BAD, "http://h/?a|b", "http://h/#a#b", "http://h^/", "//", "http://h/a[1]"])
def test_what_is_no_url(evaluate: Evaluator, url: str) -> None:
    with pytest.raises(DataError, match="is no URI"):
        parse_uri(url)
    for name in PARTS:
        with pytest.raises(duckdb.Error):
            evaluate.one(name, text(url))
        assert evaluate.one(name, text(url), guarded=True) is None


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("http://h/?one=a&two=b&three", "one", "a"),
        ("http://h/?one=a&two=b&three", "two", "b"),
        ("http://h/?one=a&two=b&three", "three", ""),
        ("http://h/?one=a&two=b&three", "four", None),
        ("http://h/?one=a&two=b&three", "wo", None),
        ("http://h/?one=a&two=b&three", "ONE", None),
        ("http://h/?a=1&a=2", "a", "1"),
        ("http://h/?a&a=2", "a", ""),
        ("http://h/?a=&a=2", "a", ""),
        ("http://h/?a=b=c#a=d", "a", "b=c"),
        ("http://h/#?a=1", "a", None),
        ("http://h/?xa=1&a=2", "a", "2"),
        ("http://h/?a.b=1&axb=2", "a.b", "1"),
        ("http://h/?axb=2&a.b=1", "a.b", "1"),
        ("http://h/?a=url%20encoded", "a", "url encoded"),
        ("http://h/a", "a", None),
        ("/p?a=1", "a", "1"),
        ("mailto:a?a=1", "a", None),
    ],
)
def test_parameter(evaluate: Evaluator, url: str, name: str, expected: str | None) -> None:
    assert evaluate.one("URL_EXTRACT_PARAMETER", text(url), text(name)) == expected
    quoted = literal(VARCHAR, duckdb_string(name))
    assert evaluate.one("URL_EXTRACT_PARAMETER", text(url), quoted) == expected


def test_null_arguments_give_null(evaluate: Evaluator) -> None:
    for name in (*PARTS, "URL_ENCODE_PARAM", "URL_DECODE_PARAM"):
        assert evaluate.one(name, text(None)) is None
    assert evaluate.one("URL_EXTRACT_PARAMETER", text(None), text("a")) is None
    assert evaluate.one("URL_EXTRACT_PARAMETER", text("?a=1"), text(None)) is None


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [
        ("a b&c", "a+b%26c"),
        ("Az09.-*_", "Az09.-*_"),
        ("~!'()/", "%7E%21%27%28%29%2F"),
        ("é€", "%C3%A9%E2%82%AC"),
        ("", ""),
    ],
)
def test_encoding(evaluate: Evaluator, plain: str, encoded: str) -> None:
    assert evaluate.one("URL_ENCODE_PARAM", text(plain)) == encoded
    assert evaluate.one("URL_DECODE_PARAM", text(encoded)) == plain


@pytest.mark.parametrize(
    ("encoded", "plain"), [("%41+%2b", "A +"), ("%FFx", "\ufffdx"), ("%e2%82%AC", "€"), ("é+", "é ")]
)
def test_decoding(evaluate: Evaluator, encoded: str, plain: str) -> None:
    assert evaluate.one("URL_DECODE_PARAM", text(encoded)) == plain


@pytest.mark.parametrize("encoded", ["%", "%4", "a%zz", "%-1", "%%41"])
def test_a_bad_escape(evaluate: Evaluator, encoded: str) -> None:
    with pytest.raises(duckdb.Error, match="two hexadecimal digits"):
        evaluate.one("URL_DECODE_PARAM", text(encoded))
    assert evaluate.one("URL_DECODE_PARAM", text(encoded), guarded=True) is None


PIECES = st.sampled_from(
    [
        "http:",
        "//",
        "a.example",
        "h-1",
        "1",
        ":80",
        ":",
        "/",
        "p",
        "?",
        "a=1",
        "&",
        "a",
        "=",
        "#",
        "@",
        "%20",
        "%",
        " ",
        "é",
        "_",
        "[",
        ";",
        ".",
    ]
)


@tried(80)
@given(urls=st.lists(st.lists(PIECES, max_size=9).map("".join), min_size=1, max_size=20))
def test_plain_and_exact_agree(evaluate: Evaluator, urls: list[str]) -> None:
    def attempt(run: Any) -> Any:
        try:
            return run()
        except DataError:
            return None

    rows = Value(VARCHAR, urls)
    for name, part in PARTS.items():
        expected = [attempt(lambda url=url, part=part: getattr(parse_uri(url), part)) for url in urls]
        assert evaluate.column(name, rows, guarded=True).to_pylist() == expected
    found = evaluate.column("URL_EXTRACT_PARAMETER", rows, literal(VARCHAR, "'a'"), guarded=True).to_pylist()
    assert found == [attempt(lambda url=url: parameter(url, "a")) for url in urls]
    found = evaluate.column("URL_DECODE_PARAM", rows, guarded=True).to_pylist()
    assert found == [attempt(lambda url=url: decode_parameter(url)) for url in urls]
