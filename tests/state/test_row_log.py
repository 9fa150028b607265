"""The row log against a dict of rows, and the work it does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.state import row_log
from streamsql.engine.state.row_log import RowLog

SCHEMA = pa.schema(
    [("v", pa.string()), ("$time", pa.int64()), ("$partition", pa.int32()), ("$mark", pa.bool_())]
)
KEPT_MS = 10

batches = st.lists(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 2), st.booleans()), min_size=1, max_size=8),
    max_size=12,
)
"""Rows as (time against stream time so far, partition, mark)."""


class Model:
    """Rows by number, and what has been said about them in the changelog."""

    def __init__(self) -> None:
        self.rows: dict[int, dict] = {}
        self.times: dict[int, int] = {}
        self.changelog: list[pa.RecordBatch] = []


def opened() -> RowLog:
    return RowLog("rows", SCHEMA, mark="$mark")


def append(log: RowLog, model: Model, drawn) -> None:
    rows = []
    for late, partition, mark in drawn:
        time = max(0, model.times.get(partition, 0) + late + 3)
        model.times[partition] = max(model.times.get(partition, 0), time)
        number = len(rows) + log.end
        rows.append({"v": f"r{number}", "$time": time, "$partition": partition, "$mark": mark})
    columns = pa.RecordBatch.from_pylist(rows, SCHEMA)
    marks = columns.column("$mark").to_numpy(zero_copy_only=False)
    tags = np.arange(len(rows)) + 1000 + log.end
    numbers = log.append(columns.columns[:3], tags, marks)
    model.rows.update(zip(numbers.tolist(), rows, strict=True))


def unmark(log: RowLog, model: Model, random) -> None:
    chosen = random.choices(list(model.rows), k=3)
    log.unmark(np.array(chosen))
    for number in chosen:
        model.rows[number] = {**model.rows[number], "$mark": False}


def shown(log: RowLog) -> dict[int, dict]:
    found = {}
    for numbers, columns in log.parts(SCHEMA.names[:3]):
        marks = log.is_marked(numbers).tolist()
        for number, mark, *values in zip(
            numbers.tolist(), marks, *(c.to_pylist() for c in columns), strict=True
        ):
            found[number] = dict(zip(SCHEMA.names, [*values, mark], strict=True))
    return found


def expire(log: RowLog, model: Model) -> None:
    gone = (log.expire(lambda partition: model.times.get(partition, 0) - KEPT_MS) - 1000).tolist()
    for number in gone:
        row = model.rows.pop(number)
        assert row["$time"] <= model.times[row["$partition"]] - KEPT_MS
    if not any(r["$time"] > model.times[r["$partition"]] - KEPT_MS for r in model.rows.values()):
        assert not model.rows, "rows stay of which none is alive"


@given(batches, st.randoms(use_true_random=False))
def test_a_row_log_is_a_dict_of_rows(drawn, random) -> None:
    log, model = opened(), Model()
    for rows in drawn:
        append(log, model, rows)
        numbers = list(model.rows)
        unmark(log, model, random)
        assert log.is_kept(np.arange(log.end)).nonzero()[0].tolist() == sorted(model.rows)
        asked = np.array(random.choices(numbers, k=7))
        values, partitions = log.take(["v", "$partition"], asked)
        assert values.to_pylist() == [model.rows[n]["v"] for n in asked.tolist()]
        assert log.partitions(asked).tolist() == partitions.to_pylist()
        expire(log, model)
        assert shown(log) == model.rows


@given(batches, batches, st.randoms(use_true_random=False), st.sampled_from([3, 1 << 20]))
def test_it_comes_back_from_its_changelog(before, after, random, most_restored) -> None:
    log, model = opened(), Model()
    for rows in before:
        append(log, model, rows)
        unmark(log, model, random)
        if random.random() < 0.5:
            expire(log, model)
        if random.random() < 0.5 and (changes := log.drain()) is not None:
            model.changelog.append(changes)
    if (changes := log.drain()) is not None:
        model.changelog.append(changes)
    assert log.drain() is None
    back = opened()
    row_log._RESTORED_ROWS, saved = most_restored, row_log._RESTORED_ROWS
    try:
        for records in model.changelog:
            back.restore(records)
    finally:
        row_log._RESTORED_ROWS = saved
    for numbers, _ in back.parts(["v"]):
        back.tag(numbers, numbers + 1000)
    assert shown(back) == shown(log)
    assert back.rows == log.rows
    assert back.drain() is None
    for rows in after:
        append(back, model, rows)
        expire(back, model)
    assert shown(back) == model.rows


class Kept:
    """A row log with a changelog that is cut off, somewhere, before what is needed of it."""

    def __init__(self, random) -> None:
        self.log = opened()
        self.offset = 0
        self.changelog: list[pa.RecordBatch] = []
        self._random = random

    @property
    def records(self) -> int:
        return sum(part.num_rows for part in self.changelog)

    def commit(self) -> None:
        if (changes := self.log.drain()) is not None:
            self.changelog.append(changes)
        needed = self.log.needed()
        if needed is not None:
            assert needed <= self.records
            self._forget(self._random.randint(0, self.records - needed))

    def _forget(self, count: int) -> None:
        """Segments go as a whole: seldom all that may."""
        while count and self.changelog:
            first = self.changelog[0]
            self.changelog[0] = first.slice(min(count, first.num_rows))
            count -= min(count, first.num_rows)
            if not self.changelog[0].num_rows:
                del self.changelog[0]

    def restart(self) -> None:
        self.log = opened()
        for records in self.changelog:
            self.log.restore(records)
        for numbers, _ in self.log.parts(["v"]):
            self.log.tag(numbers, numbers + 1000)


@given(batches, st.randoms(use_true_random=False), st.sampled_from([0, 10, 1 << 18]))
def test_it_comes_back_from_what_is_needed_of_its_changelog(drawn, random, most) -> None:
    row_log._NEEDED_RECORDS, saved = most, row_log._NEEDED_RECORDS
    try:
        kept, model = Kept(random), Model()
        for rows in drawn:
            append(kept.log, model, rows)
            unmark(kept.log, model, random)
            if random.random() < 0.7:
                expire(kept.log, model)
            if random.random() < 0.7:
                kept.commit()
            if random.random() < 0.3:
                kept.commit()
                kept.restart()
                assert shown(kept.log) == model.rows
    finally:
        row_log._NEEDED_RECORDS = saved


def test_the_changelog_stays_small_though_an_idle_partition_keeps_the_first_row(monkeypatch) -> None:
    monkeypatch.setattr(row_log, "_NEEDED_RECORDS", 100)
    log, drained, most = opened(), 0, 0
    for number in range(500):
        times = pa.array(np.arange(10) + 10 * number)
        partitions = pa.array(np.full(10, min(number, 1), np.int32))
        columns = [pa.array(["v"] * 10), times, partitions]
        log.append(columns, np.zeros(10, np.int64), np.zeros(10, np.bool_))
        log.expire(lambda partition, now=10 * number: now - 50 if partition else 9 - 50)
        changes = log.drain()
        drained += 0 if changes is None else changes.num_rows
        most = max(most, log.needed())
    assert log.first == 0
    assert most <= 1000
    assert drained <= 5000 + 5000 + 500, "each came and went, and few came again"


def test_small_batches_become_few_chunks_and_are_copied_a_logarithm_of_times() -> None:
    log = opened()
    column = pa.array(["v"] * 64)
    for number in range(256):
        time = pa.array(np.arange(64) + 64 * number)
        log.append(
            [column, time, pa.array(np.zeros(64, np.int32))], np.zeros(64, np.int64), np.zeros(64, np.bool_)
        )
    assert log.rows == 64 * 256
    assert len(list(log.parts(["v"]))) <= 9
    assert log.copied <= log.rows * 5
