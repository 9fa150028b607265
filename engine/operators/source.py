"""Source: raw records of one topic to a batch of typed columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import (
    HEADERS,
    NULL_VALUE,
    OFFSET,
    PARTITION,
    SEQ,
    TIME,
    WEIGHT,
    WINDOW_END,
    WINDOW_START,
)
from streamsql.engine.codec import Decoded, Decoder, OpenDecoder, joined
from streamsql.engine.log.wanted import EVERYTHING, Wanted
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.parallel import PerThread
from streamsql.engine.shared import SharedReader
from streamsql.engine.stage import Stage, StageKernel
from streamsql.engine.state.columns import to_numpy
from streamsql.engine.windowed_keys import WindowedKey, split_windowed_keys
from streamsql.errors import DataError

HEADERS_TYPE = pa.list_(pa.struct([("KEY", pa.string()), ("VALUE", pa.binary())]))


@dataclass(frozen=True, slots=True)
class EventTime:
    """Where a record's time comes from when it is not the record's own timestamp.

    column  the column it is in: if there is no stage, milliseconds or a timestamp
    stage   makes BIGINT milliseconds of the column, in the column `$time`
    throws  an unreadable time ends the query instead of dropping the record
    """

    column: str
    stage: Stage | None = None
    throws: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Reads a topic as a stream or as a table's upserts.

    key, value        the wanted columns, in the order of the decoders' results
    is_table          a null value is a tombstone (`$weight` -1), a record without a key is dropped
    wanted            the fields of typed keys and values that the decoders look at
    windowed_key      the key bytes carry window bounds: adds `$start`, `$end`
    reads_as          equal for sources whose values are decoded alike, None if decoding costs nothing
    keeps_null_values stream records with a null value pass, marked in `$null`; else they are dropped
    """

    topic: str
    key: tuple[pa.Field[Any], ...]
    value: tuple[pa.Field[Any], ...]
    key_decoder: OpenDecoder | None
    value_decoder: OpenDecoder | None
    is_table: bool = False
    windowed_key: WindowedKey | None = None
    keeps_null_values: bool = False
    with_offset: bool = False
    with_headers: bool = False
    event_time: EventTime | None = None
    wanted: Wanted = EVERYTHING
    reads_as: Hashable | None = None

    @property
    def output(self) -> pa.Schema:
        meta = [pa.field(TIME, pa.int64()), pa.field(SEQ, pa.int64()), pa.field(PARTITION, pa.int32())]
        if self.with_offset:
            meta.append(pa.field(OFFSET, pa.int64()))
        if self.with_headers:
            meta.append(pa.field(HEADERS, HEADERS_TYPE))
        if self.is_table:
            meta.append(pa.field(WEIGHT, pa.int8()))
        elif self.keeps_null_values:
            meta.append(pa.field(NULL_VALUE, pa.bool_()))
        if self.windowed_key:
            meta += [pa.field(WINDOW_START, pa.int64()), pa.field(WINDOW_END, pa.int64())]
        return pa.schema([*self.key, *self.value, *meta])

    def open(self, context: Context) -> SourceOperator:
        return SourceOperator(self, context)

    def describe(self) -> str:
        kind = "table" if self.is_table else "stream"
        columns = ", ".join(f.name for f in (*self.key, *self.value))
        return f"source {kind} of topic {self.topic}: {columns or 'no columns'}"


