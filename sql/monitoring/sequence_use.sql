-- Sequences: how much of its range each has used up.
-- Read it: SERIAL columns are 32 bit, so the limit is that of the column (2147483647) even where the sequence could go on. At
-- percent_used = 100 every insert into the table fails. From 50 on, plan the move to BIGINT: it rewrites the table.
SELECT
    s.schemaname AS schema,
    s.sequencename AS sequence,
    coalesce(owner.relname || '.' || a.attname, '') AS used_by,
    coalesce(s.last_value, 0) AS last_value,
    top.highest AS "limit",
    round(100.0 * coalesce(s.last_value, 0) / top.highest, 4) AS percent_used
FROM pg_sequences AS s
JOIN pg_namespace AS n ON n.nspname = s.schemaname
JOIN pg_class AS c ON c.relname = s.sequencename AND c.relnamespace = n.oid AND c.relkind = 'S'
LEFT JOIN pg_depend AS d
    ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN pg_class AS owner ON owner.oid = d.refobjid
LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
CROSS JOIN LATERAL (
    SELECT least(
        s.max_value,
        CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE s.max_value END
    ) AS highest
) AS top
ORDER BY percent_used DESC, schema, sequence;
