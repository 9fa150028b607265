"""What is wrong with single JSON values of a column, said once for each different text.

`json_exact` says it, as it would of the whole record. Only the text of a value is needed for that, as DuckDB
hands it on; but DuckDB does not keep a fraction's digits: of what has any, nothing is said here.
"""

from __future__ import annotations

import re

import numpy as np

from streamsql.formats.arrays import Ints, Mask, Vector
from streamsql.formats.json_exact import Convert, converter, parse
from streamsql.formats.scalars import Mismatch
from streamsql.types import SqlType

_MAY_HAVE_LOST_DIGITS = re.compile(r"[0-9][.eE]|[NnIi][aAnN][nNfF]")


class Reasons:
    """The reason of each row that cannot be read, as far as it is known.

    of     int64[n]: the place of a row's reason in `texts`, -1 without one
    texts  reasons, with the path of the value
    """

    def __init__(self, rows: int) -> None:
        self.of: Ints = np.full(rows, -1, dtype=np.int64)
        self.texts: list[str] = []

    def put(self, rows: Ints, other: Reasons) -> Reasons:
        """With others in place of those of the rows."""
        both = Reasons(len(self.of))
        both.texts = self.texts + other.texts
        both.of[:] = self.of
        both.of[rows] = np.where(other.of < 0, -1, other.of + len(self.texts))
        return both

    def by_row(self, among: Mask) -> dict[int, str]:
        """The reasons of those of the rows that have one."""
        rows = np.flatnonzero((self.of >= 0) & among)
        return {
            row: self.texts[place] for row, place in zip(rows.tolist(), self.of[rows].tolist(), strict=True)
        }

    def judge(self, rows: Ints, values: Vector, name: str, t: SqlType) -> Ints:
        """Note what is wrong with the values of a field; gives the rows of which nothing can be said.

        rows    one for each value; a row that has a reason keeps it
        values  string[k], JSON without nulls
        """
        known = values.dictionary_encode()
        convert = converter(t)
        places: list[int] = []
        for text in known.dictionary.to_pylist():
            reason = None if _MAY_HAVE_LOST_DIGITS.search(text) else _what_is_wrong(text, name, convert)
            places.append(-1 if reason is None else len(self.texts))
            if reason is not None:
                self.texts.append(reason)
        found = np.array(places, dtype=np.int64)[known.indices.to_numpy()]
        fresh = (found >= 0) & (self.of[rows] < 0)
        self.of[rows[fresh]] = found[fresh]
        return rows[found < 0]


def _what_is_wrong(text: str, name: str, convert: Convert) -> str | None:
    try:
        convert(parse(text))
    except Mismatch as mismatch:
        return str(mismatch.inside(f".{name}"))
    except ValueError:
        return None
    return None
