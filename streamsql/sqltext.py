"""Pieces of DuckDB SQL that several printers need: naming a value once, reading a literal, failing a row.

A printed expression may stand where a row fails in two ways. In the plain form the row raises; under
TRY the row gives NULL: DuckDB runs the vector again row by row, pure SQL and Arrow functions alike.
TRY refuses volatile functions, and DuckDB's own error() is one, so a row is failed with `fail`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import pyarrow as pa

from streamsql.distinct import Column, Vector
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.tolerance import reject
from streamsql.types import duckdb_string

_NAME = r'(?:"(?:[^"]|"")*"|[A-Za-z_][A-Za-z_0-9]*)'
_SIMPLE = re.compile(rf"{_NAME}(?:\.{_NAME})*|-?[0-9]+(?:\.[0-9]+)?|'(?:[^']|'')*'")
_LITERAL = re.compile(r"'((?:[^']|'')*)'(?:::VARCHAR)?|CAST\('((?:[^']|'')*)' AS VARCHAR\)", re.IGNORECASE)


def once(sql: str, body: Callable[[str], str]) -> str:
    """`body` printed over a value that is computed a single time, however often body names it.

    Names and literals are repeated as they are; anything else is bound by a one-element lambda (some
    20 ns a row), since repeating it would double the work, and the text, with every level of nesting.

    >>> once('"A"', lambda a: f"{a} + {a}")
    '"A" + "A"'
    >>> once('f("A")', lambda a: f"{a} + {a}")
    'list_transform([f("A")], lambda "$00bd772f": "$00bd772f" + "$00bd772f")[1]'
    """
    bare = _without_parentheses(sql)
    if _SIMPLE.fullmatch(bare):
        return body(bare)
    # Two bindings of one name inside each other are bindings of the same text, so of the same value.
    name = f'"${zlib.crc32(sql.encode()):08x}"'
    return f"list_transform([{sql}], lambda {name}: {body(name)})[1]"


def literal_text(sql: str) -> str | None:
    """The text of a string literal, or None if `sql` is anything else.

    >>> literal_text("('it''s')")
    "it's"
    >>> literal_text("'a' || 'b'") is None
    True
    """
    match = _LITERAL.fullmatch(_without_parentheses(sql))
    if match is None:
        return None
    quoted: str = match[1] if match[1] is not None else match[2]
    return quoted.replace("''", "'")


def _without_parentheses(sql: str) -> str:
    sql = sql.strip()
    while sql.startswith("(") and sql.endswith(")") and _closes_at_end(sql):
        sql = sql[1:-1].strip()
    return sql


def _closes_at_end(sql: str) -> bool:
    """Whether the parenthesis at the start is closed by the one at the end."""
    depth = 0
    for token in re.finditer(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]""", sql):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.end() == len(sql)
    return False


def caught(sql: str) -> str:
    """The value, or NULL where it cannot be computed, to go on another way: no failure of the row.

    In lower case: what stands under TRY in upper case is noted as the row's failure (plan/noting.py).
    """
    return f"try({sql})"


def fail(message: str, duckdb_type: str) -> str:
    """An expression of the type that fails the row; `message` is SQL giving the text, NULL fails nothing."""
    return f"CAST(fail_row({message}) AS {duckdb_type})"


def cannot(what: str, value: str, duckdb_type: str) -> str:
    """Fail a row with "cannot <what>: '<value>'"; value is SQL of type VARCHAR."""
    return fail(f"{duckdb_string(f'cannot {what}: ')} || '''' || {value} || ''''", duckdb_type)


def _fail_row(messages: Column) -> Vector:
    for row, message in enumerate(messages.to_pylist()):
        if message is not None:
            reject((row,), DataError(message))
    return pa.nulls(len(messages), pa.string())


FAIL = ArrowFunction("fail_row", ("VARCHAR",), "VARCHAR", _fail_row)
"""Needed by every kernel that holds text of `fail` or `cannot`."""
