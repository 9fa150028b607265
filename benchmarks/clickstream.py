"""The clickstream workload: made-up page views, and each query in both dialects.

VIEWS   the events: USER_ID of 100,000 users (skewed), PAGE of 1,000 (zipf-like), VIEWTIME about 5,000 a
        second of event time and up to 2 s out of order, STATUS (90 % 200), AGENT of 20, PRICE
CLICKS  one for every five views, over the same time: USER_ID (not skewed), VIEWTIME, AD_ID
USERS   a table of the 100,000 users: USER_ID, COUNTRY of 50, PLAN
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from streamsql.connectors.generate import TEMPLATES, Template, batches, clickstream

USERS = 100_000


@dataclass(frozen=True, slots=True)
class Query:
    """A query to measure.

    streaming  what streamsql runs; it makes the stream or table RESULT from the sources above
    batch      the same over Arrow tables of those names in DuckDB; columns in the order of `compared`
    compared   SQL over RESULT that gives the final rows, one per key
    beside     the sources it reads besides VIEWS
    users      how many there are
    """

    name: str
    says: str
    streaming: str
    batch: str
    compared: str
    beside: tuple[str, ...] = ()
    users: int = USERS


QUERIES = (
    Query(
        "q1",
        "filter status = 200, project UCASE(page), price * 1.2",
        "CREATE STREAM result AS SELECT user_id, UCASE(page) AS page, viewtime, price * 1.2e0 AS price "
        "FROM views WHERE status = 200;",
        "SELECT USER_ID, upper(PAGE) AS PAGE, VIEWTIME, PRICE * 1.2::DOUBLE AS PRICE FROM views "
        "WHERE STATUS = 200",
        "SELECT user_id, page, viewtime, price FROM result;",
    ),
    Query(
        "q2",
        "tumbling 1 min COUNT per page",
        "CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM views "
        "WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY page;",
        "SELECT PAGE, VIEWTIME - VIEWTIME % 60000 AS W, count(*) AS N FROM views GROUP BY ALL",
        "SELECT page, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q3",
        "hopping 1 min / 10 s COUNT per page",
        "CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM views "
        "WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 10 SECONDS) GROUP BY page;",
        "SELECT PAGE, W, count(*) AS N FROM (SELECT PAGE, unnest(range(VIEWTIME - VIEWTIME % 10000 - 50000, "
        "VIEWTIME + 1, 10000)) AS W FROM views) GROUP BY ALL",
        "SELECT page, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q4",
        "COUNT and SUM(price) per user_id",
        "CREATE TABLE result AS SELECT user_id, COUNT(*) AS n, SUM(price) AS total FROM views "
        "GROUP BY user_id;",
        "SELECT USER_ID, count(*) AS N, sum(PRICE) AS TOTAL FROM views GROUP BY ALL",
        "SELECT user_id, n, total FROM result;",
    ),
    Query(
        "q5",
        "join users, tumbling 1 min COUNT per country",
        "CREATE TABLE result AS SELECT u.country, COUNT(*) AS n FROM views v "
        "JOIN users u ON v.user_id = u.user_id WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY u.country;",
        "SELECT COUNTRY, VIEWTIME - VIEWTIME % 60000 AS W, count(*) AS N FROM views "
        "JOIN users USING (USER_ID) GROUP BY ALL",
        "SELECT country, WINDOWSTART AS w, n FROM result;",
        beside=("users",),
    ),
    Query(
        "q6",
        "views joined with clicks on user_id within 10 s",
        "CREATE STREAM result AS SELECT v.user_id AS user_id, v.page AS page, v.viewtime AS viewed, "
        "c.viewtime AS clicked, c.ad_id AS ad_id FROM views v "
        "JOIN clicks c WITHIN 10 SECONDS ON v.user_id = c.user_id;",
        # Equal stretches of time make an equality of what would else be a comparison with all of a user's
        # clicks: several times faster over the larger sizes.
        "SELECT v.USER_ID, v.PAGE, v.VIEWTIME, c.VIEWTIME, c.AD_ID FROM views v JOIN (SELECT *, "
        "unnest([VIEWTIME // 10000 - 1, VIEWTIME // 10000, VIEWTIME // 10000 + 1]) AS B FROM clicks) c "
        "ON v.USER_ID = c.USER_ID AND v.VIEWTIME // 10000 = c.B "
        "AND c.VIEWTIME BETWEEN v.VIEWTIME - 10000 AND v.VIEWTIME + 10000",
        "SELECT user_id, page, viewed, clicked, ad_id FROM result;",
        beside=("clicks",),
    ),
    Query(
        "q7",
        "session 30 s per user_id COUNT",
        "CREATE TABLE result AS SELECT user_id, COUNT(*) AS n FROM views "
        "WINDOW SESSION (30 SECONDS) GROUP BY user_id;",
        "SELECT USER_ID, min(VIEWTIME) AS S, max(VIEWTIME) AS E, count(*) AS N FROM ("
        "SELECT *, sum(BEGINS::INTEGER) OVER (PARTITION BY USER_ID ORDER BY VIEWTIME) AS NUMBER FROM ("
        "SELECT USER_ID, VIEWTIME, coalesce(VIEWTIME - lag(VIEWTIME) OVER (PARTITION BY USER_ID "
        "ORDER BY VIEWTIME) > 30000, true) AS BEGINS FROM views)) GROUP BY USER_ID, NUMBER",
        "SELECT user_id, WINDOWSTART AS s, WINDOWEND AS e, n FROM result;",
    ),
    Query(
        "q8",
        "as q4 with MIN, MAX and 1 M users",
        "CREATE TABLE result AS SELECT user_id, COUNT(*) AS n, SUM(price) AS total, MIN(price) AS lowest, "
        "MAX(price) AS highest FROM views GROUP BY user_id;",
        "SELECT USER_ID, count(*) AS N, sum(PRICE) AS TOTAL, min(PRICE) AS LOWEST, max(PRICE) AS HIGHEST "
        "FROM views GROUP BY ALL",
        "SELECT user_id, n, total, lowest, highest FROM result;",
        users=1_000_000,
    ),
)


def sources(query: Query, events: int) -> dict[str, pa.Table]:
    """What a query reads: the first `events` views, and of the others what belongs to them."""
    made = {"views": _rows(clickstream(query.users), events)}
    sizes = {"clicks": events // 5, "users": USERS}
    return made | {name: _rows(TEMPLATES[name], sizes[name]) for name in query.beside}


def declarations(query: Query, value_format: str) -> str:
    """The streams and tables over the topics of their names."""
    return "\n".join(_DECLARATIONS[name].format(value_format) for name in ("views", *query.beside))


_DECLARATIONS = {
    "views": "CREATE STREAM views (user_id BIGINT, page VARCHAR, viewtime BIGINT, status INTEGER, "
    "agent VARCHAR, price DOUBLE) WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = '{}', TIMESTAMP = 'VIEWTIME');",
    "clicks": "CREATE STREAM clicks (user_id BIGINT, viewtime BIGINT, ad_id BIGINT) "
    "WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = '{}', TIMESTAMP = 'VIEWTIME');",
    "users": "CREATE TABLE users (user_id BIGINT PRIMARY KEY, country VARCHAR, plan VARCHAR) "
    "WITH (KAFKA_TOPIC = 'users', VALUE_FORMAT = '{}');",
}


def _rows(template: Template, rows: int) -> pa.Table:
    """The first rows in one piece of memory."""
    made = [generated.rows for generated in batches(template, rows)]
    return pa.Table.from_batches(made).combine_chunks()
