-- Long transactions: the sessions with the oldest open transactions, at most 20.
-- Read it: an old transaction holds its locks and keeps VACUUM from removing newer dead rows. "idle in transaction" for minutes is
-- a client that disconnected or did not commit: end it with SELECT pg_terminate_backend(pid). The statement is cut at 100
-- characters and may contain customer data: check it before pasting it into a ticket.
SELECT
    pid,
    usename AS role,
    application_name AS application,
    coalesce(host(client_addr), '') AS client,
    state,
    date_trunc('second', greatest(clock_timestamp() - xact_start, interval '0')) AS transaction_age,
    date_trunc('second', greatest(clock_timestamp() - query_start, interval '0')) AS statement_age,
    coalesce(wait_event_type || '/' || wait_event, '') AS waiting_for,
    left(regexp_replace(query, '\s+', ' ', 'g'), 100) AS statement
FROM pg_stat_activity
WHERE xact_start IS NOT NULL
  AND backend_type = 'client backend'
  AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT 20;
