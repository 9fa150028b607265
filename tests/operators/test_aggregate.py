"""Aggregation without windows: against one query over the whole history, and cut anywhere."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context
from streamsql.engine.problems import Problems
from streamsql.engine.stage import Fallible, Stage
from streamsql.engine.windows import hopping, tumbling
from streamsql.errors import DataError
from streamsql.functions.aggregates import bind
from streamsql.functions.resolve import resolve
from streamsql.types import BIGINT, Decimal
from tests.operators.aggregation import (
    INPUT,
    REGISTRY,
    Row,
    X,
    apply,
    batch,
    call,
    commutative_calls,
    open_run,
    ordered_calls,
    pieces,
    plain_calls,
    stage,
)

ORACLE = duckdb.connect()
"""One for all examples: opening a database costs more than what is asked of it."""

keys = st.sampled_from(["a", "b", "c", None])
values = st.none() | st.integers(-3, 9)
rows = st.lists(st.builds(Row, keys, values, st.integers(0, 60)), max_size=25)
cuts = st.lists(st.integers(0, 100), max_size=4)

WHOLE = """
    SELECT k, count(*) AS n, coalesce(sum(x), 0)::BIGINT AS total, coalesce(avg(x), 0) AS mean,
           min(x) AS least, coalesce(max(x, 2), []) AS top, max("$time") AS "$time"
    FROM history WHERE k IS NOT NULL GROUP BY k ORDER BY k
"""


@given(rows=rows, cuts=cuts, emit_old=st.booleans())
def test_the_table_is_what_one_query_over_the_history_gives(rows, cuts, emit_old):
    run = open_run(Aggregate(stage(), ("k",), commutative_calls(), emit_old=emit_old))
    seen = {}
    for piece in pieces(rows, cuts):
        apply(run.feed(piece), seen, check_old=emit_old)
    ORACLE.register("history", pa.Table.from_batches([batch(rows)]))
    expected = ORACLE.execute(WHOLE).to_arrow_table().to_pylist()
    assert run.table() == expected
    assert sorted(seen.values(), key=lambda r: r["k"]) == expected


PLAIN = """
    SELECT k, count(*) AS n, count(x) AS present, coalesce(sum(x), 0)::BIGINT AS total,
           coalesce(avg(x), 0) AS mean, min(x) AS least, max(x) AS most, max("$time") AS "$time"
    FROM history WHERE k IS NOT NULL GROUP BY k ORDER BY k
