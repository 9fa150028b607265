-- The balances as if a wrong event, and the one that made up for it, had never been. Where they are, SELECT shows:
--
--   SELECT ROWPARTITION, ROWOFFSET, * FROM account_events WHERE account = 'ann';
--   DEFINE partition = '1'; DEFINE wrong = '2'; DEFINE compensating = '3';

CREATE TABLE balances_replayed AS
  SELECT account, SUM(amount) AS balance, MAX(amount) AS largest
  FROM account_events
  WHERE NOT (ROWPARTITION = ${partition} AND ROWOFFSET IN (${wrong}, ${compensating}))
  GROUP BY account;
