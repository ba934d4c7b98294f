-- Active connections: how many sessions are running a statement at this moment.
-- Read it: this query's own session is not counted. A number that stays near the count of CPU cores or above means that the
-- server is saturated; look at long_transactions.sql and blocked_sessions.sql next.
SELECT count(*) AS active
FROM pg_stat_activity
WHERE state = 'active'
  AND backend_type = 'client backend'
  AND pid <> pg_backend_pid();
