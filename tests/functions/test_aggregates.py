"""Every aggregate: its example, its merge however the rows are cut, its undo, and what it refuses."""

from __future__ import annotations

import ast
import math
import random
from decimal import Decimal as Number
from fractions import Fraction
from statistics import mean, variance
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context
from streamsql.engine.problems import Problems
from streamsql.engine.stage import Stage
from streamsql.errors import PlanError
from streamsql.functions.aggregates import AGGREGATES, AggregateFunction, bind
from streamsql.functions.distinct_count import estimate, merged, sketch_of
from streamsql.functions.registry import Registry
from streamsql.functions.resolve import Match, resolve
from streamsql.functions.signature import Variable, parse_signature
from streamsql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, VARCHAR, Array, Decimal, SqlType
from tests.examples import few

REGISTRY = Registry(AGGREGATES)
WORKSPACE = Workspace()


"""Each case is run for every aggregate, so that the examples of a case can be few."""


def find(name: str, *types: SqlType) -> Match[AggregateFunction]:
    return resolve(name, REGISTRY.overloads(name), types, widening=False)


def run(
    match: Match[AggregateFunction],
    rows: list[tuple[Any, ...]],
    literals: tuple[Any, ...] = (),
    *,
    cuts: tuple[int, ...] = (),
    weights: list[int] | None = None,
) -> Any:
    """The aggregate over rows of its column arguments, in batches cut at some places."""
    columns = [p.type.arrow for p in match.parameters if not p.is_literal]
    names = [f"c{i}" for i in range(len(columns))]
    on_table = weights is not None
    schema = pa.schema(
        [
            *(pa.field(n, t) for n, t in zip(names, columns, strict=True)),
            ("$time", pa.int64()),
            ("$seq", pa.int64()),
            ("$partition", pa.int32()),
            *([("$weight", pa.int8())] if on_table else []),
        ]
    )
    call = bind(match, [f'"{n}"' for n in names], literals, "result", "s_", on_table=on_table)
    spec = Aggregate(Stage("SELECT * FROM {input}", None, schema, schema), (), (call,))
    operator = spec.open(Context(WORKSPACE, Problems()))
    result: Any = None
    places = sorted({0, len(rows), *(c % (len(rows) + 1) for c in cuts)})
    for begin, end in zip(places, places[1:], strict=False):
        part = rows[begin:end]
        arrays = [column([r[i] for r in part], t) for i, t in enumerate(columns)]
        arrays += [pa.array(np.zeros(len(part), np.int64)), pa.array(np.arange(len(part)))]
        arrays += [pa.array(np.zeros(len(part), np.int32))]
        if weights is not None:
            arrays.append(pa.array(weights[begin:end], pa.int8()))
        output = operator.process(pa.RecordBatch.from_arrays(arrays, schema=schema))
        result = output.column("result")[0].as_py()
    return result


def column(values: list[Any], t: pa.DataType) -> pa.Array:
    """Values of a type; dates and times are given as numbers."""
    if pa.types.is_date32(t):
        return pa.array(values, pa.int32()).cast(t)
    return pa.array(values, pa.int64()).cast(t) if pa.types.is_temporal(t) else pa.array(values, t)


# Examples


def concrete(t: SqlType, values: list[Any]) -> SqlType:
    """A type for a parameter of an example; a variable stands for what the values are."""
    if isinstance(t, Variable):
        if t.is_decimal:
            return Decimal(4, 2)
        return VARCHAR if any(isinstance(v, str) for v in values) else INTEGER
    return t


