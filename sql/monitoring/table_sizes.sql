-- Table sizes: what each table takes with its indexes and its out-of-line values, largest first.
-- Read it: total = table + indexes + toast. Indexes larger than the table point at redundant_indexes.sql. Sizes are taken by
-- object id, so names in mixed case work. estimated_rows is the planner's figure, -1 before the first ANALYZE.
SELECT
    n.nspname AS schema,
    c.relname AS "table",
    pg_size_pretty(pg_total_relation_size(c.oid)) AS total,
    pg_size_pretty(pg_relation_size(c.oid)) AS "heap",
    pg_size_pretty(pg_indexes_size(c.oid)) AS indexes,
    c.reltuples::bigint AS estimated_rows,
    pg_total_relation_size(c.oid) AS total_bytes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY total_bytes DESC, schema, "table";
