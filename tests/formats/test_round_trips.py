"""What a format writes, it reads back, whatever the columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from format_samples import (
    EXAMPLES,
    SCALAR_TYPES,
    SCALARS,
    TYPES,
    WORKSPACE,
    arrays,
    decode,
    encode,
    layout,
    value_of,
    values,
)
from hypothesis import given
from hypothesis import strategies as st

from streamsql import formats
from streamsql.formats.registry import EmbeddedRegistry
from streamsql.schema import Column
from streamsql.types import BYTES, VARCHAR, Array, Map, SqlType, Struct
from tests.examples import tried

RECORD_FORMATS = ["JSON", "JSON_SR", "AVRO"]


@pytest.mark.parametrize("name", [*RECORD_FORMATS, "DELIMITED"])
@pytest.mark.parametrize("t", SCALARS, ids=str)
def test_every_value_of_every_type(name: str, t: SqlType) -> None:
    columns = (Column("A", t), Column("B", t))
    rows = [(v, w) for v in EXAMPLES[t] for w in EXAMPLES[t][:2]]
    where = layout(*columns, registry=EmbeddedRegistry())
    assert values(decode(name, where, encode(name, where, rows))) == rows


@pytest.mark.parametrize("name", [*RECORD_FORMATS, "DELIMITED"])
@pytest.mark.parametrize("is_key", [True, False], ids=["key", "value"])
@pytest.mark.parametrize("t", SCALARS, ids=str)
def test_bare_values(name: str, t: SqlType, is_key: bool) -> None:
    where = layout(Column("A", t), key=is_key, wrapped=False, registry=EmbeddedRegistry())
    rows = [(v,) for v in EXAMPLES[t] if v is not None]
    assert values(decode(name, where, encode(name, where, rows))) == rows


@pytest.mark.parametrize("name", RECORD_FORMATS)
def test_a_bare_null_is_a_null_payload(name: str) -> None:
    where = layout(Column("A", VARCHAR), wrapped=False, registry=EmbeddedRegistry())
    payloads = encode(name, where, [("x",), (None,)])
    assert payloads[0] is not None and payloads[1] is None
    assert values(decode(name, where, payloads)) == [("x",), (None,)]


@pytest.mark.parametrize("name", RECORD_FORMATS)
def test_a_wrapped_null_is_no_tombstone(name: str) -> None:
    where = layout(Column("A", VARCHAR), registry=EmbeddedRegistry())
    payloads = encode(name, where, [(None,), ("x",)], pa.array([False, True]))
    assert payloads[0] is not None and payloads[1] is None


@st.composite
def tables(
    draw: Any, types: st.SearchStrategy[SqlType] = TYPES
) -> tuple[list[Column], list[tuple[Any, ...]]]:
    kinds = draw(st.lists(types, min_size=1, max_size=4))
    columns = [Column(f"C{i}", t) for i, t in enumerate(kinds)]
    row = st.tuples(*(st.none() | value_of(t) for t in kinds))
    return columns, draw(st.lists(row, max_size=6))


@pytest.mark.parametrize("name", RECORD_FORMATS)
@tried(25, share=5)
@given(table=tables())
def test_generated_tables(name: str, table: tuple[list[Column], list[tuple[Any, ...]]]) -> None:
    columns, rows = table
    where = layout(*columns, registry=EmbeddedRegistry())
    decoded = decode(name, where, encode(name, where, rows))
    assert not len(decoded.bad), decoded.reasons
    for got, want in zip(decoded.columns, arrays(columns, rows), strict=True):
        assert got.to_pylist() == want.to_pylist()


@given(table=tables(SCALAR_TYPES))
def test_generated_tables_delimited(table: tuple[list[Column], list[tuple[Any, ...]]]) -> None:
    columns, rows = table
    where = layout(*columns)
    decoded = decode("DELIMITED", where, encode("DELIMITED", where, rows))
    # An empty text or no bytes read back as null; a null alone is an empty payload, which is no record.
    expected = [
        tuple(
            None if v in ("", b"") and c.type in (VARCHAR, BYTES) else v
            for c, v in zip(columns, row, strict=True)
        )
        for row in rows
    ]
    lost = [i for i, row in enumerate(rows) if row == (None,)]
    assert list(decoded.bad) == lost
    assert values(decoded) == expected


@given(table=tables())
def test_generated_tables_arrow(table: tuple[list[Column], list[tuple[Any, ...]]]) -> None:
    columns, rows = table
    where = layout(*columns)
    arrow = formats.get("ARROW")
    given_arrays = arrays(columns, rows)
    payloads = arrow.encoder(where, WORKSPACE).encode(given_arrays)
    read = arrow.decoder(where, [c.name for c in columns], WORKSPACE).decode(payloads)
    assert not len(read.bad)
    for got, want in zip(read.columns, given_arrays, strict=True):
        assert got.type == want.type and got.to_pylist() == want.to_pylist()


def without_unwritable(value: Any, t: SqlType) -> Any:
    """A value with nothing in it that Protobuf cannot tell apart or has no place for."""
    match t:
        case Array(element):
            return [without_unwritable(v, element) for v in value or [] if v is not None]
        case Map(_, item):
            return [(k, without_unwritable(v, item)) for k, v in value or [] if v is not None]
        case Struct(fields) if value is not None:
            return {name: without_unwritable(value[name], inner) for name, inner in fields}
    return value


def is_writable(t: SqlType) -> bool:
    match t:
        case Array(inner) | Map(_, inner):
            return not isinstance(inner, (Array, Map)) and is_writable(inner)
        case Struct(fields):
            return all(is_writable(inner) for _, inner in fields)
    return True


@pytest.mark.parametrize("name", ["PROTOBUF", "PROTOBUF_NOSR"])
@pytest.mark.parametrize("representation", ["OPTIONAL", "WRAPPER"])
@tried(25, share=5)
@given(table=tables(TYPES.filter(is_writable)))
def test_generated_tables_protobuf(
    name: str, representation: str, table: tuple[list[Column], list[tuple[Any, ...]]]
) -> None:
    columns, rows = table
    rows = [tuple(without_unwritable(v, c.type) for c, v in zip(columns, row, strict=True)) for row in rows]
    where = layout(*columns, registry=EmbeddedRegistry(), NULLABLE_REPRESENTATION=representation)
    decoded = decode(name, where, encode(name, where, rows))
    assert not len(decoded.bad), decoded.reasons
    for got, want, column in zip(decoded.columns, arrays(columns, rows), columns, strict=True):
        # The entries of a map come back in an order of the runtime's own.
        assert sorted_maps(got.to_pylist(), column.type) == sorted_maps(want.to_pylist(), column.type)


def sorted_maps(found: list[Any], t: SqlType) -> list[Any]:
    def tidy(value: Any, t: SqlType) -> Any:
        if value is None:
            return None
        match t:
            case Array(element):
                return [tidy(v, element) for v in value]
            case Map(_, item):
                return sorted(((k, tidy(v, item)) for k, v in value), key=lambda pair: pair[0])
            case Struct(fields):
                return {name: tidy(value[name], inner) for name, inner in fields}
        return value

    return [tidy(value, t) for value in found]
