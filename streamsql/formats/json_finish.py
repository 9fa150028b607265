"""What DuckDB read of JSON payloads, made into columns, and the rows it may have read wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.errors import InternalError
from streamsql.formats.arrays import (
    Ints,
    Mask,
    Vector,
    first_bytes,
    mask_of,
    null_where,
    parts,
    pc,
    valid_mask,
)
from streamsql.formats.json_names import any_spelling
from streamsql.formats.json_plan import Plan
from streamsql.formats.texts import foreign, from_counts, read_texts
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
)

_WHOLE = (INTEGER, BIGINT, DATE, TIME, TIMESTAMP)
_NULL_OR = "[^n\\s]"


class Finish:
    """Turns what DuckDB read into the columns' types, and finds the rows in doubt.

    Inside of arrays and maps `owners` says which row each value belongs to; None: value i is row i's.
    """

    def __init__(self, plan: Plan, payloads: Vector) -> None:
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
        return columns, self._doubt

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
    try:
        # The raw text of any other JSON value is none that Arrow takes for a whole number.
        values, odd = texts.cast(pa.int64()), np.zeros(len(texts), dtype=np.bool_)
    except pa.ArrowInvalid:
        texts, odd = _unquoted(texts, required=False)
        values, more = _some_whole(null_where(texts, odd))
        odd |= more
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
    odd = foreign(texts, "-0123456789")
    try:
        return null_where(texts, odd).cast(pa.int64()), odd
    except pa.ArrowInvalid:
        pass  # a dash in the middle, or a number beyond 64 bits
    for pattern in (r"^-?[0-9]+$", r"^-?[0-9]{1,18}$"):
        odd = valid_mask(texts) & ~mask_of(pc.match_substring_regex(texts, pattern).fill_null(False))
        try:
            return null_where(texts, odd).cast(pa.int64()), odd
        except pa.ArrowInvalid:
            continue  # a number beyond 64 bits: the second pattern has none
    raise InternalError("eighteen digits do not make a 64-bit number")
