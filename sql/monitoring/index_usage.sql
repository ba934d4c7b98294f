-- Index usage: how often each index was used since statistics_since.
-- Read it: an index with 0 scans after weeks of ordinary traffic costs writes and space for nothing, unless it enforces
-- uniqueness (enforces = true). Look at every replica too before dropping one: each server counts its own scans.
SELECT
    s.schemaname AS schema,
    s.relname AS "table",
    s.indexrelname AS "index",
    s.idx_scan,
    s.idx_tup_read,
    s.idx_tup_fetch,
    pg_size_pretty(pg_relation_size(s.indexrelid)) AS size,
    i.indisunique AS enforces,
    (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS statistics_since
FROM pg_stat_user_indexes AS s
JOIN pg_index AS i ON i.indexrelid = s.indexrelid
ORDER BY s.idx_scan DESC, schema, "table", "index";
