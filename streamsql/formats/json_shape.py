"""JSON records of one shape: the same names in the same order, spaced alike, with plain values.

What one producer writes differs from record to record in little but the values. The shape is learnt from
some records; then all are read side by side (`json_scan`). A record that does not fit is in doubt, and read
in another way: one with an escape in a text, an exponent, a name more or less.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from threading import Lock

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import Bytes, Ints, Mask, Vector, as_text, parts
from streamsql.formats.arrays import null_where, nulls, one_array, valid_mask
from streamsql.formats.json_exact import parse
from streamsql.formats.json_fast import Read
from streamsql.formats.json_names import is_folded
from streamsql.formats.json_scan import (
    BEFORE,
    BEHIND,
    LONGEST_LEAD,
    MOST_DIGITS,
    Booleans,
    Numbers,
    Scan,
    Texts,
)
from streamsql.formats.reasons import Reasons
from streamsql.formats.texts import from_counts
from streamsql.schema import Column
from streamsql.types import BIGINT, BOOLEAN, DATE, DOUBLE, INTEGER, TIME, TIMESTAMP, VARCHAR, SqlType

_ROWS = 1 << 14
"""Rows that are read side by side: their bytes and what is computed of them stay in a processor's cache."""
_EXACT = np.uint64(1 << 53)
"""Below it a double holds every whole number, and so do the powers of ten that it is divided by: one
division rounds as it should (W. D. Clinger, "How to read floating point numbers accurately", 1990)."""
_POWERS = np.array([10.0**n for n in range(MOST_DIGITS + 1)])
_MOST_FIELDS = 2
"""For each column: what nobody asks for is looked at as well, and a parser is faster in passing over it."""
_ONE_READS = Lock()
"""Held while records are read side by side. Of several queries' threads one does: in so many short steps they
would wait for each other, for Python's lock, longer than another way of reading takes."""
_REST = 32
"""Batches without a try, after records that have no shape."""


class _Kind(Enum):
    NUMBER = auto()
    TEXT = auto()
    BOOLEAN = auto()


_KINDS: dict[SqlType, _Kind] = {
    **dict.fromkeys((INTEGER, BIGINT, DOUBLE, DATE, TIME, TIMESTAMP), _Kind.NUMBER),
    VARCHAR: _Kind.TEXT,
    BOOLEAN: _Kind.BOOLEAN,
}
"""What a column's value must be for a record to be read here."""

_SPACE = rb"[ \t\n\r]*"
_BEGIN = re.compile(_SPACE + rb"\{")
_NAME = re.compile(_SPACE + rb'"([^"\\\x00-\x1f]*)"' + _SPACE + b":" + _SPACE)
_VALUE = re.compile(rb'(-?[0-9]+(?:\.[0-9]+)?)|("[^"\\\x00-\x1f]*")|(true|false)|null')
_BETWEEN = re.compile(_SPACE + b",")
_END = re.compile(_SPACE + rb"\}" + _SPACE)
_VALUE_KINDS = (None, _Kind.NUMBER, _Kind.TEXT, _Kind.BOOLEAN)


@dataclass(frozen=True, slots=True)
class _Member:
    """A name and its value, in one record.

    lead   all bytes between the value before and this one
    kind   None: it is null
    """

    name: str
    lead: bytes
    kind: _Kind | None
    length: int


@dataclass(frozen=True, slots=True)
class _Field:
    """A value in all records; `width` words are enough for most, `column` is read from it, or none."""

    lead: bytes
    kind: _Kind
    width: int
    column: int | None


