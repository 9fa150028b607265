"""SQL types: how they print, widen, and what they are in Arrow and in DuckDB.

Two spellings matter beyond SQL's own. `arrow` is the type a column has in a batch, `duckdb` the type
it has in a kernel; they convert into each other without copying:

    BOOLEAN bool BOOLEAN · INTEGER int32 INTEGER · BIGINT int64 BIGINT · DOUBLE double DOUBLE
    DECIMAL(p,s) decimal128(p,s) DECIMAL(p,s) · VARCHAR string VARCHAR · BYTES binary BLOB
    DATE date32 DATE · TIME time64[us] TIME · TIMESTAMP timestamp[us] TIMESTAMP
    ARRAY<T> list<T> T[] · MAP<K,V> map<K,V> MAP(K,V) · STRUCT<..> struct<..> STRUCT(..)

A decimal of more than 38 digits (results of arithmetic may have such types) is stored with 38.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from streamsql.grammar.names import quote_name

_STORED_DIGITS = 38


@dataclass(frozen=True, slots=True)
class SqlType:
    """A SQL type. `str(t)` is how SQL writes it."""

    @property
    def arrow(self) -> pa.DataType:
        raise AssertionError(self)

    @property
    def duckdb(self) -> str:
        raise AssertionError(self)


@dataclass(frozen=True, slots=True)
class Primitive(SqlType):
    """A type without parameters; use the constants below."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def arrow(self) -> pa.DataType:
        return _PRIMITIVES[self.name][0]

    @property
    def duckdb(self) -> str:
        return _PRIMITIVES[self.name][1]


_PRIMITIVES: dict[str, tuple[pa.DataType, str]] = {
    "BOOLEAN": (pa.bool_(), "BOOLEAN"),
    "INTEGER": (pa.int32(), "INTEGER"),
    "BIGINT": (pa.int64(), "BIGINT"),
    "DOUBLE": (pa.float64(), "DOUBLE"),
    "VARCHAR": (pa.string(), "VARCHAR"),
    "BYTES": (pa.binary(), "BLOB"),
    "DATE": (pa.date32(), "DATE"),
    "TIME": (pa.time64("us"), "TIME"),
    "TIMESTAMP": (pa.timestamp("us"), "TIMESTAMP"),
    "NULL": (pa.null(), '"NULL"'),
}

BOOLEAN = Primitive("BOOLEAN")
INTEGER = Primitive("INTEGER")
BIGINT = Primitive("BIGINT")
DOUBLE = Primitive("DOUBLE")
VARCHAR = Primitive("VARCHAR")
BYTES = Primitive("BYTES")
DATE = Primitive("DATE")
TIME = Primitive("TIME")
TIMESTAMP = Primitive("TIMESTAMP")
NULL = Primitive("NULL")
"""The type of an untyped NULL literal; no column has it."""

PRIMITIVES = {t.name: t for t in (BOOLEAN, INTEGER, BIGINT, DOUBLE, VARCHAR, BYTES, DATE, TIME, TIMESTAMP)}


