"""JSON: one JSON text per payload, UTF-8; what is read and written is told in `json_exact`.

A record is an object with every column in the schema's order, nulls written; a single column may
stand bare. Reading takes one of three ways that give the same: large batches of like records are read side
by side (`json_shape`), others by DuckDB's JSON reader (`json_fast`), and small ones, and the records that
neither can vouch for, by the exact reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Kernel, Workspace
from streamsql.engine.texts import Ints, Vector
from streamsql.formats.arrays import ints, mask_of, null_where, nulls, put_at, valid_mask
from streamsql.formats.checks import (
    is_record,
    refuse_properties,
    require_columns,
    require_text_keys,
    wanted_columns,
)
from streamsql.formats.format import Format, Layout
from streamsql.formats.json_exact import RecordReader
from streamsql.formats.json_fast import FastReader, Read
from streamsql.formats.json_join import can_join, joined_record, joined_value
from streamsql.formats.json_plan import can_read_fast
from streamsql.formats.json_raw import bare_numbers
from streamsql.formats.json_reasons import judge_broken
from streamsql.formats.json_shape import ShapeReader
from streamsql.formats.json_write import is_plain, plain_record_sql, record_sql, value_sql
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import BIGINT, DOUBLE, INTEGER

_FAST_ROWS = 64
"""Below this, reading record by record costs less than one run of a kernel."""


class JsonDecoder:
    """Reads large batches fast and small ones exactly; see `json_shape`, `json_fast` and `json_exact`."""

    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._columns = columns
        self._is_number = not is_record and [c.type for c in columns] in ([INTEGER], [BIGINT])
        self._reader = RecordReader(columns, is_record=is_record)
        self._fast: FastReader | None = None
        if can_read_fast(columns, is_record=is_record):
            self._fast = FastReader(columns, workspace, is_record=is_record)
        # Its steps are many and short: between them threads wait for each other, for Python's lock.
        self._shapes = ShapeReader(columns) if is_record and workspace.is_alone else None

    def decode(self, payloads: Vector) -> Decoded:
        if self._is_number:
            numbers = bare_numbers(payloads.view(pa.string()), self._columns[0].type)
            if numbers is not None:
                return Decoded((numbers,))
        fast = self._fast
        if fast is None or len(payloads) < _FAST_ROWS or fast.is_ambiguous:
            return self._read_all_exactly(payloads)
        samples = _some(payloads, np.flatnonzero(valid_mask(payloads)))
        fast.learn(samples)
        if fast.is_ambiguous:
            return self._read_all_exactly(payloads)
        # DuckDB takes no JSON whose bytes are not UTF-8.
        texts = payloads.view(pa.string())
        read = self._shapes.read(texts, samples) if self._shapes is not None else None
        if read is None:
            read = fast.read(texts)
        elif len(rows := np.flatnonzero(read.doubt)) > _FAST_ROWS:
            read = read.put(rows, fast.read(texts.take(pa.array(rows))))
        rows = np.flatnonzero(read.doubt & ~read.settled)
        if len(rows) > _FAST_ROWS:
            # Many are wrong, or spelt in another way: one more try, for them.
            is_news = len(rows) > len(payloads) // 10 and fast.learn(_some(payloads, rows))
            if fast.is_ambiguous:
                return self._read_all_exactly(payloads)
            if is_news or not fast.is_close:
                read = read.put(rows, fast.read(texts.take(pa.array(rows)), closely=True))
        return self._read_exactly(payloads, read)

    def _read_all_exactly(self, payloads: Vector) -> Decoded:
        nothing = [nulls(len(payloads), c.type.arrow) for c in self._columns]
        none = np.zeros(len(payloads), dtype=np.bool_)
        return self._read_exactly(
            payloads, Read(nothing, valid_mask(payloads), none, none, Reasons(len(payloads)))
        )

    def _read_exactly(self, payloads: Vector, read: Read) -> Decoded:
        """The columns with the rows in doubt read one by one, and what is wrong with those that are bad."""
        reasons = read.reasons
        rows = np.flatnonzero(read.doubt)
        if not len(rows) and reasons.are_none:
            return Decoded(tuple(read.columns))
        reasons.forget(rows)
        broken = rows[read.broken[rows]]
        if len(broken):
            left = judge_broken(reasons, broken, payloads.take(pa.array(broken)))
            rows = np.sort(np.concatenate([rows[~read.broken[rows]], left]))
        values: list[list[object]] = []
        good: list[int] = []
        wrong: dict[int, str] = {}
        chosen = payloads.take(pa.array(rows)) if len(rows) < len(payloads) else payloads
        for row, payload in zip(rows.tolist(), chosen.to_pylist(), strict=True):
            try:
                values.append(self._reader.read(payload))
                good.append(row)
            except UnicodeDecodeError:
                wrong[row] = "the bytes are not UTF-8"
            except ValueError as error:
                wrong[row] = str(error)
        reasons.note(ints(wrong), pa.array(wrong.values(), pa.string()))
        by_column = zip(*values, strict=True) if values else [()] * len(self._columns)
        filled = [
            put_at(c, ints(good), pa.array(v, c.type), gone=reasons.wrong)
            for c, v in zip(read.columns, by_column, strict=True)
        ]
        return reasons.decoded(filled)


def _some(payloads: Vector, rows: Ints) -> list[bytes]:
    """The first, the middle and the last of the rows."""
    chosen = dict.fromkeys(int(rows[place]) for place in (0, len(rows) // 2, -1)) if len(rows) else {}
    return [payloads[row].as_py() for row in chosen]


class JsonEncoder:
    """Joins small batches of plain values (`json_join`), and writes all else with a kernel (`json_write`)."""

    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._columns = columns
        self._is_record = is_record
        self._workspace = workspace
        self._places = [f"c{i}" for i in range(len(columns))]
        self._doubles = [i for i, c in enumerate(columns) if c.type == DOUBLE]
        self._can_join = can_join(columns)
        distinct = {c.name.lower() for c in columns if c.name and "{" not in c.name}
        self._can_be_plain = (
            is_record
            and len(distinct) == len(columns)
            and all(c.type == DOUBLE or is_plain(c.type) for c in columns)
        )
        self._kernels: dict[bool, Kernel] = {}

    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        texts = self._joined(columns) if self._can_join else None
        if texts is None:
            is_plain = self._can_be_plain and all(_is_finite(columns[i]) for i in self._doubles)
            rows = pa.RecordBatch.from_arrays(list(columns), names=self._places)
            texts = self._kernel(is_plain=is_plain).run(rows=rows).column(0)
        payloads = texts.cast(pa.binary())
        return payloads if absent is None else null_where(payloads, mask_of(absent.fill_null(False)))

    def _joined(self, columns: Sequence[Vector]) -> Vector | None:
        if self._is_record:
            return joined_record([c.name for c in self._columns], columns)
        return joined_value(columns[0])

    def _kernel(self, *, is_plain: bool) -> Kernel:
        if is_plain not in self._kernels:
            members = [(c.name, place, c.type) for c, place in zip(self._columns, self._places, strict=True)]
            if is_plain:
                text = plain_record_sql(members)
            else:
                text = record_sql(members) if self._is_record else value_sql(*members[0][1:])
            schema = pa.schema(
                [(place, c.type.arrow) for c, place in zip(self._columns, self._places, strict=True)]
            )
            sql = f"SELECT {text} AS payload FROM {{rows}}"
            self._kernels[is_plain] = self._workspace.kernel(sql, {"rows": schema})
        return self._kernels[is_plain]


def _is_finite(column: Vector) -> bool:
    values = column.to_numpy(zero_copy_only=False)
    return bool((np.isfinite(values) | ~valid_mask(column)).all())


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
