"""Grouping by less than a group's text gives the groups of the text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.operators import partials
from streamsql.engine.operators.aggregate import Aggregate
from tests.examples import tried
from tests.properties.checked import checked_task

PATTERNS = {
    "yyyy-MM-dd": True,
    "dd.MM.yyyy": True,
    "yyyyMMdd HH": True,
    "yyyy-MM-dd'T'HH:mm": True,
    "HH:mm:ss dd/MM/yyyy": True,
    # Not a unit of time, or more than the text shows.
    "yyyy-MM": False,
    "MM-dd": False,
    "yyyy-MM-dd HH:mm:ss.SSS": False,
    "yyyy-M-d": False,
    "d MMM yyyy": False,
}

near = st.builds(
    lambda hours, seconds, micros: hours * 3_600_000_000 + seconds * 1_000_000 + micros,
    st.integers(-30, 30),
    st.sampled_from([0, 1, 59, 60, 61]),
    st.sampled_from([0, 1, 999_999]),
)
# The years in which Java and strftime differ, and eras.
far = st.sampled_from([-62_135_596_800_000_000, -62_200_000_000_000_000, 253_402_300_800_000_000])
keys = st.sampled_from(["a", "b", None])
rows = st.one_of(
    st.lists(st.tuples(times, keys, st.integers(-3, 3)), min_size=2, max_size=30)
    for times in (near, st.one_of(st.none(), near), st.one_of(st.none(), near, far))
)


@cache
def planned(pattern: str) -> tuple[Graph, int]:
    with Database(MemoryLog(), autostart=False) as db:
        escaped = pattern.replace("'", "''")
        db.execute(
            "CREATE STREAM s (t TIMESTAMP, k VARCHAR, x BIGINT) WITH (KAFKA_TOPIC = 'S', PARTITIONS = 1);"
            f"CREATE TABLE r AS SELECT FORMAT_TIMESTAMP(t, '{escaped}') AS d, k, COUNT(*) AS n, SUM(x) AS total, "
            f"LATEST_BY_OFFSET(x) AS last FROM s WHERE x > -3 GROUP BY FORMAT_TIMESTAMP(t, '{escaped}'), k;"
        )
        (plan,) = db.queries.plans.values()
        assert plan.view is not None
        return plan.graph, plan.view


def answer(pattern: str, given: list[tuple[int | None, str | None, int]]) -> list[tuple[Any, ...]]:
    graph, view = planned(pattern)
    task = checked_task(graph)
    ((source, _),) = graph.sources()
    times, keys, numbers = zip(*given, strict=True)
    value = pa.StructArray.from_arrays(
        [pa.array(times, pa.timestamp("us")), pa.array(keys, pa.string()), pa.array(numbers, pa.int64())],
        names=["T", "K", "X"],
    )
    try:
        for begin in range(0, len(given), 20):
            count = len(value[begin : begin + 20])
            task.feed(
                {
                    source: pa.record_batch(
                        {
                            "key": pa.nulls(count),
                            "value": value[begin : begin + 20],
                            "timestamp": pa.array(np.arange(begin, begin + count)),
                            "$partition": pa.array(np.zeros(count, dtype=np.int32)),
                            "$offset": pa.array(np.arange(begin, begin + count)),
                            # With gaps, as other inputs leave.
                            "$seq": pa.array(3 * np.arange(count)),
                        }
                    )
                }
            )
        snapshot = task.snapshot(view)
        assert snapshot is not None
        names = [n for n in snapshot.schema.names if n not in ("$seq", "$weight")]
        return sorted((tuple(row.values()) for row in snapshot.select(names).to_pylist()), key=repr)
    finally:
        task.close()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_that_says_a_unit_of_time_is_grouped_by_that(pattern: str) -> None:
    (spec,) = (n.spec for n in planned(pattern)[0].nodes if isinstance(n.spec, Aggregate))
    assert (spec.coarse is not None) == PATTERNS[pattern]


@pytest.mark.parametrize("pattern", [pattern for pattern, is_coarse in PATTERNS.items() if is_coarse])
@tried(25, share=5)
@given(rows)
def test_the_groups_are_those_of_the_text(
    pattern: str, given: list[tuple[int | None, str | None, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partials, "_MANY_ROWS", 1)
        coarse = answer(pattern, given)
    assert coarse == answer(pattern, given)
