"""A Confluent Schema Registry over HTTP, as the formats use one.

After its REST interface: POST /subjects/<s>/versions registers, GET /subjects/<s>/versions/latest and
GET /schemas/ids/<id> read. A schema never changes under its id, so ids are remembered.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from streamsql.errors import ExternalError, PlanError
from streamsql.formats.registry import Reference, RegisteredSchema

_CONTENT = "application/vnd.schemaregistry.v1+json"
_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA = 40401, 40402, 40403


class HttpRegistry:
    """A client of one registry.

    url        http://host:8081, a path in front of /subjects is kept
    auth       "user:password" for HTTP basic authentication
    timeout_s  of each request
    """

    def __init__(self, url: str, auth: str | None = None, timeout_s: float = 10.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise PlanError(
                f"the schema registry's address '{url}' is no http:// or https:// address",
                code="PLAN-SCHEMA-REGISTRY",
            )
        credentials, at, host = parts.netloc.rpartition("@")
        if at and auth is None:
            auth = urllib.parse.unquote(credentials)
        self._url = urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": _CONTENT, "Content-Type": _CONTENT}
        if auth is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._schemas: dict[int, RegisteredSchema] = {}
        self._ids: dict[tuple[str, str, str], int] = {}

    def register(self, subject: str, schema: str, kind: str, references: tuple[Reference, ...] = ()) -> int:
        """Register a schema and give its id.

        raises  PlanError if the registry refuses it as invalid or incompatible; ExternalError otherwise
        """
        key = (subject, schema, kind)
        with self._lock:
            if key in self._ids:
                return self._ids[key]
        body: dict[str, Any] = {"schema": schema}
        if kind != "AVRO":
            body["schemaType"] = kind
        if references:
            body["references"] = [
                {"name": r.name, "subject": r.subject, "version": r.version} for r in references
            ]
        answer = self._ask("POST", f"/subjects/{_quoted(subject)}/versions", body)
        schema_id = int(answer["id"])
        with self._lock:
            self._ids[key] = schema_id
        return schema_id

    def latest(self, subject: str) -> tuple[int, str, str] | None:
        """(id, text, kind) of the subject's newest version; None if there is no such subject."""
        answer = self._ask("GET", f"/subjects/{_quoted(subject)}/versions/latest", may_miss=True)
        if answer is None:
            return None
        schema = self._remember(int(answer["id"]), answer)
        return schema.id, schema.text, schema.kind

    def by_id(self, schema_id: int) -> tuple[str, str] | None:
        """(text, kind); None if there is no such schema."""
        schema = self.schema(schema_id)
        return None if schema is None else (schema.text, schema.kind)

    def schema(self, schema_id: int) -> RegisteredSchema | None:
        with self._lock:
            known = self._schemas.get(schema_id)
        if known is not None:
            return known
        answer = self._ask("GET", f"/schemas/ids/{schema_id}", may_miss=True)
        return None if answer is None else self._remember(schema_id, answer)

    def references(self, schema_id: int) -> dict[str, str]:
        """The texts of the schemas that a schema refers to, by name, theirs included."""
        found: dict[str, str] = {}
        schema = self.schema(schema_id)
        for reference in schema.references if schema else ():
            path = f"/subjects/{_quoted(reference.subject)}/versions/{reference.version}"
            answer = self._ask("GET", path)
            inner = self._remember(int(answer["id"]), answer)
            found |= self.references(inner.id)
            found[reference.name] = inner.text
        return found

    def ids(self, subject: str) -> tuple[int, ...]:
        """The ids of a subject's versions, oldest first; () if there is no such subject."""
        path = f"/subjects/{_quoted(subject)}/versions"
        versions = self._ask("GET", path, may_miss=True) or ()
        answers = [self._ask("GET", f"{path}/{version}", may_miss=True) for version in versions]
        return tuple(int(answer["id"]) for answer in answers if answer is not None)

    def delete(self, subject: str) -> tuple[int, ...]:
        """Forget a subject; gives the versions it had."""
        with self._lock:
            self._ids = {key: i for key, i in self._ids.items() if key[0] != subject}
        answer = self._ask("DELETE", f"/subjects/{_quoted(subject)}", may_miss=True)
        return tuple(answer or ())

    def _remember(self, schema_id: int, answer: Any) -> RegisteredSchema:
        references = tuple(
            Reference(r["name"], r["subject"], int(r["version"])) for r in answer.get("references") or ()
        )
        kind = answer.get("schemaType") or "AVRO"
        schema = RegisteredSchema(schema_id, answer["schema"], kind, references)
        with self._lock:
            self._schemas[schema_id] = schema
        return schema

    def _ask(self, method: str, path: str, body: Any = None, *, may_miss: bool = False) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error, may_miss=may_miss)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ExternalError(
                f"the schema registry at {self._url} does not answer: {reason}",
                code="EXTERNAL-SCHEMA-REGISTRY",
                hint="check ksql.schema.registry.url; trying again may help",
            ) from error
        except ValueError as error:
            raise ExternalError(
                f"what answers at {self._url} is no schema registry: {error}", code="EXTERNAL-SCHEMA-REGISTRY"
            ) from error

    def _refused(self, error: urllib.error.HTTPError, *, may_miss: bool) -> None:
        try:
            answer = json.load(error)
            code, message = answer["error_code"], answer["message"]
        except (ValueError, KeyError, TypeError):
            code, message = error.code, error.reason
        if may_miss and code in (_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA):
            return
        if error.code in (409, 422):
            raise PlanError(
                f"the schema registry refuses the schema: {message}", code="PLAN-SCHEMA"
            ) from error
        helps = "check the user and password" if error.code in (401, 403) else "trying again may help"
        raise ExternalError(
            f"the schema registry at {self._url} answers {error.code}: {message}",
            code="EXTERNAL-SCHEMA-REGISTRY",
            hint=helps,
        ) from error


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")
