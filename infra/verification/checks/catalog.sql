-- All catalog facts that the checks compare, as one row of JSON values. Parameters: role, owner, database.
WITH tables AS (
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, pg_get_userbyid(c.relowner) AS owner
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
)
SELECT
    pg_backend_pid() AS backend_pid,
    (SELECT json_object_agg(name, json_build_object(
            'value', reset_val, 'unit', unit, 'type', vartype, 'pending_restart', pending_restart, 'file', sourcefile))
       FROM pg_settings) AS settings,
    (SELECT to_jsonb(d) || jsonb_build_object(
            'owner', pg_get_userbyid(d.datdba),
            'encoding_name', pg_encoding_to_char(d.encoding),
            'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace))
       FROM pg_database d WHERE d.datname = %(database)s) AS database,
    (SELECT json_object_agg(relname, to_json(tables)) FROM tables) AS tables,
    (SELECT json_object_agg(t.relname || '.' || a.attname, json_build_object(
            'type', format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull,
            'default', coalesce(pg_get_expr(d.adbin, d.adrelid), '')))
       FROM tables t
       JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum) AS columns,
    (SELECT json_object_agg(t.relname || '.' || c.conname, pg_get_constraintdef(c.oid))
       FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid
      WHERE c.contype <> 'n') AS constraints,
    (SELECT json_object_agg(i.relname, json_build_object(
            'definition', pg_get_indexdef(x.indexrelid), 'usable', x.indisvalid AND x.indisready))
       FROM tables t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid) AS indexes,
    (SELECT json_object_agg(t.relname || '.' || g.tgname, json_build_object(
            'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled))
       FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal) AS triggers,
    (SELECT coalesce(json_agg(DISTINCT t.relname), '[]')
       FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid
      WHERE g.tgisinternal AND g.tgenabled <> 'O') AS unenforced_foreign_keys,
    (SELECT json_object_agg(p.proname, json_build_object(
            'body', p.prosrc, 'language', l.lanname, 'returns', p.prorettype::regtype, 'arguments', p.pronargs,
            'security_definer', p.prosecdef, 'settings', p.proconfig, 'owner', pg_get_userbyid(p.proowner)))
       FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
      WHERE p.pronamespace = 'public'::regnamespace) AS functions,
    (SELECT json_object_agg(s.relname, json_build_object(
            'type', q.seqtypid::regtype, 'increment', q.seqincrement,
            'owned_by', (SELECT d.refobjid::regclass::text || '.' || a.attname
                           FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype = 'a')))
       FROM pg_class s JOIN pg_sequence q ON q.seqrelid = s.oid
      WHERE s.relnamespace = 'public'::regnamespace) AS sequences,
    (SELECT json_object_agg(r.rolname, to_jsonb(r) - 'rolpassword' || jsonb_build_object('password', r.rolpassword IS NOT NULL))
       FROM pg_authid r WHERE r.rolname IN (%(role)s, %(owner)s)) AS roles,
    (SELECT json_object_agg(r.rolname, (SELECT coalesce(json_agg(pg_get_userbyid(m.roleid)), '[]')
            FROM pg_auth_members m WHERE m.member = r.oid))
       FROM pg_roles r WHERE r.rolname IN (%(role)s, %(owner)s)) AS memberships,
    (SELECT coalesce(json_agg(c.relname ORDER BY c.relname), '[]')
       FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner AND r.rolsuper
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ) AS superusers_objects,
    (SELECT coalesce(json_agg(rolname), '[]') FROM pg_authid
      WHERE rolcanlogin AND rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%%') AS weak_verifiers,
    (SELECT coalesce(json_agg(s), '[]') FROM (
        SELECT unnest(setconfig) AS setting, pg_get_userbyid(nullif(setrole, 0)) AS role FROM pg_db_role_setting
         WHERE setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = %(role)s))
           AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = %(database)s))) s) AS overrides,
    (SELECT coalesce(json_agg(json_build_object('setting', name || '=' || setting, 'role', 'the server, by ALTER SYSTEM')), '[]')
       FROM pg_file_settings WHERE sourcefile LIKE '%%/postgresql.auto.conf') AS system_overrides,
    to_regclass('circlepay.migrations') IS NOT NULL AS has_migrations;
