"""What is wrong with JSON, said of many records together, in the words of `json_exact`.

Of a value of the wrong type its own text is enough, as DuckDB hands it on. Where a letter gives a text away,
the reasons of all are made at once, else once for each different text. But DuckDB does not keep a fraction's
digits: of what has any, nothing is said here.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import Ints, Vector, as_text
from streamsql.formats.arrays import mask_of, nulls, pc, replace_at
from streamsql.formats.json_exact import MAY_BE_MENDED, Convert, converter, parse, why_not_json
from streamsql.formats.reasons import Reasons
from streamsql.formats.scalars import Mismatch
from streamsql.formats.texts import hopeless
from streamsql.types import SqlType

_MAY_HAVE_LOST_DIGITS = re.compile(r"[0-9][.eE]|[NnIi][aAnN][nNfF]")
_FEW = 32
"""So many different texts cost less one by one."""
_PLAIN_TEXT = r'^"[^"\\]*"$'


def judge(reasons: Reasons, rows: Ints, values: Vector, path: str, t: SqlType) -> Ints:
    """Note what is wrong with the values of a field; gives the rows of which nothing can be said.

    rows    one for each value
    values  string[k], JSON without nulls
    path    of the field in the record, as `.ADDRESS.ZIP`
    """
    known = values.dictionary_encode()
    said = _said(known.dictionary, path, t).take(known.indices)
    reasons.note(rows, said)
    return rows[mask_of(said.is_null())]


def _said(values: Vector, path: str, t: SqlType) -> Vector:
    """What is wrong with each of string[k], JSON texts that differ; null where nothing can be said."""
    said = nulls(len(values), pa.string())
    if len(values) > _FEW:
        is_text = pc.match_substring_regex(values, _PLAIN_TEXT)
        said = pc.if_else(is_text, hopeless(pc.utf8_slice_codeunits(values, 1, -1), t), None)
        said = pc.binary_join_element_wise(f"${path}: ", said, "")
    rows = np.flatnonzero(mask_of(said.is_null()))
    convert = converter(t)
    texts = values.take(pa.array(rows)).to_pylist()
    return replace_at(said, rows, [_what_is_wrong(text, path, convert) for text in texts])


def _what_is_wrong(text: str, path: str, convert: Convert) -> str | None:
    if _MAY_HAVE_LOST_DIGITS.search(text):
        return None
    try:
        convert(parse(text))
    except Mismatch as mismatch:
        return str(mismatch.inside(path))
    except ValueError:
        return None
    return None


def judge_broken(reasons: Reasons, rows: Ints, payloads: Vector) -> Ints:
    """Note what is wrong with payloads that look like no JSON; gives the rows that are to be read exactly.

    rows      one for each payload
    payloads  binary[k] without nulls
    """
    texts, broken = as_text(payloads)
    reasons.note(rows[broken], "the bytes are not UTF-8")
    # Whether it is JSON at all is a cheaper question than what stands in it.
    asked = mask_of(pc.invert(pc.match_substring_regex(texts, MAY_BE_MENDED)).fill_null(False))
    known = texts.filter(pa.array(asked)).dictionary_encode()
    found = [why_not_json(text) for text in known.dictionary.to_pylist()]
    said = pa.array(found, pa.string()).take(known.indices)
    reasons.note(rows[asked], said)
    return rows[reasons.of[rows] < 0]
