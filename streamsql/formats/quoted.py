"""CSV records with quotes, all of a batch at once.

A byte is quoted if an odd number of quotes stands before it in its record. That is true where every quote
opens a field, closes one, or is one of two in the middle of a quoted field. Of records with any other quote,
with blanks behind a closing one, or with a line end nothing is said: they can only be read from the left.

after  Langdale and Lemire, Parsing Gigabytes of JSON per Second, VLDB Journal 2019, section 3.1.1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import Ints, Vector, parts, rows_where


@dataclass(frozen=True, slots=True)
class Quoted:
    """What is known of some records.

    counts  int64[n]: the fields of each; of one that ends within a quoted field, minus that one's number;
            0 where nothing is said
    fields  string[..]: those of all records that have as many as are wanted, one behind the other
    """

    counts: Ints
    fields: Vector


def read_quoted(texts: Vector, delimiter: str, wanted: int) -> Quoted:
    """Read string[n] without nulls, each with a quote or a line end.

    delimiter  an ASCII character
    """
    offsets, data = parts(texts)
    data = data[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    begins, ends = offsets[:-1], offsets[1:]

    quotes = np.flatnonzero(data == ord('"'))
    firsts = np.searchsorted(quotes, offsets)
    owners = np.repeat(np.arange(len(texts)), np.diff(firsts))
    opens = (np.arange(len(quotes)) - firsts[owners]) % 2 == 0
    splits = np.flatnonzero(data == ord(delimiter))
    of_split = np.searchsorted(offsets, splits, side="right") - 1
    is_outside = (np.searchsorted(quotes, splits) - firsts[of_split]) % 2 == 0
    splits, of_split = splits[is_outside], of_split[is_outside]

    # A quote is in its place at either end of a field, or as the first or second of two.
    is_split = np.zeros(len(data) + 1, dtype=np.bool_)
    is_split[splits] = True
    is_begin = is_split[quotes - 1] | (quotes == begins[owners])
    is_end = is_split[quotes + 1] | (quotes + 1 == ends[owners])
    is_first, is_second = np.zeros((2, len(quotes)), dtype=np.bool_)
    is_first[:-1] = is_second[1:] = (np.diff(quotes) == 1) & (np.diff(owners) == 0)
    told = ~rows_where(offsets, (data == ord("\n")) | (data == ord("\r")))
    told[owners[~np.where(opens, is_begin | is_second, is_end | is_first)]] = False
    is_unclosed = np.diff(firsts) % 2 == 1
    # Which field that is, is clear where it is the last quote that begins it.
    unclear = is_unclosed.copy()
    unclear[owners[is_begin & np.append(np.diff(owners) > 0, True)]] = False

    counts = np.bincount(of_split, minlength=len(texts)) + 1
    is_good = told & ~is_unclosed & (counts == wanted)
    counts[is_unclosed] *= -1
    counts[unclear | ~told] = 0
    keep = np.repeat(is_good, np.diff(offsets))
    keep[splits] = keep[quotes[~(opens & is_second)]] = False
    kept = np.append(0, np.cumsum(keep))
    splits = splits[is_good[of_split]]
    field_begins = np.sort(np.append(begins[is_good], splits + 1))
    field_ends = np.sort(np.append(splits, ends[is_good]))
    bounds = np.append(0, np.cumsum(kept[field_ends] - kept[field_begins])).astype(np.int32)
    buffers = [None, pa.py_buffer(bounds.tobytes()), pa.py_buffer(data[keep].tobytes())]
    return Quoted(counts, pa.Array.from_buffers(pa.string(), len(field_begins), buffers))
