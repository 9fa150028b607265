"""Formats: how the keys and values of a topic are written as bytes.

`get` finds a format by name; see `streamsql.formats.format` for what a format can do.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module

from streamsql.errors import PlanError
from streamsql.formats.format import Format

_HOMES = {
    "ARROW": "arrow",
    "AVRO": "avro",
    "DELIMITED": "delimited",
    "JSON": "json",
    "JSON_SR": "json_sr",
    "KAFKA": "kafka",
    "NONE": "none",
    "PROTOBUF": "protobuf",
    "PROTOBUF_NOSR": "protobuf",
}
"""Each format and the module that holds it under that name, loaded when it is first asked for."""


def get(name: str) -> Format:
    """The format of that name, in any case.

    raises  PlanError that lists the names
    """
    if name.upper() in _HOMES:
        return _load(name.upper())
    near = difflib.get_close_matches(name.upper(), _HOMES, 1)
    raise PlanError(
        f"there is no format '{name}'; the formats are {', '.join(names())}",
        code="PLAN-UNKNOWN-FORMAT",
        hint=f"did you mean {near[0]}?" if near else None,
    )


def names() -> tuple[str, ...]:
    """The names of all formats, in alphabetical order."""
    return tuple(sorted(_HOMES))


@cache
def _load(name: str) -> Format:
    found: Format = getattr(import_module(f"streamsql.formats.{_HOMES[name]}"), name)
    return found
