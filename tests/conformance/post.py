"""What must hold of sources, topics and registered schemas after a case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamsql import formats
from streamsql.catalog import SideFormat, SourceInfo
from streamsql.grammar import ast
from streamsql.grammar.parser import parse
from streamsql.plan.type_names import resolve_type
from streamsql.schema import Column, Schema
from tests.conformance.harness import Harness
from tests.conformance.outcome import Mismatch

_INTERNAL = "_confluent-ksql-"


def check_post(harness: Harness) -> None:
    """raises Mismatch that begins with post.sources or post.topics"""
    post = harness.case.post or {}
    for entry in post.get("sources", ()):
        try:
            _check_source(harness, entry)
        except Mismatch as error:
            raise Mismatch(f"post.sources: {entry['name']}: {error}") from None
    # There are no repartition topics here, so `blacklist` holds of itself.
    for entry in post.get("topics", {}).get("topics", ()):
        if not entry["name"].startswith(_INTERNAL):
            try:
                _check_topic(harness, entry)
            except Mismatch as error:
                raise Mismatch(f"post.topics: {entry['name']}: {error}") from None


def _check_source(harness: Harness, entry: Mapping[str, Any]) -> None:
    info = harness.db.catalog.sources.get(entry["name"])
    if info is None:
        raise Mismatch("there is no such source")
    _same("type", entry["type"], info.kind)
    if "schema" in entry:
        wanted = _schema(entry["schema"])
        if (wanted.key, wanted.value) != (info.schema.key, info.schema.value):
            raise Mismatch(f"schema: expected {wanted.describe()}, got {info.schema.describe()}")
    if "keyFormat" in entry:
        key = entry["keyFormat"]
        _same("key format", key["format"], info.key_format.name)
        _same("window type", key.get("windowType"), info.window.kind if info.window else None)
        _same("window size", key.get("windowSize"), info.window.size_ms if info.window else None)
    if "valueFormat" in entry:
        _same("value format", entry["valueFormat"], info.value_format.name)
    if "keyFeatures" in entry:
        _same("key features", set(entry["keyFeatures"]), key_features(info))
    if "valueFeatures" in entry:
        _same("value features", set(entry["valueFeatures"]), value_features(info))
    if "isSource" in entry:
        _same("isSource", entry["isSource"], info.is_source)


def _check_topic(harness: Harness, entry: Mapping[str, Any]) -> None:
    """Format properties that only name details of the original's serializers are not compared."""
    name = entry["name"]
    if not harness.db.log.has_topic(name):
        raise Mismatch("there is no such topic")
    if "partitions" in entry:
        _same("partitions", entry["partitions"], harness.db.log.topic_config(name).partitions)
    info = harness.source_on(name)
    if info is None:
        raise Mismatch("no stream or table is declared on it")
    for side, own, features in (
        ("keyFormat", info.key_format, key_features(info)),
        ("valueFormat", info.value_format, value_features(info)),
    ):
        if side in entry:
            _same(side, entry[side]["format"], own.name)
            _same(f"{side} features", set(entry[side].get("features", ())), features)
    if "keyFormat" in entry:
        window = entry["keyFormat"].get("windowInfo")
        _same("window type", window["type"] if window else None, info.window.kind if info.window else None)
        if window and info.window and info.window.size_ms is not None:
            _same("window size", window["size"] * 1000, info.window.size_ms)
    for side in ("key", "value"):
        if f"{side}Schema" in entry or f"{side}SchemaId" in entry:
            _check_schema(harness, entry, side)


def _check_schema(harness: Harness, entry: Mapping[str, Any], side: str) -> None:
    found = harness.db.schemas.latest(f"{entry['name']}-{side}")
    if found is None:
        raise Mismatch(f"no {side} schema is registered")
    schema_id, text, kind = found
    wanted = entry.get(f"{side}Schema")
    if wanted is not None:
        if kind == "PROTOBUF":
            _same(f"{side} schema", " ".join(wanted.split()), " ".join(text.split()))
        else:
            _same(f"{side} schema", wanted, json.loads(text))
    if f"{side}SchemaId" in entry:
        _same(f"{side} schema id", entry[f"{side}SchemaId"], schema_id)


def key_features(info: SourceInfo) -> set[str]:
    """UNWRAP_SINGLES for a bare key of a format that could wrap it, as the original reports it."""
    return {"UNWRAP_SINGLES"} if len(info.schema.key) == 1 and _has_choice(info.key_format) else set()


def value_features(info: SourceInfo) -> set[str]:
    side = info.value_format
    unwrapped = len(info.schema.value) == 1 and side.is_wrapped is False and _has_choice(side)
    return {"UNWRAP_SINGLES"} if unwrapped else set()


def _has_choice(side: SideFormat) -> bool:
    found = formats.get(side.name)
    return found.can_wrap and found.can_unwrap


def _schema(text: str) -> Schema:
    """A column list, as a schema; KEY and PRIMARY KEY mean the same."""
    (statement,) = parse(f"CREATE STREAM S ({text.replace('PRIMARY KEY', 'KEY')}) WITH (KAFKA_TOPIC='t');")
    assert isinstance(statement, ast.CreateSource)
    columns = [(c.role, Column(c.name, resolve_type(c.type, lambda name: None))) for c in statement.columns]
    return Schema(
        tuple(c for role, c in columns if role == "KEY"), tuple(c for role, c in columns if role != "KEY")
    )


def _same(what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise Mismatch(f"{what}: expected {expected}, got {actual}")
