"""JSON records of one shape, read side by side, say what the exact reader says, and all others are in doubt."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from both_ways import SCALARS, TRICKY, assert_equal
from format_samples import WORKSPACE
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.formats import json_shape
from streamsql.formats.json import JsonDecoder
from streamsql.formats.json_fast import Read
from streamsql.formats.json_shape import ShapeReader, learn
from streamsql.schema import Column
from streamsql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, TIMESTAMP, VARCHAR, Array, Decimal, SqlType
from tests.examples import tried

RECORD = [Column("ID", BIGINT), Column("NAME", VARCHAR), Column("PRICE", DOUBLE), Column("IS_NEW", BOOLEAN)]
SAMPLE = b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}'


def read(payloads: list[bytes | None], columns: list[Column] = RECORD, sample: bytes = SAMPLE) -> Read:
    shape = learn([sample], columns)
    assert shape is not None
    # Enough that fit, whatever the others are.
    filler = [sample] * (len(payloads) + 1)
    found = shape.read(pa.array([*payloads, *filler], pa.binary()).view(pa.string()))
    assert found is not None
    assert not found.doubt[len(payloads) :].any()
    return found


def assert_read_right(columns: list[Column], payloads: list[bytes | None], sample: bytes) -> None:
    decoders = [JsonDecoder(columns, is_record=True, workspace=WORKSPACE) for _ in range(2)]
    decoders[1]._fast = None
    # The shape is learnt from the first, the middle and the last record.
    around = [sample] * (len(payloads) + 64)
    array = pa.array([*around, *payloads, *around], pa.binary())
    fast, exact = (decoder.decode(array) for decoder in decoders)
    assert_equal(columns, [*around, *payloads, *around], fast, exact)


FITTING = [
    (b'{"ID":1,"NAME":"","PRICE":0.5,"IS_NEW":false,"other":0}', (1, "", 0.5, False)),
    (b'{"ID":-12,"NAME":"x y","PRICE":-3,"IS_NEW":true,"other":-1.5}', (-12, "x y", -3.0, True)),
    (b'{"ID":0,"NAME":"\xc3\xa9","PRICE":0.0,"IS_NEW":true,"other":1}', (0, "é", 0.0, True)),
    (b'{"ID":null,"NAME":null,"PRICE":null,"IS_NEW":null,"other":null}', (None, None, None, None)),
    (
        b'{"ID":123456789012345678,"NAME":"{\'a\': [1], b}","PRICE":0.12345678901234567,"IS_NEW":true,"other":1}',
        (123456789012345678, "{'a': [1], b}", 0.12345678901234567, True),
    ),
    (
        b'{"ID":12345678,"NAME":"'
        + b"long, " * 60
        + b'","PRICE":12345678.12345678,"IS_NEW":false,"other":1}',
        (12345678, "long, " * 60, 12345678.12345678, False),
    ),
]


@pytest.mark.parametrize(("payload", "values"), FITTING, ids=range(len(FITTING)))
def test_records_of_the_shape_are_read(payload: bytes, values: tuple[Any, ...]) -> None:
    found = read([payload])
    assert not found.doubt[0]
    assert tuple(column[0].as_py() for column in found.columns) == values


NOT_FITTING = [
    b"",
    b"{}",
    b"null",
    SAMPLE + b" ",
    SAMPLE[:-1],
    b'{"ID":01,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":+1,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":1.5,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":"7","NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":1234567890123456789,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":11111111111111111111111111,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":-null,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":-,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":nul,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc,"PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"a\\"c","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc\\,"PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"a\\nc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"a\tc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"a\xffc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1.,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":.5,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1e3,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":00.5,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":-0,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":NaN,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":True,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":falso,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":"3"}',
    b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":1-2}',
    b'{"ID":7, "NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"Id":7,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"NAME":"abc","ID":7,"PRICE":1.25,"IS_NEW":true,"other":3}',
    b'{"ID":7,"NAME":"abc","PRICE":1.25,"IS_NEW":true,"other":3,"more":1}',
]


def test_others_are_in_doubt_and_read_right_in_another_way() -> None:
    assert read([*NOT_FITTING]).doubt.tolist() == [True] * len(NOT_FITTING) + [False] * (len(NOT_FITTING) + 1)
    assert_read_right(RECORD, [*NOT_FITTING], SAMPLE)


@pytest.mark.parametrize("t", SCALARS, ids=str)
@pytest.mark.parametrize("sample", ["12", "1.5", '"x"', "true", "null"])
def test_tricky_values_among_records_of_one_shape(t: SqlType, sample: str) -> None:
    for form in ('{"a":%s}', '{"a":%s,"b":"x"}', '{ "b" : "x", "a" : %s }\n'):
        payloads = [(form % text).encode() for text in TRICKY]
        assert_read_right([Column("A", t), Column("B", VARCHAR)], payloads, (form % sample).encode())


PLAIN = {
    BIGINT: st.integers(-(2**63), 2**63 - 1) | st.integers(-999, 999),
    INTEGER: st.integers(-(2**33), 2**33),
    TIMESTAMP: st.integers(0, 2**43) | st.integers(-(2**60), 2**60),
    DOUBLE: st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-99, 99)
    | st.decimals(-999, 999, places=2),
    VARCHAR: st.text(max_size=20) | st.text('"\\,:{} ab', max_size=80),
    BOOLEAN: st.booleans(),
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Column], list[bytes]]:
    kinds = draw(st.lists(st.sampled_from(list(PLAIN)), min_size=1, max_size=6))
    names = [
        draw(st.sampled_from(["a", "Ab", "c_c", "long name of a field ", "é"])) + str(i)
        for i in range(len(kinds))
    ]
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n  ", " : ")]))
    records = []
    for _ in range(draw(st.integers(1, 12))):
        values = [
            draw(st.none() | PLAIN[t]) if draw(st.integers(0, 9)) < 2 else draw(PLAIN[t]) for t in kinds
        ]
        texts = [
            str(v) if t == DOUBLE and v is not None else json.dumps(v, ensure_ascii=False)
            for t, v in zip(kinds, values, strict=True)
        ]
        records.append("{" + comma.join(f'"{n}"{colon}{v}' for n, v in zip(names, texts, strict=True)) + "}")
    wanted = draw(st.lists(st.sampled_from(range(len(kinds))), min_size=len(kinds) // 2 or 1, unique=True))
    return [Column(names[i].upper(), kinds[i]) for i in wanted], [record.encode() for record in records]


@given(batches(), st.integers(0, 3), st.sampled_from([2, 5, json_shape._ROWS]))
@tried(150, share=5)
def test_generated_records_are_read_as_the_exact_reader_reads_them(
    batch: tuple[list[Column], list[bytes]], before: int, rows: int
) -> None:
    columns, payloads = batch
    shape = learn(payloads, columns)
    if shape is None:
        return  # a text with a quote, say: the reader looks for another record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_shape, "_ROWS", rows)
        # Not from the buffer's beginning, and up to its very end.
        texts = pa.array([b"xyz"] * before + payloads, pa.binary()).view(pa.string()).slice(before)
        found = shape.read(texts)
    exact = JsonDecoder(columns, is_record=True, workspace=WORKSPACE)
    exact._fast = None
    wanted = exact.decode(texts.view(pa.binary()))
    if found is None:
        return
    good = pa.array(np.flatnonzero(~found.doubt))
    assert not set(wanted.bad) & set(good.to_pylist())
    for got, want in zip(found.columns, wanted.columns, strict=True):
        assert [repr(v) for v in got.take(good)] == [repr(v) for v in want.take(good)]


def test_a_null_payload_is_null_and_not_in_doubt() -> None:
    found = read([None, SAMPLE, None])
    assert found.doubt.sum() == 0
    assert [column.slice(0, 3).is_null().to_pylist() for column in found.columns] == [[True, False, True]] * 4


def test_digits_of_the_next_value_are_not_this_ones() -> None:
    columns = [Column("A", BIGINT), Column("B", VARCHAR)]
    records = [
        b'{"a":12,"b":"3456789"}',
        b'{"a":123456789,"b":"3456789"}',
        b'{"a":12345678901234567,"b":"3"}',
    ]
    found = read([*records], columns, records[1])
    assert [c.to_pylist()[:3] for c in found.columns] == [
        [12, 123456789, 12345678901234567],
        ["3456789", "3456789", "3"],
    ]


@pytest.mark.parametrize("length", [100, 120, 130, 1000])
def test_records_that_are_shorter_than_a_name_of_others(length: int) -> None:
    column = Column("A" * length, BIGINT)
    record = b'{"' + b"a" * length + b'":1}'
    for reader in (JsonDecoder([column], is_record=True, workspace=WORKSPACE) for _ in range(2)):
        for payloads in ([record] * 64, [b"{}"] * 64, [b""] * 64, [record, *[b"5"] * 80, record]):
            found = reader.decode(pa.array(payloads, pa.binary()))
            assert found.columns[0].to_pylist() == [1 if p == record else None for p in payloads]


NO_SHAPE = [
    (b'{"a":[1]}', [Column("A", Array(BIGINT))]),
    (b'{"a":1,"b":{}}', [Column("A", BIGINT)]),
    (b'{"a":1.5}', [Column("A", Decimal(4, 2))]),
    (b'{"a":"1"}', [Column("A", BIGINT)]),
    (b'{"a":1}', [Column("A", VARCHAR)]),
    (b'{"a":1,"A":2}', [Column("A", BIGINT)]),
    (b'{"a":1,"a":2}', [Column("A", BIGINT)]),
    (b'{"a":1e5}', [Column("A", DOUBLE)]),
    (b'{"a\\u0062":1}', [Column("AB", BIGINT)]),
    (b'{"a":"\\n"}', [Column("A", VARCHAR)]),
    (b'{"a":1,}', [Column("A", BIGINT)]),
    (b'{"a":1', [Column("A", BIGINT)]),
    (b"{}", [Column("A", BIGINT)]),
    (b'{"a":1,"b":2,"c":3}', [Column("A", BIGINT)]),
]


@pytest.mark.parametrize(
    ("payload", "columns"), NO_SHAPE, ids=lambda v: v.decode() if type(v) is bytes else ""
)
def test_what_has_no_shape(payload: bytes, columns: list[Column]) -> None:
    assert learn([payload], columns) is None


def test_another_sample_tells_what_a_null_is() -> None:
    columns = [Column("A", BIGINT), Column("B", VARCHAR)]
    shape = learn([b'{"x":null,"a":null,"b":null}', b'{"x":"y","a":1,"b":"c"}'], columns)
    assert shape is not None
    found = shape.read(
        pa.array([b'{"x":"long","a":2,"b":"d"}', b'{"x":null,"a":null,"b":null}']).view(pa.string())
    )
    assert found is not None
    assert found.doubt.tolist() == [False, False]
    assert [c.to_pylist() for c in found.columns] == [[2, None], ["d", None]]


def test_a_reader_learns_again_and_rests_when_there_is_nothing_to_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_shape, "_REST", 2)
    reader = ShapeReader([Column("A", BIGINT)])

    def fits(record: bytes) -> bool:
        return reader.read(pa.array([record] * 8, pa.string()), [record]) is not None

    assert [fits(r) for r in (b'{"a":1}', b'{"a":12}', b'{"A": 1}')] == [True, True, True]
    assert [fits(r) for r in (b'{"a":[]}', b'{"a":1}', b'{"a":1}', b'{"a":1}')] == [False, False, False, True]


def test_while_another_query_reads_side_by_side_this_one_does_not() -> None:
    reader = ShapeReader([Column("A", BIGINT)])
    payloads = pa.array(['{"a":1}'] * 8, pa.string())
    with json_shape._ONE_READS:
        assert reader.read(payloads, [b'{"a":1}']) is None
    assert reader.read(payloads, [b'{"a":1}']) is not None


def test_beside_other_threads_there_are_no_shapes() -> None:
    workspace = Workspace(2)
    alone, *beside = (
        JsonDecoder(RECORD, is_record=True, workspace=w)
        for w in (WORKSPACE, workspace, *workspace.ahead, *workspace.lanes)
    )
    workspace.close()
    assert alone._shapes is not None
    assert [decoder._shapes for decoder in beside] == [None] * 5
