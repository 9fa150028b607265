"""JSON read by the batch with DuckDB's reader, and the rows it may have read wrongly.

DuckDB converts more than the rules allow and says nothing (1.7 becomes the BIGINT 2, true the DOUBLE
1.0, a mismatch NULL), so types are read in a way that gives the difference away:

    raw      the value's own JSON text: BOOLEAN, whole numbers, times, BYTES, and all numbers inside of
             arrays and maps. Its form says what it was.
    typed    DOUBLE, DECIMAL, VARCHAR, ARRAY, MAP, STRUCT. A NULL may be a mismatch, a DOUBLE 0 or 1 a
             boolean, a DECIMAL rounded, a VARCHAR an array or a number in other digits: those rows are
             searched for the field's name with a value of another form.

A row in doubt is read again by `json_exact`; all others are read here as `json_exact` would.

DuckDB looks fields up by one exact spelling, so the spellings are learnt from the payloads: every name
has one spelling at a time, and a row that leaves a column null is searched for the other spellings. A
record that spells one name twice (`id` beside `ID`) is only told apart if it is among those learnt
from: after that everything is read exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Kernel, Workspace
from streamsql.errors import InternalError
from streamsql.formats.arrays import (
    Ints,
    Mask,
    Vector,
    first_bytes,
    mask_of,
    null_where,
    nulls,
    parts,
    pc,
    valid_mask,
)
from streamsql.formats.json_exact import parse
from streamsql.formats.json_names import ESCAPED_NAME, any_spelling, is_folded, other_spellings
from streamsql.formats.texts import digits_only, from_counts, read_texts
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    duckdb_name,
    duckdb_string,
)

_PAYLOADS = pa.schema([("payload", pa.string())])
_WHOLE = (INTEGER, BIGINT, DATE, TIME, TIMESTAMP)
_GUARDED_RUNS = 32
_MAX_PLANS = 8


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
    return name != "" and name.isprintable() and not set(name) & {'"', "\\", "/"}


class FastReader:
    """Reads batches of payloads; `learn` tells it how the fields are spelt there."""

    def __init__(self, columns: Sequence[Column], workspace: Workspace, *, is_record: bool) -> None:
        self._columns = columns
        self._workspace = workspace
        self._is_record = is_record
        self._spellings: dict[str, str] = {}
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}
        self.is_ambiguous = False

    def learn(self, payloads: Sequence[str]) -> bool:
        """Look how some payloads spell the fields; gives whether that is news."""
        before = dict(self._spellings)
        if len(self._plans) >= _MAX_PLANS:
            return False
        # A handful of payloads in each batch at most.
        for payload in payloads:
            try:
                value = parse(payload)
            except ValueError:
                continue  # the decoder reports it; there is nothing to learn from it
            if self._is_record:
                self._look_at_fields(value, [(c.name, c.type) for c in self._columns])
            else:
                self._look_at(value, self._columns[0].type)
        return self._spellings != before

    def _look_at(self, value: Any, t: SqlType) -> None:
        match t:
            case Array(element) if type(value) is list:
                for inner in value:
                    self._look_at(inner, element)
            case Map(_, item) if type(value) is dict:
                for inner in value.values():
                    self._look_at(inner, item)
            case Struct(fields):
                self._look_at_fields(value, fields)

    def _look_at_fields(self, value: Any, fields: Sequence[tuple[str, SqlType]]) -> None:
        if type(value) is not dict:
            return
        given: dict[str, list[str]] = {}
        for key in value:
            given.setdefault(key.upper(), []).append(key)
        for name, t in fields:
            spelt = given.get(name, []) if is_folded(name) else [name] if name in value else []
            if spelt:
                self.is_ambiguous |= len(spelt) > 1
                self._spellings[name] = spelt[-1]
                self._look_at(value[spelt[-1]], t)

    def read(self, payloads: Vector) -> tuple[list[Vector], Mask, Mask]:
        """string[n] as the columns, the rows in doubt (null there), and those of them that look like no JSON.

        Null payloads are not in doubt.
        """
        names = tuple(sorted(self._spellings.items()))
        plan = self._plans.get(names)
        if plan is None:
            plan = _Plan(self._columns, self._spellings, self._workspace, is_record=self._is_record)
            self._plans[names] = plan
        found = plan.run(payloads)
        if found is None:
            nothing = [nulls(len(payloads), c.type.arrow) for c in self._columns]
            return nothing, valid_mask(payloads), np.zeros(len(payloads), dtype=np.bool_)
        columns, doubt = _Finish(plan, payloads).columns(found)
        # A bare value of the wrong kind is null as well.
        return columns, doubt, doubt & mask_of(found.is_null()) & self._is_record


class _Plan:
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


_NULL_OR = "[^n\\s]"


class _Finish:
    """Turns what DuckDB read into the columns' types, and finds the rows in doubt.

    Inside of arrays and maps `owners` says which row each value belongs to; None: value i is row i's.
    """

    def __init__(self, plan: _Plan, payloads: Vector) -> None:
        self._plan = plan
        self._payloads = payloads
        self._doubt = np.zeros(len(payloads), dtype=np.bool_)
        self._unnamed_nulls = np.zeros(len(payloads), dtype=np.bool_)

    def columns(self, found: Vector) -> tuple[list[Vector], Mask]:
        plan = self._plan
        if plan.is_record:
            # Whatever is no object came out as a struct of nulls, or as null.
            self._doubt |= _starts_otherwise(self._payloads, ord("{"))
            self._doubt |= mask_of(found.is_null())
            fields = [(c.name, c.type) for c in plan.columns]
            columns = self._fields(found, fields, None)
        else:
            self._doubt |= mask_of(found.is_null())
            columns = [self._value(found, plan.columns[0].type, None, None)]
        self._search_other_names()
        self._doubt &= valid_mask(self._payloads)
        return [null_where(c, self._doubt) for c in columns], self._doubt

    def _search_other_names(self) -> None:
        """Rows with a null may have spelt its name in another way."""
        rows = np.flatnonzero(self._unnamed_nulls & ~self._doubt & valid_mask(self._payloads))
        self._doubt_where(rows, self._plan.other_names())

    def _fields(
        self, found: Vector, fields: Sequence[tuple[str, SqlType]], owners: Ints | None
    ) -> list[Vector]:
        children = found.flatten() if found.null_count else [found.field(i) for i in range(len(fields))]
        present = valid_mask(found)
        columns = []
        for (name, t), child in zip(fields, children, strict=True):
            self._unnamed_nulls[self._rows(present & ~valid_mask(child), owners)] = True
            columns.append(self._value(child, t, name, owners))
        return columns

    def _value(self, found: Vector, t: SqlType, name: str | None, owners: Ints | None) -> Vector:
        """One array of values as type `t`; `name` of the field they are in, None inside arrays and maps."""
        match t:
            case Array():
                return self._array(found, t, name, owners)
            case Map():
                return self._map(found, t, name, owners)
            case Struct():
                return self._struct(found, t, name, owners)
        if t == VARCHAR:
            suspects = _may_be_no_text(found)
            if name is None:
                self._doubt_values(suspects, owners)
            elif suspects.any():
                self._search(self._in_rows(suspects, owners), name, '[^"n\\s]')
            return found
        if found.type == pa.string():
            return self._raw(found, t, owners)
        if name is None:
            name = ""
        if t == DOUBLE:
            return self._double(found, name)
        return self._decimal(found, t, name)

    # Typed values, which only a row's own payload can vouch for.

    def _double(self, found: Vector, name: str) -> Vector:
        values = found.to_numpy(zero_copy_only=False)
        self._search(mask_of(found.is_null()), name, _NULL_OR)
        self._search((values == 0) | (values == 1), name, "[tf]")
        return found

    def _decimal(self, found: Vector, t: SqlType, name: str) -> Vector:
        assert isinstance(t, Decimal)
        self._search(mask_of(found.is_null()), name, _NULL_OR)
        digits = f"\\.[0-9]{{{t.scale}}}[0-9]" if t.scale else "\\.[0-9]"
        inexact = f'(?:[tf]|"?[-+]?[0-9]*(?:{digits}|\\.?[0-9]*[eE])|"[^"]*[^-.0-9"])'
        self._search(valid_mask(found), name, inexact)
        return found

    def _array(self, found: Vector, t: Array, name: str | None, owners: Ints | None) -> Vector:
        self._check_container(found, name, owners)
        offsets, inner_owners = _ranges(found, owners)
        values = found.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        element = self._value(values, t.element, None, inner_owners)
        return _nested(t.arrow, found, offsets - offsets[0], element)

    def _map(self, found: Vector, t: Map, name: str | None, owners: Ints | None) -> Vector:
        self._check_container(found, name, owners)
        offsets, inner_owners = _ranges(found, owners)
        start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
        items = self._value(found.items.slice(start, length), t.value, None, inner_owners)
        arrow: Any = t.arrow
        entries = pa.StructArray.from_arrays(
            [found.keys.slice(start, length), items], fields=[arrow.key_field, arrow.item_field]
        )
        return _nested(arrow, found, offsets - offsets[0], entries)

    def _struct(self, found: Vector, t: Struct, name: str | None, owners: Ints | None) -> Vector:
        children = self._fields(found, t.fields, owners)
        empty = valid_mask(found)
        for child in children:
            empty &= ~valid_mask(child)
        # A value that is no object came out as a struct of nulls.
        if name is None:
            self._doubt_values(empty | ~valid_mask(found), owners)
        else:
            self._search(self._in_rows(empty | ~valid_mask(found), owners), name, "[^{n\\s]")
        mask = pa.array(~valid_mask(found)) if found.null_count else None
        return pa.StructArray.from_arrays(
            children, fields=[pa.field(n, inner.arrow) for n, inner in t.fields], mask=mask
        )

    def _check_container(self, found: Vector, name: str | None, owners: Ints | None) -> None:
        """A null array or map may be a value of another kind."""
        missing = mask_of(found.is_null())
        if name is None:
            self._doubt_values(missing, owners)
        else:
            self._search(self._in_rows(missing, owners), name, _NULL_OR)

    # Raw values: the text tells what it is.

    def _raw(self, found: Vector, t: SqlType, owners: Ints | None) -> Vector:
        if t == BOOLEAN:
            values = pc.equal(found, "true")
            odd = ~mask_of(pc.or_(values, pc.equal(found, "false")).fill_null(True))
        elif t == BYTES:
            texts, odd = _unquoted(found, required=True)
            values, wrong = read_texts(null_where(texts, odd), BYTES)
            odd[list(wrong)] = True
        elif t in _WHOLE:
            values, odd = _whole(found, t)
        else:
            texts, odd = _unquoted(found, required=False)
            values, wrong = read_texts(null_where(texts, odd), t)
            odd[list(wrong)] = True
            if isinstance(t, Decimal):
                # DuckDB prints a number with the shortest digits of its double: of 15 none is lost.
                rows = self._in_rows(valid_mask(texts), owners)
                self._doubt_where(np.flatnonzero(rows & ~self._doubt), "(?:[0-9][.]?){16}")
        self._doubt_values(odd, owners)
        return null_where(values, odd)

    # Doubt.

    def _rows(self, values: Mask, owners: Ints | None) -> Ints:
        places = np.flatnonzero(values)
        return places if owners is None else owners[places]

    def _in_rows(self, values: Mask, owners: Ints | None) -> Mask:
        if owners is None:
            return values
        rows = np.zeros(len(self._payloads), dtype=np.bool_)
        rows[owners[values]] = True
        return rows

    def _doubt_values(self, values: Mask, owners: Ints | None) -> None:
        if values.any():
            self._doubt[self._rows(values, owners)] = True

    def _search(self, rows: Mask, name: str, form: str) -> None:
        """Doubt those of the rows whose payload has a field of the name with a value of such a form."""
        chosen = np.flatnonzero(rows & ~self._doubt & valid_mask(self._payloads))
        if not self._plan.is_record and not name:
            self._doubt_where(chosen, f"^\\s*{form}")
        else:
            self._doubt_where(chosen, f'"{any_spelling(name)}"\\s*:\\s*{form}')

    def _doubt_where(self, rows: Ints, pattern: str) -> None:
        if len(rows):
            searched = (
                self._payloads if len(rows) == len(self._payloads) else self._payloads.take(pa.array(rows))
            )
            self._doubt[rows[mask_of(pc.match_substring_regex(searched, pattern).fill_null(False))]] = True


def _starts_otherwise(texts: Vector, letter: int) -> Mask:
    firsts = first_bytes(texts)
    otherwise: Mask = firsts != letter
    blank = otherwise & np.isin(firsts, np.frombuffer(b" \t\r\n", dtype=np.uint8))
    if blank.any():
        rows = np.flatnonzero(blank)
        trimmed = pc.ascii_ltrim_whitespace(texts.take(pa.array(rows)))
        otherwise[rows] = first_bytes(trimmed) != letter
    return otherwise


def _ranges(found: Vector, owners: Ints | None) -> tuple[Ints, Ints]:
    """Offsets of a list or map array, and the row that each inner value belongs to."""
    offsets: Ints = found.offsets.to_numpy().astype(np.int64)
    rows = np.arange(len(found), dtype=np.int64) if owners is None else owners
    return offsets, np.repeat(rows, np.diff(offsets))


def _nested(arrow: pa.DataType, found: Vector, offsets: Ints, child: Vector) -> Vector:
    validity = pa.array(valid_mask(found)).buffers()[1] if found.null_count else None
    buffers = [validity, pa.py_buffer(offsets.astype(np.int32).tobytes())]
    return pa.Array.from_buffers(arrow, len(found), buffers, children=[child])


_MAYBE_NO_TEXT = np.zeros(256, dtype=np.bool_)
_MAYBE_NO_TEXT[list(b"{[-0123456789NIni")] = True
# Numbers with fraction or exponent as DuckDB prints them, bare NaN and Infinity, objects, arrays.
_NO_TEXT = r"^(?:[{\[]|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$|-?(?i:nan|inf(?:inity)?)$)"
_DIGITS = r"^-?[0-9]+$"


def _may_be_no_text(texts: Vector) -> Mask:
    """Texts that may have been another value: whole numbers and booleans read the same as their text."""
    maybe: Mask = _MAYBE_NO_TEXT[first_bytes(texts)]
    if maybe.any():
        rows = np.flatnonzero(maybe)
        chosen = texts.take(pa.array(rows))
        found = mask_of(pc.match_substring_regex(chosen, _NO_TEXT))
        maybe[rows] = found & ~mask_of(pc.match_substring_regex(chosen, _DIGITS))
    return maybe


def _unquoted(texts: Vector, *, required: bool) -> tuple[Vector, Mask]:
    """Raw JSON values without the quotes of texts, and which are something else: literals, escapes.

    required  a number is something else too
    """
    firsts = first_bytes(texts)
    present = valid_mask(texts)
    quoted = firsts == ord('"')
    if required:
        odd = present & ~quoted
    else:
        odd = present & ~quoted & ~np.isin(firsts, np.frombuffer(b"-0123456789NI", dtype=np.uint8))
    if not quoted.any():
        return texts, odd
    data = parts(texts)[1]
    if (data == ord("\\")).any():
        odd |= mask_of(pc.match_substring(texts, "\\").fill_null(False))
    return pc.utf8_trim(texts, '"'), odd


def _whole(texts: Vector, t: SqlType) -> tuple[Vector, Mask]:
    """Raw JSON values as whole numbers, and which are something else."""
    values = digits_only(texts)
    if values is None:
        texts, odd = _unquoted(texts, required=False)
        values, more = _some_whole(null_where(texts, odd))
        odd |= more
    else:
        odd = np.zeros(len(texts), dtype=np.bool_)
    if t == BIGINT:
        return values, odd
    if t != INTEGER:
        column, outside = from_counts(values, t)
        return column, odd | outside
    numbers = (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)
    wrapped = numbers.astype(np.int32)
    # A number keeps its low 32 bits, a text of digits must be in range: `json_exact` tells them apart.
    odd |= wrapped != numbers
    return pa.array(wrapped, mask=~valid_mask(values) if values.null_count else None), odd


def _some_whole(texts: Vector) -> tuple[Vector, Mask]:
    for pattern in (r"^-?[0-9]+$", r"^-?[0-9]{1,18}$"):
        odd = valid_mask(texts) & ~mask_of(pc.match_substring_regex(texts, pattern).fill_null(False))
        try:
            return null_where(texts, odd).cast(pa.int64()), odd
        except pa.ArrowInvalid:
            continue  # a number beyond 64 bits: the second pattern has none
    raise InternalError("eighteen digits do not make a 64-bit number")