def parse(row: AggregateFunction) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Rows and literal parameters of `NAME(x, 2) of 1, NULL`."""
    call, _, text = row.example.partition(" of ")
    literals = tuple(
        int(a) for a in call[call.index("(") + 1 : -1].replace(" ", "").split(",") if a.isdigit()
    )
    values = ast.literal_eval(f"[{text.replace('NULL', 'None')}]")
    rows = [v if isinstance(v, tuple) else (v,) for v in values]
    if "x D)" in row.signature or "x D," in row.signature:
        rows = [tuple(None if v is None else Number(str(v)) for v in r) for r in rows]
    return rows, literals


EXAMPLES = [row for row in AGGREGATES if row.example]


@pytest.mark.parametrize("row", EXAMPLES, ids=lambda r: f"{r.name}{r.signature}")
def test_the_example_gives_what_it_says(row):
    rows, literals = parse(row)
    parameters = parse_signature(row.signature).parameters
    columns = [p for p in parameters if not p.is_literal]
    types = [concrete(p.type, [r[i] for r in rows]) for i, p in enumerate(columns)]
    match = find(row.name, *types, *(INTEGER for _ in literals))
    assert match.overload is row
    shown = run(match, rows, literals)
    if isinstance(shown, list):
        shown = "[" + ", ".join(v if isinstance(v, str) else str(v) for v in shown) + "]"
    assert str(shown) == row.gives
    # One row a batch gives the same as all rows at once.
    again = run(match, rows, literals, cuts=tuple(range(len(rows))))
    if isinstance(again, list):
        again = "[" + ", ".join(v if isinstance(v, str) else str(v) for v in again) + "]"
    assert str(again) == row.gives


def test_every_function_has_an_example_and_a_sentence():
    for name in REGISTRY.names():
        assert any(row.example and row.gives for row in REGISTRY.overloads(name)), name
    assert all(row.says.endswith(".") for row in AGGREGATES)


# Meaning, against plain Python


def known(rows):
    return [x for (x,) in rows if x is not None]


def first_distinct(values):
    return list(dict.fromkeys(values))


CASES = {
    "count": (("COUNT", BIGINT), (), lambda rows: len(known(rows))),
    "sum": (("SUM", BIGINT), (), lambda rows: sum(known(rows))),
    "average": (("AVG", BIGINT), (), lambda rows: sum(known(rows)) / max(1, len(known(rows)))),
    "min": (("MIN", BIGINT), (), lambda rows: min(known(rows), default=None)),
    "max": (("MAX", BIGINT), (), lambda rows: max(known(rows), default=None)),
    "distinct": (("COUNT_DISTINCT", BIGINT), (), lambda rows: len(set(known(rows)))),
    "top": (("TOPK", BIGINT, INTEGER), (3,), lambda rows: sorted(known(rows))[::-1][:3]),
    "top distinct": (
        ("TOPKDISTINCT", BIGINT, INTEGER),
        (3,),
        lambda rows: sorted(set(known(rows)))[::-1][:3],
    ),
    "list": (("COLLECT_LIST", BIGINT), (), lambda rows: [x for (x,) in rows]),
    "set": (("COLLECT_SET", BIGINT), (), lambda rows: first_distinct(x for (x,) in rows)),
    "earliest": (("EARLIEST_BY_OFFSET", BIGINT), (), lambda rows: (known(rows) or [None])[0]),
    "latest": (("LATEST_BY_OFFSET", BIGINT), (), lambda rows: (known(rows) or [None])[-1]),
    "earliest with nulls": (("EARLIEST_BY_OFFSET", BIGINT, BOOLEAN), (False,), lambda rows: rows[0][0]),
    "latest with nulls": (("LATEST_BY_OFFSET", BIGINT, BOOLEAN), (False,), lambda rows: rows[-1][0]),
    "earliest 2": (("EARLIEST_BY_OFFSET", BIGINT, INTEGER), (2,), lambda rows: known(rows)[:2]),
    "latest 2": (("LATEST_BY_OFFSET", BIGINT, INTEGER), (2,), lambda rows: known(rows)[-2:]),
    "latest 2 with nulls": (
        ("LATEST_BY_OFFSET", BIGINT, INTEGER, BOOLEAN),
        (2, False),
        lambda rows: [x for (x,) in rows][-2:],
    ),
    "attribute": (
        ("ATTR", BIGINT),
        (),
        lambda rows: rows[0][0] if len({x for (x,) in rows}) == 1 else None,
    ),
}
numbers = st.none() | st.integers(-4, 4)
cut_places = st.lists(st.integers(0, 30), max_size=4).map(tuple)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@few
@given(values=st.lists(numbers, min_size=1, max_size=20), cuts=cut_places)
def test_an_aggregate_means_what_python_says(case, values, cuts):
    (name, *types), literals, expected = case
    rows = [(v,) for v in values]
    assert run(find(name, *types), rows, literals, cuts=cuts) == expected(rows)


REVERSIBLE = sorted({row.name for row in AGGREGATES if row.on_table is not None})


def test_the_reversible_aggregates_are_those_of_the_language():
    assert REVERSIBLE == [
        "ATTR",
        "AVG",
        "COLLECT_LIST",
        "CORRELATION",
        "COUNT",
        "HISTOGRAM",
        "STDDEV_SAMP",
        "STDDEV_SAMPLE",
        "SUM",
        "SUM_LIST",
    ]


def undo_value(t: SqlType, random_number: random.Random) -> Any:
    number = random_number.randint(-3, 3)
    if t == VARCHAR:
        return f"v{number}"
    if isinstance(t, Array):
        return [undo_value(t.element, random_number), None]
    return Number(number) / 4 if isinstance(t, Decimal) else float(number) if t == DOUBLE else number


@pytest.mark.parametrize(
    "row", [r for r in AGGREGATES if r.on_table is not None], ids=lambda r: f"{r.name}{r.signature}"
)
@few
@given(seed=st.integers(0, 10_000), cuts=cut_places)
def test_taking_rows_back_leaves_what_the_others_give(row, seed, cuts):
    """Rows come and go; the result is that of the rows that stayed, as if no other had been there."""
    source = random.Random(seed)
    types = [concrete(p.type, []) for p in parse_signature(row.signature).parameters]
    match = find(row.name, *types)
    held, history, weights = [], [], []
    for _ in range(source.randint(1, 15)):
        if held and source.random() < 0.4:
            # Equal rows are the same to a table; the last one goes, as COLLECT_LIST has it.
            gone = source.choice(held)
            del held[len(held) - 1 - held[::-1].index(gone)]
            history.append(gone)
            weights.append(-1)
        else:
            new = tuple(None if source.random() < 0.2 else undo_value(t, source) for t in types)
            held.append(new)
            history.append(new)
            weights.append(1)
    found = run(match, history, cuts=cuts, weights=weights)
    expected = run(match, [*held], weights=[1] * len(held)) if held else None
    if held:
        over_stream = run(match, held)
        assert same(found, expected) and same(found, over_stream)
    else:
        assert same(found, run(match, [history[0]] * 2, weights=[1, -1]))


def same(a: Any, b: Any) -> bool:
    """Equal, doubles nearly so, maps in any order."""
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-7)
    if isinstance(a, list) and a and isinstance(a[0], tuple):
        return sorted(a) == sorted(b)
    return bool(a == b)


def came_and_went(match: Match[AggregateFunction], stayed: list[Any], gone: list[Any]) -> Any:
    """The aggregate over rows of which some are put in first and taken back one by one at the end."""
    history = [*gone, *stayed, *gone]
    weights = [*(1 for _ in gone), *(1 for _ in stayed), *(-1 for _ in gone)]
    return run(match, history, cuts=tuple(range(len(history))), weights=weights)


@pytest.mark.parametrize("t", [INTEGER, BIGINT, DOUBLE], ids=str)
@pytest.mark.parametrize("name", ["STDDEV_SAMPLE", "STDDEV_SAMP", "CORRELATION"])
def test_what_no_longer_varies_has_no_deviation_and_no_correlation(name, t):
    """Rounding alone would leave a little over, and a correlation of -0.9999999999999999."""
    whole = [(3, -1), (1_000_003, 7), (-2, 1_999_999), (17, -5), (3, 3)]
    rows = [(x / 10, y / 10) for x, y in whole] if t == DOUBLE else whole
    types = (t, t) if name == "CORRELATION" else (t,)
    rows = [r[: len(types)] for r in rows]
    found = came_and_went(find(name, *types), [rows[0]] * 3, rows[1:])
    assert math.isnan(found) if name == "CORRELATION" else found == 0.0


def test_a_column_that_came_to_be_constant_has_no_correlation_whatever_the_cuts():
    rows = [(2, -2), (2, -2), (2, -2), (-1, -1), (2, -2), (1, -1)]
    weights = [1, -1, 1, 1, -1, 1]
    for cuts in ((5,), (1, 2, 3, 4, 5), ()):
        assert math.isnan(run(find("CORRELATION", INTEGER, INTEGER), rows, cuts=cuts, weights=weights))


@pytest.mark.parametrize("t", [INTEGER, BIGINT], ids=str)
def test_whole_numbers_that_were_taken_back_have_left_no_trace(t):
    largest = 2**31 - 1 if t == INTEGER else 2**63 - 1
    gone = [(largest,), (-largest - 1,), (largest,), (None,)]
    assert came_and_went(find("STDDEV_SAMP", t), [(1,), (2,), (3,)], gone) == 1.0
    pairs = [(1, 2), (2, 4), (3, 6)]
    gone_pairs = [(largest, -largest), (largest, largest), (-largest - 1, 5), (None, 7), (7, None)]
    assert came_and_went(find("CORRELATION", t, t), pairs, gone_pairs) == pytest.approx(1.0, rel=1e-15)


whole_numbers = st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1])


@given(rows=st.lists(st.tuples(whole_numbers, whole_numbers, st.booleans()), min_size=1, max_size=12))
def test_deviations_over_a_table_are_exact_to_the_last_digits(rows):
    """Of 64-bit numbers, whose products and sums of them are wider than any number DuckDB has."""
    pairs = [(x, y) for x, y, _ in rows]
    gone = [(x, y) for x, y, stays in rows if not stays]
    history, weights = pairs + gone, [1] * len(pairs) + [-1] * len(gone)

    def found(name: str, width: int) -> float:
        taken = [row[:width] for row in history]
        return run(find(name, *[BIGINT] * width), taken, cuts=(len(pairs),), weights=weights)

    kept = [(Fraction(x), Fraction(y)) for x, y, stays in rows if stays]
    xs, ys = ([*side] for side in zip(*kept, strict=True)) if kept else ([], [])
    spread = variance(xs) if len(xs) > 1 else 0
    assert found("STDDEV_SAMP", 1) == pytest.approx(float(spread), rel=1e-15, abs=0)
    if len({*xs}) > 1 and len({*ys}) > 1:
        products = sum((x - mean(xs)) * (y - mean(ys)) for x, y in kept) / (len(kept) - 1)
        expected = float(products) / math.sqrt(spread) / math.sqrt(variance(ys))
        assert found("CORRELATION", 2) == pytest.approx(expected, rel=1e-14, abs=1e-15)
    else:
        assert math.isnan(found("CORRELATION", 2))


def test_variance_does_not_lose_its_digits_far_from_zero():
    """Sums of squares would: the squares are 1e18, the variance is 1."""
    rows = [(1e9 + i,) for i in (0, 1, 2)]
    assert run(find("STDDEV_SAMP", DOUBLE), rows, cuts=(1, 2)) == pytest.approx(1.0, rel=1e-9)
    rows = [*rows, (1e9 + 50,), (1e9 + 50,)]
    back = run(find("STDDEV_SAMP", DOUBLE), rows, cuts=(4,), weights=[1, 1, 1, 1, -1])
    assert back == pytest.approx(1.0, rel=1e-6)


def test_a_correlation_with_nan_is_nan():
    """It is larger than 1 to DuckDB, which a coefficient is never above."""
    rows = [(1.0, 2.0), (2.0, math.nan), (3.0, 1.0)]
    match = find("CORRELATION", DOUBLE, DOUBLE)
    assert math.isnan(run(match, rows, cuts=(2,)))
    assert math.isnan(run(match, rows, cuts=(2,), weights=[1, 1, 1]))


def test_nan_is_the_largest_number():
    rows = [(2.0,), (math.nan,), (None,), (3.0,)]
    for cuts in ((), (1, 2, 3)):
        assert run(find("MIN", DOUBLE), rows, cuts=cuts) == 2.0
        assert math.isnan(run(find("MAX", DOUBLE), rows, cuts=cuts))
    assert math.isnan(run(find("MIN", DOUBLE), [(math.nan,), (None,)], cuts=(1,)))
    assert run(find("SUM", DOUBLE), [(math.inf,), (1.0,)], cuts=(1,)) == math.inf


@pytest.mark.parametrize("cuts", [(), (1,), (600, 900)])
def test_a_histogram_takes_the_first_thousand_values_and_goes_on_counting_them(cuts):
    values = [(f"v{i}",) for i in range(1100)] + [("v3",), ("v1050",)]
    counts = dict(run(find("HISTOGRAM", VARCHAR), values, cuts=cuts))
    assert len(counts) == 1000
    assert counts["v3"] == 2 and "v999" in counts and "v1050" not in counts


def test_top_rows_keep_the_earlier_of_equal_ones_and_columns_of_any_type():
    match = find("TOPK", BIGINT, VARCHAR, Array(INTEGER), INTEGER)
    rows = [(1, "a", [1]), (5, None, None), (None, "x", [2]), (5, "b", [3]), (2, "c", [])]
    expected = [
        {"sort_col": 5, "col0": None, "col1": None},
        {"sort_col": 5, "col0": "b", "col1": [3]},
    ]
    for cuts in ((), (1, 2, 3, 4)):
        assert run(match, rows, (2,), cuts=cuts) == expected
    assert str(match.result) == "ARRAY<STRUCT<SORT_COL BIGINT, COL0 VARCHAR, COL1 ARRAY<INTEGER>>>".replace(
        "SORT_COL", "`sort_col`"
    ).replace("COL0", "`col0`").replace("COL1", "`col1`")


@pytest.mark.parametrize("name", ["COLLECT_SET", "ATTR", "COUNT_DISTINCT", "EARLIEST_BY_OFFSET"])
def test_values_may_be_nested(name):
    items = [[1, None], None, [1, None], [2]]
    result = run(find(name, Array(INTEGER)), [(i,) for i in items], cuts=(2,))
    assert (
        result
        == {
            "COLLECT_SET": [[1, None], None, [2]],
            "ATTR": None,
            "COUNT_DISTINCT": 2,
            "EARLIEST_BY_OFFSET": [1, None],
        }[name]
    )


# Counting distinct values


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_few_distinct_values_are_counted_exactly_and_merge(a, b):
    one, other = (np.array(v, dtype=np.uint64) for v in (a, b))
    both = merged(sketch_of(one), sketch_of(other))
    assert both == sketch_of(np.concatenate([one, other]))
    assert estimate(both) == len({*a, *b})


@pytest.mark.parametrize("count", [1024, 1025, 5_000, 20_000, 300_000])
def test_many_distinct_values_are_estimated_within_three_standard_errors(count):
    hashes = np.random.default_rng(count).integers(0, 2**64, count, dtype=np.uint64)
    halves = merged(sketch_of(hashes[: count // 2]), sketch_of(hashes[count // 3 :]))
    assert halves == merged(sketch_of(hashes), b"")
    assert abs(estimate(halves) - count) <= 3 * 0.0081 * count * (count > 1024)
    assert len(halves) <= 1 << 14


# What is refused


@pytest.mark.parametrize(
    ("name", "types", "message"),
    [
        ("AVG", (Decimal(5, 2),), r"function AVG does not take \(DECIMAL\(5, 2\)\)"),
        ("CORRELATION", (INTEGER, BIGINT), r"function CORRELATION does not take \(INTEGER, BIGINT\)"),
        ("SUM", (VARCHAR,), "function SUM does not take"),
        ("HISTOGRAM", (BIGINT,), "function HISTOGRAM does not take"),
        ("MIN", (Array(INTEGER),), "function MIN does not take"),
    ],
)
def test_aggregates_do_not_widen_their_arguments(name, types, message):
    with pytest.raises(PlanError, match=message):
        find(name, *types)


@pytest.mark.parametrize("k", [0, -1])
@pytest.mark.parametrize("name", ["TOPK", "TOPKDISTINCT", "LATEST_BY_OFFSET"])
def test_a_count_must_be_positive(name, k):
    with pytest.raises(PlanError, match="must be a whole number from 1 on") as caught:
        bind(find(name, BIGINT, INTEGER), ['"x"'], (k,), "r", "s_")
    assert caught.value.code == "PLAN-LITERAL"


def test_an_aggregate_that_cannot_take_rows_back_refuses_tables():
    with pytest.raises(PlanError, match="aggregate MIN works on streams only") as caught:
        bind(find("MIN", BIGINT), ['"x"'], (), "r", "s_", on_table=True)
    assert caught.value.code == "PLAN-AGGREGATE-ON-TABLE"
