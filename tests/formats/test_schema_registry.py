"""The schema registries: ids and versions, what the file keeps, compatibility, and the HTTP client."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamsql.database import connect
from streamsql.errors import DataError, ExternalError, PlanError
from streamsql.formats.compatibility import incompatibilities
from streamsql.formats.registry import EmbeddedRegistry, Reference
from streamsql.formats.registry_http import HttpRegistry


def record(**fields: Any) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": n, **f} for n, f in fields.items()]}
    )


INT = {"type": "int"}
OPTIONAL = {"type": ["null", "int"], "default": None}


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


class Server(ThreadingHTTPServer):
    """As much of a Schema Registry as the client asks for, over an embedded one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.registry = EmbeddedRegistry()
        self.requests: list[tuple[str, str, str | None]] = []
        self.answer: tuple[int, bytes] | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the console."""

    def do_GET(self) -> None:
        self._answer(*self._read())

    def do_POST(self) -> None:
        self._answer(*self._write())

    def do_DELETE(self) -> None:
        self._answer(200, list(self.server.registry.delete(self.path.split("/")[3])))

    def _read(self) -> tuple[int, Any]:
        registry, parts = self.server.registry, self.path.split("/")[2:]
        if parts[:2] == ["schemas", "ids"]:
            schema = registry.schema(int(parts[2]))
            missing = {"error_code": 40403, "message": "Schema not found"}
        elif len(parts) == 3:
            versions = registry.versions(parts[1].replace("%2F", "/"))
            return (200, list(versions)) if versions else (404, {"error_code": 40401, "message": "?"})
        else:
            version = -1 if parts[3] == "latest" else int(parts[3])
            schema = registry.version(parts[1].replace("%2F", "/"), version)
            missing = {"error_code": 40401, "message": "Subject not found"}
        if schema is None:
            return 404, missing
        references = [{"name": r.name, "subject": r.subject, "version": r.version} for r in schema.references]
        found = {"id": schema.id, "schema": schema.text, "references": references}
        return 200, found if schema.kind == "AVRO" else {**found, "schemaType": schema.kind}

    def _write(self) -> tuple[int, Any]:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        references = [Reference(r["name"], r["subject"], r["version"]) for r in body.get("references", ())]
        try:
            subject = self.path.split("/")[3].replace("%2F", "/")
            kind = body.get("schemaType", "AVRO")
            return 200, {"id": self.server.registry.register(subject, body["schema"], kind, references)}
        except PlanError as error:
            return 409, {"error_code": 409, "message": error.message}

    def _answer(self, status: int, body: Any) -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization")))
        raw = json.dumps(body).encode()
        if self.server.answer is not None:
            status, raw = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def client(server: Server, **options: Any) -> HttpRegistry:
    return HttpRegistry(f"http://127.0.0.1:{server.server_address[1]}/api/", **options)


def test_http_registers_and_reads(server: Server) -> None:
    registry = client(server, auth="me:pa:ss")
    assert registry.latest("a/b") is None and registry.by_id(1) is None
    assert registry.register("a/b", record(x=INT), "AVRO") == 1
    assert registry.register("a/b", record(x=INT), "AVRO") == 1
    assert registry.register("p", "message M {}", "PROTOBUF") == 2
    assert registry.register("q", "message N {}", "PROTOBUF", (Reference("m.proto", "p", 1),)) == 3
    assert registry.latest("a/b") == (1, record(x=INT), "AVRO")
    assert registry.ids("a/b") == (1,) and registry.ids("nothing") == ()
    assert registry.by_id(2) == ("message M {}", "PROTOBUF")
    assert registry.references(3) == {"m.proto": "message M {}"}
    assert registry.delete("q") == (1,)
    asked = [(method, path) for method, path, _ in server.requests]
    assert asked.count(("POST", "/api/subjects/a%2Fb/versions")) == 1
    assert {auth for *_, auth in server.requests} == {"Basic " + base64.b64encode(b"me:pa:ss").decode()}


def test_http_asks_for_a_schema_once(server: Server) -> None:
    registry = client(server)
    server.registry.register("a", record(x=INT), "AVRO")
    assert registry.by_id(1) == registry.by_id(1) == (record(x=INT), "AVRO")
    assert len(server.requests) == 1


def test_http_refusals(server: Server) -> None:
    registry = client(server)
    registry.register("a", record(x=INT), "AVRO")
    with pytest.raises(PlanError, match="the schema registry refuses the schema: the new schema of a is not"):
        registry.register("a", record(x={"type": "string"}), "AVRO")


@pytest.mark.parametrize(
    ("status", "body", "message", "hint"),
    [
        (
            401,
            b'{"error_code": 401, "message": "Unauthorized"}',
            "answers 401: Unauthorized",
            "check the user and password",
        ),
        (500, b'{"error_code": 50001, "message": "Store"}', "answers 500: Store", "trying again may help"),
        (503, b"<html>", "answers 503: Service Unavailable", "trying again may help"),
        (200, b"<html>", "is no schema registry", None),
    ],
)
def test_http_failures(server: Server, status: int, body: bytes, message: str, hint: str | None) -> None:
    server.answer = (status, body)
    with pytest.raises(ExternalError, match=message) as error:
        client(server).latest("a")
    assert error.value.hint == hint


def test_http_nobody_answers(server: Server) -> None:
    address = f"http://127.0.0.1:{server.server_address[1]}"
    server.socket.close()
    with pytest.raises(ExternalError, match="does not answer: "):
        HttpRegistry(address, timeout_s=1).latest("a")


def test_http_addresses() -> None:
    with pytest.raises(PlanError, match="'localhost:8081' is no http"):
        HttpRegistry("localhost:8081")


def test_a_database_opens_while_its_registry_does_not_answer(server: Server, tmp_path: Path) -> None:
    """And has the columns that the schemas had when it was told of them."""
    settings = {"ksql.schema.registry.url": f"http://127.0.0.1:{server.server_address[1]}/api"}
    with connect(tmp_path, settings=settings) as db:
        db.execute("CREATE STREAM s (k INT KEY, a INT) WITH (FORMAT = 'AVRO'); INSERT INTO s VALUES (1, 2);")
        db.execute("CREATE STREAM inferred WITH (KAFKA_TOPIC = 'S', FORMAT = 'AVRO');")
        db.execute("CREATE STREAM r WITH (VALUE_FORMAT = 'JSON_SR') AS SELECT * FROM inferred;")
        assert db.execute("SELECT * FROM r;").fetchall() == [(1, 2)]
        columns = db.execute("DESCRIBE inferred;").fetchall()
        with pytest.raises(PlanError, match="the schema registry refuses the schema"):
            server.answer = 422, b'{"error_code": 42201, "message": "no"}'
            db.execute("CREATE STREAM z (a INT) WITH (KAFKA_TOPIC = 'z', VALUE_FORMAT = 'AVRO');")
        assert not db.log.has_topic("z")
        server.answer = None
        later = record(
            A={"type": ["null", "int"], "default": None}, B={"type": ["null", "int"], "default": None}
        )
        server.registry.set_compatibility("NONE")
        server.registry.register("S-value", later, "AVRO")
    server.answer = 500, b"{}"
    with connect(tmp_path, settings=settings) as db:
        assert db.execute("DESCRIBE inferred;").fetchall() == columns
        assert db.execute("SHOW QUERIES;").fetchall()[0][1] == "RUNNING"
        with pytest.raises(ExternalError, match="answers 500"):
            db.execute("SELECT * FROM s;").fetchall()
        server.answer = None
        assert db.execute("SELECT * FROM s;").fetchall() == [(1, 2)]
        db.execute("INSERT INTO s VALUES (3, 4);")
        assert db.execute("SELECT * FROM r;").fetchall() == [(1, 2), (3, 4)]


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
