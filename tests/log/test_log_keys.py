"""Codes of keys against Python's own equality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.log.keys import codes, last_of_each

INNER = pa.struct([("n", pa.int32()), ("s", pa.string())])
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bytes": (pa.binary(), st.binary(max_size=2)),
    "text": (pa.string(), st.sampled_from(["", "a", "é"])),
    "number": (pa.int64(), st.sampled_from([0, -1, 2**62])),
    "decimal": (pa.decimal128(4, 1), st.decimals("-9", "9", places=1)),
    "boolean": (pa.bool_(), st.booleans()),
    "time": (pa.timestamp("ms"), st.sampled_from([0, 7])),
    "struct": (
        INNER,
        st.fixed_dictionaries({"n": st.none() | st.integers(1, 3), "s": st.none() | st.sampled_from("abc")}),
    ),
    "struct without fields": (pa.struct([]), st.just({})),
    "list": (pa.list_(pa.int32()), st.lists(st.none() | st.integers(0, 1), max_size=2)),
    "list of structs": (
        pa.list_(INNER),
        st.lists(st.none() | st.fixed_dictionaries({"n": st.just(1), "s": st.none()}), max_size=2),
    ),
    "map": (
        pa.map_(pa.string(), pa.int32()),
        st.lists(st.tuples(st.just("k"), st.integers(0, 1)), max_size=2),
    ),
}


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_rows_have_the_same_code_if_and_only_if_they_have_the_same_key(name: str, data: Any) -> None:
    kind, some = TYPES[name]
    rows = data.draw(st.lists(st.none() | some, max_size=12))
    cut = data.draw(st.integers(0, len(rows)))
    keys = pa.chunked_array([pa.array(rows[:cut], kind), pa.array(rows[cut:], kind)], kind)
    found = codes(keys)
    assert [code < 0 for code in found.tolist()] == [row is None for row in rows]
    said = [repr(row) for row in keys.to_pylist()]
    for mine, code in zip(said, found.tolist(), strict=True):
        assert [other == mine for other in said] == [c == code for c in found.tolist()]
    expected = [row is None or said[place + 1 :].count(said[place]) == 0 for place, row in enumerate(rows)]
    assert last_of_each(found).tolist() == expected


def test_numbers_are_told_apart_by_their_bytes() -> None:
    keys = pa.chunked_array([pa.array([0.0, -0.0, float("nan"), float("nan"), 0.0])])
    assert codes(keys).tolist() == [0, 1, 2, 2, 0]
    assert codes(pa.chunked_array([pa.nulls(2)])).tolist() == [-1, -1]
    assert codes(pa.chunked_array([], pa.binary())).tolist() == []
    assert last_of_each(np.array([-1, -1])).tolist() == [True, True]
