-- Everything that is compared with what was declared, as one JSON document: one statement, one round trip, one snapshot.
-- PostgreSQL 15 to 18. Where a column's name differs between versions the row is read as JSON (to_jsonb) and asked for both.
-- Parameter: names of settings to read (text[]).
WITH
schemas AS MATERIALIZED (
    SELECT oid, nspname::text AS name, nspowner, nspacl
    FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
extension_members AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
),
-- Objects whose ACL names a role of ours: finds a grant on a system catalog without reading every ACL there is.
granted AS MATERIALIZED (
    SELECT DISTINCT s.classid, s.objid FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
    WHERE s.deptype = 'a' AND s.refclassid = 'pg_authid'::regclass AND r.rolname !~ '^pg_'
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
),
relations AS MATERIALIZED (
    SELECT c.oid, s.name AS schema, c.relname::text AS name, c.relkind::text AS kind, c.relowner, c.relacl, c.relpersistence,
           c.relrowsecurity, c.relforcerowsecurity, c.reltuples,
           ARRAY(SELECT unnest(c.reloptions) UNION ALL
                 SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t WHERE t.oid = c.reltoastrelid) AS options, pg_get_userbyid(c.relowner)::text AS owner
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT FROM extension_members e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
),
functions AS MATERIALIZED (
    SELECT p.oid, s.name AS schema, p.proname::text AS name, p.proowner, p.proacl, p.prokind::text AS kind,
           pg_get_function_identity_arguments(p.oid) AS arguments
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM extension_members e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
),
acls AS (
    SELECT 'database' AS kind, '' AS schema, d.datname::text AS name, '' AS detail, d.datdba AS owner,
           coalesce(d.datacl, acldefault('d', d.datdba)) AS acl
    FROM pg_database d WHERE d.datname = current_database()
    UNION ALL
    SELECT 'schema', '', s.name, '', s.nspowner, coalesce(s.nspacl, acldefault('n', s.nspowner)) FROM schemas s
    UNION ALL
    SELECT CASE r.kind WHEN 'S' THEN 'sequence' ELSE 'table' END, r.schema, r.name, '', r.relowner,
           coalesce(r.relacl, acldefault(CASE r.kind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))
    FROM relations r
    UNION ALL
    SELECT 'table', c.relnamespace::regnamespace::text, c.relname::text, '', c.relowner, c.relacl
    FROM granted g JOIN pg_class c ON g.classid = 'pg_class'::regclass AND g.objid = c.oid
    WHERE c.relnamespace NOT IN (SELECT oid FROM schemas) AND c.relacl IS NOT NULL
    UNION ALL
    SELECT 'column', r.schema, r.name, a.attname::text, r.relowner, a.attacl
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT CASE f.kind WHEN 'p' THEN 'procedure' ELSE 'function' END, f.schema, f.name, f.arguments, f.proowner,
           coalesce(f.proacl, acldefault('f', f.proowner))
    FROM functions f
    UNION ALL
    SELECT 'type', s.name, t.typname::text, '', t.typowner, t.typacl
    FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace WHERE t.typacl IS NOT NULL
    UNION ALL
    -- They have no owner of their own: the first superuser's OID stands for it (BOOTSTRAP_SUPERUSERID).
    SELECT 'parameter', '', p.parname, '', 10::oid, p.paracl FROM pg_parameter_acl p
)
SELECT json_build_object(
'server', json_build_object(
    'version', current_setting('server_version_num')::int,
    'user', current_user,
    'superuser', current_setting('is_superuser')::bool,
    'database', current_database(),
    'standby', pg_is_in_recovery()),
'databases', (SELECT coalesce(json_agg(json_build_object(
    'name', d.datname, 'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
    'provider', CASE d.datlocprovider WHEN 'b' THEN 'builtin' WHEN 'i' THEN 'icu' ELSE 'libc' END,
    'collate', d.datcollate, 'ctype', d.datctype,
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate),
    'tablespace', t.spcname, 'connection_limit', d.datconnlimit, 'allows_connections', d.datallowconn, 'template', d.datistemplate,
    'comment', (SELECT description FROM pg_shdescription s WHERE s.objoid = d.oid AND s.classoid = 'pg_database'::regclass)) ORDER BY d.datname), '[]')
    FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace),