class SourceOperator(Operator):
    """`process` takes raw records: key, value, timestamp, [headers], `$partition`, `$offset`, `$seq`.

    shared  the part in decoding that another operator of the same node has, which closes it
    """

    def __init__(self, spec: Source, context: Context, shared: SharedReader | None = None) -> None:
        self.spec = spec
        self._context = context
        self._key = spec.key_decoder(context.workspace) if spec.key_decoder else None
        self._value = PerThread(context.workspace, spec.value_decoder) if spec.value_decoder else None
        self._shared = shared
        if shared is None and context.shared is not None and spec.reads_as is not None:
            self._shared = context.shared.reader(spec.reads_as)
        self._owns_shared = shared is None
        self._time: StageKernel | None = None
        if spec.event_time and spec.event_time.stage:
            self._time = StageKernel(spec.event_time.stage, context.workspace, context.problems)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (raw,) = inputs
        if raw is None or not raw.num_rows:
            return None
        self._context.problems.counters.read += raw.num_rows
        spec = self.spec
        keep = np.ones(raw.num_rows, dtype=bool)
        columns: list[pa.Array[Any]] = []
        keys = raw.column("key")
        bounds: tuple[pa.Array[Any], pa.Array[Any]] | None = None
        if spec.windowed_key:
            keys, *found = split_windowed_keys(keys, spec.windowed_key)
            bounds = (found[0], found[1])
        if self._key:
            columns += self._take_in(self._key.decode(keys), raw, "key", keep)
        if self._value:
            columns += self._take_in(self._decode(self._value, raw), raw, "value", keep)
        nulls = raw.column("value").is_null() if raw.column("value").null_count else None
        if spec.is_table and raw.column("key").null_count:
            keep &= ~_mask(raw.column("key").is_null())
        if nulls is not None and not spec.is_table and not spec.keeps_null_values:
            keep &= ~_mask(nulls)
        arrays = [*columns, raw.column("timestamp"), raw.column(SEQ), raw.column(PARTITION)]
        if spec.with_offset:
            arrays.append(raw.column(OFFSET))
        if spec.with_headers:
            arrays.append(_headers(raw))
        if spec.is_table:
            arrays.append(_weights(raw.num_rows, nulls))
        elif spec.keeps_null_values:
            arrays.append(nulls if nulls is not None else pa.array(np.zeros(raw.num_rows, dtype=bool)))
        if bounds:
            arrays += bounds
        batch = pa.RecordBatch.from_arrays(arrays, schema=spec.output)
        if spec.event_time:
            batch = self._with_event_time(batch, spec.event_time, raw, nulls, keep)
        times = batch.column(TIME).to_numpy()
        if times.min() < 0:
            keep &= times >= 0
        if not keep.all():
            batch = batch.filter(pa.array(keep))
        return batch if batch.num_rows else None

    def beside(self, context: Context) -> SourceOperator:
        return SourceOperator(self.spec, context, self._shared)

    def close(self) -> None:
        if self._shared is not None and self._owns_shared:
            self._shared.close()

    def _decode(self, decoders: PerThread[Decoder], raw: pa.RecordBatch) -> Decoded:
        def decode(records: pa.RecordBatch) -> Decoded:
            # Where decoding costs nothing, putting pieces together would.
            pieces = (records,) if self.spec.reads_as is None else decoders.cut(records)
            parts = decoders.over(pieces, lambda decoder, piece: decoder.decode(piece.column("value")))
            return joined(parts, list(accumulate((piece.num_rows for piece in pieces[:-1]), initial=0)))

        return decode(raw) if self._shared is None else self._shared.decode(raw, decode)

    def _take_in(
        self,
        decoded: Decoded,
        raw: pa.RecordBatch,
        side: str,
        keep: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> Sequence[pa.Array[Any]]:
        if len(decoded.bad):
            reasons = pc.binary_join_element_wise(f"{side}: ", decoded.reasons, "")
            self._context.problems.records_skipped(
                "DESERIALIZATION", self.spec.topic, raw, side, decoded.bad, reasons
            )
            keep[decoded.bad] = False
        return decoded.columns

    def _with_event_time(
        self,
        batch: pa.RecordBatch,
        event_time: EventTime,
        raw: pa.RecordBatch,
        nulls: pa.Array[Any] | None,
        keep: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> pa.RecordBatch:
        times, reasons = self._extract(batch.select([event_time.column]))
        if nulls is not None and self.spec.is_table:
            # A tombstone has no value columns: it keeps the time it was written with.
            times = pc.if_else(pc.and_(nulls, times.is_null()), batch.column(TIME), times)
        if times.null_count:
            lost = _mask(times.is_null()) & keep
            rows = np.flatnonzero(lost)
            found = [reasons.get(row, "the time is null") for row in rows.tolist()]
            if event_time.throws and found:
                raise DataError(
                    f"a record of topic {self.spec.topic} has no readable time: {found[0]}", code="DATA-TIME"
                )
            self._context.problems.records_skipped(
                "TIMESTAMP", self.spec.topic, raw, "value", rows, pa.array(found, pa.string())
            )
            keep &= ~lost
            times = pc.fill_null(times, -1)
        return batch.set_column(batch.schema.get_field_index(TIME), TIME, times)

    def _extract(self, columns: pa.RecordBatch) -> tuple[pa.Array[Any], Mapping[int, str]]:
        """Each row's time, null where there is none, and why where one failed."""
        if self._time is None:
            return _milliseconds(columns.column(0)), {}
        rows, failed = self._time.attempt(columns)
        return rows.column(0), dict(zip(failed.rows.tolist(), failed.reasons.to_pylist(), strict=True))


def _mask(flags: pa.Array[Any]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]] = flags.to_numpy(zero_copy_only=False)
    return mask


def _milliseconds(times: pa.Array[Any]) -> pa.Array[Any]:
    """Times as int64 milliseconds, null for what lies outside of all time: DuckDB's infinities.

    times  milliseconds already, or timestamps in microseconds
    """
    if not pa.types.is_timestamp(times.type):
        return times
    micros, valid = to_numpy(times)
    if len(micros) and (micros.max() == _INFINITY or micros.min() == -_INFINITY):
        is_infinite = (micros == _INFINITY) | (micros == -_INFINITY)
        valid = ~is_infinite if valid is None else valid & ~is_infinite
    return pa.array(micros // 1000, mask=None if valid is None else ~valid)


_INFINITY = (1 << 63) - 1


def _weights(rows: int, tombstones: pa.Array[Any] | None) -> pa.Array[Any]:
    weights = np.ones(rows, dtype=np.int8)
    if tombstones is not None:
        weights[_mask(tombstones)] = -1
    return pa.array(weights)


def _headers(raw: pa.RecordBatch) -> pa.Array[Any]:
    index = raw.schema.get_field_index("headers")
    if index < 0:
        return pa.array([[]] * raw.num_rows, type=HEADERS_TYPE)
    headers = raw.column(index)
    entries = headers.values.flatten()
    items = pa.StructArray.from_arrays(entries, fields=list(HEADERS_TYPE.value_type))
    return pa.ListArray.from_arrays(headers.offsets, items, type=HEADERS_TYPE)
