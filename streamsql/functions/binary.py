"""Bytes to texts and numbers, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.arrow import with_arity
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import FAIL, caught, fail, literal_text
from streamsql.tolerance import reject

# Encodings ----------------------------------------------------------------------------------------------


def _replacing(encoding: str) -> Callable[[bytes], str]:
    return lambda value: value.decode(encoding, "replace")


def _decoder(encoding: str) -> ArrowFunction:
    """Bytes as text where DuckDB's decode refuses them: U+FFFD stands for what cannot be read."""
    return ArrowFunction(
        f"ksql_decode_{encoding}",
        ("BLOB",),
        "VARCHAR",
        lambda values: each_distinct(_replacing(encoding), pa.string(), values),
    )


_DECODE_UTF8, _DECODE_ASCII = _decoder("utf8"), _decoder("ascii")
_FUNCTIONS = (FAIL, _DECODE_UTF8, _DECODE_ASCII)

_HEX_DIGITS = "^([0-9a-fA-F]{2})*$"
_PREFIXED = (
    "CASE WHEN starts_with({text}, '0x')"
    " THEN repeat('0', length({text}) % 2) || substring({text}, 3)"
    " WHEN regexp_matches({text}, '^[xX]''.*''$') THEN substring({text}, 3, length({text}) - 3)"
    " ELSE {text} END"
)
"""What ENCODE takes as hexadecimal: 0x1F, x'1F' or 1F."""


def _unhex(text: str) -> str:
    refused = fail(f"'not a hexadecimal text: ' || {text}", "BLOB")
    return f"CASE WHEN regexp_matches({text}, '{_HEX_DIGITS}') THEN unhex({text}) ELSE {refused} END"


def _to_bytes(hexadecimal: Callable[[str], str]) -> dict[str, Callable[[str], str]]:
    """Encoding -> SQL from a text in it to bytes; a null text gives null."""
    return {
        "hex": lambda text: f"CASE WHEN {text} IS NOT NULL THEN {hexadecimal(text)} END",
        "utf8": lambda text: f"encode({text})",
        "ascii": lambda text: f"encode(regexp_replace({text}, '[^\\x00-\\x7F]', '?', 'g'))",
        # Java reads base64 without its padding too.
        "base64": lambda text: f"from_base64({text} || repeat('=', (4 - length({text}) % 4) % 4))",
    }


_FROM_TEXT = _to_bytes(_unhex)
_FROM_PREFIXED_TEXT = _to_bytes(lambda text: _bind(_PREFIXED.format(text=text), _unhex))

_TO_TEXT: Mapping[str, Callable[[str], str]] = {
    "hex": lambda value: f"hex({value})",
    "utf8": lambda value: f"coalesce({caught(f'decode({value})')}, ksql_decode_utf8({value}))",
    # A byte string that decodes to as many characters as it has bytes is ASCII.
    "ascii": lambda value: (
        f"CASE WHEN length({caught(f'decode({value})')}) = octet_length({value}) THEN decode({value})"
        f" ELSE ksql_decode_ascii({value}) END"
    ),
    "base64": lambda value: f"to_base64({value})",
}


_TO_LOWER_TEXT = {**_TO_TEXT, "hex": lambda value: f"lower(hex({value}))"}
"""As ENCODE writes: hexadecimal in lower case, where FROM_BYTES has upper case."""


def _bind(sql: str, body: Callable[[str], str]) -> str:
    """A value named once for a body that uses it several times."""
    inner = body('"$bound"')
    return f'list_transform([{sql}], lambda "$bound": {inner})[1]'


def _chosen(name: str, branches: Mapping[str, Callable[[str], str]], value: str, duckdb_type: str) -> str:
    """The branch that the text `name` asks for, in any case; printed alone if that is a literal."""
    known = literal_text(name)
    if known is not None and known.lower() in branches:
        return branches[known.lower()](value)
    message = f"'unknown encoding ' || {name} || ', there are: {', '.join(branches)}'"
    whens = " ".join(f"WHEN '{key}' THEN {branch(value)}" for key, branch in branches.items())
    return f"CASE lower({name}) {whens} ELSE {fail(message, duckdb_type)} END"


def _encode(call: BoundCall) -> Fragment:
    text, source, target = (call.arguments[n] for n in ("text", "source", "target"))
    value = _chosen(source, _FROM_PREFIXED_TEXT, text, "BLOB")
    result = _bind(value, lambda v: _chosen(target, _TO_LOWER_TEXT, v, "VARCHAR"))
    message = f"'cannot encode from ' || {source} || ' to itself'"
    sql = f"CASE WHEN lower({source}) = lower({target}) THEN {fail(message, 'VARCHAR')} ELSE {result} END"
    return Fragment(sql, _FUNCTIONS)


def _bytes_to_text(call: BoundCall) -> Fragment:
    value, encoding = call.arguments["value"], call.arguments["encoding"]
    return Fragment(_chosen(encoding, _TO_TEXT, value, "VARCHAR"), _FUNCTIONS)


