-- Connections against the limit, by database, role and state.
-- Read it: percent_of_limit is the sum of every session against what ordinary roles may use (max_connections without the reserved
-- ones). Above 80 the application soon gets "too many clients already". Many "idle in transaction" sessions are
-- transactions that a client did not end: they hold locks and keep VACUUM from removing dead rows.
SELECT
    coalesce(datname, '') AS database,
    coalesce(usename, '') AS role,
    coalesce(state, 'unknown') AS state,
    count(*) AS sessions,
    max(greatest(clock_timestamp() - state_change, interval '0')) AS longest_in_state,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS sessions_in_all,
    room.usable AS usable_connections,
    round(
        100.0 * (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') / room.usable, 1
    ) AS percent_of_limit
FROM pg_stat_activity
CROSS JOIN (
    SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int AS usable
) AS room
WHERE backend_type = 'client backend'
GROUP BY datname, usename, state, room.usable
ORDER BY sessions DESC, database, role, state;
