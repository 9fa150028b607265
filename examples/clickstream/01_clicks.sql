-- Page views, as `streamsql datagen clickstream --topic clicks` makes them.
--
--   streamsql run examples/clickstream/01_clicks.sql        once, then leave it running
--
-- VIEWTIME is when it happened, in ms; records come up to two seconds late.

CREATE STREAM clicks (
  user_id BIGINT,
  page VARCHAR,
  viewtime BIGINT,
  status INTEGER,
  agent VARCHAR,
  price DOUBLE
) WITH (
  KAFKA_TOPIC = 'clicks',
  TIMESTAMP = 'viewtime'
);
