"""JSON_SR: JSON in a frame, and JSON Schemas."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from format_samples import decode, encode, layout, values

from streamsql import formats
from streamsql.errors import PlanError
from streamsql.formats.registry import EmbeddedRegistry
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)

JSON_SR = formats.get("JSON_SR")


def test_the_bytes_and_the_schema() -> None:
    registry = EmbeddedRegistry()
    where = layout(Column("FOO", INTEGER), Column("M", Map(VARCHAR, DOUBLE)), registry=registry)
    assert encode("JSON_SR", where, [(1, [("a", 1.0)]), (None, None)], pa.array([False, True])) == [
        b'\0\0\0\0\x01{"FOO":1,"M":{"a":1.0}}',
        None,
    ]
    assert json.loads((registry.by_id(1) or ("", ""))[0]) == {
        "type": "object",
        "properties": {
            "FOO": {
                "connect.index": 0,
                "oneOf": [{"type": "null"}, {"type": "integer", "connect.type": "int32"}],
            },
            "M": {
                "connect.index": 1,
                "oneOf": [
                    {"type": "null"},
                    {
                        "type": "object",
                        "connect.type": "map",
                        "additionalProperties": {
                            "oneOf": [{"type": "null"}, {"type": "number", "connect.type": "float64"}]
                        },
                    },
                ],
            },
        },
    }


@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_payloads_without_a_frame_are_refused(copies: int) -> None:
    where = layout(Column("A", BIGINT), registry=EmbeddedRegistry())
    payloads = [b'{"A":1}', b'\0\0\0\0\x01{"a":2}', b"\0\0", b"\0\0\0\0\x01{", None] * copies
    decoded = decode("JSON_SR", where, payloads)
    assert list(decoded.bad[:3]) == [0, 2, 3] and len(decoded.bad) == 3 * copies
    assert decoded.reasons[0].as_py() == decoded.reasons[1].as_py()
    assert decoded.reasons[0].as_py().startswith("no schema id stands before the record")
    assert decoded.reasons[2].as_py().startswith("not JSON")
    assert values(decoded)[:5] == [(None,), (2,), (None,), (None,), (None,)]


COLUMNS: list[tuple[Any, SqlType | None]] = [
    ({"type": "boolean"}, BOOLEAN),
    ({"type": "integer"}, BIGINT),
    ({"type": "integer", "connect.type": "int32"}, INTEGER),
    ({"type": ["null", "number"]}, DOUBLE),
    ({"oneOf": [{"type": "null"}, {"type": "string"}]}, VARCHAR),
    ({"type": "string", "connect.type": "bytes"}, BYTES),
    ({"type": "integer", "title": "org.apache.kafka.connect.data.Date", "connect.type": "int32"}, DATE),
    ({"type": "integer", "title": "org.apache.kafka.connect.data.Timestamp"}, TIMESTAMP),
    (
        {
            "type": "number",
            "title": "org.apache.kafka.connect.data.Decimal",
            "connect.type": "bytes",
            "connect.parameters": {"scale": "2", "connect.decimal.precision": "4"},
        },
        Decimal(4, 2),
    ),
    ({"type": "array", "items": {"type": "string"}}, Array(VARCHAR)),
    (
        {"type": "object", "connect.type": "map", "additionalProperties": {"type": "integer"}},
        Map(VARCHAR, BIGINT),
    ),
    ({"type": "object", "properties": {"b": {"type": "string"}}}, Struct((("B", VARCHAR),))),
    ({"$ref": "#/definitions/zip"}, VARCHAR),
    ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, None),
    ({"type": "object"}, None),
]

UNREADABLE = [
    {"type": "object", "properties": ["a"]},
    {"type": "object", "properties": {"a": {"connect.index": "x"}, "b": {"connect.index": 1}}},
    {
        "type": "number",
        "title": "org.apache.kafka.connect.data.Decimal",
        "connect.parameters": {"scale": "two"},
    },
]


@pytest.mark.parametrize(("schema", "t"), COLUMNS, ids=lambda x: str(x)[:40])
def test_inferred_columns(schema: Any, t: SqlType | None) -> None:
    registry = EmbeddedRegistry()
    text = json.dumps(
        {
            "type": "object",
            "properties": {
                "c2": {**schema, "connect.index": 1},
                "c1": {"type": "string", "connect.index": 0},
            },
            "definitions": {"zip": {"type": "string"}},
        }
    )
    registry.register("t-value", text, "JSON")
    expected = [Column("C1", VARCHAR)] + ([] if t is None else [Column("C2", t)])
    assert JSON_SR.infer(layout(registry=registry)) == tuple(expected)


def test_a_field_that_may_be_anything_is_no_column() -> None:
    registry = EmbeddedRegistry()
    registry.register(
        "t-value", '{"type": "object", "properties": {"a": true, "b": {"type": "string"}}}', "JSON"
    )
    assert JSON_SR.infer(layout(registry=registry)) == (Column("B", VARCHAR),)


@pytest.mark.parametrize("schema", UNREADABLE, ids=str)
def test_a_schema_that_does_not_read_is_named(schema: Any) -> None:
    registry = EmbeddedRegistry()
    schema_id = registry.register("t-value", json.dumps(schema), "JSON")
    with pytest.raises(PlanError, match=f"the registered schema {schema_id} is no JSON schema"):
        JSON_SR.infer(layout(registry=registry))


def test_inferred_keys_and_exact_names() -> None:
    registry = EmbeddedRegistry()
    schema_id = registry.register(
        "t-key", '{"type": "object", "properties": {"id": {"type": "integer"}}}', "JSON"
    )
    assert JSON_SR.infer(layout(registry=registry, key=True)) == (
        Column("ROWKEY", Struct((("ID", BIGINT),))),
    )
    exact = layout(registry=registry, key=True, SCHEMA_ID=str(schema_id))
    assert JSON_SR.infer(exact) == (Column("ROWKEY", Struct((("id", BIGINT),))),)


def test_schemas_that_hold_themselves() -> None:
    registry = EmbeddedRegistry()
    registry.register("t-value", '{"type": "object", "properties": {"next": {"$ref": "#"}}}', "JSON")
    with pytest.raises(PlanError, match="holds itself"):
        JSON_SR.infer(layout(registry=registry))


def test_writing_with_a_given_schema() -> None:
    registry = EmbeddedRegistry()
    text = '{"type": "object", "properties": {"c2": {"type": "string"}, "c1": {"type": "integer"}}}'
    schema_id = registry.register("elsewhere", text, "JSON")
    where = layout(Column("C1", BIGINT), registry=registry, SCHEMA_ID=str(schema_id))
    assert encode("JSON_SR", where, [(4,)]) == [b'\0\0\0\0\x01{"c2":null,"c1":4}']