'tablespaces', (SELECT json_agg(spcname ORDER BY spcname) FROM pg_tablespace),
'roles', (SELECT coalesce(json_agg(json_build_object(
    'name', a.rolname, 'superuser', a.rolsuper, 'inherit', a.rolinherit, 'create_role', a.rolcreaterole,
    'create_database', a.rolcreatedb, 'login', a.rolcanlogin, 'replication', a.rolreplication, 'bypass_rls', a.rolbypassrls,
    'connection_limit', a.rolconnlimit, 'expires', a.rolvaliduntil IS NOT NULL AND a.rolvaliduntil <> 'infinity',
    'verifier', a.rolpassword, 'comment', (SELECT description FROM pg_shdescription s WHERE s.objoid = a.oid AND s.classoid = 'pg_authid'::regclass)) ORDER BY a.rolname), '[]')
    FROM pg_authid a WHERE a.rolname !~ '^pg_'),
'memberships', (SELECT coalesce(json_agg(json_build_object(
    'role', pg_get_userbyid(m.roleid), 'member', pg_get_userbyid(m.member), 'grantor', pg_get_userbyid(m.grantor))
    ORDER BY 1), '[]')
    FROM pg_auth_members m WHERE pg_get_userbyid(m.member) !~ '^pg_'),
'role_settings', (SELECT coalesce(json_agg(json_build_object(
    'database', coalesce(d.datname, ''), 'role', coalesce(a.rolname, ''), 'settings', s.setconfig)), '[]')
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_authid a ON a.oid = s.setrole),
'schemas', (SELECT coalesce(json_agg(json_build_object(
    'name', s.name, 'owner', pg_get_userbyid(s.nspowner)) ORDER BY s.name), '[]') FROM schemas s),
'tables', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'name', r.name, 'kind', r.kind, 'owner', r.owner, 'unlogged', r.relpersistence = 'u',
    'row_security', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'options', r.options, 'rows', greatest(r.reltuples, 0), 'bytes', pg_relation_size(r.oid),
    'definition', CASE WHEN r.kind IN ('v', 'm') THEN pg_get_viewdef(r.oid) ELSE '' END,
    'internal_triggers_disabled',
        (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgisinternal AND t.tgenabled <> 'O'))
    ORDER BY r.schema, r.name), '[]')
    FROM relations r WHERE r.kind <> 'S'),
'columns', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
    'not_null', a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint n
        WHERE n.conrelid = r.oid AND n.contype = 'n' AND NOT n.convalidated AND n.conkey = ARRAY[a.attnum]),
    'default', pg_get_expr(d.adbin, d.adrelid), 'identity', a.attidentity, 'generated', a.attgenerated,
    'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text ELSE '' END)
    ORDER BY r.schema, r.name, a.attnum), '[]')
    FROM relations r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.kind IN ('r', 'p')),
'constraints', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', c.conname, 'kind', c.contype, 'definition', pg_get_constraintdef(c.oid),
    'validated', c.convalidated, 'inherited', c.conparentid <> 0 OR (c.coninhcount > 0 AND NOT c.conislocal),
    'references', CASE WHEN c.confrelid <> 0
        THEN (SELECT n.nspname || '.' || f.relname FROM pg_class f JOIN pg_namespace n ON n.oid = f.relnamespace
              WHERE f.oid = c.confrelid) ELSE '' END,
    'columns', (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]')
                FROM unnest(c.conkey) WITH ORDINALITY k (attnum, n)
                JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum))
    ORDER BY r.schema, r.name, c.conname), '[]')
    FROM relations r JOIN pg_constraint c ON c.conrelid = r.oid
    WHERE c.contype IN ('p', 'u', 'f', 'c', 'x')),
