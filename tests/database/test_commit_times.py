"""When a query commits: a reader of its output should not wait longer than it has to."""

from __future__ import annotations

from threading import Event

import pytest

import streamsql
from streamsql.database import connect
from streamsql.engine.failpoints import armed
from streamsql.engine.log.log import TopicPartition


@pytest.mark.parametrize(("never_stops", "records"), [(False, 1), (True, 10)])
def test_a_query_that_keeps_up_commits_what_it_has_read(never_stops: bool, records: int) -> None:
    @streamsql.udf("echoed(page VARCHAR) -> VARCHAR", says="The same; another record follows it.")
    def echoed(page: str) -> str:
        if never_stops:
            db.append("views", [{"page": page}])
        return page

    # Under a backlog an hour passes between commits here: none of these happens because of that.
    with connect(udfs=[echoed], settings={"commit.interval.ms": "3600000"}) as db:
        db.execute(
            "CREATE STREAM views (page VARCHAR) WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = 'ARROW');"
            "CREATE STREAM again AS SELECT echoed(page) AS page FROM views;"
        )
        db.append("views", [{"page": "/"}])
        (runner,) = db.queries.runners.values()
        assert runner.wait_for({TopicPartition("views", 0): records}, timeout=20)


def test_a_commit_on_its_way_to_the_disk_holds_nothing_up() -> None:
    has_gone_on = Event()
    commits: list[bool] = []

    @streamsql.udf("echoed(x BIGINT) -> BIGINT", says="The same.")
    def echoed(x: int) -> int:
        if x == 5:
            has_gone_on.set()
        return x

    def slow() -> None:
        commits.append(has_gone_on.wait(timeout=20))

    settings = {"commit.interval.ms": "0", "max.batch.rows": "1"}
    with connect(udfs=[echoed], settings=settings) as db:
        db.execute(
            "CREATE STREAM s (x BIGINT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'ARROW');"
            "CREATE STREAM again AS SELECT echoed(x) AS x FROM s; PAUSE ALL;"
        )
        db.append("s", [{"x": x} for x in range(10)])
        with armed("query.after_commit", slow):
            db.execute("RESUME ALL;")
            db.wait_idle()
        assert db.execute("SELECT x FROM again;").fetchall() == [(x,) for x in range(10)]
    assert commits[0]
