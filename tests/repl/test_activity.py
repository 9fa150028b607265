"""What status lines say of the queries."""

from __future__ import annotations

import pytest

import streamsql
from streamsql.errors import InternalError
from streamsql.repl.activity import Activity, activity

BROKEN = {"Q": InternalError("broken")}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Activity(0, 0, {}, 0, 0), "0 queries running"),
        (Activity(1, 0, {}, 0, 5), "1 query running · caught up"),
        (Activity(2, 0, {}, 12_345, 5), "2 queries running · lag 12,345"),
        (Activity(0, 1, {}, 0, 5), "0 queries running · 1 paused"),
        (Activity(1, 2, BROKEN, 3, 5), "1 query running · 2 paused · 1 failed · lag 3"),
    ],
)
def test_a_status_line_names_what_there_is(now: Activity, said: str) -> None:
    assert str(now) == said


def test_queries_of_a_database_are_counted() -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (x INT); CREATE STREAM a AS SELECT * FROM s; CREATE STREAM b AS SELECT * FROM s;"
        )
        db.execute("PAUSE csas_b_2; INSERT INTO s VALUES (1); INSERT INTO s VALUES (2);")
        db.wait_idle()
        assert activity(db) == Activity(running=1, paused=1, failed={}, lag=0, read=2)
