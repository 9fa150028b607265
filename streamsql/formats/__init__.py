"""Formats: how the keys and values of a topic are written as bytes.

`get` finds a format by name; see `streamsql.formats.format` for what a format can do.
"""

from __future__ import annotations

import difflib

from streamsql.errors import PlanError
from streamsql.formats.arrow import ARROW
from streamsql.formats.avro import AVRO
from streamsql.formats.delimited import DELIMITED
from streamsql.formats.format import Format
from streamsql.formats.json import JSON
from streamsql.formats.json_sr import JSON_SR
from streamsql.formats.kafka import KAFKA
from streamsql.formats.none import NONE
from streamsql.formats.protobuf import PROTOBUF, PROTOBUF_NOSR

_ALL: tuple[Format, ...] = (ARROW, AVRO, DELIMITED, JSON, JSON_SR, KAFKA, NONE, PROTOBUF, PROTOBUF_NOSR)
_FORMATS = {found.name: found for found in _ALL}


def get(name: str) -> Format:
    """The format of that name, in any case.

    raises  PlanError that lists the names
    """
    found = _FORMATS.get(name.upper())
    if found is None:
        near = difflib.get_close_matches(name.upper(), _FORMATS, 1)
        raise PlanError(
            f"there is no format '{name}'; the formats are {', '.join(names())}",
            code="PLAN-UNKNOWN-FORMAT",
            hint=f"did you mean {near[0]}?" if near else None,
        )
    return found


def names() -> tuple[str, ...]:
    """The names of all formats, in alphabetical order."""
    return tuple(sorted(_FORMATS))
