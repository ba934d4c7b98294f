-- Redundant indexes: those whose columns are the first columns of another index on the same table.
-- Read it: covered_by answers every query the index answers, so each row costs one write per insert, and per update that is not
-- HOT, for nothing. Setting postgres.dropRedundantIndexes drops those of the documented schema.
-- Indexes that enforce something, partial ones and those on expressions are never listed.
WITH plain AS (
    SELECT
        i.indexrelid,
        i.indrelid,
        i.indisunique,
        a.amname,
        i.indkey::text || ' ' AS columns,
        i.indclass::text || ' ' AS classes,
        i.indcollation::text || ' ' AS collations,
        i.indoption::text || ' ' AS options
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indisvalid AND i.indisready AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
)
SELECT
    n.nspname AS schema,
    t.relname AS "table",
    narrow.relname AS "index",
    string_agg(wide.relname, ', ' ORDER BY wide.relname) AS covered_by,
    pg_size_pretty(pg_relation_size(narrow.oid)) AS size,
    max(s.idx_scan) AS idx_scan
FROM plain AS a
JOIN plain AS b
    ON b.indrelid = a.indrelid
    AND b.indexrelid <> a.indexrelid
    AND b.amname = a.amname
    AND starts_with(b.columns, a.columns)
    AND starts_with(b.classes, a.classes)
    AND starts_with(b.collations, a.collations)
    AND starts_with(b.options, a.options)
    AND (b.columns <> a.columns OR b.indisunique OR b.indexrelid < a.indexrelid)
JOIN pg_class AS narrow ON narrow.oid = a.indexrelid
JOIN pg_class AS wide ON wide.oid = b.indexrelid
JOIN pg_class AS t ON t.oid = a.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_stat_user_indexes AS s ON s.indexrelid = a.indexrelid
WHERE NOT a.indisunique
GROUP BY n.nspname, t.relname, narrow.relname, narrow.oid
ORDER BY schema, "table", "index";
