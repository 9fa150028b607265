"""JSON values of many rows read side by side: some bytes of every row at once, by arithmetic on words.

A number's digits and the end of a text are each found by a handful of operations on all rows, where a parser
takes a step for every byte of every row.

after  S. E. Anderson, "Bit Twiddling Hacks": whether a word has a byte equal to, or less than, another one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamsql.engine.texts import Bytes, Ints, Mask

Words: TypeAlias = npt.NDArray[np.uint64]
Counts: TypeAlias = npt.NDArray[np.uint8]

BEFORE, BEHIND = 8, 256
"""Bytes that must stand before the first row, and behind the last one."""
LONGEST_LEAD = 128
"""Bytes: with the words behind it, it is fetched from rows that are shorter, too."""
_WORD = 8
_MOST_WORDS = 8
"""Of a value that are fetched at once."""
MOST_DIGITS = 18
"""Of a number: as many fit into 64 bits whatever they are."""


def _repeated(byte: int) -> np.uint64:
    return np.uint64(byte * 0x0101010101010101)


def _as_word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


_ONES, _HIGHS, _SPACES = _repeated(0x01), _repeated(0x80), _repeated(ord(" "))
_ZEROS, _QUOTES, _BACKSLASHES = _repeated(ord("0")), _repeated(ord('"')), _repeated(ord("\\"))
_ABOVE_NINE = _repeated(0x80 - 10)
_BYTE = np.uint64(0xFF)
_ONE, _EIGHT, _SIXTEEN, _THIRTY_TWO = (np.uint64(n) for n in (1, 8, 16, 32))
_PAIRS, _FOURS, _HALF = (np.uint64(n) for n in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF))
_TEN, _HUNDRED, _TEN_THOUSAND = (np.uint64(10**n) for n in (1, 2, 4))
_TENS = np.array([10**n for n in range(MOST_DIGITS + 1)], dtype=np.uint64)
_NULL, _TRUE, _FALS = (_as_word(text) for text in (b"null", b"true", b"fals"))
_QUOTE, _MINUS, _ZERO, _POINT, _E = (np.uint64(c) for c in b'"-0.e')


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers without an exponent: `digits`, `places` of them behind the point.

    begins, ends  where they stand, without their sign
    places, negative, missing  None if there are none; a missing one is `null`
    """

    begins: Ints
    ends: Ints
    digits: Words
    places: Counts | None
    negative: Mask | None
    missing: Mask | None


@dataclass(frozen=True, slots=True)
class Texts:
    """Where texts begin and end, without their quotes; a missing one is `null`, None if there are none."""

    begins: Ints
    ends: Ints
    missing: Mask | None


@dataclass(frozen=True, slots=True)
class Booleans:
    values: Mask
    missing: Mask | None


