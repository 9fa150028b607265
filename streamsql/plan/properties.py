"""The WITH list of a statement: names known, values of the right kind, combinations that make sense."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from streamsql import formats
from streamsql.catalog import SideFormat
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.errors import PlanError, Span
from streamsql.grammar import ast
from streamsql.grammar.places import place_of
from streamsql.plan.scope import at

COMMON = frozenset(
    """KAFKA_TOPIC PARTITIONS REPLICAS RETENTION_MS FORMAT KEY_FORMAT VALUE_FORMAT KEY_DELIMITER
    VALUE_DELIMITER
    WRAP_SINGLE_VALUE KEY_SCHEMA_ID VALUE_SCHEMA_ID KEY_SCHEMA_FULL_NAME VALUE_SCHEMA_FULL_NAME
    VALUE_AVRO_SCHEMA_FULL_NAME KEY_PROTOBUF_NULLABLE_REPRESENTATION VALUE_PROTOBUF_NULLABLE_REPRESENTATION
    TIMESTAMP TIMESTAMP_FORMAT""".split()
)
OF_CREATE = COMMON | {"WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR", "SOURCE_CONNECTOR"}
OF_INSERT = frozenset({"QUERY_ID"})

_UNITS_MS = {"MILLISECOND": 1, "SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
_SIDE_PROPERTIES = {
    "DELIMITER": "{side}_DELIMITER",
    "SCHEMA_ID": "{side}_SCHEMA_ID",
    "SCHEMA_FULL_NAME": "{side}_SCHEMA_FULL_NAME",
    "NULLABLE_REPRESENTATION": "{side}_PROTOBUF_NULLABLE_REPRESENTATION",
}
_INHERITED = frozenset({"DELIMITER"})


@dataclass(frozen=True, slots=True)
class Properties:
    """A WITH list that was checked; values as text.

    span  of the whole list, or of what has none: for errors about what is missing
    """

    values: Mapping[str, str]
    spans: Mapping[str, Span]
    span: Span | None

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def place(self, *names: str) -> Span | None:
        """Where the first of these that is given stands."""
        return next((self.spans[name] for name in names if name in self.spans), None)

    def error(
        self, name: str, message: str, hint: str | None = None, *, code: str = "PLAN-PROPERTY"
    ) -> PlanError:
        """An error that points at a property, or at the list if it is not there."""
        return at(self.place(name) or self.span, message, code, hint)

    def number(self, name: str, least: int) -> int | None:
        """A whole number of at least `least`."""
        text = self.values.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?\d+", text) or int(text) < least:
            raise self.error(name, f"{name} must be a whole number, {least} or more, not {text}")
        return int(text)

    def flag(self, name: str) -> bool | None:
        text = self.values.get(name)
        if text is None:
            return None
        if text.lower() not in ("true", "false"):
            raise self.error(name, f"{name} must be true or false, not {text}")
        return text.lower() == "true"


def read_properties(properties: Sequence[ast.Property], allowed: Collection[str], owner: str) -> Properties:
    """Check names and combinations.

    owner   what the list belongs to: errors about a list that is not there point at it
    raises  PlanError PLAN-PROPERTY at the property that is wrong
    """
    values: dict[str, str] = {}
    spans: dict[str, Span] = {}
    for item in properties:
        name = item.name.upper()
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, 1)
            hint = f"did you mean {near[0]}?" if near else "the properties are " + ", ".join(sorted(allowed))
            raise at(item.span, f"there is no property {item.name} here", "PLAN-PROPERTY", hint)
        values[name] = _text(item.value)
        spans[name] = item.span
    found = Properties(values, spans, place_of(*properties) or place_of(owner))
    if "FORMAT" in values and ("KEY_FORMAT" in values or "VALUE_FORMAT" in values):
        raise found.error(
            "FORMAT", "FORMAT sets both formats: it cannot stand beside KEY_FORMAT or VALUE_FORMAT"
        )
    if "VALUE_AVRO_SCHEMA_FULL_NAME" in values:
        if "VALUE_SCHEMA_FULL_NAME" in values:
            raise found.error(
                "VALUE_AVRO_SCHEMA_FULL_NAME",
                "VALUE_AVRO_SCHEMA_FULL_NAME is an older name of VALUE_SCHEMA_FULL_NAME",
            )
        values["VALUE_SCHEMA_FULL_NAME"] = values["VALUE_AVRO_SCHEMA_FULL_NAME"]
        spans["VALUE_SCHEMA_FULL_NAME"] = spans["VALUE_AVRO_SCHEMA_FULL_NAME"]
    if values.get("KAFKA_TOPIC") == "":
        raise found.error("KAFKA_TOPIC", "KAFKA_TOPIC is empty")
    return found


def side_formats(
    properties: Properties, key_default: SideFormat | None, value_default: SideFormat | None, *, has_key: bool
) -> tuple[SideFormat, SideFormat]:
    """Key and value format from the WITH list and the defaults (of the settings, or of a query's source).

    raises  PlanError if a format is missing, unknown, or lacks a property that is set
    """
    both = properties.get("FORMAT")
    value = _side(properties, "VALUE", both or properties.get("VALUE_FORMAT"), value_default)
    key_name = both or properties.get("KEY_FORMAT")
    if key_name is None and key_default is None:
        # Typed columns all through, unless the values are in a format of their own.
        key_default = SideFormat("ARROW" if value.name == "ARROW" else "KAFKA")
    key = _side(properties, "KEY", key_name, key_default)
    return key, value


def _side(properties: Properties, side: str, name: str | None, default: SideFormat | None) -> SideFormat:
    if name is None and default is None:
        raise properties.error(
            f"{side}_FORMAT", f"{side}_FORMAT is missing", f"WITH ({side}_FORMAT = 'JSON', ..)"
        )
    place = "FORMAT" if "FORMAT" in properties.values else f"{side}_FORMAT"
    try:
        found = formats.get(name if name is not None else default.name if default else "")
    except PlanError as error:
        error.span = properties.place(place) or properties.span
        raise
    inherited = default.properties if default is not None and default.name == found.name else {}
    given = {k: v for k, v in inherited.items() if k in _INHERITED}
    for short, template in _SIDE_PROPERTIES.items():
        long = template.format(side=side)
        value = properties.get(long)
        if value is None:
            continue
        if short not in found.properties:
            raise properties.error(long, f"format {found.name} has no property {long}")
        if value.strip() == "" and short != "DELIMITER":
            raise properties.error(long, f"{long} is empty")
        given[short] = value
    return SideFormat(found.name, given)


def with_wrapping(properties: Properties, side: SideFormat, value_columns: int, default: str) -> SideFormat:
    """The value format with its wrapping decided (language: wrapping).

    default  the setting ksql.persistence.wrap.single.values: '', 'true' or 'false'
    """
    wanted = properties.flag("WRAP_SINGLE_VALUE")
    found = formats.get(side.name)
    if wanted is not None:
        if value_columns != 1:
            raise properties.error("WRAP_SINGLE_VALUE", "WRAP_SINGLE_VALUE is only for a single value column")
        if not (found.can_wrap if wanted else found.can_unwrap):
            raise properties.error(
                "WRAP_SINGLE_VALUE",
                f"format {side.name} does not support WRAP_SINGLE_VALUE = {str(wanted).lower()}",
            )
        return SideFormat(side.name, side.properties, wanted)
    if value_columns != 1:
        return side
    preferred = found.can_wrap
    if default in ("true", "false") and found.can_wrap and found.can_unwrap:
        preferred = default == "true"
    return SideFormat(side.name, side.properties, preferred)


def windowed_key(properties: Properties, *, has_key: bool) -> WindowedKey | None:
    """WINDOW_TYPE and WINDOW_SIZE."""
    kind, size = properties.get("WINDOW_TYPE"), properties.get("WINDOW_SIZE")
    if kind is None:
        if size is not None:
            raise properties.error("WINDOW_SIZE", "WINDOW_SIZE needs a WINDOW_TYPE")
        return None
    kind = kind.upper()
    if kind not in ("TUMBLING", "HOPPING", "SESSION"):
        raise properties.error("WINDOW_TYPE", f"WINDOW_TYPE must be TUMBLING, HOPPING or SESSION, not {kind}")
    if not has_key:
        raise properties.error("WINDOW_TYPE", "a windowed source needs a key column")
    if kind == "SESSION":
        if size is not None:
            raise properties.error(
                "WINDOW_SIZE", "a SESSION has no WINDOW_SIZE: its records carry both bounds"
            )
        return WindowedKey(kind)
    if size is None:
        raise properties.error(
            "WINDOW_SIZE", f"WINDOW_TYPE {kind} needs a WINDOW_SIZE", "WINDOW_SIZE = '1 MINUTE'"
        )
    match = re.fullmatch(r"\s*(\d+)\s+([A-Za-z]+?)s?\s*", size, re.IGNORECASE)
    unit = _UNITS_MS.get(match.group(2).upper()) if match else None
    if match is None or unit is None:
        raise properties.error("WINDOW_SIZE", f"'{size}' is not a duration", "write '10 SECONDS', say")
    return WindowedKey(kind, int(match.group(1)) * unit)


def duration_ms(duration: ast.Duration) -> int:
    """A duration in milliseconds."""
    return duration.amount * _UNITS_MS[duration.unit]


def _text(value: ast.Expression) -> str:
    match value:
        case ast.StringLiteral(value=text):
            return text
        case ast.BooleanLiteral(value=flag):
            return "true" if flag else "false"
        case ast.IntegerLiteral(value=number):
            return str(number)
        case ast.DecimalLiteral(text=text):
            return text
        case ast.DoubleLiteral(value=double):
            return repr(double)
    raise at(value.span, "a property's value must be a literal", "PLAN-PROPERTY")
