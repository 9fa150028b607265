"""AVRO: the frame and the bytes, generated schemas, and records written with other schemas."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal as Number
from typing import Any

import fastavro
import pytest
from format_samples import decode, encode, layout, values

from streamsql import formats
from streamsql.database import Database
from streamsql.errors import DataError, PlanError
from streamsql.formats.registry import EmbeddedRegistry
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
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
)

AVRO = formats.get("AVRO")


def written(schema: Any, *records: Any, registry: EmbeddedRegistry, topic: str = "t-value") -> list[bytes]:
    """Records as another program writes them."""
    schema_id = registry.register(topic, json.dumps(schema), "AVRO")
    payloads = []
    for record in records:
        target = io.BytesIO()
        fastavro.schemaless_writer(target, fastavro.parse_schema(schema), record)
        payloads.append(b"\0" + schema_id.to_bytes(4, "big") + target.getvalue())
    return payloads


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields]}


def test_the_bytes() -> None:
    registry = EmbeddedRegistry()
    where = layout(Column("ID", BIGINT), Column("NAME", VARCHAR), registry=registry)
    # frame, branch 1 (not null), 1 in zigzag, branch 1, length 2 in zigzag, the text; branch 0 (null)
    assert encode("AVRO", where, [(1, "ab"), (None, None)]) == [
        b"\0\0\0\0\x01" + b"\x02\x02" + b"\x02\x04ab",
        b"\0\0\0\0\x01" + b"\x00" + b"\x00",
    ]
    # other programs read them
    text, _ = registry.by_id(1) or ("", "")
    payload = encode("AVRO", where, [(7, "x")])[0]
    assert payload is not None
    read = fastavro.schemaless_reader(io.BytesIO(payload[5:]), fastavro.parse_schema(json.loads(text)), None)
    assert read == {"ID": 7, "NAME": "x"}


def test_the_generated_schema() -> None:
    registry = EmbeddedRegistry()
    columns = (
        Column("D", Decimal(4, 2)),
        Column("A", Array(DATE)),
        Column("M", Map(VARCHAR, TIME)),
        Column("S", Struct((("T", TIMESTAMP),))),
    )
    AVRO.register(layout(*columns, registry=registry, topic="OUT"))
    _, text, kind = registry.latest("OUT-value") or (0, "", "")
    assert kind == "AVRO"
    space = "io.confluent.ksql.avro_schemas"
    assert json.loads(text) == {
        "type": "record",
        "name": "KsqlDataSourceSchema",
        "namespace": space,
        "fields": [
            {
                "name": "D",
                "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}],
                "default": None,
            },
            {
                "name": "A",
                "type": [
                    "null",
                    {"type": "array", "items": ["null", {"type": "int", "logicalType": "date"}]},
                ],
                "default": None,
            },
            {
                "name": "M",
                "type": [
                    "null",
                    {"type": "map", "values": ["null", {"type": "int", "logicalType": "time-millis"}]},
                ],
                "default": None,
            },
            {
                "name": "S",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "KsqlDataSourceSchema_S",
                        "namespace": space,
                        "fields": [
                            {
                                "name": "T",
                                "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
                                "default": None,
                            }
                        ],
                        "connect.name": f"{space}.KsqlDataSourceSchema_S",
                    },
                ],
                "default": None,
            },
        ],
        "connect.name": f"{space}.KsqlDataSourceSchema",
    }


def test_names_of_records() -> None:
    registry = EmbeddedRegistry()

    def name_of(where: Any, subject: str) -> str:
        AVRO.register(where)
        schema = json.loads((registry.latest(subject) or (0, "", ""))[1])
        return f"{schema['namespace']}.{schema['name']}"

    key = Struct((("F", INTEGER),))
    assert name_of(layout(Column("K", key), key=True, registry=registry, topic="MY_OUT"), "MY_OUT-key") == (
        "io.confluent.ksql.avro_schemas.MyOutKey"
    )
    assert (
        name_of(layout(Column("V", INTEGER), registry=registry, SCHEMA_FULL_NAME="a.b.C"), "t-value")
        == "a.b.C"
    )
    with pytest.raises(PlanError, match="`1x` is no name in Avro"):
        AVRO.check(layout(Column("1x", INTEGER), registry=registry))


READS: list[tuple[Any, Any, SqlType, Any]] = [
    ("int", 5, BIGINT, 5),
    ("int", 5, DOUBLE, 5.0),
    ("int", 5, VARCHAR, "5"),
    ("long", 5, INTEGER, 5),
    ("float", 0.5, DOUBLE, 0.5),
    ("double", 1.0, VARCHAR, "1.0"),
    ("boolean", True, BOOLEAN, True),
    (["null", "string"], None, VARCHAR, None),
    (["string", "null"], "x", VARCHAR, "x"),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", VARCHAR, "B"),
    ({"type": "fixed", "name": "F", "size": 2}, b"ab", BYTES, b"ab"),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1},
        Number("-1.5"),
        Decimal(4, 2),
        Number("-1.50"),
    ),
    (
        {"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 4, "scale": 2},
        Number("1.25"),
        Decimal(4, 2),
        Number("1.25"),
    ),
    ({"type": "int", "logicalType": "date"}, dt.date(2020, 2, 29), DATE, dt.date(2020, 2, 29)),
    ({"type": "int", "logicalType": "time-millis"}, dt.time(1, 2, 3, 4000), TIME, dt.time(1, 2, 3, 4000)),
    ({"type": "long", "logicalType": "time-micros"}, dt.time(1, 2, 3, 4005), TIME, dt.time(1, 2, 3, 4005)),
    (
        {"type": "long", "logicalType": "timestamp-micros"},
        dt.datetime(1969, 12, 31, tzinfo=dt.UTC),
        TIMESTAMP,
        dt.datetime(1969, 12, 31),
    ),
    ({"type": "array", "items": "int"}, [1, 2], Array(BIGINT), [1, 2]),
    ({"type": "map", "values": "int"}, {"a": 1}, Map(VARCHAR, VARCHAR), [("a", "1")]),
    (
        {
            "type": "array",
            "items": {**record(("key", "string"), ("value", ["null", "int"])), "name": "MapEntry"},
        },
        [{"key": "a", "value": None}],
        Map(VARCHAR, INTEGER),
        [("a", None)],
    ),
    (
        {**record(("f", "int"), ("g", "string")), "name": "S"},
        {"f": 1, "g": "x"},
        Struct((("G", VARCHAR), ("H", INTEGER))),
        {"G": "x", "H": None},
    ),
]


@pytest.mark.parametrize(("avro", "given", "t", "value"), READS, ids=lambda x: str(x)[:25])
def test_reads_what_others_wrote(avro: Any, given: Any, t: SqlType, value: Any) -> None:
    registry = EmbeddedRegistry()
    payloads = written(record(("c1", avro), ("other", "int")), {"c1": given, "other": 1}, registry=registry)
    decoded = decode("AVRO", layout(Column("C1", t), Column("NEW", BIGINT), registry=registry), payloads)
    assert not len(decoded.bad), decoded.reasons
    assert values(decoded) == [(value, None)]


@pytest.mark.parametrize(
    ("avro", "given", "t", "reason"),
    [
        ("string", "x", BIGINT, "$.C1: Avro string cannot be read as BIGINT"),
        ("long", 2**31, INTEGER, "$.C1: '2147483648' is outside the range of INTEGER"),
        (["int", "string"], 1, VARCHAR, "$.C1: a union cannot be read as VARCHAR"),
        (
            {"type": "array", "items": ["null", "long"]},
            [1, 2**40],
            Array(INTEGER),
            "$.C1[1]: '1099511627776' is outside the range of INTEGER",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 3},
            Number("1.005"),
            Decimal(4, 2),
            "$.C1: '1.005' does not fit DECIMAL(4, 2) without rounding",
        ),
    ],
    ids=lambda x: str(x)[:25],
)
def test_refuses_what_does_not_fit(avro: Any, given: Any, t: SqlType, reason: str) -> None:
    registry = EmbeddedRegistry()
    payloads = written(record(("c1", avro)), {"c1": given}, registry=registry)
    decoded = decode("AVRO", layout(Column("C1", t), registry=registry), [None, *payloads])
    assert (list(decoded.bad), decoded.reasons.to_pylist()) == ([1], [reason])


def test_records_of_several_schemas_in_one_batch() -> None:
    registry = EmbeddedRegistry()
    old = written(record(("id", "int")), {"id": 1}, registry=registry)
    new_schema = record(("id", "long"), ("name", ["null", "string"]))
    new_schema["fields"][1]["default"] = None
    new = written(new_schema, {"id": 2, "name": "x"}, registry=registry)
    decoded = decode(
        "AVRO", layout(Column("ID", BIGINT), Column("NAME", VARCHAR), registry=registry), [*new, *old, None]
    )
    assert values(decoded) == [(2, "x"), (1, None), (None, None)]


def test_broken_payloads_spare_their_neighbours() -> None:
    registry = EmbeddedRegistry()
    where = layout(Column("A", VARCHAR), Column("B", DOUBLE), registry=registry)
    good = encode("AVRO", where, [("abc", 1.0)])[0]
    assert good is not None
    cut = [good[:n] for n in range(len(good))]
    unknown = b"\0\0\0\0\x63" + good[5:]
    decoded = decode("AVRO", where, [good, *cut, unknown, good])
    assert list(decoded.bad) == list(range(1, len(cut) + 2))
    assert decoded.reasons[0].as_py().startswith("no schema id stands before the record")
    assert decoded.reasons[5].as_py() == "the Avro record ends too early"
    assert decoded.reasons[-1].as_py() == "no Avro schema with id 99 is registered"
    assert values(decoded)[0] == values(decoded)[-1] == ("abc", 1.0)


def test_two_fields_that_are_one_column_are_refused(db: Database) -> None:
    schema = {"type": "record", "name": "r", "fields": [{"name": n, "type": "int"} for n in ("a", "A")]}
    db.schemas.register("t-value", json.dumps(schema), "AVRO")
    with pytest.raises(PlanError, match="column A is there twice"):
        db.execute("CREATE STREAM t WITH (KAFKA_TOPIC = 't', PARTITIONS = 1, VALUE_FORMAT = 'AVRO');")


def test_inferred_columns() -> None:
    registry = EmbeddedRegistry()
    schema = record(
        ("c1", "boolean"),
        ("c2", "float"),
        ("c3", ["null", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}]),
        ("c4", {"type": "array", "items": {**record(("f1", "int")), "name": "S"}}),
        ("c5", ["int", "string"]),
        ("c6", "S"),
        ("c7", "null"),
    )
    schema_id = registry.register("t-value", json.dumps(schema), "AVRO")
    inner = Struct((("F1", INTEGER),))
    assert AVRO.infer(layout(registry=registry)) == (
        Column("C1", BOOLEAN),
        Column("C2", DOUBLE),
        Column("C3", Decimal(4, 2)),
        Column("C4", Array(inner)),
        Column("C6", inner),
    )
    by_id = AVRO.infer(layout(registry=registry, SCHEMA_ID=str(schema_id)))
    assert by_id is not None and by_id[0] == Column("c1", BOOLEAN)
    assert AVRO.infer(layout(registry=registry, topic="other")) is None
    bare = AVRO.infer(layout(registry=registry, wrapped=False))
    assert bare is not None and bare[0].name == "ROWVAL" and isinstance(bare[0].type, Struct)
    registry.register("t-key", '"long"', "AVRO")
    assert AVRO.infer(layout(registry=registry, key=True)) == (Column("ROWKEY", BIGINT),)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"SCHEMA_ID": "99"}, "no schema with id 99 is registered"),
        ({"SCHEMA_ID": "x"}, "VALUE_SCHEMA_ID is 'x', and an id is a whole number"),
        ({"SCHEMA_ID": "1"}, "schema 1 is JSON, not AVRO"),
    ],
)
def test_impossible_schema_ids(properties: dict[str, str], message: str) -> None:
    registry = EmbeddedRegistry()
    registry.register("x", '{"type": "object"}', "JSON")
    with pytest.raises(PlanError) as error:
        AVRO.infer(layout(registry=registry, **properties))
    assert error.value.message == message


def test_recursive_schemas_are_refused() -> None:
    registry = EmbeddedRegistry()
    registry.register("t-value", json.dumps(record(("next", ["null", "R"]))), "AVRO")
    with pytest.raises(PlanError, match="the schema's record R holds itself"):
        AVRO.infer(layout(registry=registry))


def test_writing_with_a_given_schema() -> None:
    registry = EmbeddedRegistry()
    schema = record(("name", "string"), ("n", "int"), ("extra", ["null", "int"]), ("s", "string"))
    schema["fields"][1]["default"] = 7
    schema["fields"][2]["default"] = None
    schema["fields"][3]["default"] = "d"
    schema_id = registry.register("elsewhere", json.dumps(schema), "AVRO")
    where = layout(Column("N", INTEGER), Column("name", VARCHAR), registry=registry, SCHEMA_ID=str(schema_id))
    payloads = encode("AVRO", where, [(1, "a"), (None, "b")])
    read = [
        fastavro.schemaless_reader(io.BytesIO(p[5:]), fastavro.parse_schema(schema), None)
        for p in payloads
        if p
    ]
    assert read == [
        {"name": "a", "n": 1, "extra": None, "s": "d"},
        {"name": "b", "n": 7, "extra": None, "s": "d"},
    ]
    with pytest.raises(DataError, match=r"\$\.name: the schema does not allow null here"):
        encode("AVRO", where, [(1, None)])
    with pytest.raises(PlanError, match="a column of type DOUBLE cannot be written as Avro int"):
        AVRO.encoder(layout(Column("N", DOUBLE), registry=registry, SCHEMA_ID=str(schema_id)), None)  # type: ignore[arg-type]
