"""NONE: no bytes at all, for the keys of a stream that has none."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Vector
from streamsql.errors import PlanError
from streamsql.formats.arrays import nulls
from streamsql.formats.checks import refuse_properties
from streamsql.formats.format import Format, Layout


class _NoDecoder:
    def decode(self, payloads: Vector) -> Decoded:
        return Decoded(())


class _NoEncoder:
    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        # Without columns only the mask can tell the number of rows.
        return nulls(0 if absent is None else len(absent), pa.binary())


class NoneFormat(Format):
    name = "NONE"

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        if not layout.is_key:
            raise PlanError(
                "format NONE is only for keys", code="PLAN-FORMAT-SIDE", hint="KEY_FORMAT = 'NONE'"
            )
        if layout.columns:
            raise PlanError(
                f"a key in format NONE has no columns, and {layout.columns[0].name} is a key column",
                code="PLAN-FORMAT-COLUMNS",
                hint="give KEY_FORMAT another format, or take KEY away from the column",
            )

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        return _NoDecoder()

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return _NoEncoder()


NONE = NoneFormat()
