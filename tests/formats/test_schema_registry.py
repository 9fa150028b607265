"""The schema registries: ids and versions, what the file keeps, compatibility, and the HTTP client."""

from __future__ import annotations

from pathlib import Path

import pytest
from avro_records import INT, OPTIONAL, record

from streamsql.database import connect
from streamsql.errors import DataError, ExternalError, PlanError
from streamsql.formats.compatibility import incompatibilities
from streamsql.formats.registry import EmbeddedRegistry, Reference


def test_ids_and_versions() -> None:
    registry = EmbeddedRegistry()
    first = registry.register("a-value", record(x=INT), "AVRO")
    assert registry.register("a-value", record(x=INT).replace(" ", "  "), "AVRO") == first
    assert registry.register("b-value", record(x=INT), "AVRO") == first
    second = registry.register("a-value", record(x=INT, y=OPTIONAL), "AVRO")
    assert (first, second) == (1, 2)
    assert registry.latest("a-value") == (2, record(x=INT, y=OPTIONAL), "AVRO")
    assert registry.latest("c-value") is None and registry.by_id(3) is None
    assert registry.by_id(1) == (record(x=INT), "AVRO")
    assert registry.subjects() == ("a-value", "b-value") and registry.versions("a-value") == (1, 2)
    assert registry.ids("a-value") == (1, 2) and registry.ids("c-value") == ()
    assert registry.delete("a-value") == (1, 2)
    assert registry.latest("a-value") is None and registry.by_id(2) is not None
    registry.register("a-value", record(z=INT), "AVRO")
    assert registry.versions("a-value") == (3,)


def test_forced_ids() -> None:
    registry = EmbeddedRegistry()
    assert registry.register("a", record(x=INT), "AVRO", schema_id=102) == 102
    assert registry.register("b", record(y=INT), "AVRO") == 103
    with pytest.raises(PlanError, match="schema id 102 is taken"):
        registry.register("c", record(z=INT), "AVRO", schema_id=102)


