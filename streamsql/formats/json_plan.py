"""The kernel that reads JSON with DuckDB: which type every column is read as, under which name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Kernel, Workspace
from streamsql.engine.texts import Mask, Vector, as_text
from streamsql.formats.arrays import first_bytes, last_bytes, mask_of, null_where, valid_mask
from streamsql.formats.json_names import ESCAPED_NAME, other_spellings
from streamsql.schema import Column
from streamsql.types import DOUBLE, VARCHAR, Array, Map, SqlType, Struct, duckdb_name, duckdb_string

_PAYLOADS = pa.schema([("payload", pa.string())])
_NONE, _FILTERED, _GUARDED = 0, 1, 2
"""How much care is taken of payloads that are no JSON."""
_CAREFUL_RUNS = 32
_MOST_PATHS = 8
"""Up to this many columns looking up each costs less than `from_json`, however many fields a record has."""
# What a payload that is no JSON raises. Where the error quotes bytes that are no UTF-8, it is no text itself.
_REFUSED = (duckdb.Error, UnicodeDecodeError)


def can_read_fast(columns: Sequence[Column], *, is_record: bool) -> bool:
    """Whether DuckDB can name the fields: none empty, none twice in one object but for the case."""
    groups = [[c.name for c in columns]] if is_record else []
    for column in columns:
        groups += _field_names(column.type)
    return bool(columns) and all(
        len({name.lower() for name in group}) == len(group) and all(map(_is_searchable, group))
        for group in groups
    )


def are_best_by_paths(columns: Sequence[Column]) -> bool:
    """Whether looking up each field of a record costs less than reading all into one structure."""
    return len(columns) <= _MOST_PATHS and not any(isinstance(c.type, Array | Map | Struct) for c in columns)


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


_BEGINS_RECORD, _ENDS_RECORD = np.zeros((2, 256), dtype=np.bool_)
_BEGINS_RECORD[list(b"{ \t\r\n")] = _ENDS_RECORD[list(b"} \t\r\n")] = True


def looks_broken(payloads: Vector, *, is_record: bool) -> Mask:
    """Which of string[n] are no UTF-8, or do not begin and end as a record must."""
    texts, broken = as_text(payloads.view(pa.binary()))
    if is_record:
        present = valid_mask(texts)
        broken |= present & ~(_BEGINS_RECORD[first_bytes(texts)] & _ENDS_RECORD[last_bytes(texts)])
    return broken


@dataclass(frozen=True, slots=True)
class Found:
    """What DuckDB read of some payloads.

    fields  one array per column. By paths: the values' JSON texts, string[n]
    broken  rows that are no JSON, null in every field; None if there is none
    """

    fields: Sequence[Vector]
    broken: Mask | None = None


class Plan:
    """The kernels for one set of spellings.

    by_paths  each value is looked up by its path and comes as JSON text, from which can be told what is
              wrong with it; else all are read into one structure
    """

    def __init__(
        self,
        columns: Sequence[Column],
        spellings: Mapping[str, str],
        workspace: Workspace,
        *,
        is_record: bool,
        by_paths: bool = False,
    ) -> None:
        self.columns = columns
        self.is_record = is_record
        self.by_paths = by_paths
        self._spellings = dict(spellings)
        self._workspace = workspace
        self._kernels: dict[bool, Kernel] = {}
        self._care, self._careful_left = _NONE, 0
        self._unescape: Kernel | None = None
        self._inner: dict[str, Plan] = {}
        self._look_ups: dict[str, Kernel] = {}

    def inner(self, column: Column) -> Plan:
        """The plan for one column's values, each as a JSON text of its own."""
        if column.name not in self._inner:
            plan = Plan([column], self._spellings, self._workspace, is_record=False)
            self._inner[column.name] = plan
        return self._inner[column.name]

    def run(self, payloads: Vector) -> Found | None:
        """string[n], which may be no UTF-8, as DuckDB reads them; None if it cannot.

        One payload that is no JSON stops all others. They rarely come alone: after the first, those that do
        not look like a record are left out for some runs, and if that is not enough, each is asked first.
        """
        if self._careful_left:
            self._careful_left -= 1
        else:
            self._care = _NONE
        broken: Mask | None = None
        while True:
            if self._care != _NONE and broken is None:
                # If DuckDB is asked about each, it need not be looked at how they begin and end.
                broken = looks_broken(payloads, is_record=self.is_record and self._care == _FILTERED)
                payloads = null_where(payloads, broken)
            found = self._try(payloads)
            if found is not None:
                return Found(self._fields(found), self._broken(found, broken))
            if self._care == _GUARDED:
                return None  # everything is in doubt then, and read exactly
            self._care, self._careful_left = self._care + 1, _CAREFUL_RUNS

    def _try(self, payloads: Vector) -> pa.RecordBatch | None:
        is_guarded = self._care == _GUARDED
        if is_guarded not in self._kernels:
            self._kernels[is_guarded] = self._kernel(is_guarded=is_guarded)
        try:
            return self._kernels[is_guarded].run(
                payloads=pa.RecordBatch.from_arrays([payloads], schema=_PAYLOADS)
            )
        except _REFUSED:
            return None

    def _broken(self, found: pa.RecordBatch, known: Mask | None) -> Mask | None:
        if self._care < _GUARDED:
            return known
        told = mask_of(found.column(found.num_columns - 1))
        return told if known is None else told | known

    def look_up(self, name: str, payloads: Vector) -> Vector | None:
        """A column's values in records, string[n], as JSON texts; None if one of string[n] is no JSON."""
        if name not in self._look_ups:
            path = duckdb_string(f'$."{self._spelt(name)}"')
            sql = f"SELECT json_extract(payload, {path}) AS found FROM {{payloads}}"
            self._look_ups[name] = self._workspace.kernel(sql, {"payloads": _PAYLOADS})
        try:
            batch = pa.RecordBatch.from_arrays([payloads], schema=_PAYLOADS)
            return self._look_ups[name].run(payloads=batch).column(0)
        except _REFUSED:
            return None

    def unescape(self, texts: Vector) -> Vector:
        """Quoted JSON texts as what they say."""
        if self._unescape is None:
            sql = "SELECT json_extract_string(payload, '$') AS text FROM {payloads}"
            self._unescape = self._workspace.kernel(sql, {"payloads": _PAYLOADS})
        batch = pa.RecordBatch.from_arrays([texts], schema=_PAYLOADS)
        return self._unescape.run(payloads=batch).column(0)

    def _kernel(self, *, is_guarded: bool) -> Kernel:
        """The fields, or the structure that holds them; guarded, also which payloads are no JSON."""
        if self.by_paths:
            paths = ", ".join(duckdb_string(f'$."{self._spelt(c.name)}"') for c in self.columns)
            read = f"json_extract(payload, [{paths}])"
            fields = ", ".join(f"found[{i}] AS c{i}" for i in range(1, len(self.columns) + 1))
        else:
            read = f"from_json(payload, {duckdb_string(json.dumps(self._structure(), ensure_ascii=False))})"
            fields = "found"
        if is_guarded:
            read = f"CASE WHEN json_valid(payload) THEN {read} END"
            fields += ", found IS NULL AND payload IS NOT NULL AS is_broken"
        sql = f"SELECT {fields} FROM (SELECT payload, {read} AS found FROM {{payloads}})"
        return self._workspace.kernel(sql, {"payloads": _PAYLOADS})

    def _fields(self, found: pa.RecordBatch) -> Sequence[Vector]:
        if self.by_paths:
            return found.columns[: len(self.columns)]
        value: Vector = found.column(0)
        if not self.is_record:
            return [value]
        return value.flatten() if value.null_count else [value.field(i) for i in range(len(self.columns))]

    def _spelt(self, name: str) -> str:
        return self._spellings.get(name, name)

    def _structure(self) -> str:
        if not self.is_record:
            return _read_type(self.columns[0].type, self._spellings, is_inside=False)
        return _struct_type([(c.name, c.type) for c in self.columns], self._spellings, is_inside=False)

    @cached_property
    def other_names(self) -> str:
        """A pattern of fields that fold to a wanted name and are spelt in another way."""
        found = [ESCAPED_NAME]
        for name in sorted(self._all_names()):
            others = other_spellings(name, self._spelt(name))
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
    if t == VARCHAR or t == DOUBLE and not is_inside:
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
