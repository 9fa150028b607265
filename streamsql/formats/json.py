"""JSON: one JSON text per payload, UTF-8; what is read and written is told in `json_exact`.

A record is an object with every column in the schema's order, nulls written; a single column may
stand bare. Reading takes one of two ways that give the same: large batches go through DuckDB's JSON
reader (`json_fast`), small ones, and the records it cannot vouch for, through the exact reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.formats.arrays import Ints, Vector, mask_of, null_where, replace_at, valid_mask
from streamsql.formats.checks import (
    is_record,
    refuse_properties,
    require_columns,
    require_text_keys,
    wanted_columns,
)
from streamsql.formats.format import Format, Layout
from streamsql.formats.json_exact import RecordReader
from streamsql.formats.json_write import record_sql, value_sql
from streamsql.schema import Column


class JsonDecoder:
    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._columns = columns
        self._reader = RecordReader(columns, is_record=is_record)

    def decode(self, payloads: Vector) -> Decoded:
        rows = np.flatnonzero(valid_mask(payloads))
        columns = [pa.nulls(len(payloads), c.type.arrow) for c in self._columns]
        return read_exactly(self._reader, payloads, rows, columns)


def read_exactly(reader: RecordReader, payloads: Vector, rows: Ints, columns: Sequence[Vector]) -> Decoded:
    """The columns with the given rows read one by one, and what was wrong with them."""
    values: list[list[object]] = [[] for _ in columns]
    empty = [None] * len(columns)
    bad: list[int] = []
    reasons: list[str] = []
    texts = payloads.take(pa.array(rows)) if len(rows) < len(payloads) else payloads
    for row, payload in zip(rows.tolist(), texts.to_pylist(), strict=True):
        try:
            read = reader.read(payload)
        except UnicodeDecodeError:
            read = empty
            bad.append(row)
            reasons.append("the bytes are not UTF-8")
        except ValueError as error:
            read = empty
            bad.append(row)
            reasons.append(str(error))
        for column, value in zip(values, read, strict=True):
            column.append(value)
    filled = [replace_at(c, rows, v) for c, v in zip(columns, values, strict=True)]
    return Decoded(tuple(filled), bad, reasons)


class JsonEncoder:
    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._names = [f"c{i}" for i in range(len(columns))]
        named = list(zip(self._names, columns, strict=True))
        if is_record:
            text = record_sql([(c.name, name, c.type) for name, c in named])
        else:
            text = value_sql(self._names[0], columns[0].type)
        schema = pa.schema([(name, c.type.arrow) for name, c in named])
        self._kernel = workspace.kernel(f"SELECT {text} AS payload FROM {{rows}}", {"rows": schema})

    def encode(self, columns: Sequence[Vector], absent: pa.BooleanArray | None = None) -> Vector:
        rows = pa.RecordBatch.from_arrays(list(columns), names=self._names)
        payloads = self._kernel.run(rows=rows).column(0).cast(pa.binary())
        return payloads if absent is None else null_where(payloads, mask_of(absent.fill_null(False)))


class JsonFormat(Format):
    name = "JSON"
    can_wrap = True
    can_unwrap = True

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        return JsonDecoder(columns, is_record=is_record(layout), workspace=workspace)

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return JsonEncoder(layout.columns, is_record=is_record(layout), workspace=workspace)


JSON = JsonFormat()
