-- Replication slots: how much WAL each one keeps from being removed.
-- Read it: a slot with active = false keeps WAL for a consumer that is not there, until the disk is full and the server stops. If
-- the consumer is gone for good: SELECT pg_drop_replication_slot('name'). No rows: no slots, nothing to worry about.
SELECT
    slot_name,
    slot_type,
    coalesce(database, '') AS database,
    active,
    wal_status,
    pg_size_pretty(pg_wal_lsn_diff(here.lsn, restart_lsn)) AS kept_wal,
    pg_wal_lsn_diff(here.lsn, restart_lsn) AS kept_bytes
FROM pg_replication_slots
CROSS JOIN (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
) AS here
ORDER BY kept_bytes DESC NULLS LAST, slot_name;
