"""A Schema Registry over HTTP: what is asked and how often, refusals, and databases while it does not answer."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from avro_records import INT, record

from streamsql.database import connect
from streamsql.errors import ExternalError, PlanError
from streamsql.formats.registry import EmbeddedRegistry, Reference
from streamsql.formats.registry_http import HttpRegistry


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
