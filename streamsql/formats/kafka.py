"""KAFKA: one bare value as Kafka's own serializers write it.

    INTEGER  4 bytes, BIGINT 8 bytes, two's complement, big-endian
    DOUBLE   8 bytes IEEE 754, big-endian
    STRING   UTF-8; a byte that is none reads as U+FFFD, as Java's decoder has it
    BYTES    as they are

A payload of another length is a bad record. With no columns the payload is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Vector, as_text, parts
from streamsql.errors import PlanError
from streamsql.formats.arrays import null_where, nulls, replace_at, valid_mask
from streamsql.formats.checks import cannot_hold, refuse_properties, wanted_columns
from streamsql.formats.format import Format, Layout
from streamsql.types import BIGINT, BYTES, DOUBLE, INTEGER, VARCHAR, SqlType

_WIDTHS: dict[SqlType, str] = {INTEGER: ">i4", BIGINT: ">i8", DOUBLE: ">f8"}


class _NothingDecoder:
    def decode(self, payloads: Vector) -> Decoded:
        return Decoded(())


class FixedDecoder:
    """Numbers of a fixed width."""

    def __init__(self, kind: SqlType) -> None:
        self._kind = kind
        self._wire = np.dtype(_WIDTHS[kind])

    def decode(self, payloads: Vector) -> Decoded:
        width = self._wire.itemsize
        offsets, data = parts(payloads)
        valid, lengths = valid_mask(payloads), np.diff(offsets)
        good = valid & (lengths == width)
        values = np.zeros(len(payloads), dtype=self._wire.newbyteorder("="))
        if good.all() and len(good):
            # No gaps: the payloads stand back to back.
            values[:] = data[offsets[0] : offsets[-1]].view(self._wire)
        elif good.any():
            places = offsets[:-1][good][:, None] + np.arange(width)
            values[good] = data[places].view(self._wire).ravel()
        column = pa.array(values, self._kind.arrow, mask=None if good.all() else ~good)
        bad = np.flatnonzero(valid & ~good)
        known, which = np.unique(lengths[bad], return_inverse=True)
        said = [f"{n} byte{'' if n == 1 else 's'}, {self._kind} has {width}" for n in known.tolist()]
        return Decoded((column,), bad, pa.array(said, pa.string()).take(pa.array(which)))


class TextDecoder:
    def decode(self, payloads: Vector) -> Decoded:
        text, broken = as_text(payloads)
        rows = np.flatnonzero(broken)
        mended = [payloads[int(row)].as_py().decode("utf-8", "replace") for row in rows]
        return Decoded((replace_at(text, rows, mended),))


class BytesDecoder:
    def decode(self, payloads: Vector) -> Decoded:
        return Decoded((payloads.cast(pa.binary()),))


class KafkaEncoder:
    def __init__(self, kind: SqlType) -> None:
        self._kind = kind

    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        column = columns[0]
        payloads = self._fixed(column) if self._kind in _WIDTHS else column.cast(pa.binary())
        return (
            payloads if absent is None else null_where(payloads, valid_mask(absent) & absent.to_numpy(False))
        )

    def _fixed(self, column: Vector) -> Vector:
        wire = np.dtype(_WIDTHS[self._kind])
        n = len(column)
        present = valid_mask(column)
        filled = column.fill_null(0) if column.null_count else column
        data = filled.to_numpy(zero_copy_only=False).astype(wire)[present]
        offsets = np.zeros(n + 1, dtype=np.int32)
        np.cumsum(present * wire.itemsize, out=offsets[1:])
        validity = None if present.all() else pa.array(present).buffers()[1]
        buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
        return pa.Array.from_buffers(pa.binary(), n, buffers)


class _NothingEncoder:
    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        return nulls(0 if absent is None else len(absent), pa.binary())


class KafkaFormat(Format):
    name = "KAFKA"
    can_unwrap = True

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        for column in layout.columns:
            if column.type not in (*_WIDTHS, VARCHAR, BYTES):
                raise cannot_hold(self.name, column)
        if len(layout.columns) > 1:
            side = "key" if layout.is_key else "value"
            listed = ", ".join(c.name for c in layout.columns)
            raise PlanError(
                f"format KAFKA holds one {side} column, and there are {len(layout.columns)}: {listed}",
                code="PLAN-FORMAT-COLUMNS",
                hint=f"give {side.upper()}_FORMAT a format of several columns: JSON, DELIMITED, ARROW",
            )
        if not layout.columns and not layout.is_key:
            raise PlanError("format KAFKA needs a value column", code="PLAN-FORMAT-COLUMNS")

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        if not columns:
            return _NothingDecoder()
        kind = columns[0].type
        if kind in _WIDTHS:
            return FixedDecoder(kind)
        return TextDecoder() if kind == VARCHAR else BytesDecoder()

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return KafkaEncoder(layout.columns[0].type) if layout.columns else _NothingEncoder()


KAFKA = KafkaFormat()
