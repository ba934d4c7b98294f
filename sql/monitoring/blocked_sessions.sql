-- Blocked sessions: each session that waits for a lock, and the sessions that block it.
-- Read it: blocked_by lists process ids; those that appear there and not as pid are the root blockers: all other sessions wait
-- until they finish. A schema change that waits also makes all later queries on the table wait.
SELECT
    w.pid,
    w.usename AS role,
    date_trunc('second', greatest(clock_timestamp() - w.state_change, interval '0')) AS waiting_since,
    l.mode AS wanted,
    coalesce(l.relation::regclass::text, l.locktype) AS on_what,
    pg_blocking_pids(w.pid) AS blocked_by,
    left(regexp_replace(w.query, '\s+', ' ', 'g'), 80) AS statement,
    (
        SELECT string_agg(format('%s: %s', b.pid, left(regexp_replace(b.query, '\s+', ' ', 'g'), 60)), ' | ' ORDER BY b.pid)
        FROM pg_stat_activity AS b
        WHERE b.pid = ANY (pg_blocking_pids(w.pid))
    ) AS blocking_statements
FROM pg_stat_activity AS w
JOIN pg_locks AS l ON l.pid = w.pid AND NOT l.granted
ORDER BY w.state_change, w.pid;
