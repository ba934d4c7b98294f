-- Cache hit ratio of tables and of indexes in this database, since statistics_since.
-- Read it: share of blocks found in shared_buffers. Below 99 percent on a busy payment database, shared_buffers is too small or a
-- query reads whole tables. What the operating system had cached counts as a miss here. Empty before the first read.
SELECT
    kind,
    hit AS blocks_hit,
    read AS blocks_read,
    round(100.0 * hit / nullif(hit + read, 0), 2) AS percent_hit,
    (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS statistics_since
FROM (
    SELECT 'tables' AS kind, coalesce(sum(heap_blks_hit), 0) AS hit, coalesce(sum(heap_blks_read), 0) AS read
    FROM pg_statio_user_tables
    UNION ALL
    SELECT 'indexes', coalesce(sum(idx_blks_hit), 0), coalesce(sum(idx_blks_read), 0)
    FROM pg_statio_user_indexes
) AS blocks
ORDER BY kind DESC;
