-- From a web server's access log (Apache "combined" format) to live view counts.
--
--   streamsql load access_raw access.log.gz --format lines
--   streamsql -f examples/access_log/queries.sql
--   streamsql -e "SELECT * FROM views_per_page ORDER BY views DESC LIMIT 10;"
--
-- The order does not matter: queries see what was loaded before them and what comes later.

CREATE STREAM access_raw (line VARCHAR) WITH (KAFKA_TOPIC = 'access_raw', VALUE_FORMAT = 'KAFKA');

-- One typed row per request, stamped with the time the server wrote. The agent is the last field of a
-- line; it may be cut off, so its closing quote is not asked for here.
CREATE STREAM requests WITH (VALUE_FORMAT = 'ARROW', TIMESTAMP = 'SERVED_AT') AS
  SELECT
    REGEXP_EXTRACT('^(\S+)', line, 1) AS ip,
    PARSE_TIMESTAMP(REGEXP_EXTRACT('\[([^\]]+)\]', line, 1), 'dd/MMM/yyyy:HH:mm:ss Z') AS served_at,
    REGEXP_EXTRACT('"([A-Z]+) ', line, 1) AS method,
    REGEXP_EXTRACT('"[A-Z]+ (\S+)', line, 1) AS page,
    CAST(REGEXP_EXTRACT('" (\d{3}) ', line, 1) AS INTEGER) AS status,
    CAST(REGEXP_EXTRACT('" \d{3} (\d+)', line, 1) AS BIGINT) AS bytes,
    REGEXP_EXTRACT('" \d{3} \S+ "([^"]*)" "([^"]*)', line, 2) AS agent
  FROM access_raw;

-- Every line is either good or bad; bad ones are kept to be looked at, and stop nothing.
CREATE STREAM bad_lines AS
  SELECT line
  FROM access_raw
  WHERE REGEXP_EXTRACT('^\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} \S+ "[^"]*" "[^"]*"$', line) IS NULL;

CREATE TABLE line_quality WITH (VALUE_FORMAT = 'ARROW') AS
  SELECT
    CASE
      WHEN REGEXP_EXTRACT('^\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} \S+ "[^"]*" "[^"]*"$', line) IS NULL THEN 'bad'
      ELSE 'good'
    END AS quality,
    COUNT(*) AS lines
  FROM access_raw
  GROUP BY CASE
      WHEN REGEXP_EXTRACT('^\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} \S+ "[^"]*" "[^"]*"$', line) IS NULL THEN 'bad'
      ELSE 'good'
    END;

-- What people looked at: no images, styles and scripts, no robots.
CREATE STREAM visits AS
  SELECT ip, served_at, page, status, bytes
  FROM requests
  WHERE REGEXP_EXTRACT('\.(png|jpe?g|gif|svg|ico|css|js|woff2?|ttf|txt|xml)([?#].*)?$', LCASE(page)) IS NULL
    AND REGEXP_EXTRACT('bot|crawl|spider|slurp|feed|fetch|monitor|curl|wget', LCASE(agent)) IS NULL;

-- Over all requests.
CREATE TABLE views_per_page AS
  SELECT page, COUNT(*) AS views
  FROM requests
  GROUP BY page;

CREATE TABLE hits_per_status AS
  SELECT status, COUNT(*) AS hits
  FROM requests
  GROUP BY status;

CREATE TABLE bytes_per_status AS
  SELECT status, SUM(bytes) AS bytes
  FROM requests
  GROUP BY status;

-- By hour of the server's time. RETENTION says how long a window can be asked for; without it, a day.
CREATE TABLE visits_per_page_and_hour AS
  SELECT page, COUNT(*) AS views
  FROM visits
  WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 365 DAYS)
  GROUP BY page;

CREATE TABLE error_rate_per_hour AS
  SELECT
    method,
    COUNT(*) AS requests,
    SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors,
    CAST(SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS DOUBLE) / COUNT(*) AS error_rate
  FROM requests
  WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 365 DAYS)
  GROUP BY method;