@dataclass(frozen=True, slots=True)
class Decimal(SqlType):
    """An exact number of `precision` digits, `scale` of them after the point."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"

    @property
    def arrow(self) -> pa.DataType:
        return pa.decimal128(min(self.precision, _STORED_DIGITS), min(self.scale, _STORED_DIGITS))

    @property
    def duckdb(self) -> str:
        return f"DECIMAL({min(self.precision, _STORED_DIGITS)},{min(self.scale, _STORED_DIGITS)})"


@dataclass(frozen=True, slots=True)
class Array(SqlType):
    element: SqlType

    def __str__(self) -> str:
        return f"ARRAY<{self.element}>"

    @property
    def arrow(self) -> pa.DataType:
        # DuckDB names a list's child "l"; the same name saves a cast on every batch.
        return pa.list_(pa.field("l", self.element.arrow))

    @property
    def duckdb(self) -> str:
        return f"{self.element.duckdb}[]"


@dataclass(frozen=True, slots=True)
class Map(SqlType):
    key: SqlType
    value: SqlType

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"

    @property
    def arrow(self) -> pa.DataType:
        return pa.map_(self.key.arrow, self.value.arrow)

    @property
    def duckdb(self) -> str:
        return f"MAP({self.key.duckdb}, {self.value.duckdb})"


@dataclass(frozen=True, slots=True)
class Struct(SqlType):
    """Named fields in order."""

    fields: tuple[tuple[str, SqlType], ...]

    def __str__(self) -> str:
        return f"STRUCT<{', '.join(f'{quote_name(name)} {t}' for name, t in self.fields)}>"

    @property
    def arrow(self) -> pa.DataType:
        return pa.struct([pa.field(name, t.arrow) for name, t in self.fields])

    @property
    def duckdb(self) -> str:
        return f"STRUCT({', '.join(f'{duckdb_name(name)} {t.duckdb}' for name, t in self.fields)})"

    def field(self, name: str) -> SqlType | None:
        """The type of a field, or None if there is no such field."""
        return dict(self.fields).get(name)


def duckdb_name(name: str) -> str:
    """A name as a quoted DuckDB identifier.

    >>> duckdb_name('a "b"')
    '"a ""b\"""'
    """
    return '"' + name.replace('"', '""') + '"'


def duckdb_string(text: str) -> str:
    """A text as a DuckDB string literal; chr(0) cannot stand inside one, so it is put together.

    >>> duckdb_string("it's")
    "'it''s'"
    """
    quoted = "'" + text.replace("'", "''") + "'"
    return quoted if "\0" not in quoted else "(" + quoted.replace("\0", "' || chr(0) || '") + ")"


def is_numeric(t: SqlType) -> bool:
    return t in (INTEGER, BIGINT, DOUBLE) or isinstance(t, Decimal)


def as_decimal(t: SqlType) -> Decimal:
    """The decimal that holds every value of an integer or decimal type."""
    if isinstance(t, Decimal):
        return t
    return Decimal(10, 0) if t == INTEGER else Decimal(19, 0)


def wider_decimal(a: Decimal, b: Decimal) -> Decimal:
    """The decimal that holds every value of both."""
    scale = max(a.scale, b.scale)
    return Decimal(max(a.precision - a.scale, b.precision - b.scale) + scale, scale)


def common_numeric(a: SqlType, b: SqlType) -> SqlType:
    """The wider of two numeric types: INTEGER < BIGINT < DECIMAL < DOUBLE."""
    if DOUBLE in (a, b):
        return DOUBLE
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        return wider_decimal(as_decimal(a), as_decimal(b))
    return BIGINT if BIGINT in (a, b) else INTEGER


def widens(source: SqlType, target: SqlType) -> bool:
    """Whether a value of `source` becomes `target` without a CAST (language: implicit widening).

    Numbers widen along INTEGER, BIGINT, DECIMAL, DOUBLE; a decimal fits a larger decimal; VARCHAR
    widens to DATE, TIME, TIMESTAMP and BYTES; structures widen part by part.
    """
    if source == target or source == NULL:
        return True
    if is_numeric(source) and is_numeric(target):
        if target == DOUBLE:
            return True
        if isinstance(target, Decimal) and source != DOUBLE:
            s = as_decimal(source)
            return s.scale <= target.scale and s.precision - s.scale <= target.precision - target.scale
        return source == INTEGER and target == BIGINT
    if source == VARCHAR:
        return target in (DATE, TIME, TIMESTAMP, BYTES)
    match source, target:
        case Array(a), Array(b):
            return widens(a, b)
        case Map(ka, va), Map(kb, vb):
            return widens(ka, kb) and widens(va, vb)
        case Struct(a), Struct(b):
            theirs = dict(b)
            return all(name in theirs and widens(t, theirs[name]) for name, t in a)
    return False


def walk(t: SqlType) -> Iterator[SqlType]:
    """The type and all types inside it, outermost first."""
    yield t
    match t:
        case Array(element):
            yield from walk(element)
        case Map(key, value):
            yield from walk(key)
            yield from walk(value)
        case Struct(fields):
            for _, inner in fields:
                yield from walk(inner)


def from_arrow(t: pa.DataType) -> SqlType:
    """The SQL type for a column of Arrow data given by a user.

    Narrow integers widen, large and view types lose their width, time zones become UTC.
    raises  KeyError for an Arrow type with no SQL counterpart
    """
    if pa.types.is_integer(t):
        narrow = t.bit_width < 32 or (t.bit_width == 32 and pa.types.is_signed_integer(t))
        return INTEGER if narrow else BIGINT
    if pa.types.is_floating(t):
        return DOUBLE
    if pa.types.is_decimal(t):
        return Decimal(t.precision, t.scale)
    if pa.types.is_map(t):
        return Map(from_arrow(t.key_type), from_arrow(t.item_type))
    if pa.types.is_struct(t):
        return Struct(tuple((f.name, from_arrow(f.type)) for f in t))
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_list_view(t):
        return Array(from_arrow(t.value_type))
    if pa.types.is_dictionary(t):
        return from_arrow(t.value_type)
    for test, found in (
        (pa.types.is_boolean, BOOLEAN),
        (pa.types.is_timestamp, TIMESTAMP),
        (pa.types.is_time, TIME),
        (pa.types.is_date, DATE),
        (lambda t: pa.types.is_string(t) or pa.types.is_large_string(t), VARCHAR),
        (lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t), BYTES),
    ):
        if test(t):
            return found
    if t == pa.string_view():
        return VARCHAR
    raise KeyError(str(t))