def _text_to_bytes(call: BoundCall) -> Fragment:
    text, encoding = call.arguments["text"], call.arguments["encoding"]
    return Fragment(_chosen(encoding, _FROM_TEXT, text, "BLOB"), _FUNCTIONS)


# Numbers ------------------------------------------------------------------------------------------------


def read_numbers(code: str, t: pa.DataType, values: Column, orders: Column | None = None) -> Vector:
    """The number that each row's bytes hold.

    code    numpy's code of the number: i4, i8, f8
    orders  BIG_ENDIAN or LITTLE_ENDIAN per row, in any case; None for big-endian throughout
    raises  DataError for a wrong number of bytes or an unknown order (null where errors are null)
    """
    width = np.dtype(code).itemsize
    array: Any = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    lengths = pc.binary_length(array).fill_null(width).to_numpy(zero_copy_only=False)
    right = _kept(lengths == width, lambda i: f"{width} bytes are expected, not {lengths[i]}")
    valid = _is_there(array) & right
    is_little = np.zeros(len(array), bool)
    if orders is not None:
        names = np.array([(x or "").upper() for x in orders.to_pylist()])
        is_little, is_null = names == "LITTLE_ENDIAN", ~_is_there(orders)
        known = is_little | (names == "BIG_ENDIAN") | is_null
        message = "unknown byte order {}, there are: BIG_ENDIAN, LITTLE_ENDIAN"
        valid &= _kept(known, lambda i: message.format(names[i])) & ~is_null
    data = b"".join(array.filter(pa.array(valid)).to_pylist())
    numbers = np.zeros(len(array), np.dtype(code))
    numbers[valid] = np.frombuffer(data, ">" + code)
    numbers[valid & is_little] = np.frombuffer(data, "<" + code)[is_little[valid]]
    return pa.array(numbers, t, mask=~valid)


def _is_there(column: Column) -> Any:
    """bool[n], False for null."""
    return np.array(column.is_valid().to_pylist(), bool)


def _kept(is_right: Any, reason: Callable[[int], str]) -> Any:
    """The rows that are right, bool[n]; the others are rejected."""
    for i in np.flatnonzero(~is_right).tolist():
        reject((i,), DataError(reason(i)))
    return is_right


def _number_row(name: str, code: str, result: str, t: pa.DataType, example: str, gives: str) -> Scalar:
    def function(call: BoundCall) -> ArrowFunction:
        arguments = ("BLOB", "VARCHAR")[: len(call.arguments)]
        run = with_arity(partial(read_numbers, code, t), len(arguments))
        return ArrowFunction(f"ksql_{name.lower()}_{len(arguments)}", arguments, result, run)

    return Scalar(
        name,
        f"(value BYTES, [byte_order VARCHAR]) -> {result}",
        f"The {result} that {np.dtype(code).itemsize} bytes hold, BIG_ENDIAN (the default) or LITTLE_ENDIAN.",
        python=function,
        can_fail=True,
        example=example,
        gives=gives,
    )


# Rows ---------------------------------------------------------------------------------------------------

ENCODINGS: tuple[Scalar, ...] = (
    Scalar(
        "ENCODE",
        "(text VARCHAR, source VARCHAR, target VARCHAR) -> VARCHAR",
        "A text brought from one encoding to another: hex, utf8, ascii, base64.",
        sql=_encode,
        can_fail=True,
        example="ENCODE('Hello', 'utf8', 'hex')",
        gives="48656c6c6f",
    ),
    Scalar(
        "FROM_BYTES",
        "(value BYTES, encoding VARCHAR) -> VARCHAR",
        "Bytes as a text in an encoding: hex, utf8, ascii, base64.",
        sql=_bytes_to_text,
        can_fail=True,
        example="FROM_BYTES(TO_BYTES('Hello', 'utf8'), 'hex')",
        gives="48656C6C6F",
    ),
    Scalar(
        "TO_BYTES",
        "(text VARCHAR, encoding VARCHAR) -> BYTES",
        "The bytes that a text in an encoding stands for: hex, utf8, ascii, base64.",
        sql=_text_to_bytes,
        can_fail=True,
        example="FROM_BYTES(TO_BYTES('SGVsbG8=', 'base64'), 'utf8')",
        gives="Hello",
    ),
)

BINARY: tuple[Scalar, ...] = (
    _number_row(
        "BIGINT_FROM_BYTES",
        "i8",
        "BIGINT",
        pa.int64(),
        "BIGINT_FROM_BYTES(TO_BYTES('000000010000002A', 'hex'))",
        "4294967338",
    ),
    _number_row(
        "DOUBLE_FROM_BYTES",
        "f8",
        "DOUBLE",
        pa.float64(),
        "DOUBLE_FROM_BYTES(TO_BYTES('3FF8000000000000', 'hex'))",
        "1.5",
    ),
    _number_row(
        "INT_FROM_BYTES",
        "i4",
        "INTEGER",
        pa.int32(),
        "INT_FROM_BYTES(TO_BYTES('2A000000', 'hex'), 'LITTLE_ENDIAN')",
        "42",
    ),
)
