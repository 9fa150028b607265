"""The queries of Nexmark, each in our dialect and as DuckDB's SQL over the whole history."""

from __future__ import annotations

from dataclasses import dataclass

SOURCES = {
    "persons": """CREATE TABLE persons (id BIGINT PRIMARY KEY, name VARCHAR, email VARCHAR,
        credit_card VARCHAR, city VARCHAR, state VARCHAR, date_time TIMESTAMP, extra VARCHAR)
        WITH (KAFKA_TOPIC = 'persons', TIMESTAMP = 'DATE_TIME');""",
    "auctions": """CREATE TABLE auctions (id BIGINT PRIMARY KEY, item_name VARCHAR, description VARCHAR,
        initial_bid BIGINT, reserve BIGINT, date_time TIMESTAMP, expires TIMESTAMP, seller BIGINT,
        category BIGINT, extra VARCHAR) WITH (KAFKA_TOPIC = 'auctions', TIMESTAMP = 'DATE_TIME');""",
    "bids": """CREATE STREAM bids (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
        date_time TIMESTAMP, extra VARCHAR) WITH (KAFKA_TOPIC = 'bids', TIMESTAMP = 'DATE_TIME');""",
}
"""Persons and auctions are tables: a join with them needs no window. Queries over their events declare a
stream over the same topic."""

PERSON_EVENTS = """CREATE STREAM person_events (id BIGINT KEY, name VARCHAR, email VARCHAR, credit_card VARCHAR,
    city VARCHAR, state VARCHAR, date_time TIMESTAMP, extra VARCHAR)
    WITH (KAFKA_TOPIC = 'persons', TIMESTAMP = 'DATE_TIME');"""
AUCTION_EVENTS = """CREATE STREAM auction_events (id BIGINT KEY, item_name VARCHAR, description VARCHAR,
    initial_bid BIGINT, reserve BIGINT, date_time TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT,
    extra VARCHAR) WITH (KAFKA_TOPIC = 'auctions', TIMESTAMP = 'DATE_TIME');"""

BIDS_AS_WRITTEN = """CREATE STREAM bids_as_written (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR,
    url VARCHAR, date_time TIMESTAMP, extra VARCHAR) WITH (KAFKA_TOPIC = 'bids');"""
"""The bids by the times at which they were written to the topic. The benchmark writes each at its own time."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query to measure.

    reads      the sources it reads
    streaming  what streamsql runs; it makes the stream or table RESULT
    batch      the same in DuckDB over Arrow tables; columns in the order of `compared`
    compared   SQL over RESULT that gives the final rows
    """

    name: str
    says: str
    reads: tuple[str, ...]
    streaming: str
    batch: str
    compared: str = "SELECT * FROM result;"


_RANKS = "SUM(CASE WHEN {} THEN 1 ELSE 0 END)"
_RANK_1, _RANK_2, _RANK_3 = (
    _RANKS.format(where)
    for where in ("price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000")
)
_DAY = "FORMAT_TIMESTAMP(date_time, 'yyyy-MM-dd')"
_DUCK_DAY = "strftime(DATE_TIME, '%Y-%m-%d')"


def _counted_by(what: str, keys: str, day: str) -> str:
    """WITH queries: bids per key and bidder or auction, then how many of those there are per key, by size."""
    plain = keys.replace(day, "day")
    return f"""{what}_bids AS (
            SELECT {keys} AS day, {what}, COUNT(*) AS n, {_RANK_1} AS low, {_RANK_2} AS middle, {_RANK_3} AS high
            FROM bids GROUP BY {keys}, {what}),
        {what}s AS (
            SELECT {plain}, COUNT(*) AS total, SUM(CASE WHEN low > 0 THEN 1 ELSE 0 END) AS low_{what}s,
            SUM(CASE WHEN middle > 0 THEN 1 ELSE 0 END) AS middle_{what}s,
            SUM(CASE WHEN high > 0 THEN 1 ELSE 0 END) AS high_{what}s,
            SUM(n) AS n, SUM(low) AS low, SUM(middle) AS middle, SUM(high) AS high
            FROM {what}_bids GROUP BY {plain})"""


