-- What went wrong: a stream of its own, with a short name of the browser.

CREATE STREAM problems AS
  SELECT
    user_id,
    page,
    status,
    CASE
      WHEN agent LIKE '%Firefox%' THEN 'Firefox'
      WHEN agent LIKE '%Edg/%' THEN 'Edge'
      WHEN agent LIKE '%Chrome%' THEN 'Chrome'
      ELSE 'Safari'
    END AS browser
  FROM clicks
  WHERE status >= 400;
