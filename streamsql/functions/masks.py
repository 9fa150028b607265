"""MASK and its four kin: letters and digits of a text replaced by one character per class.

A vector of ASCII texts under one set of masks, the usual case, is masked as one array of bytes: a
look-up table over the data buffer, the offsets stay. Other texts go row by row.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.distinct import Column, Vector
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.arrow import with_arity
from streamsql.functions.registry import BoundCall, Scalar
from streamsql.tolerance import attempts

Masks = tuple[str | None, str | None, str | None, str | None]
"""What upper-case letters, lower-case letters, digits and all else become; None leaves a class alone."""

_DEFAULT: Masks = ("X", "x", "n", "-")
_CLASS = {"Lu": 0, "Ll": 1, "Nd": 2}
_ALL_ELSE = 3

Span = Callable[[Any, Any], tuple[Any, Any]]
"""(count, length) -> the half-open range of character places to mask; numbers or int arrays."""

_SPANS: dict[str, Span] = {
    "MASK": lambda count, length: (0 * length, length),
    "MASK_LEFT": lambda count, length: (0 * length, count),
    "MASK_RIGHT": lambda count, length: (length - count, length),
    "MASK_KEEP_LEFT": lambda count, length: (count, length),
    "MASK_KEEP_RIGHT": lambda count, length: (0 * length, length - count),
}


class _Table(dict[int, str]):
    """For str.translate: code point -> what it becomes, filled as characters are met."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks

    def __missing__(self, code: int) -> str:
        character = chr(code)
        mask = self._masks[_CLASS.get(unicodedata.category(character), _ALL_ELSE)]
        self[code] = character if mask is None else mask
        return self[code]


@cache
def _table(masks: Masks) -> _Table:
    for mask in masks:
        if mask is not None and len(mask) != 1:
            raise DataError(f"a mask must be a single character, not '{mask}'")
    return _Table(masks)


def mask_text(text: str, span: Span, count: int, masks: Masks = _DEFAULT) -> str:
    """One text masked.

    raises  DataError for a negative count or a mask that is not one character

    >>> mask_text("Ab 1é", _SPANS["MASK_KEEP_RIGHT"], 1)
    'Xx-né'
    """
    if count < 0:
        raise DataError(f"cannot mask a number of characters below 0: {count}")
    start, end = span(count, len(text))
    start, end = max(start, 0), max(end, 0)
    return text[:start] + text[start:end].translate(_table(masks)) + text[end:]


@dataclass(frozen=True)
class _Masking:
    """The Arrow function of one MASK function; columns: the text, the count if any, the masks if any."""

    name: str
    has_count: bool
    has_masks: bool

    def run(self, *columns: Column) -> Vector:
        texts = columns[0]
        counts = columns[1] if self.has_count else None
        mask_columns = columns[-4:] if self.has_masks else ()
        array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        masks = _one_set(mask_columns) if mask_columns else _DEFAULT
        # A null text is null, whatever the masks are.
        if masks is not None and array.null_count < len(array) and _are_counts(counts):
            _table(masks)
            limits = 0 if counts is None else counts.to_numpy().astype(np.int64)
            masked = _mask_ascii(array, _SPANS[self.name], limits, masks)
            if masked is not None:
                return masked
        return self._by_row(array, counts, mask_columns)

    def _by_row(self, texts: Any, counts: Column | None, mask_columns: tuple[Column, ...]) -> Vector:
        # A Python loop over rows: Unicode classes of texts beyond ASCII, or masks that change by row.
        rows = len(texts)
        count_values = [0] * rows if counts is None else counts.to_pylist()
        sets: list[Any] = (
            list(zip(*(c.to_pylist() for c in mask_columns), strict=True))
            if mask_columns
            else [_DEFAULT] * rows
        )
        span = _SPANS[self.name]

        def masked(text: str | None, count: int | None, masks: Masks) -> str | None:
            return None if text is None or count is None else mask_text(text, span, count, masks)

        return pa.array(
            attempts(masked, zip(texts.to_pylist(), count_values, sets, strict=True)), pa.string()
        )


def _are_counts(counts: Column | None) -> bool:
    """Whether there is no null and nothing below 0 among them; such rows go one by one."""
    return counts is None or (counts.null_count == 0 and pc.min(counts).as_py() >= 0)


def _one_set(columns: tuple[Column, ...]) -> Masks | None:
    """The masks, if they are the same in every row."""
    values = [c.unique().to_pylist() for c in columns]
    if any(len(v) != 1 for v in values):
        return None
    upper, lower, digit, other = (v[0] for v in values)
    return upper, lower, digit, other


