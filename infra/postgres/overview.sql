-- Server, named databases and roles, and whether the connected database is empty: what must be known before the first object is
-- created, in the shape of catalog.sql. Every object created after CREATE DATABASE has an OID from 16384 on (FirstNormalObjectId)
-- and, except for schemas, an entry in pg_depend; without such objects and without changed privileges the database is empty.
-- Parameters: names of databases, names of roles (text[]), the pattern of our mark: what has it is read too.
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
    'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
    'connection_limit', d.datconnlimit, 'allows_connections', d.datallowconn, 'template', d.datistemplate,
    'comment', (SELECT description FROM pg_shdescription s WHERE s.objoid = d.oid AND s.classoid = 'pg_database'::regclass))), '[]')
    FROM pg_database d WHERE d.datname = ANY ({databases}::name[]) OR shobj_description(d.oid, 'pg_database') LIKE {mark}),
'tablespaces', (SELECT json_agg(spcname ORDER BY spcname) FROM pg_tablespace),
'roles', (SELECT coalesce(json_agg(json_build_object(
    'name', a.rolname, 'superuser', a.rolsuper, 'inherit', a.rolinherit, 'create_role', a.rolcreaterole,
    'create_database', a.rolcreatedb, 'login', a.rolcanlogin, 'replication', a.rolreplication, 'bypass_rls', a.rolbypassrls,
    'connection_limit', a.rolconnlimit, 'expires', a.rolvaliduntil IS NOT NULL AND a.rolvaliduntil <> 'infinity',
    'verifier', a.rolpassword,
    'comment', (SELECT description FROM pg_shdescription s WHERE s.objoid = a.oid AND s.classoid = 'pg_authid'::regclass))), '[]')
    FROM pg_authid a WHERE a.rolname = ANY ({roles}::name[]) OR shobj_description(a.oid, 'pg_authid') LIKE {mark}),
'role_settings', (SELECT coalesce(json_agg(json_build_object(
    'database', coalesce(d.datname, ''), 'role', coalesce(a.rolname, ''), 'settings', s.setconfig)), '[]')
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_authid a ON a.oid = s.setrole),
'empty', (SELECT bool_and(n.oid < 16384 OR n.nspname ~ '^pg_')
          AND bool_or(n.nspname = 'public'
                      AND n.nspacl::text = '{{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}}')
          FROM pg_namespace n)
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid >= 16384 OR refobjid >= 16384)
    AND NOT EXISTS (SELECT FROM pg_default_acl)
    AND NOT EXISTS (SELECT FROM pg_shdepend s, pg_database d WHERE d.datname = current_database() AND s.dbid = d.oid)
    AND EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND datacl IS NULL)
)::text
