"""The embedded schema registry: subjects, their versions, and schemas by id.

A schema is registered under a subject, `<topic>-key` or `<topic>-value` (a schema that others refer to:
under any name). The same text has the same id everywhere; a subject counts its versions from 1.

On disk it is a file of JSON lines that only grows, one line an event, replayed when it is opened:

    {"event": "schema", "id": 1, "kind": "AVRO", "schema": "..", "references": [[name, subject, version]]}
    {"event": "version", "subject": "t-value", "version": 1, "id": 1}
    {"event": "delete", "subject": "t-value"}
    {"event": "compatibility", "subject": "t-value", "level": "BACKWARD"}

A torn last line, which a crash may leave, is cut off; a line that does not read is an error.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsql.errors import DataError, ExternalError, PlanError

KINDS = ("AVRO", "PROTOBUF", "JSON")
LEVELS = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Another schema that a schema uses, under the name by which it does."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema and its id; kind AVRO, PROTOBUF or JSON."""

    id: int
    text: str
    kind: str
    references: tuple[Reference, ...] = ()


class EmbeddedRegistry:
    """A schema registry in memory, and in a file if a path is given. Safe for several threads."""

    def __init__(self, path: Path | None = None) -> None:
        """raises  ExternalError if the file cannot be read; DataError if a line in it is broken"""
        self._path = path
        self._lock = threading.RLock()
        self._schemas: dict[int, RegisteredSchema] = {}
        self._ids: dict[tuple[str, str, tuple[Reference, ...]], int] = {}
        self._subjects: dict[str, dict[int, int]] = {}
        self._levels: dict[str, str] = {}
        self._next_versions: dict[str, int] = {}
        if path is not None and path.exists():
            self._replay(path)

    def register(
        self,
        subject: str,
        schema: str,
        kind: str,
        references: Sequence[Reference] = (),
        schema_id: int | None = None,
    ) -> int:
        """Register a schema as the newest version of a subject and give its id.

        schema_id  forces an id that no other schema has
        raises     PlanError if the subject's compatibility level refuses it, or the id is taken
        """
        if kind not in KINDS:
            raise PlanError(f"a schema is AVRO, PROTOBUF or JSON, not {kind}", code="PLAN-SCHEMA-KIND")
        with self._lock:
            key = (kind, canonical(schema, kind), tuple(references))
            known = self._ids.get(key)
            versions = self._subjects.get(subject, {})
            if known is not None and known in versions.values() and schema_id in (None, known):
                return known
            self._refuse_incompatible(subject, schema, kind)
            if schema_id is not None and schema_id in self._schemas and schema_id != known:
                raise PlanError(f"schema id {schema_id} is taken by another schema", code="PLAN-SCHEMA-ID")
            new = schema_id if schema_id is not None else known
            if new is None:
                new = max(self._schemas, default=0) + 1
            if new not in self._schemas:
                shown = [[r.name, r.subject, r.version] for r in references]
                self._log(event="schema", id=new, kind=kind, schema=schema, references=shown)
            version = self._next_versions.get(subject, 1)
            self._log(event="version", subject=subject, version=version, id=new)
            return new

    def latest(self, subject: str) -> tuple[int, str, str] | None:
        """(id, text, kind) of the subject's newest version."""
        with self._lock:
            versions = self._subjects.get(subject)
            if not versions:
                return None
            schema = self._schemas[versions[max(versions)]]
            return schema.id, schema.text, schema.kind

    def by_id(self, schema_id: int) -> tuple[str, str] | None:
        """(text, kind)."""
        with self._lock:
            schema = self._schemas.get(schema_id)
            return None if schema is None else (schema.text, schema.kind)

    def schema(self, schema_id: int) -> RegisteredSchema | None:
        """A schema with its references."""
        with self._lock:
            return self._schemas.get(schema_id)

    def references(self, schema_id: int) -> dict[str, str]:
        """The texts of the schemas that a schema refers to, by name, theirs included."""
        with self._lock:
            found: dict[str, str] = {}
            schema = self._schemas.get(schema_id)
            for reference in schema.references if schema else ():
                inner = self.version(reference.subject, reference.version)
                if inner is not None:
                    found |= self.references(inner.id)
                    found[reference.name] = inner.text
            return found

    def version(self, subject: str, version: int) -> RegisteredSchema | None:
        """One version of a subject; -1 is the newest."""
        with self._lock:
            versions = self._subjects.get(subject, {})
            number = max(versions, default=0) if version == -1 else version
            return self._schemas[versions[number]] if number in versions else None

    def subjects(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(subject for subject, versions in self._subjects.items() if versions))

    def versions(self, subject: str) -> tuple[int, ...]:
        with self._lock:
            return tuple(sorted(self._subjects.get(subject, {})))

    def ids(self, subject: str) -> tuple[int, ...]:
        """The ids of a subject's versions, oldest first; () if there is no such subject."""
        found = (self.version(subject, number) for number in self.versions(subject))
        return tuple(schema.id for schema in found if schema is not None)

    def delete(self, subject: str) -> tuple[int, ...]:
        """Forget a subject and give its versions; the schemas keep their ids, versions go on counting."""
        with self._lock:
            gone = self.versions(subject)
            if gone:
                self._log(event="delete", subject=subject)
            return gone

    def compatibility(self, subject: str) -> str:
        """NONE, BACKWARD, FORWARD or FULL, each also as _TRANSITIVE; BACKWARD unless set."""
        with self._lock:
            return self._levels.get(subject, self._levels.get("", "BACKWARD"))

    def set_compatibility(self, level: str, subject: str = "") -> None:
        """Set the level of a subject, or of all that have none of their own.

        raises  PlanError if there is no such level
        """
        if level not in LEVELS:
            raise PlanError(
                f"there is no compatibility level {level}; the levels are {', '.join(LEVELS)}",
                code="PLAN-SCHEMA-COMPATIBILITY",
            )
        with self._lock:
            self._log(event="compatibility", subject=subject, level=level)

    def _refuse_incompatible(self, subject: str, schema: str, kind: str) -> None:
        older = [self._schemas[i] for _, i in sorted(self._subjects.get(subject, {}).items(), reverse=True)]
        level = self.compatibility(subject)
        if not older or level == "NONE":
            return
        # The rules of every kind of schema: most databases never ask for them.
        from streamsql.formats.compatibility import incompatibilities

        found = incompatibilities(schema, kind, [(s.text, s.kind) for s in older], level)
        if found:
            raise PlanError(
                f"the new schema of {subject} is not {level} compatible with the registered one: {found[0]}",
                code="PLAN-SCHEMA-INCOMPATIBLE",
                hint="give the topic another name, or delete the subject",
            )

    def _log(self, **event: Any) -> None:
        """Write an event, then let it happen; one that cannot be written does not."""
        if self._path is not None:
            line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise ExternalError(
                    f"the schema registry's file {self._path} cannot be written: {error.strerror}",
                    code="EXTERNAL-SCHEMA-REGISTRY",
                ) from error
        self._happen(event)

    def _happen(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "schema":
                references = tuple(Reference(*r) for r in event.get("references", ()))
                schema = RegisteredSchema(event["id"], event["schema"], event["kind"], references)
                self._schemas[schema.id] = schema
                self._ids[(schema.kind, canonical(schema.text, schema.kind), references)] = schema.id
            case "version":
                self._subjects.setdefault(event["subject"], {})[event["version"]] = event["id"]
                self._next_versions[event["subject"]] = event["version"] + 1
            case "delete":
                self._subjects.pop(event["subject"], None)
            case "compatibility":
                self._levels[event["subject"]] = event["level"]
            case unknown:
                raise ValueError(f"unknown event {unknown}")

    def _replay(self, path: Path) -> None:
        try:
            lines = path.read_bytes().split(b"\n")
            if lines[-1]:
                # The line that a crash cut off was never acknowledged.
                os.truncate(path, path.stat().st_size - len(lines[-1]))
        except OSError as error:
            raise ExternalError(
                f"the schema registry's file {path} cannot be read: {error.strerror}",
                code="EXTERNAL-SCHEMA-REGISTRY",
            ) from error
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._happen(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"line {number} of the schema registry's file {path} does not read: {error}",
                    code="DATA-SCHEMA-REGISTRY",
                ) from error


def canonical(schema: str, kind: str) -> str:
    """The text by which two schemas are the same: JSON without blanks, a .proto as it stands."""
    if kind == "PROTOBUF":
        return schema.strip()
    try:
        return json.dumps(json.loads(schema), separators=(",", ":"), ensure_ascii=False)
    except ValueError as error:
        raise PlanError(f"the {kind} schema is no JSON: {error}", code="PLAN-SCHEMA") from error