def _mask_ascii(texts: Any, span: Span, counts: Any, masks: Masks) -> Vector | None:
    """The texts masked through their buffers, or None if a text or mask is not ASCII.

    counts  int64[n], or 0 where the function has none
    """
    if any(mask is not None and ord(mask) > 127 for mask in masks):
        return None
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    buffer = texts.buffers()[2]
    data = np.frombuffer(buffer, np.uint8)[first:last] if last > first else np.empty(0, np.uint8)
    if data.size and data.max() > 127:
        return None
    starts = (offsets - first).astype(np.int64)
    lengths = np.diff(starts)
    place = np.arange(data.size) - np.repeat(starts[:-1], lengths)
    start, end = span(counts, lengths)
    chosen = (place >= np.repeat(start, lengths)) & (
        place < np.repeat(np.broadcast_to(end, lengths.shape), lengths)
    )
    table = np.array([ord(_table(masks)[code]) for code in range(128)], np.uint8)
    masked = np.where(chosen, table[data], data)
    valid = texts.is_valid().buffers()[1] if texts.null_count else None
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(starts.astype(np.int32).tobytes()), pa.py_buffer(masked.tobytes()), valid
    )


# Rows ---------------------------------------------------------------------------------------------------

_MASKS = "upper VARCHAR, lower VARCHAR, digit VARCHAR, other VARCHAR"
_RULE = "upper-case letters become X, lower-case x, digits n, all else -"
_RULE_OWN = "with a mask character of one's own per class; a null mask leaves its class alone"


def _rows(
    name: str, what: str, example: str, gives: str, own_example: str, own_gives: str
) -> tuple[Scalar, ...]:
    has_count = name != "MASK"
    count = ", count INTEGER" if has_count else ""
    plain = _Masking(name, has_count, has_masks=False)
    own = _Masking(name, has_count, has_masks=True)
    arguments = ("VARCHAR", "INTEGER") if has_count else ("VARCHAR",)

    def function(call: BoundCall) -> ArrowFunction:
        run = with_arity(plain.run, len(arguments))
        return ArrowFunction(f"ksql_{name.lower()}", arguments, "VARCHAR", run)

    def function_own(call: BoundCall) -> ArrowFunction:
        all_arguments = (*arguments, *("VARCHAR",) * 4)
        run = with_arity(own.run, len(all_arguments))
        return ArrowFunction(f"ksql_{name.lower()}_own", all_arguments, "VARCHAR", run)

    return (
        Scalar(
            name,
            f"(text VARCHAR{count}) -> VARCHAR",
            f"The text with {what} masked: {_RULE}.",
            python=function,
            can_fail=has_count,
            example=example,
            gives=gives,
        ),
        Scalar(
            name,
            f"(text VARCHAR{count}, {_MASKS}) -> VARCHAR",
            f"The text with {what} masked, {_RULE_OWN}.",
            python=function_own,
            can_fail=True,
            example=own_example,
            gives=own_gives,
        ),
    )


MASKS: tuple[Scalar, ...] = (
    *_rows(
        "MASK",
        "all characters",
        "MASK('My Test $123')",
        "Xx-Xxxx--nnn",
        "MASK('My Test $123', '*', NULL, '1', NULL)",
        "*y *est $111",
    ),
    *_rows(
        "MASK_KEEP_LEFT",
        "all but its first characters",
        "MASK_KEEP_LEFT('My Test $123', 4)",
        "My Txxx--nnn",
        "MASK_KEEP_LEFT('My Test $123', 4, '*', '*', '*', NULL)",
        "My T*** $***",
    ),
    *_rows(
        "MASK_KEEP_RIGHT",
        "all but its last characters",
        "MASK_KEEP_RIGHT('My Test $123', 4)",
        "Xx-Xxxx-$123",
        "MASK_KEEP_RIGHT('My Test $123', 4, '*', '*', '*', NULL)",
        "** **** $123",
    ),
    *_rows(
        "MASK_LEFT",
        "its first characters",
        "MASK_LEFT('My Test $123', 4)",
        "Xx-Xest $123",
        "MASK_LEFT('My Test $123', 4, '*', '*', '*', NULL)",
        "** *est $123",
    ),
    *_rows(
        "MASK_RIGHT",
        "its last characters",
        "MASK_RIGHT('My Test $123', 4)",
        "My Test -nnn",
        "MASK_RIGHT('My Test $123', 4, '*', '*', '*', NULL)",
        "My Test $***",
    ),
)
