"""What went wrong with single records, and the counters of a query.

A bad record never stops a query: it is counted and kept here with its reason until the query's next
commit writes it to the processing log. Entries are columns, as records are: a topic where every tenth
record is bad is still read by the batch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import OFFSET, PARTITION
from streamsql.engine.kernel import one_batch
from streamsql.engine.python_values import python_values
from streamsql.engine.texts import Ints, as_text, parts

ENTRIES = pa.schema(
    [
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("time_ms", pa.int64()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("text", pa.string()),
    ]
)
"""Entries of the processing log.

kind       DESERIALIZATION, TIMESTAMP, EXPRESSION, LATE
time_ms    the record's time, or null
text       the offending payload or expression, cut to 512 bytes
"""

_TEXT_BYTES = 512


@dataclass(slots=True)
class Counters:
    """Rows since the query was opened.

    filtered  what a WHERE or HAVING has left out, where it is a step of its own: in front of an
              aggregation it is part of that one's statement, and its rows are not counted
    """

    read: int = 0
    filtered: int = 0
    emitted: int = 0
    skipped: int = 0
    late: int = 0
    failed_expressions: int = 0
    batches: int = 0


@dataclass(slots=True)
class Problems:
    """Collects a query's problems; `drain` hands over what came since the last call.

    first_reason  of the first problem that is not a late row
    pending       entries that wait for `drain`; the owner is to call it before they are very many
    """

    counters: Counters = field(default_factory=Counters)
    first_reason: str | None = None
    pending: int = 0
    _pending: list[pa.RecordBatch] = field(default_factory=list)

    def records_skipped(
        self,
        kind: str,
        topic: str,
        records: pa.RecordBatch,
        side: str,
        rows: Ints,
        reasons: pa.Array[Any],
    ) -> None:
        """Records that could not be read.

        records  raw ones: timestamp, `$partition`, `$offset` and the side, `key` or `value`
        rows     int64[k]: places of bad ones among them
        reasons  string[k]
        """
        if not len(rows):
            return
        self.counters.skipped += len(rows)
        bad = records.take(pa.array(rows))
        self._keep(
            kind,
            reasons,
            bad.column("timestamp"),
            text=_texts(bad.column(side)),
            topic=topic,
            partition=bad.column(PARTITION),
            offset=bad.column(OFFSET),
        )

    def expressions_failed(
        self, times: pa.Array[Any], expressions: pa.Array[Any], reasons: pa.Array[Any]
    ) -> None:
        """k expressions failed: int64[k] times of the rows, string[k] as SQL, string[k] why."""
        if not len(times):
            return
        self.counters.failed_expressions += len(times)
        self._keep("EXPRESSION", reasons, times, text=_texts(expressions.cast(pa.binary())))

    def late(self, rows: int, reason: str) -> None:
        """Rows that came after their window had closed."""
        if rows:
            self.counters.late += rows
            self._keep("LATE", pa.array([f"{rows} rows: {reason}"]), pa.nulls(1, pa.int64()))

    def drain(self) -> pa.RecordBatch:
        """The entries since the last call, in the schema ENTRIES."""
        drained, self._pending, self.pending = self._pending, [], 0
        return one_batch(ENTRIES, drained)

    def hand_over(self) -> Problems:
        """All of it, as problems of their own; here, everything begins anew."""
        given = Problems(replace(self.counters), self.first_reason, self.pending, self._pending)
        for name in self.counters.__slots__:
            setattr(self.counters, name, 0)
        self.first_reason, self.pending, self._pending = None, 0, []
        return given

    def take_in(self, others: Problems) -> None:
        """What others have handed over."""
        for name in self.counters.__slots__:
            setattr(self.counters, name, getattr(self.counters, name) + getattr(others.counters, name))
        self.first_reason = self.first_reason or others.first_reason
        self.pending += others.pending
        self._pending += others._pending

    def _keep(self, kind: str, reasons: pa.Array[Any], times: pa.Array[Any], **known: Any) -> None:
        n = len(reasons)
        if self.first_reason is None and kind != "LATE":
            self.first_reason = reasons[0].as_py()
        given = {"kind": kind, "reason": reasons, "time_ms": times, **known}
        columns = []
        for column in ENTRIES:
            value = given.get(column.name)
            if not isinstance(value, pa.Array):
                value = (
                    pa.nulls(n, column.type) if value is None else pa.repeat(pa.scalar(value, column.type), n)
                )
            columns.append(value.cast(column.type))
        self._pending.append(pa.RecordBatch.from_arrays(columns, schema=ENTRIES))
        self.pending += n


def _values(payloads: pa.Array[Any]) -> list[Any]:
    """Typed payloads as Python has them; with times as numbers if one is none of Python's."""
    try:
        return payloads.to_pylist()
    except (OverflowError, ValueError):
        return python_values(payloads)


def _texts(payloads: pa.Array[Any]) -> pa.Array[Any]:
    """Payloads as the texts of entries."""
    if not pa.types.is_binary(payloads.type):
        return pa.array([None if p is None else cut(str(p)) for p in _values(payloads)], pa.string())
    texts, broken = as_text(payloads)
    odd = pa.array(broken | (np.diff(parts(payloads)[0]) > _TEXT_BYTES))
    # One by one only those that are to be cut, or are no UTF-8.
    written = [None if p is None else cut(_text(p)) for p in payloads.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(written, pa.string())) if written else texts


def _text(payload: bytes) -> str:
    # What is cut off need not be decoded; backslashes only make a text longer.
    return payload[: _TEXT_BYTES + 4].decode("utf-8", "backslashreplace")


_WRAPPED = "Invalid Input Error: Python exception occurred while executing the UDF: "
_OURS = re.compile(r"^DataError: (?:\[DATA\] )?")
_WRAPPING = re.compile(rf"^(?:{re.escape(_WRAPPED)}(?:DataError: (?:\[DATA\] )?)?|[A-Z]\w+(?: \w+)* Error: )")
_DIVISION = re.compile(r"^Division by zero in expression .*")


def reason_of(error: duckdb.Error) -> str:
    """What DuckDB says is wrong, in one line, without what it says of itself and of functions of ours.

    >>> reason_of(duckdb.OutOfRangeException("Out of Range Error: Overflow in addition of INT32 (1 + 2)!"))
    'Overflow in addition of INT32 (1 + 2)!'
    """
    return _DIVISION.sub("division by zero", _WRAPPING.sub("", str(error).splitlines()[0]))


def error_text(error: Exception) -> str:
    """The same of an error that a function of ours raised."""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    return _DIVISION.sub("division by zero", _OURS.sub("", said))


def cut(text: str) -> str:
    """The text, at most 512 bytes of it."""
    if len(text) * 4 <= _TEXT_BYTES:
        return text
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= _TEXT_BYTES else encoded[:_TEXT_BYTES].decode("utf-8", "ignore") + "…"