class ShapeReader:
    """Reads batches of records by the shape that the last ones had."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._shape: Shape | None = None
        self._resting = 0

    def read(self, payloads: Vector, samples: Sequence[bytes]) -> Read | None:
        """Read string[n], whose bytes need not be UTF-8.

        samples  some of the payloads, to learn from
        gives    None if most of the records have no shape, or somebody else reads at the moment
        """
        if not _ONE_READS.acquire(blocking=False):
            return None
        try:
            return self._read(payloads, samples)
        finally:
            _ONE_READS.release()

    def _read(self, payloads: Vector, samples: Sequence[bytes]) -> Read | None:
        if self._resting:
            self._resting -= 1
            return None
        for shape in (self._shape, None):
            self._shape = shape or learn(samples, self._columns)
            found = self._shape.read(payloads) if self._shape is not None else None
            if found is not None:
                return found
            if shape is None:
                break
        self._shape, self._resting = None, _REST
        return None


@dataclass(frozen=True, slots=True)
class Shape:
    """What all bytes of records are but the values."""

    columns: tuple[Column, ...]
    fields: tuple[_Field, ...]
    end: bytes

    def read(self, payloads: Vector) -> Read | None:
        """string[n]; rows that do not fit are in doubt. None if those are most of the first ones."""
        offsets, data = parts(payloads)
        present = valid_mask(payloads)
        doubt = np.zeros(len(payloads), dtype=np.bool_)
        pieces: list[list[Vector]] = [[] for _ in self.columns]
        for low, high in pairwise([*range(0, len(payloads), _ROWS), len(payloads)]):
            block = _Block(data, offsets[low : high + 1])
            scan = Scan(block.data, block.begins)
            values = [_scanned(scan, field, self.columns) for field in self.fields]
            scan.literal(self.end)
            fits = scan.fits & (scan.at == block.ends)
            if block.is_beyond_ascii:
                fits &= ~as_text(payloads.slice(low, high - low).view(pa.binary()))[1]
            for field, value in zip(self.fields, values, strict=True):
                if field.column is not None:
                    t = self.columns[field.column].type
                    pieces[field.column].append(block.column(value, t, fits))
            doubt[low:high] = present[low:high] & ~fits
            if low == 0 and 2 * np.count_nonzero(doubt[:high]) > np.count_nonzero(present[:high]):
                return None
        columns = [
            one_array(found, c.type.arrow) if found else nulls(len(payloads), c.type.arrow)
            for c, found in zip(self.columns, pieces, strict=True)
        ]
        if payloads.null_count:
            columns = [null_where(column, ~present) for column in columns]
        none = np.zeros(len(payloads), dtype=np.bool_)
        return Read(columns, doubt, none, none, Reasons(len(payloads)))


def _scanned(scan: Scan, field: _Field, columns: Sequence[Column]) -> Numbers | Texts | Booleans:
    match field.kind:
        case _Kind.NUMBER:
            t = None if field.column is None else columns[field.column].type
            return scan.numbers(field.lead, field.width, whole=t is not None and t != DOUBLE)
        case _Kind.TEXT:
            return scan.texts(field.lead, field.width)
        case _Kind.BOOLEAN:
            return scan.booleans(field.lead)


class _Block:
    """The bytes of some rows, and columns of what was found there."""

    def __init__(self, data: Bytes, offsets: Ints) -> None:
        first, last = int(offsets[0]), int(offsets[-1])
        start = first - BEFORE
        if start >= 0 and last + BEHIND <= len(data):
            self.data = data[start : last + BEHIND]
        else:
            around = np.zeros(BEFORE, dtype=np.uint8), np.zeros(BEHIND, dtype=np.uint8)
            self.data = np.concatenate([around[0], data[first:last], around[1]])
        self.begins, self.ends = offsets[:-1] - start, offsets[1:] - start

    @property
    def is_beyond_ascii(self) -> bool:
        return bool(self.data[BEFORE:-BEHIND].max(initial=0) > 127)

    def column(self, values: Numbers | Texts | Booleans, t: SqlType, fits: Mask) -> Vector:
        """Values as a column of a type; rows that cannot be one are taken out of `fits`."""
        match values:
            case Texts(begins, ends, missing):
                return self._texts(
                    np.where(fits, begins, self.begins), np.where(fits, ends, self.begins), missing
                )
            case Booleans(flags, missing):
                return pa.array(flags, mask=missing)
            case Numbers():
                return self._doubles(values, fits) if t == DOUBLE else _whole(values, t, fits)

    def _texts(self, begins: Ints, ends: Ints, missing: Mask | None = None) -> Vector:
        """The texts between rising places, string[n]."""
        # What stands between two of them is a text as well, and left out.
        offsets = np.empty(2 * len(begins) + 1, dtype=np.int32)
        offsets[:-1:2], offsets[1::2], offsets[-1] = begins, ends, ends[-1]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        both = pa.Array.from_buffers(pa.string(), 2 * len(begins), buffers)
        return both.take(pa.array(np.arange(0, 2 * len(begins), 2, dtype=np.int32), mask=missing))

    def _doubles(self, numbers: Numbers, fits: Mask) -> Vector:
        values = numbers.digits.astype(np.float64)
        if numbers.places is not None:
            values /= _POWERS.take(numbers.places, mode="clip")
        long = np.flatnonzero((numbers.digits >= _EXACT) & fits)
        if len(long):
            values[long] = self._texts(numbers.begins[long], numbers.ends[long]).cast(pa.float64())
        if numbers.negative is not None:
            np.negative(values, out=values, where=numbers.negative)
            # -0 and -0.0 are not the same.
            fits &= ~numbers.negative | (values != 0)
        return pa.array(values, mask=numbers.missing)


def _whole(numbers: Numbers, t: SqlType, fits: Mask) -> Vector:
    values = numbers.digits.view(np.int64)
    if numbers.negative is not None:
        values = np.where(numbers.negative, -values, values)
    if t == INTEGER:
        # Beyond the range a number keeps its low bits.
        return pa.array(values.astype(np.int32), mask=numbers.missing)
    column = pa.array(values, mask=numbers.missing)
    if t == BIGINT:
        return column
    column, outside = from_counts(column, t)
    fits &= ~outside
    return column


def learn(payloads: Sequence[bytes], columns: Sequence[Column]) -> Shape | None:
    """The shape of the first of some records; the others tell more about its values. None if it has none."""
    samples = [members for members in map(_members, payloads) if members]
    if sys.byteorder != "little" or not samples:
        return None
    (first, end), *others = samples
    if len(first) > _MOST_FIELDS * len(columns):
        return None
    if max(len(end), *(len(member.lead) for member in first)) > LONGEST_LEAD:
        return None
    alike = [first, *(m for m, e in others if e == end and [x.lead for x in m] == [x.lead for x in first])]
    places: dict[str, int] = {}
    for place, column in enumerate(columns):
        names = [m.name for m in first if _is_of(m.name, column.name)]
        if len(names) > 1 or names and names[0] in places or column.type not in _KINDS:
            return None
        places.update(dict.fromkeys(names, place))
    fields = []
    for members in zip(*alike, strict=True):
        place_or_none = places.get(members[0].name)
        t = None if place_or_none is None else columns[place_or_none].type
        kind = next((m.kind for m in members if m.kind), _Kind.NUMBER if t is None else _KINDS[t])
        if t is not None and kind != _KINDS[t]:
            return None
        width = max(m.length for m in members) // 8 + 1
        fields.append(_Field(members[0].lead, kind, min(width, 8), place_or_none))
    return Shape(tuple(columns), tuple(fields), end)


def _is_of(name: str, column: str) -> bool:
    return (name.upper() if is_folded(column) else name) == column


def _members(payload: bytes) -> tuple[list[_Member], bytes] | None:
    """The members of a record and what stands behind the last; None if there is more than plain values."""
    try:
        parse(payload)
    except ValueError:
        return None
    found: list[_Member] = []
    end, position = 0, _BEGIN.match(payload)
    while position is not None:
        name = _NAME.match(payload, position.end())
        value = name and _VALUE.match(payload, name.end())
        if name is None or value is None:
            return None
        kind = _VALUE_KINDS[value.lastindex or 0]
        lead = payload[end : value.start()]
        found.append(_Member(name[1].decode(), lead, kind, value.end() - value.start()))
        end = value.end()
        position = _BETWEEN.match(payload, end)
    if not found or not _END.fullmatch(payload, end) or len({m.name for m in found}) < len(found):
        return None
    return found, payload[end:]
