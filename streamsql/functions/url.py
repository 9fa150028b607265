"""Functions of URLs.

Plain ones (a server, ASCII, nothing escaped) are read by one regular expression in DuckDB, others by
java_uri.py over distinct values.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.java_uri import Uri, decoded, parse_uri
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import literal_text, once
from streamsql.types import duckdb_string

_PCHAR = r"A-Za-z0-9_.!~*'():@&=+$,;\-"
_PLAIN = (
    ("[A-Za-z][A-Za-z0-9+.-]*", "{}:"),
    (r"[A-Za-z][A-Za-z0-9]*(?:-+[A-Za-z0-9]+|\.[A-Za-z][A-Za-z0-9]*)*", "//{}"),
    ("[0-9]{1,9}", "(?::{})?"),
    (rf"(?:/[/{_PCHAR}]*)?", "{}"),
    (rf"[/?{_PCHAR}]+", r"(?:\?{})?"),
    (rf"[/?{_PCHAR}]+", "(?:#{})?"),
)
"""Scheme, host, port, path, query, fragment of a plain URL: the part, and what stands around it.

A query or fragment that is there and empty is not plain, so that an empty capture says it is not there.
At each character only one way leads on, which RE2 does several times faster; so a URL with a user is not
plain, nor is a host with a part that begins with a digit.
"""
_PARTS = ("scheme", "host", "port", "path", "query", "fragment")


def _plain(captured: str | None = None) -> str:
    """The regular expression of a plain URL, one of its parts captured."""
    return "".join(
        around.format(f"({part})" if name == captured else part if name != "scheme" else f"(?:{part})")
        for name, (part, around) in zip(_PARTS, _PLAIN, strict=True)
    )


def _captures(part: str) -> str:
    return f"^{_plain(part)}$"


def parameter(url: str, name: str) -> str | None:
    """The first parameter of the name in the query; '' if it has no `=`."""
    for pair in (parse_uri(url).query or "").split("&"):
        key, equals, value = pair.partition("=")
        if key == name and (equals or pair):
            return value
    return None


def decode_parameter(text: str) -> str:
    """Form encoding undone: + is a space, %XX are bytes of UTF-8.

    raises  DataError for a % without two hexadecimal digits
    """
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise DataError(f"'{text}' has a % that is not followed by two hexadecimal digits")
    return decoded(text.replace("+", " ")) or ""


def _part_function(name: str, part: Callable[[Uri], str | int | None]) -> ArrowFunction:
    t, duckdb_type = (pa.int32(), "INTEGER") if name == "port" else (pa.string(), "VARCHAR")

    def run(urls: Column) -> Vector:
        return each_distinct(lambda url: part(parse_uri(url)), t, urls)

    return ArrowFunction(f"java_uri_{name}", ("VARCHAR",), duckdb_type, run)


_EXACT = {
    "scheme": _part_function("scheme", lambda uri: uri.scheme),
    "host": _part_function("host", lambda uri: uri.host),
    "port": _part_function("port", lambda uri: uri.port),
    "path": _part_function("path", lambda uri: uri.path),
    "query": _part_function("query", lambda uri: uri.query),
    "fragment": _part_function("fragment", lambda uri: uri.fragment),
}


def _parameters(urls: Column, names: Column) -> Vector:
    return each_distinct(parameter, pa.string(), urls, names)


def _decoded_parameters(texts: Column) -> Vector:
    return each_distinct(decode_parameter, pa.string(), texts)


_PARAMETER = ArrowFunction("java_uri_parameter", ("VARCHAR", "VARCHAR"), "VARCHAR", _parameters)
_DECODE = ArrowFunction("java_url_decode", ("VARCHAR",), "VARCHAR", _decoded_parameters)


def _part_sql(part: str) -> Callable[[BoundCall], Fragment]:
    """A part of a URL: what a plain URL's expression captures, nothing if it captures nothing, else exact."""
    exact = _EXACT[part]
    absent = "''" if part == "path" else f"CAST(NULL AS {exact.returns})"

    def printed(call: BoundCall) -> Fragment:
        url = call.arguments["url"]
        captured = f"regexp_extract({url}, {duckdb_string(_captures(part))}, 1)"
        plain = f"regexp_full_match({url}, {duckdb_string(_plain())})"

        def chosen(found: str) -> str:
            return (
                f"CASE WHEN {found} <> '' THEN CAST({found} AS {exact.returns}) WHEN {plain} THEN {absent}"
                f" ELSE {exact.name}({url}) END"
            )

        return Fragment(once(captured, chosen), (exact,), True)

    return printed


