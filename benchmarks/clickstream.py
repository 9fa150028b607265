"""The clickstream workload: made-up page views, and each query in both dialects.

Events: USER_ID of 100,000 users (skewed), PAGE of 1,000 (zipf-like), VIEWTIME about 5,000 a second of
event time and up to 2 s out of order, STATUS (90 % 200), AGENT of 20, PRICE.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from streamsql.connectors.generate import TEMPLATES, batches


@dataclass(frozen=True, slots=True)
class Query:
    """A query to measure.

    streaming  what streamsql runs; it makes the stream or table RESULT from the stream CLICKS
    batch      the same over the Arrow table `clicks` in DuckDB; columns in the order of `compared`
    compared   SQL over RESULT that gives the final rows, one per key
    """

    name: str
    says: str
    streaming: str
    batch: str
    compared: str


QUERIES = (
    Query(
        "q1",
        "filter status = 200, project UCASE(page), price * 1.2",
        "CREATE STREAM result AS SELECT user_id, UCASE(page) AS page, viewtime, price * 1.2e0 AS price "
        "FROM clicks WHERE status = 200;",
        "SELECT USER_ID, upper(PAGE) AS PAGE, VIEWTIME, PRICE * 1.2::DOUBLE AS PRICE FROM clicks "
        "WHERE STATUS = 200",
        "SELECT user_id, page, viewtime, price FROM result;",
    ),
    Query(
        "q2",
        "tumbling 1 min COUNT per page",
        "CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM clicks "
        "WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY page;",
        "SELECT PAGE, VIEWTIME - VIEWTIME % 60000 AS W, count(*) AS N FROM clicks GROUP BY ALL",
        "SELECT page, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q3",
        "hopping 1 min / 10 s COUNT per page",
        "CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM clicks "
        "WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 10 SECONDS) GROUP BY page;",
        "SELECT PAGE, W, count(*) AS N FROM (SELECT PAGE, unnest(range(VIEWTIME - VIEWTIME % 10000 - 50000, "
        "VIEWTIME + 1, 10000)) AS W FROM clicks) GROUP BY ALL",
        "SELECT page, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q4",
        "COUNT and SUM(price) per user_id",
        "CREATE TABLE result AS SELECT user_id, COUNT(*) AS n, SUM(price) AS total FROM clicks "
        "GROUP BY user_id;",
        "SELECT USER_ID, count(*) AS N, sum(PRICE) AS TOTAL FROM clicks GROUP BY ALL",
        "SELECT user_id, n, total FROM result;",
    ),
)


def events(rows: int) -> pa.Table:
    """The first `rows` clicks in one piece of memory."""
    made = [generated.rows for generated in batches(TEMPLATES["clickstream"], rows)]
    return pa.Table.from_batches(made).combine_chunks()


def declaration(value_format: str) -> str:
    """The stream CLICKS over the topic `clicks`."""
    return (
        "CREATE STREAM clicks (user_id BIGINT, page VARCHAR, viewtime BIGINT, status INTEGER, agent VARCHAR, "
        f"price DOUBLE) WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = '{value_format}', "
        "TIMESTAMP = 'VIEWTIME');"
    )