def test_references() -> None:
    registry = EmbeddedRegistry()
    registry.register("c.proto", "message C {}", "PROTOBUF")
    registry.register("b.proto", 'import "c.proto";', "PROTOBUF", [Reference("c.proto", "c.proto", 1)])
    top = registry.register("a", 'import "b.proto";', "PROTOBUF", [Reference("b.proto", "b.proto", -1)])
    assert registry.references(top) == {"b.proto": 'import "c.proto";', "c.proto": "message C {}"}


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "data" / "schemas.jsonl"
    registry = EmbeddedRegistry(path)
    registry.register("a", record(x=INT), "AVRO")
    registry.set_compatibility("NONE", "a")
    registry.register("a", record(ü={"type": "string"}), "AVRO", [Reference("n", "s", 1)], 7)
    registry.register("gone", record(x=INT), "AVRO")
    registry.delete("gone")
    again = EmbeddedRegistry(path)
    assert again.latest("a") == registry.latest("a") and again.versions("a") == (1, 2)
    assert again.schema(7) == registry.schema(7)
    assert again.compatibility("a") == "NONE" and again.subjects() == ("a",)
    assert again.register("gone", record(y=INT), "AVRO") == 8 and again.versions("gone") == (2,)


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "schemas.jsonl"
    registry = EmbeddedRegistry(path)
    registry.register("a", record(x=INT), "AVRO")
    whole = path.read_bytes()
    registry.register("b", record(y=INT), "AVRO")
    full = path.read_bytes()
    for size in range(len(whole), len(full)):
        path.write_bytes(full[:size])
        again = EmbeddedRegistry(path)
        assert again.subjects() == ("a",)
        again.register("c", record(z=INT), "AVRO")
        assert EmbeddedRegistry(path).subjects() == ("a", "c")


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"event":"x"}', b'{"event":"version"}', b"\xff"])
def test_a_broken_line_is_reported(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "schemas.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(DataError, match="line 1 of the schema registry's file .* does not read"):
        EmbeddedRegistry(path)


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    registry = EmbeddedRegistry(tmp_path / "file" / "schemas.jsonl")
    with pytest.raises(ExternalError, match="cannot be written"):
        registry.register("a", record(x=INT), "AVRO")
    assert registry.subjects() == ()


def test_schemas_that_do_not_read() -> None:
    registry = EmbeddedRegistry()
    with pytest.raises(PlanError, match="the AVRO schema is no JSON"):
        registry.register("a", "{", "AVRO")
    with pytest.raises(PlanError, match="a schema is AVRO, PROTOBUF or JSON, not XML"):
        registry.register("a", "{}", "XML")


AVRO_CHANGES: list[tuple[str, str, str | None]] = [
    (record(x=INT), record(x=INT, y=OPTIONAL), None),
    (record(x=INT), record(x=INT, y=INT), "field y is new and has no default"),
    (record(x=INT, y=INT), record(x=INT), None),
    (record(x=INT), record(x={"type": "long"}), None),
    (record(x={"type": "long"}), record(x=INT), "field x was long, and is int"),
    (record(x=INT), record(x=OPTIONAL), None),
    (record(x=OPTIONAL), record(x=INT), "field x was null, and is int"),
    (record(x={"type": "string"}), record(x={"type": "bytes"}), None),
    (record(x=INT), record(z={"type": "int", "aliases": ["x"]}), None),
    (
        record(x={"type": {"type": "array", "items": "int"}}),
        record(x={"type": {"type": "array", "items": "string"}}),
        "field x's items was int, and is string",
    ),
    (
        record(x={"type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}}),
        record(x={"type": {"type": "enum", "name": "E", "symbols": ["A"]}}),
        "field x lost the symbol B",
    ),
    (
        record(x={"type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}}),
        record(x={"type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}}),
        "field x was a decimal of (4, 2), and is one of (4, 1)",
    ),
    (record(next={"type": ["null", "R"]}), record(next={"type": ["null", "R"]}), None),
    ('"int"', '["null", "int"]', None),
    ('"int"', '"string"', "the schema was int, and is string"),
]


@pytest.mark.parametrize(("old", "new", "problem"), AVRO_CHANGES)
def test_avro_compatibility(old: str, new: str, problem: str | None) -> None:
    expected = [] if problem is None else [problem]
    assert incompatibilities(new, "AVRO", [(old, "AVRO")], "BACKWARD") == expected
    assert incompatibilities(old, "AVRO", [(new, "AVRO")], "FORWARD") == expected
    assert incompatibilities(new, "AVRO", [(old, "AVRO")], "NONE") == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "problem"),
    [
        (
            "JSON",
            '{"properties": {"a": {"type": "integer"}}}',
            '{"properties": {"a": {"type": "number"}}}',
            None,
        ),
        (
            "JSON",
            '{"properties": {"a": {"type": "string"}}}',
            '{"properties": {"a": {"oneOf": [{"type": "null"}, {"type": "integer"}]}}}',
            "field a was string, and is integer/null",
        ),
        ("JSON", "{}", '{"required": ["a"]}', "field a is required now"),
        ("PROTOBUF", "message M {int32 a = 1;}", "message M {int32 b = 1; string c = 2;}", None),
        (
            "PROTOBUF",
            "message M {int32 a = 1;}",
            "message M {string a = 1;}",
            "field M.a has another type",
        ),
        ("PROTOBUF", "message M {message N {}}", "message M {}", "message M.N is gone"),
    ],
)
def test_other_compatibility(kind: str, old: str, new: str, problem: str | None) -> None:
    assert incompatibilities(new, kind, [(old, kind)], "BACKWARD") == ([] if problem is None else [problem])


def test_transitive_levels_look_at_every_version() -> None:
    versions = [(record(y=OPTIONAL), "AVRO"), (record(x=INT, y=OPTIONAL), "AVRO")]
    new = record(x={"type": "string", "default": ""}, y=OPTIONAL)
    assert incompatibilities(new, "AVRO", versions, "BACKWARD") == []
    assert incompatibilities(new, "AVRO", versions, "BACKWARD_TRANSITIVE") == [
        "field x was int, and is string"
    ]


def test_an_incompatible_schema_is_not_registered() -> None:
    registry = EmbeddedRegistry()
    registry.register("a", record(x=INT), "AVRO")
    with pytest.raises(PlanError) as error:
        registry.register("a", record(x={"type": "string"}), "AVRO")
    assert error.value.message == (
        "the new schema of a is not BACKWARD compatible with the registered one: "
        "field x was int, and is string"
    )
    assert registry.versions("a") == (1,)
    registry.set_compatibility("NONE")
    registry.register("a", record(x={"type": "string"}), "AVRO")
    with pytest.raises(PlanError, match="there is no compatibility level SOME"):
        registry.set_compatibility("SOME")


def test_a_source_with_a_schema_id_is_the_same_after_opening_again(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        db.execute(
            "CREATE STREAM s (k INT KEY, `aB` INT) WITH (FORMAT = 'AVRO'); INSERT INTO s VALUES (1, 2);"
        )
        schema_id = db.schemas.latest("S-value")[0]
        db.execute(
            f"CREATE STREAM i (k INT KEY) WITH (KAFKA_TOPIC = 'S', FORMAT = 'AVRO', VALUE_SCHEMA_ID = {schema_id});"
        )
        before = db.execute("DESCRIBE i;").fetchall()
        assert [name for name, *_ in before] == ["K", "aB"]
    with connect(tmp_path) as db:
        assert db.execute("DESCRIBE i;").fetchall() == before
        assert db.execute("SELECT * FROM i;").fetchall() == [(1, 2)]
