-- Accounts whose every change is an event. The events are the truth; tables are made from them.
--
--   streamsql -f examples/event_sourcing/accounts.sql
--   python examples/event_sourcing/accounts.py     the whole story of docs/event-sourcing.md

CREATE STREAM account_events (account VARCHAR KEY, kind VARCHAR, amount BIGINT, note VARCHAR)
  WITH (KAFKA_TOPIC = 'account_events', PARTITIONS = 2, VALUE_FORMAT = 'JSON');

CREATE TABLE balances AS
  SELECT account, SUM(amount) AS balance, MAX(amount) AS largest
  FROM account_events
  GROUP BY account;
