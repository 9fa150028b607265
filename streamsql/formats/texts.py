"""Columns of text read as typed columns by the rules of `streamsql.formats.scalars`, vectorised.

Texts of plain shape (digits and a point where they may be) go through Arrow's parsers; the few of
another shape, and those Arrow refuses, are looked at one by one, so that a wrong value costs no more
than itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.formats import scalars
from streamsql.formats.arrays import (
    Bytes,
    Mask,
    Vector,
    mask_of,
    null_where,
    nulls,
    parts,
    pc,
    replace_at,
    rows_where,
    valid_mask,
)
from streamsql.types import BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INTEGER, TIME, TIMESTAMP, Decimal, SqlType


def read_texts(texts: Vector, kind: SqlType) -> tuple[Vector, dict[int, str]]:
    """string[n] as a column of `kind` and what is wrong, by row; nulls stay, wrong texts become null.

    kind  any type but ARRAY, MAP and STRUCT
    """
    if kind in (INTEGER, BIGINT):
        # The commonest case by far.
        if kind == BIGINT and (whole := digits_only(texts)) is not None:
            return whole, {}
        return _read(texts, kind.arrow, "-0123456789", r"^-?[0-9]+$", lambda t: scalars.integer(t, kind))
    if kind in (TIME, DATE, TIMESTAMP):
        return _read_counts(texts, kind)
    if kind == DOUBLE:
        return _read(texts, kind.arrow, "+-.0123456789eE", r"^[-+.0-9eE]+$", scalars.double)
    if isinstance(kind, Decimal):
        exact = kind
        return _read(
            texts,
            kind.arrow,
            "+-.0123456789",
            r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)$",
            lambda t: scalars.exact_decimal(t, exact),
        )
    if kind == BYTES:
        return _read_base64(texts)
    if kind == BOOLEAN:
        return pc.equal(pc.utf8_lower(texts), "true"), {}
    return texts, {}


def digits_only(texts: Vector) -> Vector | None:
    """string[n] as int64[n] if every text is digits with perhaps a minus sign, and in range; else None."""
    offsets, data = parts(texts)
    used = data[offsets[0] : offsets[-1]]
    # Two comparisons of bytes cost a tenth of a pattern.
    if not ((used - ord("0") < 10) | (used == ord("-"))).all():
        return None
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _read(
    texts: Vector, arrow: pa.DataType, alphabet: str, plain: str, exact: Callable[[str], Any]
) -> tuple[Vector, dict[int, str]]:
    """Try all at once, then the plain ones at once and the others one by one.

    alphabet  of texts that Arrow reads as the exact rules do, or refuses
    plain     a pattern of such texts
    """
    odd = foreign(texts, alphabet)
    try:
        found = null_where(texts, odd).cast(arrow)
    except pa.ArrowInvalid:
        return _read_parted(texts, arrow, plain, exact)
    return _read_odd(texts, found, odd, exact)


def _read_parted(
    texts: Vector, arrow: pa.DataType, plain: str, exact: Callable[[str], Any]
) -> tuple[Vector, dict[int, str]]:
    odd = valid_mask(texts) & ~mask_of(pc.match_substring_regex(texts, plain).fill_null(False))
    try:
        found = null_where(texts, odd).cast(arrow)
    except pa.ArrowInvalid:
        # A plain text out of range hides among the others.
        odd = valid_mask(texts)
        found = nulls(len(texts), arrow)
    return _read_odd(texts, found, odd, exact)


def _read_odd(
    texts: Vector, found: Vector, odd: Mask, exact: Callable[[str], Any]
) -> tuple[Vector, dict[int, str]]:
    """The column with the odd texts read one by one, and what is wrong with them."""
    rows = np.flatnonzero(odd)
    values: dict[int, Any] = {}
    wrong: dict[int, str] = {}
    # Row by row: these are the texts that no vectorised parser can be trusted with.
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        try:
            values[row] = exact(text)
        except scalars.Mismatch as mismatch:
            wrong[row] = mismatch.reason
    # The wrong ones are null as it is.
    return replace_at(found, np.fromiter(values, np.int64, len(values)), [*values.values()]), wrong


def foreign(texts: Vector, alphabet: str) -> Mask:
    """Where a text is empty or has a letter that is not of an ASCII alphabet; nulls are not foreign."""
    offsets, data = parts(texts)
    found = (np.diff(offsets) == 0) | rows_where(offsets, ~_table(alphabet)[data[offsets[0] : offsets[-1]]])
    return found & valid_mask(texts) if found.any() else found


_tables: dict[str, Mask] = {}


def _table(alphabet: str) -> Mask:
    if alphabet not in _tables:
        table = np.zeros(256, dtype=np.bool_)
        table[[ord(c) for c in alphabet]] = True
        _tables[alphabet] = table
    return _tables[alphabet]


def _read_counts(texts: Vector, kind: SqlType) -> tuple[Vector, dict[int, str]]:
    counts, wrong = read_texts(texts, BIGINT)
    column, outside = from_counts(counts, kind)
    for row in np.flatnonzero(outside).tolist():
        wrong[row] = f"{scalars.shown(texts[row].as_py())} is outside the range of {kind}"
    return column, wrong


_SPANS: dict[SqlType, tuple[int, int]] = {
    TIME: (0, 86_399_999),
    DATE: (-(2**31), 2**31 - 1),
    TIMESTAMP: (-((2**63 - 1) // 1000), (2**63 - 1) // 1000),
}


def from_counts(counts: Vector, kind: SqlType) -> tuple[Vector, Mask]:
    """TIME, DATE or TIMESTAMP from ms of day, days or ms; true where out of range (null there)."""
    lowest, highest = _SPANS[kind]
    low_high = pc.or_(pc.less(counts, lowest), pc.greater(counts, highest)).fill_null(False)
    outside = mask_of(low_high)
    counts = null_where(counts, outside)
    if kind == DATE:
        return counts.cast(pa.int32()).cast(pa.date32()), outside
    return pc.multiply(counts, 1000).cast(kind.arrow), outside


def to_counts(column: Vector, kind: SqlType) -> Vector:
    """The other way: ms of day, days or ms; digits below a ms are cut off towards the past."""
    if kind == DATE:
        return column.cast(pa.int32())
    micros = column.cast(pa.int64())
    values = micros.fill_null(0).to_numpy(zero_copy_only=False) // 1000
    return pa.array(values, mask=None if not micros.null_count else ~valid_mask(micros))


_SIXBITS = np.full(256, 255, dtype=np.uint8)
for _value, _letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
    _SIXBITS[_letter] = _value


def _read_base64(texts: Vector) -> tuple[Vector, dict[int, str]]:
    """All texts at once: where each is padded to groups of four, so is the whole."""
    offsets, data = parts(texts)
    lengths = np.diff(offsets)
    used = data[offsets[0] : offsets[-1]]
    groups = _SIXBITS[used]
    padding = used == ord("=")
    if (lengths % 4).any() or ((groups == 255) & ~padding).any() or not _padded_at_ends(padding, lengths):
        return _read_parted(texts, pa.binary(), "^$", scalars.base64_bytes)
    groups[padding] = 0
    quads = groups.reshape(-1, 4)
    decoded: Bytes = np.empty((len(quads), 3), dtype=np.uint8)
    decoded[:, 0] = quads[:, 0] << 2 | quads[:, 1] >> 4
    decoded[:, 1] = quads[:, 1] << 4 | quads[:, 2] >> 2
    decoded[:, 2] = quads[:, 2] << 6 | quads[:, 3]
    missing = padding.reshape(-1, 4)[:, 1:]
    sizes = lengths // 4 * 3
    pads = np.concatenate(([0], np.cumsum(padding)))
    ends = np.cumsum(lengths)
    sizes -= pads[ends] - pads[ends - lengths]
    new_offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum(sizes, out=new_offsets[1:])
    data_buffer = pa.py_buffer(decoded[~missing].tobytes())
    validity = pa.array(valid_mask(texts)).buffers()[1] if texts.null_count else None
    return pa.Array.from_buffers(
        pa.binary(), len(texts), [validity, pa.py_buffer(new_offsets.tobytes()), data_buffer]
    ), {}


def _padded_at_ends(padding: Mask, lengths: np.ndarray[Any, Any]) -> bool:
    """Whether padding stands nowhere but in the last one or two places of a text."""
    if not padding.any():
        return True
    allowed = np.zeros(len(padding), dtype=np.bool_)
    ends = np.cumsum(lengths)[lengths > 0]
    allowed[ends - 1] = True
    # The last place but one may be padding only if the last one is.
    allowed[ends[padding[ends - 1]] - 2] = True
    return bool((allowed | ~padding).all())
