"""Comparing what is in the topics with the expected records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsql.engine.windowed_keys import WindowedKey
from tests.conformance import codecs, wire
from tests.conformance.compare import Rules, matches
from tests.conformance.corpus import Record
from tests.conformance.harness import Harness
from tests.conformance.outcome import Mismatch
from tests.conformance.records import Raw

_TYPED = frozenset({"AVRO", "PROTOBUF", "PROTOBUF_NOSR", "JSON_SR"})


def check_topics(harness: Harness, *, strict: bool, with_headers: bool) -> None:
    """Every topic named in the outputs must hold exactly these records, in order.

    raises  Mismatch
    """
    expected: dict[str, list[Record]] = {}
    for record in harness.case.outputs:
        expected.setdefault(record.topic, []).append(record)
    for topic, wanted in expected.items():
        _check_topic(harness, topic, wanted, strict, with_headers)


def _check_topic(
    harness: Harness, topic: str, wanted: Sequence[Record], strict: bool, with_headers: bool
) -> None:
    info = harness.source_on(topic)
    entry = next((t for t in harness.case.topics if t["name"] == topic), {})
    key_side = codecs.side_of(topic, info, entry, is_key=True)
    value_side = codecs.side_of(topic, info, entry, is_key=False)
    window = info.window if info is not None else None
    actual = harness.records.get(topic, [])
    for place, (record, raw) in enumerate(zip(wanted, actual, strict=False)):
        where = f"{topic}[{place}]"
        bare, bounds = _unwindowed(raw, window)
        key = codecs.decode(bare, key_side, harness.db.schemas)
        value = codecs.decode(raw.value, value_side, harness.db.schemas)
        is_exact = harness.case.properties.get("use.exact.numeric.comparison") is not False
        for what, side, want, got in (
            ("key", key_side, record.key, key),
            ("value", value_side, record.value, value),
        ):
            rules = Rules(strict, side.format in _TYPED, is_exact)
            if not matches(want, got, side.type, rules):
                raise Mismatch(f"{where} {what}: expected {show(want)}, got {show(got)}")
        if record.window is not None or bounds is not None:
            if bounds != (None if record.window is None else dict(record.window)):
                raise Mismatch(f"{where} window: expected {record.window}, got {bounds}")
        if record.timestamp is not None and record.timestamp != raw.timestamp:
            raise Mismatch(f"{where} timestamp: expected {record.timestamp}, got {raw.timestamp}")
        if with_headers and record.headers is not None:
            found = list(raw.headers)
            if found != codecs.header_pairs(record.headers):
                raise Mismatch(f"{where} headers: expected {record.headers}, got {found}")
    if len(actual) != len(wanted):
        extra = ""
        if len(actual) > len(wanted):
            more = actual[len(wanted)]
            extra = f"; next: {show(more.key)}: {show(more.value)} @{more.timestamp}"
        raise Mismatch(f"{topic}: expected {len(wanted)} records, got {len(actual)}{extra}")


def _unwindowed(raw: Raw, window: WindowedKey | None) -> tuple[bytes | None, dict[str, Any] | None]:
    if window is None:
        return raw.key, None
    return wire.unwindowed(raw.key, window.kind, window.size_ms)


def show(value: Any) -> str:
    """A value in an error message, cut to a line."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 300 else text[:300] + "…"