"""


@given(rows=rows, cuts=cuts, emit_old=st.booleans())
def test_rows_merged_without_being_grouped_give_the_same_table_and_the_same_changes(rows, cuts, emit_old):
    spec = Aggregate(stage(), ("k",), plain_calls(), emit_old=emit_old)
    run, grouping = open_run(spec), open_run(spec)
    grouping.operator.operator._may_skip_grouping = False
    seen = {}
    for piece in pieces(rows, cuts):
        changes = run.feed(piece)
        assert changes == grouping.feed(piece)
        apply(changes, seen, check_old=emit_old)
    ORACLE.register("history", pa.Table.from_batches([batch(rows)]))
    assert run.table() == ORACLE.execute(PLAIN).to_arrow_table().to_pylist()


@given(rows=rows, cuts=cuts)
def test_the_order_of_rows_survives_any_cut(rows, cuts):
    spec = Aggregate(stage(), ("k",), ordered_calls())
    single, cut = open_run(spec), open_run(spec)
    for piece in pieces(rows, cuts):
        one_by_one = [change for row in piece for change in single.feed([row])]
        at_once = cut.feed(piece)
        last = {change["k"]: {**change, "$seq": None} for change in one_by_one}
        assert {change["k"]: {**change, "$seq": None} for change in at_once} == last
        # Changes come in the order of each group's last row.
        order = list(dict.fromkeys(r.key for r in reversed(piece) if r.key is not None))[::-1]
        assert [change["k"] for change in at_once] == order
    model = {}
    for row in rows:
        if row.key is not None:
            model.setdefault(row.key, []).append(row.x)
    assert {row["k"]: row["all"] for row in cut.table()} == model


changes = st.lists(
    st.tuples(st.integers(0, 4), st.none() | st.tuples(st.sampled_from("ab"), values)), max_size=25
)
"""Upserts and deletes of a table: (its key, the row's group and value), None for a delete."""

TABLE = pa.schema([*INPUT, ("$weight", pa.int8())])


def weighted(history) -> list[tuple[Row, ...]]:
    """Each change as -1 and +1, together: they share their number."""
    table, steps = {}, []
    for time, (key, new) in enumerate(history):
        step = []
        if (old := table.pop(key, None)) is not None:
            step.append(Row(*old, time, weight=-1))
        if new is not None:
            table[key] = new
            step.append(Row(*new, time))
        steps.append(tuple(step))
    return steps


def feed_steps(run, steps):
    numbers = [number for number, step in enumerate(steps) for _ in step]
    flat = [row for step in steps for row in step]
    if not flat:
        return []
    given = batch(flat, schema=TABLE)
    given = given.set_column(3, "$seq", pa.array(numbers, pa.int64()))
    output = run.operator.process(given)
    return [] if output is None else output.to_pylist()


@given(history=changes, cuts=cuts)
def test_over_a_table_rows_are_taken_back_without_being_grouped(history, cuts):
    spec = Aggregate(stage(TABLE), ("k",), plain_calls(on_table=True), emit_old=True)
    run, grouping = open_run(spec), open_run(spec)
    grouping.operator.operator._may_skip_grouping = False
    for piece in pieces(weighted(history), cuts):
        assert feed_steps(run, piece) == feed_steps(grouping, piece)
    assert run.table() == grouping.table()


@given(history=changes, cuts=cuts)
def test_over_a_table_rows_are_taken_back(history, cuts):
    steps = weighted(history)
    calls = (
        *commutative_calls(on_table=True),
        *ordered_calls(on_table=True)[1:],
        call("values", "ATTR", X, on_table=True),
        call("spread", "STDDEV_SAMPLE", X, on_table=True),
    )
    run = open_run(Aggregate(stage(TABLE), ("k",), calls, emit_old=True))
    seen, rows = {}, {}
    for piece in pieces(steps, cuts):
        for step in piece:
            for row in step:
                held = rows.setdefault(row.key, [])
                if row.weight > 0:
                    held.append(row.x)
                else:
                    last = len(held) - 1 - held[::-1].index(row.x)
                    del held[last]
        apply(feed_steps(run, piece), seen, check_old=True)
    table = {row["k"]: row for row in run.table()}
    assert table == {row["k"]: row for row in seen.values()}
    # A group that has become empty keeps its row.
    assert set(table) == set(rows)
    for key, held in rows.items():
        known = [x for x in held if x is not None]
        mean = sum(known) / len(known) if known else 0.0
        square = sum((x - mean) ** 2 for x in known)
        row = table[key]
        assert (row["n"], row["total"], row["all"]) == (len(held), sum(known), held)
        assert row["mean"] == pytest.approx(mean)
        assert row["values"] == (held[0] if len(set(held)) == 1 else None)
        assert row["spread"] == pytest.approx((square / (len(known) - 1)) ** 0.5 if len(known) > 1 else 0)


@given(rows=rows, cut=st.integers(0, 25))
def test_a_restart_changes_nothing(rows, cut):
    spec = Aggregate(stage(), ("k",), ordered_calls())
    before, after = open_run(spec), open_run(spec)
    if rows[:cut]:
        before.feed(rows[:cut])
    for old, new in zip(before.operator.stores, after.operator.stores, strict=True):
        if (records := old.drain()) is not None:
            new.restore(records)
    for row in rows[cut:]:
        assert after.feed([row]) == before.feed([row])
    assert after.table() == before.table()


@given(rows=rows, cuts=cuts, every=st.booleans(), skips=st.booleans(), forgotten=st.integers(0, 3))
def test_groups_may_be_looked_up_before_earlier_batches_are_merged(rows, cuts, every, skips, forgotten):
    spec = Aggregate(stage(), ("k",), plain_calls(), emit_old=True, emit_every=every)
    ahead, whole, restored = open_run(spec, 2), open_run(spec), open_run(spec)
    # As if the last batch had had as many groups as rows: rows are merged as they are.
    ahead.operator.operator._groups_per_row = 1.0 if skips else 0.0
    batches = [piece for piece in pieces(rows, cuts) if piece]
    for piece in batches[:forgotten]:
        ahead.prepare(piece, 1)
    assert ahead.table() == [], "what was looked up and not merged is not there"
    finishes = [ahead.prepare(piece, number % 2) for number, piece in enumerate(batches)]
    for piece, finish in zip(batches, finishes, strict=True):
        assert finish is not None
        assert finish() == whole.feed(piece)
        assert ahead.table() == whole.table()
        (store,) = ahead.operator.stores
        assert store.rows == len(whole.table())
        if (records := store.drain()) is not None:
            restored.operator.stores[0].restore(records)
        assert restored.table() == whole.table()


@pytest.mark.parametrize("window", [None, tumbling(10), hopping(10, 5)], ids=["none", "tumbling", "hopping"])
def test_of_a_batch_without_rows_nothing_is_prepared(window):
    run = open_run(Aggregate(stage(), ("k",), plain_calls(), window), 2)
    assert run.operator.prepare(0, batch([])) is None
    assert run.feed([]) == []


def test_without_keys_everything_is_one_group():
    run = open_run(Aggregate(stage(), (), (call("n", "COUNT"),), emit_old=True))
    assert run.feed([Row("a", 1, 5), Row("b", 2, 3)]) == [{"n": 2, "$time": 5, "$seq": 1, "$weight": 1}]
    assert run.feed([Row("a", 1, 9)]) == [
        {"n": 2, "$time": 9, "$seq": 0, "$weight": -1},
        {"n": 3, "$time": 9, "$seq": 0, "$weight": 1},
    ]
    assert run.feed([]) == []


def test_rows_that_share_a_number_are_taken_in_order():
    """As when one row explodes into several: the later part of it is the later row."""
    exploded = Stage(
        'SELECT k, unnest([x, x + 1]) AS x, "$time", "$seq", "$partition" FROM {input}', None, INPUT, INPUT
    )
    run = open_run(Aggregate(exploded, ("k",), ordered_calls(), explodes=True))
    assert run.feed([Row("a", 1, 5), Row("b", 3, 5)], first_seq=7) == [
        {"k": "a", "n": 2, "all": [1, 2], "last": 2, "first": 1, "$time": 5, "$seq": 7, "$weight": 1},
        {"k": "b", "n": 2, "all": [3, 4], "last": 4, "first": 3, "$time": 5, "$seq": 8, "$weight": 1},
    ]


@pytest.mark.parametrize("window", [None, tumbling(10), hopping(10, 5)], ids=["none", "tumbling", "hopping"])
def test_a_row_that_fails_is_left_out_and_its_neighbours_count(window):
    sql = 'SELECT k, {x}::BIGINT AS x, "$time", "$seq", "$partition" FROM {{input}} WHERE x <> 5{more}'
    value = 'CASE WHEN "x" = 0 THEN error(\'zero\') ELSE "x" END'
    noted = ' AND CASE WHEN "x" = 0 THEN NOT note_failure("$row", 0) ELSE true END'
    fallible = (Fallible("x", f"SELECT {value} FROM {{input}}"),)
    mended = Stage(
        sql.format(x=value, more=""), sql.format(x="x", more=noted), INPUT, INPUT, fallible=fallible
    )
    run = open_run(Aggregate(mended, ("k",), (call("total", "SUM", X),), window))
    came = run.feed([Row("a", 1, 1), Row("a", 0, 2), Row("b", 0, 3), Row("a", 4, 4), Row("b", 5, 4)])
    assert [(row["k"], row["total"]) for row in came] == [("a", 5)]
    assert run.problems.counters.failed_expressions == 2


def test_integer_sums_wrap_and_decimal_sums_that_do_not_fit_end_the_query():
    most = 2**63 - 1
    run = open_run(Aggregate(stage(), ("k",), (call("total", "SUM", X),)))
    assert run.feed([Row("a", most, 1), Row("a", 1, 1)])[0]["total"] == -(2**63)
    assert run.feed([Row("a", -1, 1)])[0]["total"] == most

    small = Decimal(3, 0)
    match = resolve("SUM", REGISTRY.overloads("SUM"), [small], widening=False)
    total = bind(match, ['"x"::DECIMAL(3, 0)'], (), "total", "d_")
    run = open_run(Aggregate(stage(), ("k",), (total,)))
    assert run.feed([Row("a", 900, 1), Row("a", 900, 1), Row("a", -900, 1)])[0]["total"] == 900
    with pytest.raises(DataError, match="an aggregate failed"):
        run.feed([Row("a", 100, 1)])


@pytest.mark.parametrize("window", [None, tumbling(1000), hopping(1000, 500)])
def test_the_work_of_a_batch_does_not_grow_with_the_state(window):
    def touched(operator) -> int:
        return (operator.groups.states if window is None else operator.windows.groups).touched

    def touched_by_last(groups: int) -> int:
        spec = Aggregate(stage(), ("k",), (call("n", "COUNT"),), window)
        operator = spec.open(Context(Workspace(), Problems()))
        operator.process(batch([Row(f"key {i}", i, 5) for i in range(groups)]))
        before = touched(operator)
        operator.process(batch([Row("key 1", 1, 6), Row("key 2", 1, 7)]))
        return touched(operator) - before

    assert touched_by_last(10) == touched_by_last(5_000) <= 8


def test_the_latest_time_and_the_type_of_keys_are_kept():
    schema = INPUT.set(0, pa.field("k", pa.struct([("day", pa.date32()), ("tags", pa.list_(pa.string()))])))
    spec = Aggregate(Stage("SELECT * FROM {input}", None, schema, schema), ("k",), (call("n", "COUNT"),))
    run = open_run(spec)
    key = {"day": None, "tags": ["a", None]}
    rows = pa.RecordBatch.from_pydict(
        {"k": [key, key], "x": [1, 2], "$time": [9, 3], "$seq": [0, 1], "$partition": [0, 0]}, schema=schema
    )
    output = run.operator.process(rows)
    assert output.to_pylist() == [{"k": key, "n": 2, "$time": 9, "$seq": 1, "$weight": 1}]


def test_a_limit_on_collected_values_holds_across_batches():
    limit = {"ksql.functions.collect_list.limit": "3", "ksql.functions.collect_set.limit": "2"}
    calls = (
        call("all", "COLLECT_LIST", X, settings=limit),
        call("set", "COLLECT_SET", X, settings=limit),
    )
    run = open_run(Aggregate(stage(), ("k",), calls))
    run.feed([Row("a", 1, 1), Row("a", 1, 1)])
    run.feed([Row("a", 2, 1), Row("a", 3, 1)])
    assert [(row["all"], row["set"]) for row in run.table()] == [([1, 1, 2], [1, 2])]
    assert BIGINT.arrow == run.operator.operator.spec.calls[0].result_type.value_type
