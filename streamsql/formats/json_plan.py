"""The kernel that reads JSON with DuckDB: which type every column is read as, under which name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import pyarrow as pa

from streamsql.engine.kernel import Kernel, Workspace
from streamsql.formats.arrays import Vector
from streamsql.formats.json_names import ESCAPED_NAME, other_spellings
from streamsql.schema import Column
from streamsql.types import DOUBLE, VARCHAR, Array, Decimal, Map, SqlType, Struct, duckdb_name, duckdb_string

_PAYLOADS = pa.schema([("payload", pa.string())])
_GUARDED_RUNS = 32


def can_read_fast(columns: Sequence[Column], *, is_record: bool) -> bool:
    """Whether DuckDB can name the fields: none empty, none twice in one object but for the case."""
    groups = [[c.name for c in columns]] if is_record else []
    for column in columns:
        groups += _field_names(column.type)
    return bool(columns) and all(
        len({name.lower() for name in group}) == len(group) and all(map(_is_searchable, group))
        for group in groups
    )


def _field_names(t: SqlType) -> Iterator[list[str]]:
    match t:
        case Array(inner) | Map(_, inner):
            yield from _field_names(inner)
        case Struct(fields):
            yield [name for name, _ in fields]
            for _, inner in fields:
                yield from _field_names(inner)


def _is_searchable(name: str) -> bool:
    """Whether JSON writes the name as it is, so that it can be searched for in a payload."""
    # A brace might read as the place of a kernel's feed.
    return name != "" and name.isprintable() and not set(name) & {'"', "\\", "/", "{"}


class Plan:
    """The kernels for one set of spellings."""

    def __init__(
        self,
        columns: Sequence[Column],
        spellings: Mapping[str, str],
        workspace: Workspace,
        *,
        is_record: bool,
    ) -> None:
        self.columns = columns
        self.is_record = is_record
        self._spellings = spellings = dict(spellings)
        self._workspace = workspace
        if is_record:
            kind = _struct_type([(c.name, c.type) for c in columns], spellings, is_inside=False)
        else:
            kind = _read_type(columns[0].type, spellings, is_inside=False)
        self._structure = duckdb_string(json.dumps(kind, ensure_ascii=False))
        self._plain: Kernel | None = None
        self._guarded: Kernel | None = None
        self._guarded_left = 0

    def run(self, payloads: Vector) -> Vector | None:
        """The payloads as DuckDB reads them, null where they are no JSON; None if it cannot."""
        batch = pa.RecordBatch.from_arrays([payloads], schema=_PAYLOADS)
        if not self._guarded_left:
            if self._plain is None:
                self._plain = self._kernel("payload")
            try:
                return self._plain.run(payloads=batch).column(0)
            except duckdb.Error:
                # One payload is no JSON, and has stopped the others. They rarely come alone.
                self._guarded_left = _GUARDED_RUNS
        self._guarded_left -= 1
        if self._guarded is None:
            self._guarded = self._kernel("CASE WHEN json_valid(payload) THEN payload END")
        try:
            return self._guarded.run(payloads=batch).column(0)
        except duckdb.Error:
            return None  # everything is in doubt then, and read exactly

    def _kernel(self, payload: str) -> Kernel:
        sql = f"SELECT from_json({payload}, {self._structure}) AS value FROM {{payloads}}"
        return self._workspace.kernel(sql, {"payloads": _PAYLOADS})

    def other_names(self) -> str:
        """A pattern of fields that fold to a wanted name and are spelt in another way."""
        found = [ESCAPED_NAME]
        for name in sorted(self._all_names()):
            others = other_spellings(name, self._spellings.get(name, name))
            if others:
                found.append(f'"(?:{others})"\\s*:')
        return "|".join(found)

    def _all_names(self) -> set[str]:
        groups = [[c.name for c in self.columns]] if self.is_record else []
        for column in self.columns:
            groups += _field_names(column.type)
        return {name for group in groups for name in group}


def _read_type(t: SqlType, spellings: Mapping[str, str], *, is_inside: bool) -> str:
    """The DuckDB type that a column of type `t` is read as; `is_inside` an array or a map."""
    match t:
        case Array(element):
            return _read_type(element, spellings, is_inside=True) + "[]"
        case Map(_, item):
            return f"MAP(VARCHAR, {_read_type(item, spellings, is_inside=True)})"
        case Struct(fields):
            return _struct_type(fields, spellings, is_inside=is_inside)
    if t == VARCHAR or (t == DOUBLE or isinstance(t, Decimal)) and not is_inside:
        return t.duckdb
    return "JSON"


def _struct_type(
    fields: Sequence[tuple[str, SqlType]], spellings: Mapping[str, str], *, is_inside: bool
) -> str:
    inner = (
        f"{duckdb_name(spellings.get(name, name))} {_read_type(t, spellings, is_inside=is_inside)}"
        for name, t in fields
    )
    return f"STRUCT({', '.join(inner)})"
