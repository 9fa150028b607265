"""Columns of text read as typed columns by the rules of `streamsql.formats.scalars`, vectorised.

Texts of plain shape (digits and a point where they may be) go through Arrow's parsers; the few of
another shape, and those Arrow refuses, are looked at one by one, so that a wrong value costs no more
than itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import BLOCK, Bytes, Mask, Vector, parts, rows_where, rows_with
from streamsql.formats import scalars
from streamsql.formats.arrays import ints, mask_of, null_where, nulls, pc, put_at, replace_at, valid_mask
from streamsql.formats.reasons import Reasons
from streamsql.types import BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INTEGER, TIME, TIMESTAMP, Decimal, SqlType

_DIGITS = {INTEGER: 10, BIGINT: 19, TIME: 8, DATE: 10, TIMESTAMP: 16}
"""Of the largest number."""


def read_texts(texts: Vector, kind: SqlType) -> tuple[Vector, Reasons]:
    """string[n] as a column of `kind`, and what is wrong with texts; nulls stay, wrong texts become null.

    kind  any type but ARRAY, MAP and STRUCT
    """
    reasons = Reasons(len(texts))
    if kind in (INTEGER, BIGINT, DOUBLE) or isinstance(kind, Decimal):
        return _read(texts, kind, reasons), reasons
    if kind in (TIME, DATE, TIMESTAMP):
        return _read_counts(texts, kind, reasons), reasons
    if kind == BYTES:
        return _read_base64(texts, reasons), reasons
    if kind == BOOLEAN:
        return pc.equal(pc.utf8_lower(texts), "true"), reasons
    return texts, reasons


def hopeless(texts: Vector, kind: SqlType) -> Vector:
    """Why those of string[k] cannot be read that clearly are no text of `kind`; else null.

    kind  any type; of what any text is fine for, or is read in no text, nothing is said
    """
    shape = _shape(kind)
    if shape is None:
        return nulls(len(texts), pa.string())
    shown = texts
    if (pc.max(pc.utf8_length(texts)).as_py() or 0) > scalars.SHOWN:
        cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, scalars.SHOWN - 3), "...", "")
        shown = pc.if_else(pc.greater(pc.utf8_length(texts), scalars.SHOWN), cut, texts)
    reasons = nulls(len(texts), pa.string())
    for pattern, says in shape.hopeless:
        found = pc.match_substring_regex(texts, pattern)
        reasons = pc.if_else(found, pc.binary_join_element_wise("'", shown, f"' {says}", ""), reasons)
    return reasons


@dataclass(frozen=True, slots=True)
class _Shape:
    """How texts of a type look.

    letters   of texts that Arrow reads as the exact rules do, or refuses; ASCII
    fits      a pattern of texts that Arrow is certain to read
    hopeless  patterns and what is wrong with texts that match: a letter that no text of the type has, not
              even one that only format JSON reads; digits, as a message shows them, of more than has place
    exact     reads one text; raises Mismatch
    longest   in characters: longer ones are left to Arrow only if they fit
    """

    letters: str
    fits: str
    hopeless: tuple[tuple[str, str], ...]
    exact: Callable[[str], Any]
    longest: int = 2**31


_IN_NO_NUMBER = r"!-*,/:-@\[-^`{-~"
"""Of ASCII, what is no letter and in no number; points, signs, underscores and blanks are."""


@cache
def _shape(kind: SqlType) -> _Shape | None:
    """None for what every text can be read as, or none."""
    named = f"is not {scalars.article(kind)}"
    if isinstance(kind, Decimal):
        return _decimal_shape(kind, named)
    if kind == DOUBLE:
        return _Shape(
            "+-.0123456789eE",
            r"^-?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE]-?[0-9]{1,2})?$",
            # Of the letters, those of 1e5f, nan and Infinity are left.
            ((rf"[{_IN_NO_NUMBER}B-CG-HJ-MO-SU-XZb-cg-hj-mo-su-xz]", named),),
            scalars.double,
        )
    if kind == BYTES:
        return _Shape("", "", ((r"[^A-Za-z0-9+/=]", "is not base64"),), scalars.base64_bytes)
    if kind in _DIGITS:
        fits = r"^-?[0-9]{1,9}$" if kind == INTEGER else r"^-?[0-9]{1,18}$"
        beyond = rf"^-?[1-9][0-9]{{{_DIGITS[kind]},62}}$", f"is outside the range of {kind}"
        exact = partial(scalars.integer, kind=kind)
        return _Shape("-0123456789", fits, ((r"[^-+0-9]", named), beyond), exact)
    return None


def _decimal_shape(kind: Decimal, named: str) -> _Shape:
    whole, scale = kind.precision - kind.scale, kind.scale
    before = rf"(?:0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
    too_large = rf"[1-9][0-9]{{{whole}}}[0-9]*(?:\.[0-9]+)?"
    too_fine = rf"[1-9][0-9]*\.[0-9]{{{scale}}}[0-9]*[1-9]"
    # Smaller ones are shown with an exponent.
    too_fine_below_one = rf"0\.[1-9][0-9]{{{scale - 1}}}[0-9]*[1-9]" if scale else r"0\.[1-9]"
    misfits = rf"^-?(?:{too_large}|{too_fine}|{too_fine_below_one})$"
    return _Shape(
        "+-.0123456789",
        rf"^-?{before}(?:\.[0-9]{{0,{scale}}})?$",
        (
            (rf"[{_IN_NO_NUMBER}A-DF-Za-df-z]", named),
            (misfits, f"does not fit {kind} without rounding"),
        ),
        partial(scalars.exact_decimal, kind=kind),
        # Of more digits than it has place for, Arrow makes other numbers and says nothing.
        longest=38 - scale,
    )


def digits_only(texts: Vector) -> Vector | None:
    """string[n] as int64[n] if every text is digits with perhaps a minus sign, and in range; else None."""
    offsets, data = parts(texts)
    for begin in range(int(offsets[0]), int(offsets[-1]), BLOCK):
        block = data[begin : min(begin + BLOCK, int(offsets[-1]))]
        # Two comparisons of bytes cost a tenth of a pattern.
        if not ((block - ord("0") < 10) | (block == ord("-"))).all():
            return None
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _read(texts: Vector, kind: SqlType, reasons: Reasons, *, whole: bool = False) -> Vector:
    """Try all at once, then those that are certain to fit at once and the others one by one.

    whole  give the 64-bit numbers that stand for values of `kind`
    """
    arrow = pa.int64() if whole else kind.arrow
    if arrow == pa.int64() and (numbers := digits_only(texts)) is not None:
        return numbers  # the commonest case by far
    shape = _shape(kind)
    assert shape is not None
    odd = foreign(texts, shape.letters)
    long = np.flatnonzero(np.diff(parts(texts)[0]) > shape.longest)
    if len(long):
        odd[long] |= ~_matches(texts.take(pa.array(long)), shape.fits)
    try:
        found = null_where(texts, odd).cast(arrow)
    except pa.ArrowInvalid:
        odd = ~_matches(texts, shape.fits)
        found = null_where(texts, odd).cast(arrow)
    return _read_odd(texts, found, odd, kind, shape.exact, reasons)


def _matches(texts: Vector, pattern: str) -> Mask:
    """Where a text matches; nulls do."""
    return mask_of(pc.match_substring_regex(texts, pattern).fill_null(True))


def _read_odd(
    texts: Vector, found: Vector, odd: Mask, kind: SqlType, exact: Callable[[str], Any], reasons: Reasons
) -> Vector:
    """The column, null where the texts are odd, with those of them that can be read."""
    rows = np.flatnonzero(odd)
    if not len(rows):
        return found
    reasons.note(rows, hopeless(texts.take(pa.array(rows)), kind))
    rows = rows[reasons.of[rows] < 0]
    values: dict[int, Any] = {}
    wrong: dict[int, str] = {}
    # Row by row: these are the texts that no vectorised parser can be trusted with.
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        try:
            values[row] = exact(text)
        except scalars.Mismatch as mismatch:
            wrong[row] = mismatch.reason
    reasons.note(ints(wrong), pa.array(wrong.values(), pa.string()))
    return replace_at(found, ints(values), [*values.values()])


def foreign(texts: Vector, alphabet: str) -> Mask:
    """Where a text is empty or has a letter that is not of an ASCII alphabet; nulls are not foreign."""
    others = ~_table(alphabet)
    found = (np.diff(parts(texts)[0]) == 0) | rows_with(texts, lambda data: others[data])
    return found & valid_mask(texts) if found.any() else found


_tables: dict[str, Mask] = {}


def _table(alphabet: str) -> Mask:
    if alphabet not in _tables:
        table = np.zeros(256, dtype=np.bool_)
        table[[ord(c) for c in alphabet]] = True
        _tables[alphabet] = table
    return _tables[alphabet]


def _read_counts(texts: Vector, kind: SqlType, reasons: Reasons) -> Vector:
    counts = _read(texts, kind, reasons, whole=True)
    column, outside = from_counts(counts, kind)
    rows = np.flatnonzero(outside)
    if len(rows):
        shown = counts.take(pa.array(rows)).cast(pa.string())
        reasons.note(rows, pc.binary_join_element_wise("'", shown, f"' is outside the range of {kind}", ""))
    return column


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


_SIXBITS = np.full(256, 255, dtype=np.uint8)
for _value, _letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
    _SIXBITS[_letter] = _value


def _read_base64(texts: Vector, reasons: Reasons) -> Vector:
    odd = _is_odd_base64(texts)
    if not odd.any():
        return _decoded_base64(texts)
    present = valid_mask(texts)
    rows = np.flatnonzero(present & ~odd)
    found = put_at(nulls(len(texts), pa.binary()), rows, _decoded_base64(texts.take(pa.array(rows))))
    return _read_odd(texts, found, present & odd, BYTES, scalars.base64_bytes, reasons)


def _is_odd_base64(texts: Vector) -> Mask:
    """What is not groups of four, padded at the end of the last one; also what lies behind a null."""
    offsets, data = parts(texts)
    used = data[offsets[0] : offsets[-1]]
    padding = used == ord("=")
    odd = (np.diff(offsets) % 4 != 0) | rows_where(offsets, (_SIXBITS[used] == 255) & ~padding)
    if padding.any():
        # What padding stands in one of the last two places, the very last one being padding too?
        ends = (offsets[1:] - offsets[0])[np.diff(offsets) > 0]
        fine = np.zeros(len(used), dtype=np.bool_)
        fine[ends - 1] = True
        fine[ends[padding[ends - 1]] - 2] = True
        odd |= rows_where(offsets, padding & ~fine)
    return odd


def _decoded_base64(texts: Vector) -> Vector:
    """All texts at once: where each is padded to groups of four, so is the whole."""
    offsets, data = parts(texts)
    lengths = np.diff(offsets)
    groups = _SIXBITS[data[offsets[0] : offsets[-1]]]
    padding = groups == 255
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
    )
