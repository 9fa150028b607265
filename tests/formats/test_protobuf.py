"""PROTOBUF and PROTOBUF_NOSR: bytes, nulls, .proto texts, and messages that others wrote."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal as Number
from typing import Any

import pytest
from format_samples import decode, encode, layout, values

from streamsql import formats
from streamsql.database import Database
from streamsql.errors import DataError, PlanError
from streamsql.formats.proto_text import parse_proto, print_proto
from streamsql.formats.protobuf import message_indexes, read_message_indexes
from streamsql.formats.protobuf_runtime import message_class
from streamsql.formats.protobuf_schema import find_message, schema_of
from streamsql.formats.registry import EmbeddedRegistry, Reference
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

PROTOBUF = formats.get("PROTOBUF")
SIX = (
    Column("I", INTEGER),
    Column("L", BIGINT),
    Column("D", DOUBLE),
    Column("B", BOOLEAN),
    Column("S", VARCHAR),
    Column("R", BYTES),
)


def test_the_bytes() -> None:
    where = layout(Column("I", INTEGER), Column("S", VARCHAR), registry=EmbeddedRegistry())
    # frame, message 0, field 1 varint 5, field 2 length 2; defaults are not there at all
    assert encode("PROTOBUF", where, [(5, "ab"), (0, ""), (None, None)]) == [
        b"\0\0\0\0\x01\0" + b"\x08\x05" + b"\x12\x02ab",
        b"\0\0\0\0\x01\0",
        b"\0\0\0\0\x01\0",
    ]
    assert encode("PROTOBUF_NOSR", where, [(5, "ab")]) == [b"\x08\x05\x12\x02ab"]


@pytest.mark.parametrize("name", ["PROTOBUF", "PROTOBUF_NOSR"])
@pytest.mark.parametrize(
    ("representation", "row"),
    [("", (0, 0, 0.0, False, "", b"")), ("OPTIONAL", (None,) * 6), ("WRAPPER", (None,) * 6)],
)
def test_nulls_of_scalars(name: str, representation: str, row: tuple[Any, ...]) -> None:
    properties = {"NULLABLE_REPRESENTATION": representation} if representation else {}
    where = layout(*SIX, registry=EmbeddedRegistry(), **properties)
    zeros = (0, 0, 0.0, False, "", b"")
    assert values(decode(name, where, encode(name, where, [(None,) * 6, zeros]))) == [row, zeros]


def test_nulls_of_structures() -> None:
    columns = (
        Column("A", Array(INTEGER)),
        Column("M", Map(VARCHAR, INTEGER)),
        Column("S", Struct((("F", INTEGER),))),
        Column("T", TIMESTAMP),
    )
    where = layout(*columns, registry=EmbeddedRegistry())
    payloads = encode("PROTOBUF", where, [(None,) * 4, ([], [], {"F": None}, None)])
    assert values(decode("PROTOBUF", where, payloads)) == [([], [], None, None), ([], [], {"F": 0}, None)]
    with pytest.raises(DataError, match=r"\$\.A\[1\]: Protobuf has no null in an array"):
        encode("PROTOBUF", where, [([1, None], None, None, None)])
    with pytest.raises(DataError, match=r"\$\.M\.k: Protobuf has no null in a map"):
        encode("PROTOBUF", where, [(None, [("k", None)], None, None)])


@pytest.mark.parametrize(
    ("representation", "text"),
    [
        (
            "",
            'syntax = "proto3";\n\nmessage ConnectDefault1 {\n'
            "  int32 I = 1;\n  int64 L = 2;\n  double D = 3;\n"
            "  bool B = 4;\n  string S = 5;\n  bytes R = 6;\n}\n",
        ),
        (
            "OPTIONAL",
            'syntax = "proto3";\n\nmessage ConnectDefault1 {\n'
            "  optional int32 I = 1;\n  optional int64 L = 2;\n"
            "  optional double D = 3;\n  optional bool B = 4;\n  optional string S = 5;\n"
            "  optional bytes R = 6;\n}\n",
        ),
        (
            "WRAPPER",
            'syntax = "proto3";\n\nimport "google/protobuf/wrappers.proto";\n\nmessage ConnectDefault1 {\n'
            "  google.protobuf.Int32Value I = 1;\n  google.protobuf.Int64Value L = 2;\n"
            "  google.protobuf.DoubleValue D = 3;\n  google.protobuf.BoolValue B = 4;\n"
            "  google.protobuf.StringValue S = 5;\n  google.protobuf.BytesValue R = 6;\n}\n",
        ),
    ],
)
def test_the_generated_schema(representation: str, text: str) -> None:
    registry = EmbeddedRegistry()
    properties = {"NULLABLE_REPRESENTATION": representation} if representation else {}
    PROTOBUF.register(layout(*SIX, registry=registry, **properties))
    assert registry.latest("t-value") == (1, text, "PROTOBUF")


def test_every_type_infers_as_it_was_written() -> None:
    columns = (
        Column("A", Array(Decimal(5, 2))),
        Column("D", DATE),
        Column("T", TIME),
        Column("X", Map(VARCHAR, Struct((("F", Array(TIMESTAMP)), ("G", Struct((("H", BYTES),))))))),
        Column("N", Decimal(38, 0)),
    )
    registry = EmbeddedRegistry()
    where = layout(*columns, registry=registry, SCHEMA_FULL_NAME="io.test.Value")
    PROTOBUF.register(where)
    assert PROTOBUF.infer(where) == columns


PROTO = """
syntax = "proto3";
package shop; // comment
import "google/protobuf/timestamp.proto"; /* another
comment */
import "event.proto";
option java_package = "x";
message First { reserved 2, 4 to 6; float f1 = 1; }
message Order {
  enum Suit { option allow_alias = true; SPADES = 0; HEARTS = 1 [deprecated = true]; }
  message Line { uint32 n = 1; repeated string tags = 2 [packed=false, json_name = "t"]; }
  uint32 id = 1;
  Suit suit = 2;
  repeated Line lines = 3;
  map<string, Line> by_name = 4;
  google.protobuf.Timestamp at = 5;
  oneof choice { string text = 6; int64 number = 7; }
  shop.events.Event event = 8;
  optional double maybe = 9;
  map<int32, bool> flags = 10;
}
service Ignored { rpc Get (First) returns (Order) { option deprecated = true; } }
"""
EVENT = 'syntax = "proto3"; package shop.events; message Event { int64 timestamp = 1; }'
ORDER = (
    Column("ID", BIGINT),
    Column("SUIT", VARCHAR),
    Column("LINES", Array(Struct((("N", BIGINT), ("TAGS", Array(VARCHAR)))))),
    Column("BY_NAME", Map(VARCHAR, Struct((("N", BIGINT), ("TAGS", Array(VARCHAR)))))),
    Column("AT", TIMESTAMP),
    Column("TEXT", VARCHAR),
    Column("NUMBER", BIGINT),
    Column("EVENT", Struct((("TIMESTAMP", BIGINT),))),
    Column("MAYBE", DOUBLE),
    Column("FLAGS", Map(VARCHAR, BOOLEAN)),
)


def shop() -> EmbeddedRegistry:
    registry = EmbeddedRegistry()
    registry.register("event.proto", EVENT, "PROTOBUF")
    registry.register("t-value", PROTO, "PROTOBUF", [Reference("event.proto", "event.proto", 1)])
    return registry


def test_a_schema_that_others_wrote() -> None:
    registry = shop()
    where = layout(registry=registry, SCHEMA_FULL_NAME="shop.Order")
    assert PROTOBUF.infer(where) == ORDER
    assert PROTOBUF.infer(layout(registry=registry)) == (Column("F1", DOUBLE),)
    with pytest.raises(PlanError, match="the registered schema does not have message Nobody"):
        PROTOBUF.infer(layout(registry=registry, SCHEMA_FULL_NAME="Nobody"))


def test_messages_that_others_wrote() -> None:
    registry = shop()
    order = message_class(parse_proto(PROTO), {"event.proto": parse_proto(EVENT)}, "shop.Order")
    message = order(id=2**32 - 1, suit=1, text="x", maybe=0.0)
    message.lines.add(n=1, tags=["a"])
    message.by_name["k"].n = 2
    message.at.seconds, message.at.nanos = -1, 999_000_000
    message.event.timestamp = 5
    message.flags[3] = True
    payload = b"\0\0\0\0\x02" + message_indexes([1]) + message.SerializeToString()
    unknown_symbol = b"\0\0\0\0\x02" + message_indexes([1]) + order(suit=9).SerializeToString()
    where = layout(*ORDER, registry=registry)
    decoded = decode("PROTOBUF", where, [payload, unknown_symbol, None])
    assert not len(decoded.bad), decoded.reasons
    assert values(decoded)[0] == (
        2**32 - 1,
        "HEARTS",
        [{"N": 1, "TAGS": ["a"]}],
        [("k", {"N": 2, "TAGS": []})],
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
        "x",
        None,
        {"TIMESTAMP": 5},
        0.0,
        [("3", True)],
    )
    assert values(decoded)[1][1] == "9"


@pytest.mark.parametrize(
    ("seconds", "nanos", "value"),
    [
        (86_399, 999_999_999, dt.time(23, 59, 59, 999_999)),
        (86_399, 1_000_000_000, "$.T: '86400000' is outside the range of TIME"),
        (0, -1, "$.T: '-1' is outside the range of TIME"),
        (-1, 1_000_000_000, dt.time(0)),
    ],
)
def test_a_time_of_day_lies_in_its_day(seconds: int, nanos: int, value: dt.time | str) -> None:
    where = layout(Column("T", TIME))
    file = schema_of(where)
    message = message_class(file, {}, find_message(file, None)[0])()
    message.T.seconds, message.T.nanos = seconds, nanos
    decoded = decode("PROTOBUF_NOSR", where, [message.SerializeToString()])
    assert [*values(decoded)[0], *decoded.reasons.to_pylist()] == (
        [None, value] if isinstance(value, str) else [value]
    )


def test_digits_that_do_not_read_are_as_if_not_there() -> None:
    entries = '{ key: "precision", value: "4" }, { key: "scale", value: "x" }'
    options = f"(confluent.field_meta) = {{ params: [{entries}] }}"
    file = parse_proto(f"message M {{ confluent.type.Decimal d = 1 [{options}]; }}")
    assert file.messages[0].fields[0].digits is None


def test_writing_with_a_given_schema() -> None:
    registry = shop()
    where = layout(
        Column("text", VARCHAR),
        Column("suit", VARCHAR),
        Column("event", Struct((("timestamp", BIGINT),))),
        registry=registry,
        SCHEMA_ID="2",
        SCHEMA_FULL_NAME="Order",
    )
    (payload,) = encode("PROTOBUF", where, [("x", "HEARTS", {"timestamp": 1})])
    assert payload is not None and payload[:7] == b"\0\0\0\0\x02\x02\x02"
    assert values(decode("PROTOBUF", where, [payload])) == [("x", "HEARTS", {"timestamp": 1})]
    with pytest.raises(DataError, match="'CLUBS' is none of SPADES, HEARTS") as error:
        encode("PROTOBUF", where, [("x", "CLUBS", None)])
    assert "leave such rows out with WHERE" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "given", "t", "value"),
    [
        ("float", 1.1234, DOUBLE, 1.1233999729156494),
        ("sint32", -5, INTEGER, -5),
        ("fixed32", 5, BIGINT, 5),
        ("uint64", 5, BIGINT, 5),
        ("int32", 5, Decimal(4, 2), Number("5.00")),
        ("int32", 5, VARCHAR, "5"),
        ("double", 1e7, VARCHAR, "1.0E7"),
        ("bool", True, VARCHAR, "true"),
        ("bytes", b"\xff", BYTES, b"\xff"),
    ],
)
def test_reads_wider(kind: str, given: Any, t: SqlType, value: Any) -> None:
    text = f'syntax = "proto3"; message M {{ {kind} c1 = 1; }}'
    registry = EmbeddedRegistry()
    registry.register("t-value", text, "PROTOBUF")
    body = message_class(parse_proto(text), {}, "M")(c1=given).SerializeToString()
    assert values(
        decode("PROTOBUF", layout(Column("C1", t), registry=registry), [b"\0\0\0\0\x01\0" + body])
    ) == [(value,)]


def test_broken_payloads_spare_their_neighbours() -> None:
    registry = EmbeddedRegistry()
    where = layout(Column("A", VARCHAR), Column("B", BIGINT), registry=registry)
    good = encode("PROTOBUF", where, [("abc", 7)])[0]
    assert good is not None
    no_message = b"\0\0\0\0\x01" + message_indexes([3])
    bad = [
        b"",
        good[:4],
        good[:5],
        b"\0\0\0\0\x63\0",
        no_message,
        good[:9],
        b"\0\0\0\0\x01\xff\xff\xff\xff\xff\xff",
    ]
    decoded = decode("PROTOBUF", where, [good, *bad, good])
    assert list(decoded.bad) == list(range(1, len(bad) + 1))
    assert decoded.reasons[2].as_py() == "the indexes of the message before the record do not read"
    assert decoded.reasons[3].as_py() == "no Protobuf schema with id 99 is registered"
    assert decoded.reasons[4].as_py() == "the schema has no message number 3"
    assert decoded.reasons[5].as_py().startswith("the Protobuf message does not read")
    assert values(decoded)[0] == values(decoded)[-1] == ("abc", 7)


def test_types_that_do_not_fit() -> None:
    text = 'syntax = "proto3"; message M { string c1 = 1; }'
    registry = EmbeddedRegistry()
    registry.register("t-value", text, "PROTOBUF")
    decoded = decode(
        "PROTOBUF", layout(Column("C1", BIGINT), registry=registry), [b"\0\0\0\0\x01\0\x0a\x01x"]
    )
    assert decoded.reasons.to_pylist() == ["$.C1: string cannot be read as BIGINT"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (Column("A", Array(Array(INTEGER))), "Protobuf has no arrays or maps inside of arrays and maps"),
        (
            Column("M", Map(VARCHAR, Array(INTEGER))),
            "Protobuf has no arrays or maps inside of arrays and maps",
        ),
        (Column("a b", INTEGER), "`a b` is no name in Protobuf"),
        (Column("M", Map(INTEGER, INTEGER)), "format PROTOBUF only has maps with VARCHAR keys"),
    ],
)
def test_what_protobuf_cannot_hold(column: Column, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        PROTOBUF.check(layout(column, registry=EmbeddedRegistry()))


def test_unknown_representations() -> None:
    with pytest.raises(PlanError, match="NULLABLE_REPRESENTATION is OPTIONAL or WRAPPER, not 'MAYBE'"):
        PROTOBUF.check(layout(*SIX, registry=EmbeddedRegistry(), NULLABLE_REPRESENTATION="maybe"))


@pytest.mark.parametrize("path", [[0], [1], [2, 0], [130, 3]])
def test_message_indexes(path: list[int]) -> None:
    written = message_indexes(path)
    assert read_message_indexes(written + b"rest") == (tuple(path), len(written))


VALUES_OF_ANY_TYPE = """
syntax = "proto3";
package google.protobuf;
message Struct { map<string, Value> fields = 1; }
message Value { oneof kind { double number_value = 2; Struct struct_value = 5; } }
"""


@pytest.mark.parametrize("is_registered", [True, False])
def test_fields_whose_type_sql_has_none_for_are_left_out(is_registered: bool) -> None:
    place = "google/protobuf/struct.proto"
    text = f"""syntax = "proto3"; import "{place}"; message M {{
        int32 a = 1; google.protobuf.Struct b = 2; repeated google.protobuf.Value c = 3; string d = 4; }}"""
    registry = EmbeddedRegistry()
    if is_registered:
        registry.register(place, VALUES_OF_ANY_TYPE, "PROTOBUF")
    references = [Reference(place, place, 1)] if is_registered else []
    registry.register("t-value", text, "PROTOBUF", references)
    columns = (Column("A", INTEGER), Column("D", VARCHAR))
    assert PROTOBUF.infer(layout(registry=registry)) == columns
    payload = b"\0\0\0\0" + bytes([1 + is_registered]) + b"\0" + b"\x08\x05" + b"\x12\0" + b"\x22\x02ab"
    assert values(decode("PROTOBUF", layout(*columns, registry=registry), [payload])) == [(5, "ab")]


@pytest.mark.parametrize(
    "fields",
    ["int32 a = 1; o.Thing b = 2;", "int32 a = 1; map<string, o.Thing> b = 2;", "int32 a = 1;"],
    ids=["a field", "a map", "for nothing"],
)
@pytest.mark.parametrize("is_deep", [False, True], ids=["its own import", "an import's import"])
def test_an_import_that_is_not_registered_is_told_at_create(db: Database, fields: str, is_deep: bool) -> None:
    references, place = [], "o.proto"
    if is_deep:
        inner = 'syntax = "proto3"; package o; import "deep.proto"; message Thing { int32 x = 1; }'
        db.schemas.register("o", inner, "PROTOBUF")
        references, place = [Reference("o.proto", "o", 1)], "deep.proto"
    text = f'syntax = "proto3"; import "o.proto"; message M {{ {fields} }}'
    schema_id = db.schemas.register("t-value", text, "PROTOBUF", references)
    with pytest.raises(PlanError) as refused:
        db.execute("CREATE STREAM s WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'PROTOBUF', PARTITIONS = 1);")
    assert refused.value.code == "PLAN-SCHEMA"
    assert refused.value.message == (
        f"schema {schema_id}, registered for t-value, cannot be used: "
        f"the .proto schema imports {place}, which is not registered"
    )
    assert refused.value.hint == f"register {place}, and what imports it again with a reference of that name"
    assert refused.value.span is not None
    assert "S" not in db.catalog.sources and "t" not in db.log.topics()


def test_recursive_messages_are_refused() -> None:
    registry = EmbeddedRegistry()
    registry.register("t-value", 'syntax = "proto3"; message M { M next = 1; }', "PROTOBUF")
    with pytest.raises(PlanError, match="the schema's message M holds itself"):
        PROTOBUF.infer(layout(registry=registry))


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-3", -3), ("0x1F", 31), ("012", 10), ("-017", -15)]
)
def test_numbers_are_decimal_hexadecimal_or_octal(text: str, number: int) -> None:
    (enum,) = parse_proto(f"enum E {{ A = 0; B = {text}; }}").enums
    assert enum.values == [("A", 0), ("B", number)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("message M { int32 a = 1; ", "ends in the middle"),
        ("message M { int32 a = x; }", "field a of the .proto schema has no number"),
        ("enum E { A = x; }", "value A of the .proto schema has no number"),
        ("message M { int32 a 1; }", "the .proto schema has '1' where '=' belongs"),
        ("nonsense { }", "the .proto schema has 'nonsense' where no such word belongs"),
        ("message M { \x01 }", "the .proto schema does not read at"),
    ],
)
def test_texts_that_do_not_read(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_proto(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("message M { int32 a = 1; int32 b = 1; }", "is not valid"),
        ("message M { int32 a = 99999999999; }", "is not valid"),
        ("message M { enum E { A = 1; } E e = 1; }", "is not valid"),
        ('import "other.proto"; message M { int32 a = 1; }', "is not valid"),
        (
            'import "nowhere.proto"; message M { int32 a = 1; }',
            "imports nowhere.proto, which is not registered",
        ),
        ("message M { Nothing a = 1; }", "has no type Nothing"),
    ],
)
def test_declarations_that_protobuf_does_not_allow(text: str, message: str) -> None:
    other = parse_proto('syntax = "proto3"; message O { int32 a = 0; }')
    with pytest.raises(PlanError, match=message):
        message_class(parse_proto(f'syntax = "proto3"; {text}'), {"other.proto": other}, "M")


def test_printing_and_parsing_agree() -> None:
    file = parse_proto(PROTO)
    file.messages[1].enums = []  # enums are read, and no columns are written as one
    assert parse_proto(print_proto(file)).messages[1].messages == file.messages[1].messages