'indexes', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', c.relname, 'definition', pg_get_indexdef(i.indexrelid),
    'unique', i.indisunique, 'valid', i.indisvalid AND i.indisready AND i.indislive,
    'building', EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid),
    'constraint', EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
    'parent', coalesce((SELECT n.nspname || '.' || b.relname FROM pg_inherits h JOIN pg_class b ON b.oid = h.inhparent
        JOIN pg_namespace n ON n.oid = b.relnamespace WHERE h.inhrelid = i.indexrelid), ''),
    'method', m.amname, 'partial', i.indpred IS NOT NULL, 'expressions', i.indexprs IS NOT NULL,
    'columns', (SELECT json_agg(coalesce(a.attname, '') ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
                LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum AND k.attnum > 0),
    'key_count', i.indnkeyatts, 'orders', i.indoption::int2[], 'classes', i.indclass::oid[], 'collations', i.indcollation::oid[],
    'bytes', pg_relation_size(i.indexrelid), 'scans', coalesce(pg_stat_get_numscans(i.indexrelid), 0))
    ORDER BY r.schema, c.relname), '[]')
    FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam),
'triggers', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', t.tgname, 'definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled, 'inherited', t.tgparentid <> 0)
    ORDER BY r.schema, r.name, t.tgname), '[]')
    FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal),
'policies', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', p.polname, 'definition', concat(
        CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
        CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE'
                      WHEN 'd' THEN ' FOR DELETE' ELSE ' FOR ALL' END,
        ' TO ', (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY o) FROM unnest(p.polroles) o),
        ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'))
    ORDER BY r.schema, r.name, p.polname), '[]')
    FROM relations r JOIN pg_policy p ON p.polrelid = r.oid),
'rules', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'table', r.name, 'name', w.rulename, 'definition', pg_get_ruledef(w.oid) || w.ev_enabled::text)
    ORDER BY r.schema, r.name, w.rulename), '[]')
    FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'),
'functions', (SELECT coalesce(json_agg(json_build_object(
    'schema', f.schema, 'name', f.name, 'arguments', f.arguments, 'kind', f.kind, 'owner', pg_get_userbyid(f.proowner),
    'definition', CASE WHEN f.kind IN ('f', 'p') THEN pg_get_functiondef(f.oid) ELSE '' END)
    ORDER BY f.schema, f.name, f.arguments), '[]')
    FROM functions f),
