"""What DuckDB read of JSON payloads, made into columns, and the rows it may have read wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import Ints, Mask, Vector, parts
from streamsql.formats.arrays import first_bytes, mask_of, null_where, nulls, pc, valid_mask
from streamsql.formats.json_names import any_spelling
from streamsql.formats.json_plan import Found, Plan
from streamsql.formats.json_raw import LONG_DIGITS, has_long_number, read_raw, without_nulls
from streamsql.formats.json_reasons import judge
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import DOUBLE, VARCHAR, Array, Decimal, Map, SqlType, Struct

# What is no null, and not what a field of the kind begins with: nan is none either.
_NULL_OR = "(?:[^n\\s]|n[^u])"
_NULL_OR_TEXT = '(?:[^"n\\s]|n[^u])'
_NULL_OR_OBJECT = "(?:[^{n\\s]|n[^u])"
_TINY = "[0-9][eE]-"
_ZEROS = pa.array(["0.0", "-0.0"])
_FEW, _MANY = 16, 64
_LONG_NUMBER = f"-?(?:[0-9][.]?){{{LONG_DIGITS}}}"


def _holds_decimals(t: SqlType) -> bool:
    match t:
        case Array(inner) | Map(_, inner):
            return _holds_decimals(inner)
        case Struct(fields):
            return any(_holds_decimals(inner) for _, inner in fields)
    return isinstance(t, Decimal)


class Finish:
    """Turns what DuckDB read into the columns' types, and finds the rows in doubt.

    Inside of arrays and maps `owners` says which row each value belongs to; None: value i is row i's.
    """

    def __init__(self, plan: Plan, payloads: Vector) -> None:
        self._plan = plan
        self._payloads = payloads
        self._doubt = np.zeros(len(payloads), dtype=np.bool_)
        self._unnamed_nulls = np.zeros(len(payloads), dtype=np.bool_)
        self.undecided = np.zeros(len(payloads), dtype=np.bool_)
        """Rows in doubt for a value whose JSON text DuckDB gave, and which that text does not settle."""
        self.reasons = Reasons(len(payloads))
        """Of rows that are not in doubt, but wrong."""

    def columns(self, found: Found) -> tuple[list[Vector], Mask]:
        """The columns, and the rows in doubt: what stands there means nothing. Call it once."""
        plan = self._plan
        if found.broken is not None:
            self._doubt |= found.broken
        if plan.is_record:
            fields = [(c.name, c.type) for c in plan.columns]
            columns = self._fields(found.fields, fields, None, "")
            self._doubt_what_is_no_object(found.fields)
        else:
            (value,) = found.fields
            self._doubt |= mask_of(value.is_null())
            columns = [self._value(value, plan.columns[0].type, None, None, None)]
        self._search_other_names()
        self._doubt &= valid_mask(self._payloads)
        return columns, self._doubt

    def _doubt_what_is_no_object(self, fields: Sequence[Vector]) -> None:
        """Whatever is no object has no fields: among those without any, those that begin otherwise."""
        if not all(field.null_count for field in fields):
            return
        empty = valid_mask(self._payloads) & ~self._doubt
        for field in fields:
            empty &= ~valid_mask(field)
        rows = np.flatnonzero(empty)
        if len(rows):
            texts = pc.ascii_ltrim_whitespace(self._payloads.take(pa.array(rows)))
            self._doubt[rows[first_bytes(texts) != ord("{")]] = True

    def _search_other_names(self) -> None:
        """Rows with a null may have spelt its name in another way."""
        rows = np.flatnonzero(self._unnamed_nulls & ~self._doubt & valid_mask(self._payloads))
        self._doubt_where(rows, self._plan.other_names)

    def _fields(
        self,
        found: Sequence[Vector],
        fields: Sequence[tuple[str, SqlType]],
        owners: Ints | None,
        path: str | None,
    ) -> list[Vector]:
        """The fields of objects; a null of those that are none is noted as one without a name, too.

        path  of the objects in the record, None inside arrays and maps, or if that is not known
        """
        columns = []
        for (name, t), field in zip(fields, found, strict=True):
            if (
                path == ""
                and not self._plan.by_paths
                and (t == DOUBLE or isinstance(t, Array | Map | Struct))
            ):
                column = self._typed(field, t, name)
            else:
                column = self._value(field, t, name, owners, None if path is None else f"{path}.{name}")
            if column.null_count:
                self._unnamed_nulls[self._rows(~valid_mask(column), owners)] = True
            columns.append(column)
        return columns

    def _value(
        self, found: Vector, t: SqlType, name: str | None, owners: Ints | None, path: str | None
    ) -> Vector:
        """One array of values as type `t`; `name` of the field they are in, None inside arrays and maps."""
        if self._plan.by_paths and path is not None:
            return self._by_path(found, t, name or "", path)
        match t:
            case Array():
                return self._array(found, t, name, owners)
            case Map():
                return self._map(found, t, name, owners)
            case Struct():
                return self._struct(found, t, name, owners, path)
        if found.type == pa.string() and t != VARCHAR:
            values, odd = self._raw(found, t, name, owners)
            if path is not None:
                return self._judged(found, values, odd, t, path)
            self._doubt_values(odd, owners)
            return null_where(values, odd)
        if t == VARCHAR:
            suspects = _may_be_no_text(found)
            if name is None:
                self._doubt_values(suspects, owners)
            elif suspects.any():
                self._search(self._in_rows(suspects, owners), name, _NULL_OR_TEXT)
            return found
        return self._double(found, name or "")

    # Typed values, which only a row's own payload can vouch for.

    def _typed(self, found: Vector, t: SqlType, name: str) -> Vector:
        """A field of a record. Where it is in doubt, its JSON text may say what is wrong with it."""
        before = self._doubt.copy()
        column = self._value(found, t, name, None, f".{name}")
        rows = np.flatnonzero(self._doubt & ~before)
        if len(rows) < _MANY:
            return column
        texts = self._plan.look_up(name, self._payloads.take(pa.array(rows)))
        if texts is None:
            return column
        texts = without_nulls(texts)
        known = np.flatnonzero(valid_mask(texts))
        # If none of a few is wrong, they are probably all right, and spelt in another way than usual.
        for some in (known[:_FEW], known[_FEW:]):
            left = judge(self.reasons, rows[some], texts.take(pa.array(some)), f".{name}", t)
            if len(left) == len(some):
                break
        self._doubt[rows] = ~self.reasons.wrong[rows]
        return column

    def _double(self, found: Vector, name: str) -> Vector:
        values = found.to_numpy(zero_copy_only=False)
        self._search(mask_of(found.is_null()), name, _NULL_OR)
        self._search((values == 0) | (values == 1), name, "[tf]")
        return found

    def _array(self, found: Vector, t: Array, name: str | None, owners: Ints | None) -> Vector:
        self._check_container(found, name, owners)
        offsets, inner_owners = _ranges(found, owners)
        values = found.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        element = self._value(values, t.element, None, inner_owners, None)
        return _nested(t.arrow, found, offsets - offsets[0], element)

    def _map(self, found: Vector, t: Map, name: str | None, owners: Ints | None) -> Vector:
        self._check_container(found, name, owners)
        offsets, inner_owners = _ranges(found, owners)
        start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
        items = self._value(found.items.slice(start, length), t.value, None, inner_owners, None)
        arrow: Any = t.arrow
        entries = pa.StructArray.from_arrays(
            [found.keys.slice(start, length), items], fields=[arrow.key_field, arrow.item_field]
        )
        return _nested(arrow, found, offsets - offsets[0], entries)

    def _struct(
        self, found: Vector, t: Struct, name: str | None, owners: Ints | None, path: str | None
    ) -> Vector:
        inner = found.flatten() if found.null_count else [found.field(i) for i in range(len(t.fields))]
        children = self._fields(inner, t.fields, owners, path)
        empty = valid_mask(found)
        for child in children:
            empty &= ~valid_mask(child)
        # A value that is no object came out as a struct of nulls.
        if name is None:
            self._doubt_values(empty | ~valid_mask(found), owners)
        else:
            self._search(self._in_rows(empty | ~valid_mask(found), owners), name, _NULL_OR_OBJECT)
        mask = pa.array(~valid_mask(found)) if found.null_count else None
        return pa.StructArray.from_arrays(
            children, fields=[pa.field(n, kind.arrow) for n, kind in t.fields], mask=mask
        )

    def _check_container(self, found: Vector, name: str | None, owners: Ints | None) -> None:
        """A null array or map may be a value of another kind."""
        missing = mask_of(found.is_null())
        if name is None:
            self._doubt_values(missing, owners)
        else:
            self._search(self._in_rows(missing, owners), name, _NULL_OR)

    # Raw values: the text tells what it is.

    def _by_path(self, found: Vector, t: SqlType, name: str, path: str) -> Vector:
        """A field of a record, from its JSON texts; rows with a wrong value get its reason."""
        if isinstance(t, Array | Map | Struct):
            found = without_nulls(found)
            values, odd = self._inside(found, t, name)
        else:
            values, odd = self._raw(found, t, name, None)
        return self._judged(found, values, odd, t, path)

    def _judged(self, texts: Vector, values: Vector, odd: Mask, t: SqlType, path: str) -> Vector:
        """Values without the odd ones: their JSON texts say what is wrong with them, or leave it in doubt."""
        rows = np.flatnonzero(odd)
        if not len(rows):
            return values
        left = judge(self.reasons, rows, texts.take(pa.array(rows)), path, t)
        self._doubt[left] = self.undecided[left] = True
        return null_where(values, odd)

    def _inside(self, texts: Vector, t: SqlType, name: str) -> tuple[Vector, Mask]:
        plan = self._plan.inner(Column(name, t))
        found = plan.run(texts)
        if found is None:
            return nulls(len(texts), t.arrow), valid_mask(texts)
        if _holds_decimals(t):
            # The texts have lost what the payloads have.
            present = valid_mask(texts)
            self._doubt |= present & self._long_numbers
            self._doubt_where(np.flatnonzero(present & ~self._doubt), _TINY)
        (values,), odd = Finish(plan, texts).columns(found)
        return values, odd

    def _raw(self, found: Vector, t: SqlType, name: str | None, owners: Ints | None) -> tuple[Vector, Mask]:
        values, odd = read_raw(found, t, self._plan.unescape)
        if isinstance(t, Decimal):
            # A number that is too small for a double has become zero.
            zeros = mask_of(pc.is_in(found, _ZEROS))
            self._doubt_where(np.flatnonzero(self._in_rows(zeros, owners) & ~self._doubt), _TINY)
            # DuckDB prints a number with the shortest digits of its double: of 15 none is lost.
            rows = self._in_rows(valid_mask(values), owners) & self._long_numbers
            if name is None:
                self._doubt |= rows
            else:
                self._search(rows, name, _LONG_NUMBER)
        return values, odd

    # Doubt.

    @cached_property
    def _long_numbers(self) -> Mask:
        return has_long_number(self._payloads)

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
_IS_LETTER = np.zeros(256, dtype=np.bool_)
_IS_LETTER[list(b"NIni")] = True
_NAMED = np.array([len("nan"), len("infinity")])
# Numbers with fraction or exponent as DuckDB prints them, bare NaN and Infinity, objects, arrays.
_NO_TEXT = r"^(?:[{\[]|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$|-?(?i:nan|inf(?:inity)?)$)"
_DIGITS = r"^-?[0-9]+$"


def _may_be_no_text(texts: Vector) -> Mask:
    """Texts that may have been another value: whole numbers and booleans read the same as their text."""
    firsts = first_bytes(texts)
    maybe: Mask = _MAYBE_NO_TEXT[firsts]
    if maybe.any():
        maybe &= ~_IS_LETTER[firsts] | np.isin(np.diff(parts(texts)[0]), _NAMED)
        rows = np.flatnonzero(maybe)
        chosen = texts.take(pa.array(rows))
        found = mask_of(pc.match_substring_regex(chosen, _NO_TEXT))
        maybe[rows] = found & ~mask_of(pc.match_substring_regex(chosen, _DIGITS))
    return maybe
