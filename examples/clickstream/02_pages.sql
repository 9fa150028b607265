-- How often each page was seen: since the beginning, and per ten seconds.

CREATE TABLE pages AS
  SELECT
    page,
    COUNT(*) AS views,
    SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors,
    LATEST_BY_OFFSET(viewtime) AS last_seen
  FROM clicks
  GROUP BY page;

CREATE TABLE pages_per_10s AS
  SELECT
    page,
    COUNT(*) AS views,
    AVG(price) AS average_price
  FROM clicks
  WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 1 HOUR, GRACE PERIOD 2 SECONDS)
  GROUP BY page;
