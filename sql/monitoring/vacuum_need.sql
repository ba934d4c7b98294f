-- Dead rows, last VACUUM, and how far each table is from a transaction id wraparound.
-- Read it: percent_dead above 20 with an old last_vacuum means that autovacuum does not keep up or is held back by a long transaction.
-- percent_to_wraparound above 50 is an alarm: near 100 the server refuses writes. Autovacuum steps in near 10 by itself.
SELECT
    s.schemaname AS schema,
    s.relname AS "table",
    s.n_live_tup AS live_rows,
    s.n_dead_tup AS dead_rows,
    round(100.0 * s.n_dead_tup / nullif(s.n_live_tup + s.n_dead_tup, 0), 1) AS percent_dead,
    greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
    greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze,
    round(100.0 * age(c.relfrozenxid) / 2147483647, 2) AS percent_to_wraparound
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
ORDER BY dead_rows DESC, schema, "table";