def _parameter_sql(call: BoundCall) -> Fragment:
    """The query of a plain URL is cut at the first `&name=`."""
    url, name = call.arguments["url"], call.arguments["name"]
    exact = f"java_uri_parameter({url}, {name})"
    known = literal_text(name)
    if not known or "&" in known or "=" in known:
        return Fragment(exact, (_PARAMETER,), True)
    bare, paired = duckdb_string(f"&{known}&"), duckdb_string(f"&{known}=")
    plain = f"regexp_full_match({url}, {duckdb_string(_plain())})"

    def chosen(query: str) -> str:
        # A name without = that stands before is the first parameter of the name.
        value = f"split_part(split_part('&' || {query}, {paired}, 2), '&', 1)"
        return (
            f"CASE WHEN {query} = '' AND NOT {plain} OR contains('&' || {query} || '&', {bare}) THEN {exact}"
            f" WHEN contains('&' || {query}, {paired}) THEN {value} END"
        )

    captured = f"regexp_extract({url}, {duckdb_string(_captures('query'))}, 1)"
    return Fragment(once(captured, chosen), (_PARAMETER,), True)


def _decode_sql(call: BoundCall) -> Fragment:
    text = call.arguments["text"]
    # Escapes of ASCII only: what bytes beyond it mean depends on their neighbours.
    simple = "(?:[^%]|%0[1-9A-Fa-f]|%[1-7][0-9A-Fa-f])*"
    return Fragment(
        f"CASE WHEN NOT contains({text}, '%') THEN replace({text}, '+', ' ')"
        f" WHEN regexp_full_match({text}, '(?s){simple}') THEN url_decode(replace({text}, '+', ' '))"
        f" ELSE java_url_decode({text}) END",
        (_DECODE,),
        True,
    )


URL = (
    Scalar(
        "URL_EXTRACT_PROTOCOL",
        "(url VARCHAR) -> VARCHAR",
        says="The scheme of a URL, null if it is relative.",
        sql=_part_sql("scheme"),
        can_fail=True,
        example="URL_EXTRACT_PROTOCOL('https://example.org/a')",
        gives="https",
    ),
    Scalar(
        "URL_EXTRACT_HOST",
        "(url VARCHAR) -> VARCHAR",
        says="The host of a URL, without user and port.",
        sql=_part_sql("host"),
        can_fail=True,
        example="URL_EXTRACT_HOST('https://ann@example.org:8080/a')",
        gives="example.org",
    ),
    Scalar(
        "URL_EXTRACT_PORT",
        "(url VARCHAR) -> INTEGER",
        says="The port written in a URL.",
        sql=_part_sql("port"),
        can_fail=True,
        example="URL_EXTRACT_PORT('https://example.org:8080/a')",
        gives="8080",
    ),
    Scalar(
        "URL_EXTRACT_PATH",
        "(url VARCHAR) -> VARCHAR",
        says="The path of a URL, decoded.",
        sql=_part_sql("path"),
        can_fail=True,
        example="URL_EXTRACT_PATH('https://example.org/a%20b?q')",
        gives="/a b",
    ),
    Scalar(
        "URL_EXTRACT_QUERY",
        "(url VARCHAR) -> VARCHAR",
        says="The query of a URL, decoded.",
        sql=_part_sql("query"),
        can_fail=True,
        example="URL_EXTRACT_QUERY('https://example.org/?a=1&b=2')",
        gives="a=1&b=2",
    ),
    Scalar(
        "URL_EXTRACT_FRAGMENT",
        "(url VARCHAR) -> VARCHAR",
        says="The fragment of a URL, decoded.",
        sql=_part_sql("fragment"),
        can_fail=True,
        example="URL_EXTRACT_FRAGMENT('https://example.org/#top')",
        gives="top",
    ),
    Scalar(
        "URL_EXTRACT_PARAMETER",
        "(url VARCHAR, name VARCHAR) -> VARCHAR",
        says="The first parameter of that name in the query of a URL.",
        sql=_parameter_sql,
        can_fail=True,
        example="URL_EXTRACT_PARAMETER('https://example.org/?a=1&b=2', 'b')",
        gives="2",
    ),
    Scalar(
        "URL_ENCODE_PARAM",
        "(text VARCHAR) -> VARCHAR",
        says="The text as a parameter of a URL: a space becomes +, other special characters %XX.",
        sql="replace(replace(replace(url_encode({text}), '%20', '+'), '%2A', '*'), '~', '%7E')",
        example="URL_ENCODE_PARAM('a b&c')",
        gives="a+b%26c",
    ),
    Scalar(
        "URL_DECODE_PARAM",
        "(text VARCHAR) -> VARCHAR",
        says="The text that a parameter of a URL stands for.",
        sql=_decode_sql,
        can_fail=True,
        example="URL_DECODE_PARAM('a+b%26c')",
        gives="a b&c",
    ),
)