class Scan:
    """A place in each of n rows of bytes; what is read there moves it on.

    data   uint8[..], the rows' bytes with BEFORE others before and BEHIND others behind them
    at     int64[n], where the rows begin
    fits   the rows in which all that was read so far stood as it was asked for; of others nothing means
           anything
    """

    def __init__(self, data: Bytes, at: Ints) -> None:
        self._data = data
        self.at = at
        self.fits: Mask = np.ones(len(at), dtype=np.bool_)
        inner = data[BEFORE:-BEHIND]
        # Without these a text ends at the next quote.
        self._has_stops = bool(inner.min(initial=255) < ord(" ") or (inner == ord("\\")).any())

    def literal(self, text: bytes) -> None:
        """What stands in all rows."""
        self._behind(text, 0)

    def numbers(self, lead: bytes, width: int, *, whole: bool) -> Numbers:
        """Numbers behind a text that stands in all rows.

        width  words that most of them fit into
        whole  no point is looked for
        """
        words, start = self._behind(lead, width)
        first = words[:, start].copy()
        signed = first & _BYTE == _MINUS
        negative: Mask | None = None
        if signed.any():
            negative = signed
            self.at = self.at + signed
            words, start = self._words(self.at, width), 0
            first = words[:, 0].copy()
        begins = self.at
        digits, counts = self._digits(first, words[:, start + 1 :])
        missing = self._missing(counts > 0, first)
        if missing is not None and negative is not None:
            self.fits &= ~(missing & negative)
        # JSON has no zeros in front of a number.
        self.fits &= (first & _BYTE != _ZERO) | (counts < 2)
        self.at = self.at + counts
        places: Counts | None = None
        if not whole:
            digits, counts, places = self._with_fraction(digits, counts, first)
        self.fits &= counts <= MOST_DIGITS
        ends = self.at
        if missing is not None:
            self.at = self.at + missing * len(b"null")
        return Numbers(begins, ends, digits, places, negative, missing)

    def texts(self, lead: bytes, width: int) -> Texts:
        """Texts without an escape, behind a text that stands in all rows.

        width  words that most of them fit into with their quotes
        """
        words, start = self._behind(lead, width)
        first = words[:, start].copy()
        missing = self._missing(first & _BYTE == _QUOTE, first)
        # The first quote is to be none.
        words[:, start] = first ^ _ONE
        ends = self.at + self._before_stop(words, start)
        going = np.flatnonzero((ends - self.at == width * _WORD) & self.fits)
        while len(going):
            lengths = self._before_stop(self._words(ends[going], _MOST_WORDS), 0)
            ends[going] += lengths
            going = going[(lengths == _MOST_WORDS * _WORD) & (ends[going] < len(self._data))]
        begins = self.at + 1
        if missing is not None:
            ends[missing] = self.at[missing] + len(b"null") - 1
        if self._has_stops:
            ended = self._words(ends, 1)[:, 0] & _BYTE == _QUOTE
            self.fits &= ended if missing is None else ended | missing
        self.at = ends + 1
        return Texts(begins, ends, missing)

    def booleans(self, lead: bytes) -> Booleans:
        """true and false behind a text that stands in all rows."""
        words, start = self._behind(lead, 1)
        first = words[:, start].copy()
        halves = first & _HALF
        values = halves == _TRUE
        is_false = (halves == _FALS) & (first >> _THIRTY_TWO & _BYTE == _E)
        missing = self._missing(values | is_false, first)
        self.at = self.at + len(b"true") + is_false
        return Booleans(values, missing)

    def _missing(self, given: Mask, first: Words) -> Mask | None:
        """The rows that have null where no value is given; there must be one of them."""
        if given.all():
            return None
        missing: Mask = ~given & (first & _HALF == _NULL)
        self.fits &= given | missing
        return missing if missing.any() else None

    def _behind(self, lead: bytes, width: int) -> tuple[Words, int]:
        """Move behind a text; gives words, uint64[n, start + width], and where what follows starts."""
        before = -len(lead) % _WORD
        length = (before + len(lead)) // _WORD
        words = self._words(self.at - before, length + width)
        for i in range(length):
            word = (b"\0" * before + lead)[i * _WORD : (i + 1) * _WORD]
            found = words[:, i]
            if i == 0 and before:
                found = found & _as_word(b"\0" * before + b"\xff" * (_WORD - before))
            self.fits &= found == _as_word(word)
        self.at = self.at + len(lead)
        return words, length

    def _words(self, at: Ints, width: int) -> Words:
        """The bytes at each place, uint64[n, width]."""
        size = width * _WORD
        # Numpy fetches one element of many bytes as fast as one of eight.
        elements: Any = np.lib.stride_tricks.as_strided(
            self._data[:size].view(f"V{size}"), shape=(len(self._data) - size + 1,), strides=(1,)
        )
        # A row that does not fit may be read on beyond all others: its place is behind its end by then.
        found = elements[np.minimum(at, len(elements) - 1)]
        words: Words = found.view(np.uint64).reshape(len(at), width)
        return words

    def _digits(self, first: Words, others: Words) -> tuple[Words, Counts]:
        """The digits at the places, of which some words are given, as numbers, and how many there are."""
        digits, counts = _leading_digits(first)
        for i in range(1, 3):
            full = counts == i * _WORD
            if not full.any():
                break
            is_given = i <= others.shape[1]
            column = others[:, i - 1 : i] if is_given else self._words(self.at + i * _WORD, 1)
            more, places = _leading_digits(column[:, 0])
            places *= full
            digits *= _TENS.take(places)
            digits += more * full
            counts = counts + places
        return digits, counts

    def _with_fraction(
        self, digits: Words, counts: Counts, first: Words
    ) -> tuple[Words, Counts, Counts | None]:
        is_short = counts.max(initial=0) < _WORD
        rest: Words = (
            self._words(self.at, 1)[:, 0] if not is_short else first >> (8 * counts.astype(np.uint64))
        )
        points = rest & _BYTE == _POINT
        if not points.any():
            return digits, counts, None
        self.at = self.at + points
        more, places = _leading_digits(rest >> _EIGHT)
        if not is_short or (counts + places)[points].max() >= _WORD - 1:
            # The word that the number begins with may not hold all of it.
            words = self._words(self.at, 2)
            more, places = self._digits(words[:, 0], words[:, 1:])
        places *= points
        self.fits &= (places > 0) | ~points
        counts = counts + places
        self.at = self.at + places
        return digits * _TENS.take(places, mode="clip") + more * points, counts, places

    def _before_stop(self, words: Words, start: int) -> Counts:
        """How many bytes from a column on stand before a quote, all if there is none.

        A backslash or a control character stops them, too.
        """
        # In one piece all columns cost less than some of them.
        quotes = words ^ _QUOTES
        stops = (quotes - _ONES) & ~quotes
        if self._has_stops:
            slashes = words ^ _BACKSLASHES
            stops |= ((slashes - _ONES) & ~slashes) | ((words - _SPACES) & ~words)
        stops &= _HIGHS
        each = _bytes_below(stops)
        lengths: Counts = each[:, start].copy()
        for i in range(start + 1, words.shape[1]):
            going = lengths == (i - start) * _WORD
            if not going.any():
                break
            lengths += each[:, i] * going
        return lengths


def _leading_digits(words: Words) -> tuple[Words, Counts]:
    """The digits that words begin with, as a number, and how many of the eight bytes are such."""
    values = words ^ _ZEROS
    # A byte's highest bit, if it is no digit: what it adds to the next one does not matter.
    others = values + _ABOVE_NINE
    others |= values
    others &= _HIGHS
    counts = _bytes_below(others)
    values <<= (64 - 8 * counts).astype(np.uint64)
    # Neighbours are put together: first digits, then pairs, then fours.
    values = (values * _TEN + (values >> _EIGHT)) & _PAIRS
    values = (values * _HUNDRED + (values >> _SIXTEEN)) & _FOURS
    values = (values * _TEN_THOUSAND + (values >> _THIRTY_TWO)) & _HALF
    return values, counts


def _bytes_below(words: Words) -> Counts:
    """How many bytes are below the lowest bit that is set; 8 without one."""
    found: Counts = np.bitwise_count((words - _ONE) & ~words)
    found >>= 3
    return found
