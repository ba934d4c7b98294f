-- The database in one row: size, sessions, commits and rollbacks, deadlocks, temporary files, checksum failures.
-- Read it: checksum_failures other than 0 (or empty: checksums are off) means damaged storage: stop writing, restore elsewhere.
-- Growing deadlocks point at transactions that take rows in different orders; growing temporary files at work_mem or missing indexes.
SELECT
    d.datname AS database,
    pg_size_pretty(pg_database_size(d.datid)) AS size,
    d.numbackends AS sessions,
    d.xact_commit AS commits,
    d.xact_rollback AS rollbacks,
    d.deadlocks,
    d.temp_files AS temporary_files,
    pg_size_pretty(d.temp_bytes) AS temporary_bytes,
    d.checksum_failures,
    d.stats_reset AS statistics_since,
    date_trunc('second', now() - pg_postmaster_start_time()) AS uptime,
    pg_is_in_recovery() AS is_replica
FROM pg_stat_database AS d
WHERE d.datname = current_database();
