"""What `help` says: an overview, and a page per topic to type from."""

from __future__ import annotations

OVERVIEW = """\
Type SQL and end it with ';'. What a line may begin with:

  CREATE STREAM views (user_id BIGINT, page VARCHAR) WITH (KAFKA_TOPIC='views');
  INSERT INTO views VALUES (1, '/home');
  CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views GROUP BY page;
  SELECT * FROM hits;                    a pull query: one answer, as of now
  SELECT * FROM views EMIT CHANGES;      a push query: rows as they come; Ctrl-C
  SHOW STREAMS;   SHOW TABLES;   SHOW QUERIES;   DESCRIBE views EXTENDED;

Commands of the shell, without ';':

  help TOPIC        {topics}
  help FUNCTION     what a function does; SHOW FUNCTIONS; lists them
  output FORMAT     table, json or csv
  rows N            show at most N rows of an answer, or all
  timing on|off     say how long things take
  history           what was typed
  clear             clear the screen
  exit              leave; so do quit and Ctrl-D

Tab completes, the arrow keys bring back what was typed, Ctrl-R searches in it.
Ctrl-C ends a push query, or drops the line being typed.
"""

TOPICS: dict[str, str] = {
    "create": """\
A stream or table is a name and columns over a topic, which is made if it is not
there.

  CREATE STREAM clicks (user_id BIGINT, page VARCHAR, viewtime BIGINT)
    WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', TIMESTAMP='viewtime');
  CREATE TABLE users (user_id BIGINT PRIMARY KEY, country VARCHAR)
    WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON');

Formats: ARROW (typed columns, the default), JSON, DELIMITED, KAFKA, AVRO and
PROTOBUF.

A persistent query keeps a stream or table up to date from others:

  CREATE STREAM errors AS SELECT * FROM clicks WHERE status >= 500;
  CREATE TABLE per_page AS SELECT page, COUNT(*) AS n FROM clicks GROUP BY page;

DROP STREAM errors;   DROP TABLE per_page DELETE TOPIC;   TERMINATE query_id;
""",
    "select": """\
Without EMIT a query is answered once, from what is there now, by DuckDB: joins,
GROUP BY, ORDER BY, subqueries, window functions.

  SELECT * FROM per_page ORDER BY n DESC LIMIT 10;

With EMIT CHANGES it goes on: every change is a row, a deleted key is shown as
<TOMBSTONE>. Ctrl-C ends it.

  SELECT page, user_id FROM clicks WHERE status = 404 EMIT CHANGES;
  SELECT page, COUNT(*) FROM clicks GROUP BY page EMIT CHANGES LIMIT 100;

New queries read a stream from its beginning, or from its end:
  SET 'auto.offset.reset'='latest';
""",
    "windows": """\
Counting per stretch of event time. Windows are half-open: [start, end).

  CREATE TABLE per_minute AS
    SELECT page, COUNT(*) AS n FROM clicks WINDOW TUMBLING (SIZE 1 MINUTE)
    GROUP BY page;

  WINDOW TUMBLING (SIZE 1 MINUTE)                           back to back
  WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 SECONDS)   5 s for late records
  WINDOW HOPPING (SIZE 10 MINUTES, ADVANCE BY 1 MINUTE)     overlapping
  WINDOW SESSION (30 MINUTES)                               until a gap so long

EMIT FINAL at the end gives one row per window, when it is closed. WINDOWSTART
and WINDOWEND are columns of the result.
""",
    "joins": """\
  two streams        .. FROM clicks c JOIN orders o WITHIN 1 HOUR ON c.id = o.id
  stream and table   .. FROM clicks c LEFT JOIN users u ON c.user = u.id
  two tables         .. FROM users u JOIN plans p ON u.plan = p.id

A stream joined with a table finds the row that the table has at that moment.
Two streams need WITHIN: how far apart in event time two records may be.
""",
    "insert": """\
  INSERT INTO users (user_id, country) VALUES (1, 'NZ');
  INSERT INTO all_clicks SELECT * FROM clicks_eu;     a query that keeps on

From files, outside the shell:

  streamsql load clicks clicks.jsonl.gz --format jsonl
  streamsql load clicks clicks.jsonl --format jsonl --resume
                                     run again, it goes on where it stopped
  streamsql datagen clickstream --topic clicks --rows 1000000 --create
""",
    "show": """\
  SHOW STREAMS;    SHOW TABLES;    SHOW TOPICS;    SHOW QUERIES;
  SHOW FUNCTIONS;  SHOW TYPES;     SHOW PROPERTIES;
  SHOW CONSUMER GROUPS;        who of a group reads what, and how far it is
  DESCRIBE clicks;             columns
  DESCRIBE clicks EXTENDED;    and formats, offsets, queries, sizes
  DESCRIBE FUNCTION SUBSTRING;
  EXPLAIN SELECT * FROM clicks EMIT CHANGES;    how a query would run
  PRINT clicks FROM BEGINNING LIMIT 10;         records of a topic as they are
""",
    "settings": """\
  SET 'auto.offset.reset'='latest';     for the statements that follow
  UNSET 'auto.offset.reset';
  SHOW PROPERTIES;                      all of them, with what they do

  DEFINE env = 'test';                  a variable; ${env} stands for it later
  SHOW VARIABLES;   UNDEFINE env;
""",
}


def page(topic: str) -> str | None:
    """The text for `help topic`, '' for `help`; None if there is none."""
    if not topic:
        return OVERVIEW.format(topics=", ".join(TOPICS))
    return TOPICS.get(_OTHER_NAMES.get(topic, topic))


_OTHER_NAMES = {
    "stream": "create", "streams": "create", "table": "create", "tables": "create", "drop": "create",
    "query": "select", "queries": "select", "pull": "select", "push": "select", "emit": "select",
    "window": "windows", "tumbling": "windows", "hopping": "windows", "session": "windows",
    "join": "joins", "within": "joins", "load": "insert", "datagen": "insert", "values": "insert",
    "describe": "show", "explain": "show", "print": "show", "list": "show",
    "set": "settings", "unset": "settings", "define": "settings", "properties": "settings",
}  # fmt: skip
