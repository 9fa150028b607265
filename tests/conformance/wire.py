"""Bytes of the formats that need no registry, written and read independently of the engine's own code."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from streamsql.schema import Column

_FIXED = {"INTEGER": ">i", "BIGINT": ">q", "DOUBLE": ">d"}


def encode(name: str, spec: Any, columns: Sequence[Column]) -> bytes | None:
    """A spec as bytes of JSON, DELIMITED, KAFKA or NONE."""
    if spec is None or name == "NONE":
        return None
    if name == "JSON":
        return json_text(spec).encode()
    if name == "DELIMITED":
        return plain_text(spec).encode()
    assert name == "KAFKA", name
    kind = str(columns[0].type) if columns else "VARCHAR"
    if kind in _FIXED and isinstance(spec, int | Decimal):
        return struct.pack(_FIXED[kind], float(spec) if kind == "DOUBLE" else int(spec))
    return plain_text(spec).encode()


def decode(name: str, data: bytes | None, columns: Sequence[Column]) -> Any:
    """The value that the bytes hold: JSON as parsed, text, or a number."""
    if data is None or name == "NONE":
        return None
    if name == "JSON":
        return json.loads(data, parse_float=Decimal)
    kind = str(columns[0].type) if columns else "VARCHAR"
    if name == "KAFKA" and kind in _FIXED:
        (number,) = struct.unpack(_FIXED[kind], data)
        return Decimal(repr(number)) if kind == "DOUBLE" else number
    return data.decode()


def json_text(value: Any) -> str:
    """JSON text with the digits of numbers kept."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return json.dumps(value)


def plain_text(spec: Any) -> str:
    return spec if isinstance(spec, str) else json_text(spec)


def windowed(key: bytes | None, window: Mapping[str, Any] | None) -> bytes | None:
    """A key with its window's bounds behind it."""
    if window is None:
        return key
    bounds = [window["start"]] if window["type"] == "TIME" else [window["end"], window["start"]]
    return (key or b"") + b"".join(struct.pack(">q", bound) for bound in bounds)


def unwindowed(
    key: bytes | None, kind: str | None, size_ms: int | None
) -> tuple[bytes | None, dict[str, Any] | None]:
    """A key without its window's bounds, and the bounds.

    kind  TUMBLING, HOPPING, SESSION; None: the key has no window
    """
    if kind is None or key is None:
        return key, None
    if kind == "SESSION":
        end, start = struct.unpack(">qq", key[-16:])
        return key[:-16], {"start": start, "end": end, "type": "SESSION"}
    (start,) = struct.unpack(">q", key[-8:])
    return key[:-8], {"start": start, "end": start + (size_ms or 0), "type": "TIME"}