'sequences', (SELECT coalesce(json_agg(json_build_object(
    'schema', r.schema, 'name', r.name, 'owner', r.owner, 'type', format_type(q.seqtypid, NULL), 'start', q.seqstart,
    'increment', q.seqincrement, 'minimum', q.seqmin, 'maximum', q.seqmax, 'cache', q.seqcache, 'cycle', q.seqcycle,
    'last_value', pg_sequence_last_value(r.oid),
    'owned_by', coalesce((SELECT n.nspname || '.' || c.relname || '.' || a.attname
        FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
          AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') LIMIT 1), ''))
    ORDER BY r.schema, r.name), '[]')
    FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid),
'types', (SELECT coalesce(json_agg(json_build_object(
    'schema', s.name, 'name', t.typname, 'kind', t.typtype, 'owner', pg_get_userbyid(t.typowner)) ORDER BY s.name, t.typname), '[]')
    FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r')
      AND NOT EXISTS (SELECT FROM extension_members e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)),
-- Kinds whose existence alone is compared; OIDs from 16384 on are not PostgreSQL's own (FirstNormalObjectId).
'others', (SELECT coalesce(json_agg(json_build_object('kind', i.type, 'name', i.identity) ORDER BY i.type, i.identity), '[]')
    FROM (SELECT tableoid, oid FROM pg_am
          UNION ALL SELECT tableoid, oid FROM pg_cast
          UNION ALL SELECT tableoid, oid FROM pg_collation
          UNION ALL SELECT tableoid, oid FROM pg_conversion
          UNION ALL SELECT tableoid, oid FROM pg_event_trigger
          UNION ALL SELECT tableoid, oid FROM pg_extension
          UNION ALL SELECT tableoid, oid FROM pg_foreign_data_wrapper
          UNION ALL SELECT tableoid, oid FROM pg_foreign_server
          UNION ALL SELECT tableoid, oid FROM pg_language
          UNION ALL SELECT tableoid, oid FROM pg_opclass
          UNION ALL SELECT tableoid, oid FROM pg_operator
          UNION ALL SELECT tableoid, oid FROM pg_opfamily
          UNION ALL SELECT tableoid, oid FROM pg_publication
          UNION ALL SELECT tableoid, oid FROM pg_statistic_ext
          UNION ALL SELECT tableoid, oid FROM pg_transform
          UNION ALL SELECT tableoid, oid FROM pg_ts_config
          UNION ALL SELECT tableoid, oid FROM pg_ts_dict
          UNION ALL SELECT tableoid, oid FROM pg_ts_parser
          UNION ALL SELECT tableoid, oid FROM pg_ts_template
          UNION ALL SELECT s.tableoid, s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                    WHERE d.datname = current_database()) o (classid, objid)
    CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
    WHERE o.objid >= 16384 AND NOT EXISTS (SELECT FROM extension_members e WHERE e.classid = o.classid AND e.objid = o.objid)),
'grants', (SELECT coalesce(json_agg(json_build_object(
    'kind', a.kind, 'schema', a.schema, 'name', a.name, 'detail', a.detail, 'owner', pg_get_userbyid(a.owner),
    'grantor', pg_get_userbyid(x.grantor),
    'grantee', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END,
    'privilege', x.privilege_type, 'grantable', x.is_grantable)), '[]')
    FROM acls a CROSS JOIN LATERAL aclexplode(a.acl) x WHERE x.grantee <> a.owner),
'other_grants', (SELECT coalesce(json_agg(json_build_object(
    'role', pg_get_userbyid(s.refobjid), 'object', pg_describe_object(s.classid, s.objid, s.objsubid))), '[]')
    FROM pg_shdepend s
    WHERE s.deptype = 'a' AND s.refclassid = 'pg_authid'::regclass AND pg_get_userbyid(s.refobjid) !~ '^pg_'
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_database'::regclass,
                            'pg_type'::regclass, 'pg_default_acl'::regclass, 'pg_parameter_acl'::regclass)),
'default_grants', (SELECT coalesce(json_agg(json_build_object(
    'creator', pg_get_userbyid(d.defaclrole),
    'schema', coalesce((SELECT nspname FROM pg_namespace n WHERE n.oid = d.defaclnamespace), ''),
    'kind', CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                 WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
    'grantee', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END,
    'privilege', x.privilege_type, 'grantable', x.is_grantable)), '[]')
    FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) x WHERE x.grantee <> d.defaclrole),
'settings', (SELECT coalesce(json_agg(json_build_object(
    'name', s.name, 'value', s.setting, 'unit', coalesce(s.unit, ''), 'type', s.vartype, 'context', s.context,
    'source', s.source, 'file', coalesce(s.sourcefile, ''), 'pending_restart', s.pending_restart) ORDER BY s.name), '[]')
    FROM pg_settings s
    WHERE s.name = ANY (%(parameters)s::text[]) OR s.pending_restart),
-- What ALTER SYSTEM left, also while it waits for a reload or a restart: pg_settings does not tell then.
'overrides', (SELECT coalesce(json_agg(json_build_object('name', f.name, 'value', f.setting) ORDER BY f.name), '[]')
    FROM pg_file_settings f WHERE f.sourcefile LIKE '%%/postgresql.auto.conf'),
-- The record table may not exist yet, and a statement that names a missing table fails as a whole. ts_stat runs the text it is
-- given, so the name is only looked up where the table exists; each record travels as one lexeme.
'migrations', (SELECT coalesce(json_agg(word::json), '[]') FROM ts_stat(CASE
    WHEN to_regclass('circlepay.migrations') IS NULL THEN 'SELECT NULL::tsvector WHERE false'
    ELSE 'SELECT array_to_tsvector(ARRAY[json_build_object(''version'', version, ''name'', name, ''sha256'', sha256)::text])
          FROM circlepay.migrations' END)),
'recorded', to_regclass('circlepay.migrations') IS NOT NULL
)::text