def _distinct(what: str) -> str:
    """The same in DuckDB."""
    counted = f"count(DISTINCT {what})"
    return (
        f"{counted}, {counted} FILTER (PRICE < 10000), {counted} FILTER (PRICE >= 10000 AND PRICE < 1000000), "
        f"{counted} FILTER (PRICE >= 1000000)"
    )


_COUNTED = f"COUNT(*), {_RANK_1}::INT, {_RANK_2}::INT, {_RANK_3}::INT"

QUERIES = (
    Query(
        "q0",
        "pass through",
        ("bids",),
        "CREATE STREAM result AS SELECT auction, bidder, price, date_time, extra FROM bids;",
        "SELECT AUCTION, BIDDER, PRICE, DATE_TIME, EXTRA FROM bids",
    ),
    Query(
        "q1",
        "currency conversion",
        ("bids",),
        "CREATE STREAM result AS SELECT auction, bidder, 0.908e0 * price AS price, date_time, extra FROM bids;",
        "SELECT AUCTION, BIDDER, 0.908::DOUBLE * PRICE, DATE_TIME, EXTRA FROM bids",
    ),
    Query(
        "q2",
        "bids on some auctions",
        ("bids",),
        "CREATE STREAM result AS SELECT auction, price FROM bids WHERE auction % 123 = 0;",
        "SELECT AUCTION, PRICE FROM bids WHERE AUCTION % 123 = 0",
    ),
    Query(
        "q3",
        "who sells in some states: a join on a foreign key",
        ("persons", "auctions"),
        """CREATE TABLE result AS SELECT a.id AS id, p.name AS name, p.city AS city, p.state AS state
            FROM auctions a JOIN persons p ON a.seller = p.id
            WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA');""",
        """SELECT a.ID, p.NAME, p.CITY, p.STATE FROM auctions a JOIN persons p ON a.SELLER = p.ID
            WHERE a.CATEGORY = 10 AND p.STATE IN ('OR', 'ID', 'CA')""",
        "SELECT id, name, city, state FROM result;",
    ),
    Query(
        "q4",
        "average final price per category: an aggregate of an aggregate over a join",
        ("auctions", "bids"),
        """CREATE TABLE result AS
            WITH final AS (
                SELECT b.auction AS id, a.category AS category, MAX(b.price) AS price
                FROM bids b JOIN auctions a ON b.auction = a.id
                WHERE b.date_time BETWEEN a.date_time AND a.expires
                GROUP BY b.auction, a.category)
            SELECT category, AVG(price) AS average FROM final GROUP BY category;""",
        """SELECT CATEGORY, avg(PRICE) FROM (
                SELECT a.ID, a.CATEGORY, max(b.PRICE) AS PRICE FROM bids b JOIN auctions a ON b.AUCTION = a.ID
                WHERE b.DATE_TIME BETWEEN a.DATE_TIME AND a.EXPIRES GROUP BY ALL) GROUP BY ALL""",
        "SELECT category, average FROM result;",
    ),
    Query(
        "q5",
        "auctions with the most bids in 10 s, every 2 s",
        ("bids",),
        """CREATE TABLE counts AS SELECT auction, COUNT(*) AS n FROM bids
                WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2 SECONDS) GROUP BY auction;
            CREATE STREAM changes (auction BIGINT KEY, n BIGINT) WITH (KAFKA_TOPIC = 'COUNTS',
                WINDOW_TYPE = 'HOPPING', WINDOW_SIZE = '10 SECONDS');
            CREATE STREAM flat AS SELECT auction, WINDOWSTART AS w, n FROM changes;
            CREATE TABLE result AS
            WITH counted AS (SELECT auction, w, LATEST_BY_OFFSET(n) AS n FROM flat GROUP BY auction, w),
            most AS (SELECT w, MAX(n) AS n FROM flat GROUP BY w)
            SELECT c.auction AS auction, c.w AS w, c.n AS n FROM counted c JOIN most m ON c.w = m.w
            WHERE c.n = m.n;""",
        """WITH counts AS (SELECT AUCTION, W, count(*) AS N FROM (SELECT AUCTION,
                unnest(range(epoch_ms(DATE_TIME) - epoch_ms(DATE_TIME) % 2000 - 8000,
                epoch_ms(DATE_TIME) + 1, 2000)) AS W FROM bids) GROUP BY ALL)
            SELECT AUCTION, W, N FROM counts QUALIFY N = max(N) OVER (PARTITION BY W)""",
        "SELECT auction, w, n FROM result;",
    ),
    Query(
        "q6",
        "average final price of a seller's last ten auctions",
        ("auctions", "bids"),
        """CREATE TABLE result AS
            WITH final AS (
                SELECT b.auction AS id, a.seller AS seller, a.expires AS ends, MAX(b.price) AS price
                FROM bids b JOIN auctions a ON b.auction = a.id
                WHERE b.date_time BETWEEN a.date_time AND a.expires
                GROUP BY b.auction, a.seller, a.expires),
            sold AS (
                SELECT seller, ARRAY_SORT(COLLECT_LIST(FORMAT_TIMESTAMP(ends, 'yyyy-MM-dd HH:mm:ss.SSS')
                || LPAD(CAST(price AS VARCHAR), 12, '0')), 'DESC') AS every FROM final GROUP BY seller),
            ten AS (SELECT seller, SLICE(every, 1, LEAST(ARRAY_LENGTH(every), 10)) AS last FROM sold)
            SELECT seller, REDUCE(last, CAST(0 AS BIGINT), (s, x) => s + CAST(SUBSTRING(x, 24) AS BIGINT))
            / CAST(ARRAY_LENGTH(last) AS DOUBLE) AS average FROM ten;""",
        """SELECT SELLER, list_avg(list_transform(max({ends: EXPIRES, price: PRICE}, 10), lambda x: x.price))
            FROM (SELECT a.ID, a.SELLER, a.EXPIRES, max(b.PRICE) AS PRICE
                FROM bids b JOIN auctions a ON b.AUCTION = a.ID
                WHERE b.DATE_TIME BETWEEN a.DATE_TIME AND a.EXPIRES GROUP BY ALL) GROUP BY ALL""",
        "SELECT seller, average FROM result;",
    ),
    Query(
        "q7",
        "highest bid in every 10 s",
        ("bids",),
        """CREATE TABLE result AS SELECT 1 AS everywhere, TOPK(price, auction, bidder, 1) AS best FROM bids
            WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY 1;""",
        """SELECT epoch_ms(DATE_TIME) // 10000 * 10000 AS W, max(PRICE), first(AUCTION ORDER BY PRICE DESC, N),
            first(BIDDER ORDER BY PRICE DESC, N) FROM (SELECT *, row_number() OVER () AS N FROM bids) GROUP BY ALL""",
        """SELECT WINDOWSTART AS w, best[1]->`sort_col` AS price, best[1]->`col0` AS auction,
            best[1]->`col1` AS bidder FROM result;""",
    ),
    Query(
        "q8",
        "new persons who sell within the same 10 s: a join of tables of windows",
        ("persons", "auctions"),
        f"""{PERSON_EVENTS}{AUCTION_EVENTS}
            CREATE TABLE result AS
            WITH new AS (
                SELECT id, UNIX_TIMESTAMP(date_time) / 10000 AS w, LATEST_BY_OFFSET(name) AS name
                FROM person_events GROUP BY id, UNIX_TIMESTAMP(date_time) / 10000),
            sellers AS (
                SELECT seller, UNIX_TIMESTAMP(date_time) / 10000 AS w, COUNT(*) AS n
                FROM auction_events GROUP BY seller, UNIX_TIMESTAMP(date_time) / 10000)
            SELECT p.id AS id, p.w AS w, p.name AS name, s.n AS n
            FROM new p JOIN sellers s ON p.id = s.seller AND p.w = s.w;""",
        """SELECT p.ID, p.W, p.NAME, count(*) FROM
            (SELECT ID, NAME, epoch_ms(DATE_TIME) // 10000 AS W FROM persons) p JOIN
            (SELECT SELLER, epoch_ms(DATE_TIME) // 10000 AS W FROM auctions) a
            ON p.ID = a.SELLER AND p.W = a.W GROUP BY ALL""",
        "SELECT id, w, name, n FROM result;",
    ),
    Query(
        "q9",
        "winning bids",
        ("auctions", "bids"),
        """CREATE TABLE result AS SELECT b.auction AS id, TOPK(b.price, b.bidder, b.date_time, 1) AS best
            FROM bids b JOIN auctions a ON b.auction = a.id
            WHERE b.date_time BETWEEN a.date_time AND a.expires GROUP BY b.auction;""",
        """SELECT b.AUCTION, max(b.PRICE), first(b.BIDDER ORDER BY b.PRICE DESC, b.N),
            first(b.DATE_TIME ORDER BY b.PRICE DESC, b.N)
            FROM (SELECT *, row_number() OVER () AS N FROM bids) b JOIN auctions a ON b.AUCTION = a.ID
            WHERE b.DATE_TIME BETWEEN a.DATE_TIME AND a.EXPIRES GROUP BY ALL""",
        """SELECT id, best[1]->`sort_col` AS price, best[1]->`col0` AS bidder, best[1]->`col1` AS date_time
            FROM result;""",
    ),
    Query(
        "q11",
        "bids per session of a bidder",
        ("bids",),
        "CREATE TABLE result AS SELECT bidder, COUNT(*) AS n FROM bids WINDOW SESSION (10 SECONDS) GROUP BY bidder;",
        """SELECT BIDDER, min(T), count(*) FROM (SELECT BIDDER, T, sum(coalesce(STARTS, false)::INT) OVER (PARTITION BY BIDDER
                ORDER BY T ROWS UNBOUNDED PRECEDING) AS S FROM (SELECT BIDDER, epoch_ms(DATE_TIME) AS T,
                epoch_ms(DATE_TIME) - lag(epoch_ms(DATE_TIME)) OVER (PARTITION BY BIDDER ORDER BY DATE_TIME)
                > 10000 AS STARTS FROM bids)) GROUP BY BIDDER, S""",
        "SELECT bidder, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q12",
        "bids of a bidder in every 10 s of the time at which they were written",
        ("bids",),
        f"""{BIDS_AS_WRITTEN}
            CREATE TABLE result AS SELECT bidder, COUNT(*) AS n FROM bids_as_written
            WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY bidder;""",
        "SELECT BIDDER, epoch_ms(DATE_TIME) // 10000 * 10000, count(*) FROM bids GROUP BY ALL",
        "SELECT bidder, WINDOWSTART AS w, n FROM result;",
    ),
    Query(
        "q13",
        "bids beside a table that is there from the start",
        ("persons", "bids"),
        """CREATE STREAM result AS SELECT b.bidder AS bidder, b.auction, b.price, b.date_time, p.name
            FROM bids b JOIN persons p ON b.bidder = p.id;""",
        """SELECT b.BIDDER, b.AUCTION, b.PRICE, b.DATE_TIME, p.NAME
            FROM bids b JOIN persons p ON b.BIDDER = p.ID""",
    ),
    Query(
        "q14",
        "filter and calculation",
        ("bids",),
        """CREATE STREAM result AS SELECT auction, bidder, 0.908e0 * price AS price,
            CASE WHEN CAST(FORMAT_TIMESTAMP(date_time, 'HH') AS INTEGER) BETWEEN 8 AND 18 THEN 'dayTime'
                WHEN CAST(FORMAT_TIMESTAMP(date_time, 'HH') AS INTEGER) <= 6 THEN 'nightTime'
                WHEN CAST(FORMAT_TIMESTAMP(date_time, 'HH') AS INTEGER) >= 20 THEN 'nightTime'
                ELSE 'otherTime' END AS bid_time,
            date_time, extra, LEN(extra) - LEN(REPLACE(extra, 'c', '')) AS cs FROM bids
            WHERE 0.908e0 * price > 1000000 AND 0.908e0 * price < 50000000;""",
        """SELECT AUCTION, BIDDER, 0.908::DOUBLE * PRICE, CASE WHEN hour(DATE_TIME) BETWEEN 8 AND 18 THEN 'dayTime'
            WHEN hour(DATE_TIME) <= 6 OR hour(DATE_TIME) >= 20 THEN 'nightTime' ELSE 'otherTime' END,
            DATE_TIME, EXTRA, length(EXTRA) - length(replace(EXTRA, 'c', '')) FROM bids
            WHERE 0.908::DOUBLE * PRICE > 1000000 AND 0.908::DOUBLE * PRICE < 50000000""",
    ),
    Query(
        "q15",
        "bids per day by size",
        ("bids",),
        f"""CREATE TABLE result AS SELECT {_DAY} AS day, COUNT(*) AS n, {_RANK_1} AS low, {_RANK_2} AS middle,
            {_RANK_3} AS high FROM bids GROUP BY {_DAY};""",
        f"SELECT {_DUCK_DAY}, {_COUNTED} FROM bids GROUP BY ALL",
        "SELECT day, n, low, middle, high FROM result;",
    ),
    Query(
        "q15d",
        "the same, and how many different bidders and auctions",
        ("bids",),
        f"""CREATE TABLE result AS WITH {_counted_by("bidder", _DAY, _DAY)}, {_counted_by("auction", _DAY, _DAY)}
            SELECT b.day AS day, b.n AS n, b.low AS low, b.middle AS middle, b.high AS high,
            b.total AS bidders, low_bidders, middle_bidders, high_bidders,
            a.total AS auctions, low_auctions, middle_auctions, high_auctions
            FROM bidders b JOIN auctions a ON b.day = a.day;""",
        f"""SELECT {_DUCK_DAY}, {_COUNTED}, {_distinct("BIDDER")}, {_distinct("AUCTION")}
            FROM bids GROUP BY ALL""",
        """SELECT day, n, low, middle, high, bidders, low_bidders, middle_bidders, high_bidders,
            auctions, low_auctions, middle_auctions, high_auctions FROM result;""",
    ),
    Query(
        "q16",
        "bids per channel and day by size",
        ("bids",),
        f"""CREATE TABLE result AS SELECT channel, {_DAY} AS day, COUNT(*) AS n, {_RANK_1} AS low,
            {_RANK_2} AS middle, {_RANK_3} AS high FROM bids GROUP BY channel, {_DAY};""",
        f"SELECT CHANNEL, {_DUCK_DAY}, {_COUNTED} FROM bids GROUP BY ALL",
        "SELECT channel, day, n, low, middle, high FROM result;",
    ),
    Query(
        "q16d",
        "the same, how many different bidders and auctions, and the last minute",
        ("bids",),
        f"""CREATE TABLE result AS WITH
            last AS (SELECT channel, {_DAY} AS day, LATEST_BY_OFFSET(FORMAT_TIMESTAMP(date_time, 'HH:mm')) AS minute
                FROM bids GROUP BY channel, {_DAY}),
            {_counted_by("bidder", f"channel, {_DAY}", _DAY)}, {_counted_by("auction", f"channel, {_DAY}", _DAY)}
            SELECT b.channel AS channel, b.day AS day, minute, b.n AS n, b.low AS low, b.middle AS middle,
            b.high AS high, b.total AS bidders, low_bidders, middle_bidders, high_bidders,
            a.total AS auctions, low_auctions, middle_auctions, high_auctions
            FROM bidders b JOIN auctions a ON b.channel = a.channel AND b.day = a.day
            JOIN last l ON b.channel = l.channel AND b.day = l.day;""",
        f"""SELECT CHANNEL, {_DUCK_DAY}, max(strftime(DATE_TIME, '%H:%M')), {_COUNTED}, {_distinct("BIDDER")},
            {_distinct("AUCTION")} FROM bids GROUP BY ALL""",
        """SELECT channel, day, minute, n, low, middle, high, bidders, low_bidders, middle_bidders, high_bidders,
            auctions, low_auctions, middle_auctions, high_auctions FROM result;""",
    ),
    Query(
        "q17",
        "bids per auction and day: counts and prices",
        ("bids",),
        f"""CREATE TABLE result AS SELECT auction, {_DAY} AS day, COUNT(*) AS n, {_RANK_1} AS low,
            {_RANK_2} AS middle, {_RANK_3} AS high, MIN(price) AS least, MAX(price) AS most, AVG(price) AS average,
            SUM(price) AS total FROM bids GROUP BY auction, {_DAY};""",
        f"""SELECT AUCTION, {_DUCK_DAY}, {_COUNTED}, min(PRICE), max(PRICE), avg(PRICE), sum(PRICE)::BIGINT
            FROM bids GROUP BY ALL""",
        "SELECT auction, day, n, low, middle, high, least, most, average, total FROM result;",
    ),
    Query(
        "q18",
        "last bid of a bidder on an auction",
        ("bids",),
        """CREATE TABLE result AS SELECT bidder, auction, LATEST_BY_OFFSET(price) AS price,
            LATEST_BY_OFFSET(date_time) AS date_time FROM bids GROUP BY bidder, auction;""",
        """SELECT BIDDER, AUCTION, last(PRICE ORDER BY N), last(DATE_TIME ORDER BY N)
            FROM (SELECT *, row_number() OVER () AS N FROM bids) GROUP BY ALL""",
        "SELECT bidder, auction, price, date_time FROM result;",
    ),
    Query(
        "q19",
        "ten highest bids of an auction",
        ("bids",),
        "CREATE TABLE result AS SELECT auction, TOPK(price, 10) AS best FROM bids GROUP BY auction;",
        "SELECT AUCTION, array_to_string(list_sort(max(PRICE, 10), 'DESC'), ',') FROM bids GROUP BY ALL",
        "SELECT auction, ARRAY_JOIN(best, ',') AS best FROM result;",
    ),
    Query(
        "q20",
        "bids beside their auctions, one category",
        ("auctions", "bids"),
        """CREATE STREAM result AS SELECT b.auction AS auction, b.bidder, b.price, b.channel, b.url, b.date_time,
            a.item_name, a.description, a.initial_bid, a.reserve, a.expires, a.seller, a.category
            FROM bids b JOIN auctions a ON b.auction = a.id WHERE a.category = 10;""",
        """SELECT b.AUCTION, b.BIDDER, b.PRICE, b.CHANNEL, b.URL, b.DATE_TIME, a.ITEM_NAME, a.DESCRIPTION,
            a.INITIAL_BID, a.RESERVE, a.EXPIRES, a.SELLER, a.CATEGORY
            FROM bids b JOIN auctions a ON b.AUCTION = a.ID WHERE a.CATEGORY = 10""",
    ),
    Query(
        "q21",
        "a channel's id, by name or out of the URL",
        ("bids",),
        """CREATE STREAM result AS SELECT auction, bidder, price, channel, CASE
            WHEN LCASE(channel) = 'apple' THEN '0' WHEN LCASE(channel) = 'google' THEN '1'
            WHEN LCASE(channel) = 'facebook' THEN '2' WHEN LCASE(channel) = 'baidu' THEN '3'
            ELSE REGEXP_EXTRACT('(&|^)channel_id=([^&]*)', url, 2) END AS channel_id FROM bids
            WHERE REGEXP_EXTRACT('(&|^)channel_id=([^&]*)', url, 2) IS NOT NULL
            OR LCASE(channel) IN ('apple', 'google', 'facebook', 'baidu');""",
        """SELECT AUCTION, BIDDER, PRICE, CHANNEL, CASE lower(CHANNEL) WHEN 'apple' THEN '0' WHEN 'google' THEN '1'
            WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
            ELSE regexp_extract(URL, '(&|^)channel_id=([^&]*)', 2) END FROM bids
            WHERE regexp_matches(URL, '(&|^)channel_id=([^&]*)')
            OR lower(CHANNEL) IN ('apple', 'google', 'facebook', 'baidu')""",
    ),
    Query(
        "q22",
        "the parts of a URL",
        ("bids",),
        """CREATE STREAM result AS SELECT auction, bidder, price, channel, SPLIT(url, '/')[4] AS dir1,
            SPLIT(url, '/')[5] AS dir2, SPLIT(url, '/')[6] AS dir3 FROM bids;""",
        """SELECT AUCTION, BIDDER, PRICE, CHANNEL, split_part(URL, '/', 4), split_part(URL, '/', 5),
            split_part(URL, '/', 6) FROM bids""",
    ),
    Query(
        "q23",
        "bids beside their auctions and who offers them",
        ("persons", "auctions", "bids"),
        """CREATE STREAM result AS SELECT b.auction AS auction, b.bidder AS bidder, b.price, a.item_name, a.category,
            p.name, p.city FROM bids b JOIN auctions a ON b.auction = a.id JOIN persons p ON b.bidder = p.id;""",
        """SELECT b.AUCTION, b.BIDDER, b.PRICE, a.ITEM_NAME, a.CATEGORY, p.NAME, p.CITY FROM bids b
            JOIN auctions a ON b.AUCTION = a.ID JOIN persons p ON b.BIDDER = p.ID""",
        "SELECT auction, bidder, price, item_name, category, name, city FROM result;",
    ),
)  # fmt: skip
