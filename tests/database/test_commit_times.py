"""When a query commits: a reader of its output should not wait longer than it has to."""

from __future__ import annotations

import pytest

import streamsql
from streamsql.database import connect
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
