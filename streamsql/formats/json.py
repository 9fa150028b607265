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
from streamsql.engine.kernel import Kernel, Workspace
from streamsql.formats.arrays import (
    Ints,
    Vector,
    ints,
    mask_of,
    null_where,
    nulls,
    put_at,
    valid_mask,
)
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
from streamsql.formats.json_plan import can_read_fast
from streamsql.formats.json_reasons import judge_broken
from streamsql.formats.json_write import is_plain, plain_record_sql, record_sql, value_sql
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import DOUBLE

_FAST_ROWS = 64
"""Below this, reading record by record costs less than one run of a kernel."""


class JsonDecoder:
    """Reads large batches fast and small ones exactly; see `json_fast` and `json_exact`."""

    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._columns = columns
        self._reader = RecordReader(columns, is_record=is_record)
        self._fast: FastReader | None = None
        if can_read_fast(columns, is_record=is_record):
            self._fast = FastReader(columns, workspace, is_record=is_record)

    def decode(self, payloads: Vector) -> Decoded:
        fast = self._fast
        if fast is None or len(payloads) < _FAST_ROWS or fast.is_ambiguous:
            return self._read_all_exactly(payloads)
        fast.learn(_some(payloads, np.flatnonzero(valid_mask(payloads))))
        if fast.is_ambiguous:
            return self._read_all_exactly(payloads)
        # DuckDB takes no JSON whose bytes are not UTF-8.
        texts = payloads.view(pa.string())
        read = fast.read(texts)
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
        reasons.forget(read.doubt)
        rows = np.flatnonzero(read.doubt)
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
    def __init__(self, columns: Sequence[Column], *, is_record: bool, workspace: Workspace) -> None:
        self._workspace = workspace
        self._names = [f"c{i}" for i in range(len(columns))]
        named = [(c.name, name, c.type) for name, c in zip(self._names, columns, strict=True)]
        self._schema = pa.schema([(name, t.arrow) for _, name, t in named])
        self._doubles = [i for i, c in enumerate(columns) if c.type == DOUBLE]
        self._text = record_sql(named) if is_record else value_sql(*named[0][1:])
        self._any: Kernel | None = None
        self._plain: Kernel | None = None
        distinct = {name.lower() for name, _, _ in named if name and "{" not in name}
        if is_record and len(distinct) == len(named) and all(t == DOUBLE or is_plain(t) for *_, t in named):
            self._plain = self._kernel(plain_record_sql(named))

    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        rows = pa.RecordBatch.from_arrays(list(columns), names=self._names)
        if self._plain is not None and all(map(_is_finite, (columns[i] for i in self._doubles))):
            payloads = self._plain.run(rows=rows).column(0)
        else:
            self._any = self._any or self._kernel(self._text)
            payloads = self._any.run(rows=rows).column(0)
        payloads = payloads.cast(pa.binary())
        return payloads if absent is None else null_where(payloads, mask_of(absent.fill_null(False)))

    def _kernel(self, text: str) -> Kernel:
        return self._workspace.kernel(f"SELECT {text} AS payload FROM {{rows}}", {"rows": self._schema})


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
