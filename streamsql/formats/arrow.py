"""ARROW: the typed columns themselves; nothing to decode. The log keeps them as Arrow buffers.

A payload column is a struct array with one field per column, found by exact name. A field that was
written with a narrower type widens (see `streamsql.types.widens`), a missing field is null, fields
that no column has are ignored. A null struct is a null payload: a tombstone, or no key.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Mask, Vector
from streamsql.errors import PlanError
from streamsql.formats.arrays import mask_of, null_where, nulls
from streamsql.formats.checks import refuse_properties, wanted_columns
from streamsql.formats.format import Format, Layout
from streamsql.formats.payloads import all_bad
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import VARCHAR, Array, Map, SqlType, Struct, from_arrow, widens


class ArrowDecoder:
    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns

    def decode(self, payloads: Vector) -> Decoded:
        if not pa.types.is_struct(payloads.type):
            return all_bad(
                payloads, self._columns, "it is bytes and not ARROW columns: another format reads it"
            )
        columns: list[Vector] = []
        reasons: Reasons | None = None
        for column in self._columns:
            field, reason, rows = _field(payloads, column)
            columns.append(field)
            if reason is not None:
                reasons = reasons or Reasons(len(payloads))
                reasons.note(np.flatnonzero(rows), reason)
        if reasons is None:
            return Decoded(tuple(columns))
        wrong = reasons.wrong
        return reasons.decoded([null_where(column, wrong) for column in columns])


def _field(payloads: Vector, column: Column) -> tuple[Vector, str | None, Mask]:
    """One column of the payloads, what is wrong with it, and in which rows."""
    wanted = column.type.arrow
    nothing = np.zeros(0, dtype=np.bool_)
    index = payloads.type.get_field_index(column.name)
    if index < 0:
        return nulls(len(payloads), wanted), None, nothing
    found = payloads.field(index)
    if payloads.null_count:
        # flatten() folds the struct's own nulls into the child; without nulls the child is shared as it is.
        found = payloads.flatten()[index]
    if found.type == wanted:
        return found, None, nothing
    try:
        written: SqlType | None = from_arrow(found.type)
    except KeyError:
        written = None
    if pa.types.is_null(found.type):
        return nulls(len(found), wanted), None, nothing
    if written is not None and _reads_as(written, column.type):
        return found.cast(wanted), None, nothing
    reason = f"$.{column.name} is {written or found.type}, not {column.type}"
    return nulls(len(found), wanted), reason, mask_of(found.is_valid())


def _reads_as(written: SqlType, wanted: SqlType) -> bool:
    """Whether values widen without reading any text: a VARCHAR is no DATE here."""
    match written, wanted:
        case Array(a), Array(b):
            return _reads_as(a, b)
        case Map(ka, va), Map(kb, vb):
            return _reads_as(ka, kb) and _reads_as(va, vb)
        case Struct(a), Struct(b):
            theirs = dict(b)
            return all(name not in theirs or _reads_as(t, theirs[name]) for name, t in a)
    return (written == VARCHAR) == (wanted == VARCHAR) and widens(written, wanted)


class ArrowEncoder:
    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._fields = [pa.field(c.name, c.type.arrow) for c in columns]

    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        arrays = [
            a if a.type == f.type else a.cast(f.type) for a, f in zip(columns, self._fields, strict=True)
        ]
        return pa.StructArray.from_arrays(arrays, fields=self._fields, mask=absent)


class ArrowFormat(Format):
    name = "ARROW"
    can_wrap = True
    is_typed = True

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        if not layout.columns and not layout.is_key:
            raise PlanError("format ARROW needs at least one value column", code="PLAN-FORMAT-COLUMNS")

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        return ArrowDecoder(wanted_columns(layout, wanted))

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return ArrowEncoder(layout.columns)


ARROW = ArrowFormat()
