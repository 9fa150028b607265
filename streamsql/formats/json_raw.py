"""JSON texts of single values, `12`, `"12"`, `true`, as DuckDB hands them on, as typed columns; vectorised.

Each function gives a column and says which values are something else than the type takes, or are written
in a way that only `json_exact` reads: those are not vouched for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import BLOCK, Mask, Vector, parts
from streamsql.formats.arrays import first_bytes, mask_of, null_where, pc, put_at, valid_mask
from streamsql.formats.texts import foreign, from_counts, read_texts
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    SqlType,
)

Unescape = Callable[[Vector], Vector]
"""Quoted JSON texts, string[n] without nulls, as what they say."""

_WHOLE = (INTEGER, BIGINT, DATE, TIME, TIMESTAMP)
_DIGITS = "-0123456789"
_NUMBER_STARTS = np.frombuffer(b"-0123456789NI", dtype=np.uint8)
_STARTS_NUMBER = np.zeros(256, dtype=np.bool_)
_STARTS_NUMBER[list(b"-0123456789")] = True
_SAME_AS_TEXT = r"^(?:-?[0-9]+|true|false)$"


def read_raw(found: Vector, t: SqlType, unescape: Unescape) -> tuple[Vector, Mask]:
    """string[n] as a column of `t`, null where the JSON is null, and which values are something else.

    t  any type but ARRAY, MAP and STRUCT
    """
    if t in _WHOLE:
        return _whole(found, t)
    if t == DOUBLE:
        return _double(found)
    if t == VARCHAR:
        return _text(found, unescape)
    found = without_nulls(found)
    if t == BOOLEAN:
        values = pc.equal(found, "true")
        return values, ~mask_of(pc.or_(values, pc.equal(found, "false")).fill_null(True))
    return _of_text(found, t)


def bare_numbers(payloads: Vector, t: SqlType) -> Vector | None:
    """JSON texts of whole numbers as a column of `t`, INTEGER or BIGINT; None if one is something else."""
    firsts = first_bytes(payloads)
    offsets, data = parts(payloads)
    digits = offsets[:-1] + (firsts == ord("-"))
    # JSON has no number with a zero in front, Arrow has, and reads 0x as well.
    led = (
        (offsets[1:] - digits > 1) & (data.take(digits, mode="clip") == ord("0")) if len(data) else firsts > 0
    )
    return None if led.any() else _cast(payloads, t.arrow)


def without_nulls(found: Vector) -> Vector:
    """The texts, null instead of `null`."""
    if not (first_bytes(found) == ord("n")).any():
        return found
    return null_where(found, mask_of(pc.equal(found, "null").fill_null(False)))


def _of_text(found: Vector, t: SqlType) -> tuple[Vector, Mask]:
    """Numbers, or texts that hold a value of the type; of BYTES only texts."""
    texts, odd = _unquoted(found, required=t == BYTES)
    values, wrong = read_texts(null_where(texts, odd), t)
    return values, odd | wrong.wrong


def _unquoted(found: Vector, *, required: bool) -> tuple[Vector, Mask]:
    """Raw values without the quotes of texts, and which are something else: literals, escapes.

    required  a number is something else too
    """
    firsts = first_bytes(found)
    present = valid_mask(found)
    quoted = firsts == ord('"')
    odd = present & ~quoted if required else present & ~quoted & ~np.isin(firsts, _NUMBER_STARTS)
    if not quoted.any():
        return found, odd
    if _has_backslash(found):
        odd |= mask_of(pc.match_substring(found, "\\").fill_null(False))
    return pc.utf8_trim(found, '"'), odd


def _has_backslash(found: Vector) -> bool:
    offsets, data = parts(found)
    return bool((data[offsets[0] : offsets[-1]] == ord("\\")).any())


def _text(found: Vector, unescape: Unescape) -> tuple[Vector, Mask]:
    quoted = first_bytes(found) == ord('"')
    odd = np.zeros(len(found), dtype=np.bool_)
    texts = pc.binary_slice(found.view(pa.binary()), 1, -1).view(pa.string())
    if not quoted.all():
        texts = null_where(texts, mask_of(pc.equal(found, "null").fill_null(False)))
        bare = np.flatnonzero(valid_mask(texts) & ~quoted)
        if len(bare):
            # Whole numbers and booleans say as texts what they are written as; objects and others do not.
            chosen = found.take(pa.array(bare))
            odd[bare] = ~mask_of(pc.match_substring_regex(chosen, _SAME_AS_TEXT))
            texts = put_at(texts, bare, chosen)
    if _has_backslash(found):
        escaped = np.flatnonzero(quoted & mask_of(pc.match_substring(found, "\\").fill_null(False)))
        if len(escaped):
            texts = put_at(texts, escaped, unescape(found.take(pa.array(escaped))))
    return texts, odd


def _numbers(found: Vector, to: pa.DataType) -> Vector | None:
    """Numbers and nulls as a column; None if there is something else.

    The text of any other JSON value is none that Arrow takes for a whole number.
    """
    values = _cast(found, to)
    if values is None and (texts := without_nulls(found)) is not found:
        values = _cast(texts, to)
    return values


def _cast(texts: Vector, to: pa.DataType) -> Vector | None:
    try:
        return texts.cast(to)
    except pa.ArrowInvalid:
        return None


def _double(found: Vector) -> tuple[Vector, Mask]:
    values, odd = _numbers(found, pa.float64()), np.zeros(len(found), dtype=np.bool_)
    if values is None:
        values, odd = _of_text(without_nulls(found), DOUBLE)
    # DuckDB takes NaN and Infinity in any case, and a number may be beyond a double's range.
    return values, odd | ~np.isfinite((values.fill_null(0) if values.null_count else values).to_numpy())


def _whole(found: Vector, t: SqlType) -> tuple[Vector, Mask]:
    odd = np.zeros(len(found), dtype=np.bool_)
    if t == INTEGER and (values := _numbers(found, pa.int32())) is not None:
        return values, odd
    values = _numbers(found, pa.int64())
    if values is None:
        values, odd = _mostly_whole(found)
    if t == BIGINT:
        return values, odd
    if t != INTEGER:
        column, outside = from_counts(values, t)
        return column, odd | outside
    numbers = (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)
    wrapped = numbers.astype(np.int32)
    # A number keeps its low 32 bits, a text of digits must be in range: `json_exact` tells them apart.
    odd |= wrapped != numbers
    return pa.array(wrapped, mask=~valid_mask(values) if values.null_count else None), odd


def _mostly_whole(found: Vector) -> tuple[Vector, Mask]:
    """Numbers at once, and what is none for itself: rarely it is many of them."""
    bare = _STARTS_NUMBER[first_bytes(found)]
    values, odd = _some_whole(null_where(found, ~bare))
    rows = np.flatnonzero(valid_mask(found) & ~bare)
    others = without_nulls(found.take(pa.array(rows)))
    texts, no_text = _unquoted(others, required=True)
    # Arrow reads 0x1F, too, which as a bare number is no JSON.
    no_text |= foreign(texts, _DIGITS)
    more, wrong = _some_whole(null_where(texts, no_text))
    odd[rows] = no_text | wrong
    read = np.flatnonzero(valid_mask(more))
    return put_at(values, rows[read], more.take(pa.array(read))), odd


def _some_whole(texts: Vector) -> tuple[Vector, Mask]:
    """Digits with a minus sign as int64[n], and what is something else."""
    odd = np.zeros(len(texts), dtype=np.bool_)
    try:
        return texts.cast(pa.int64()), odd
    except pa.ArrowInvalid:
        odd |= foreign(texts, _DIGITS)
    try:
        return null_where(texts, odd).cast(pa.int64()), odd
    except pa.ArrowInvalid:
        # A dash in the middle, or a number beyond 64 bits: eighteen digits certainly fit.
        fits = pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$")
    odd = valid_mask(texts) & ~mask_of(fits.fill_null(False))
    return null_where(texts, odd).cast(pa.int64()), odd


LONG_DIGITS = 16
"""Digits of a number, from which on the shortest ones of its double may not be all of them."""


_EIGHT = np.uint64(0x0101010101010101)


def has_long_number(texts: Vector) -> Mask:
    """Where a text may have a number of as many digits: where that many digits and points stand in a row."""
    offsets, data = parts(texts)
    first, last = int(offsets[0]), int(offsets[-1])
    found = np.zeros(len(texts), dtype=np.bool_)
    shifted = np.empty(BLOCK + LONG_DIGITS, dtype=np.uint8)
    runs = np.empty(BLOCK + LONG_DIGITS, dtype=np.bool_)
    for begin in range(first, last, BLOCK):
        block = data[begin : min(begin + BLOCK + LONG_DIGITS - 1, last)]
        # Points, slashes and digits are neighbours.
        np.subtract(block, ord("."), out=shifted[: len(block)])
        fit = np.less(shifted[: len(block)], 12, out=runs[: len(block)])
        # Sixteen in a row cover one of the words of eight.
        if not (fit[: len(block) & -8].view(np.uint64) == _EIGHT).any():
            continue
        length = 1
        while length < LONG_DIGITS:
            fit = fit[:-length] & fit[length:]
            length *= 2
        places = np.flatnonzero(fit) + begin
        found[np.searchsorted(offsets, places, side="right") - 1] = True
    return found
