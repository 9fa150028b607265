"""Made-up data: the same seed gives the same rows however they are cut; shapes are as promised."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamsql.clock import ManualClock
from streamsql.connectors import generate
from streamsql.connectors.generate import BLOCK_ROWS, START_MS, TEMPLATES, Template
from streamsql.errors import PlanError
from streamsql.grammar.parser import parse

ALL = pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))


def table(template: Template, rows: int, **options: Any) -> pa.Table:
    pieces = list(generate.batches(template, rows, **options))
    times = pa.array(np.concatenate([p.times for p in pieces]) if pieces else [], pa.int64())
    found = pa.Table.from_batches([p.rows for p in pieces], template.schema)
    return found.append_column("$timestamp", times).combine_chunks()


@ALL
def test_the_same_seed_gives_the_same_rows_however_they_are_cut(template: Template) -> None:
    whole = table(template, BLOCK_ROWS + 1000, seed=7)
    assert table(template, BLOCK_ROWS + 1000, seed=7, batch_rows=999) == whole
    assert table(template, 1000, seed=7) == whole.slice(0, 1000)
    assert table(template, 1000, seed=8) != whole.slice(0, 1000)
    assert table(template, 0).num_rows == 0


def test_clicks_look_like_clicks() -> None:
    clicks = table(TEMPLATES["clickstream"], 200_000)
    pages = Counter(clicks["PAGE"].to_pylist())
    assert set(pages) <= {f"/page/{i}" for i in range(1000)}
    # Zipf: the first page about ten times as often as the tenth.
    assert 8 < pages["/page/0"] / pages["/page/9"] < 12
    statuses = Counter(clicks["STATUS"].to_pylist())
    assert 0.89 < statuses[200] / 200_000 < 0.91
    users = clicks["USER_ID"].to_numpy()
    assert users.min() >= 0 and users.max() < 100_000
    assert 0.4 < (users < 10_000).mean() < 0.5
    assert len(set(clicks["AGENT"].to_pylist())) == 20
    assert pc.min(clicks["PRICE"]).as_py() >= 0


def test_clicks_come_five_thousand_a_second_and_up_to_two_seconds_late() -> None:
    clicks = table(TEMPLATES["clickstream"], 100_000)
    times = clicks["VIEWTIME"].to_numpy()
    due = START_MS + np.arange(100_000) // 5
    late = due - times
    assert 0 <= late.min() and 1500 < late.max() <= 2000
    assert 0.05 < (late > 0).mean() <= 0.1
    assert clicks["VIEWTIME"].equals(clicks["$timestamp"])


def test_orders_have_exact_amounts() -> None:
    orders = table(TEMPLATES["orders"], 1000)
    assert orders["ORDER_ID"].to_pylist() == list(range(1000))
    assert str(orders["AMOUNT"].type) == "decimal128(10, 2)"
    assert pc.min(orders["AMOUNT"]).as_py() > 0


def test_after_the_last_user_the_first_ones_change() -> None:
    users = table(TEMPLATES["users"], 100_002)
    assert users["USER_ID"].to_pylist()[-3:] == [99_999, 0, 1]
    assert len(set(users["COUNTRY"].to_pylist())) == 50


class SlowClock(ManualClock):
    """A clock that goes on when somebody waits."""

    def wait(self, seconds: float) -> None:
        self.set(self.now_ms() + round(seconds * 1000))


def test_paced_rows_come_at_their_rate_and_are_stamped_now() -> None:
    clock = SlowClock(START_MS)
    template = TEMPLATES["clickstream"]
    seen = 0
    for piece in generate.paced(template, 2500, 1000, clock, wait=clock.wait):
        now = clock.now_ms()
        seen += piece.rows.num_rows
        assert seen <= (now - START_MS + 50) * 1000 / 1000
        assert now - 2000 <= piece.times.min() and piece.times.max() <= now
        assert piece.rows.column("VIEWTIME").to_pylist() == piece.times.tolist()
    assert seen == 2500
    assert 2400 <= clock.now_ms() - START_MS <= 2500


def test_paced_rows_are_the_rows_of_the_seed() -> None:
    clock = SlowClock(START_MS)
    template = TEMPLATES["users"]
    pieces = [p.rows for p in generate.paced(template, BLOCK_ROWS + 10, 1e6, clock, seed=3, wait=clock.wait)]
    expected = table(template, BLOCK_ROWS + 10, seed=3).drop_columns(["$timestamp"])
    assert pa.Table.from_batches(pieces).combine_chunks() == expected


@ALL
@pytest.mark.parametrize("has_key", [False, True])
def test_the_statement_that_declares_it_is_sql(template: Template, has_key: bool) -> None:
    (statement,) = parse(generate.create_statement(template, "some-topic", has_key=has_key))
    assert statement.name == "SOME_TOPIC"  # type: ignore[attr-defined]
    is_table = has_key and template.key is not None
    assert statement.kind == ("TABLE" if is_table else "STREAM")  # type: ignore[attr-defined]


def test_an_unknown_template_names_the_known_ones() -> None:
    with pytest.raises(PlanError) as error:
        generate.template("visits")
    assert error.value.hint == "there are clickstream, clicks, users, orders"
