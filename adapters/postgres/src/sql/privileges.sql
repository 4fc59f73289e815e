-- The statements that give table $2, spelled $3, the privileges table $1 has, columns and identity sequences included, in
-- the order the server keeps them. What default privileges gave the new table is taken away first. Only what differs is
-- touched. What somebody other than the owner has granted is granted in their name, for which they must see the schema.
WITH relations AS (
    SELECT s.oid AS from_oid, n.oid AS to_oid, s.relkind, s.relowner, m.nspname, m.oid AS schema_oid,
           format('%s %I.%I', CASE s.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, m.nspname, n.relname) AS spelled,
           coalesce(s.relacl, acldefault(CASE s.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", s.relowner)) AS wanted,
           coalesce(n.relacl, acldefault(CASE n.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", n.relowner)) AS found
    FROM pg_class s, pg_class n JOIN pg_namespace m ON m.oid = n.relnamespace
    WHERE (s.oid = $1 AND n.oid = $2)
       OR (s.relkind = 'S' AND n.relkind = 'S' AND s.relname = n.relname
           AND EXISTS (SELECT FROM pg_depend WHERE deptype = 'i' AND classid = 'pg_class'::regclass AND objid = s.oid AND refobjid = $1)
           AND EXISTS (SELECT FROM pg_depend WHERE deptype = 'i' AND classid = 'pg_class'::regclass AND objid = n.oid AND refobjid = $2))
), roles AS (
    SELECT 0::oid AS oid, 'PUBLIC' AS spelled UNION ALL SELECT r.oid, quote_ident(r.rolname) FROM pg_roles r
), grants AS (
    SELECT r.relkind::text AS place, x.n, x.grantor, x.is_grantable,
           format('GRANT %s ON %s TO %s', x.privilege_type, r.spelled, g.spelled) AS statement
    FROM relations r, aclexplode(r.wanted) WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n)
    JOIN roles g ON g.oid = x.grantee
    WHERE r.wanted::text <> r.found::text
    UNION ALL
    SELECT 'column ' || lpad(a.attnum::text, 5, '0'), x.n, x.grantor, x.is_grantable,
           format('GRANT %s (%I) ON %s TO %s', x.privilege_type, a.attname, $3::text, g.spelled)
    FROM pg_attribute a, aclexplode(a.attacl) WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n)
    JOIN roles g ON g.oid = x.grantee
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
), strangers AS (
    SELECT DISTINCT g.grantor, w.spelled, r.nspname
    FROM grants g JOIN relations r ON r.from_oid = $1 JOIN roles w ON w.oid = g.grantor
    WHERE g.grantor <> r.relowner AND NOT has_schema_privilege(g.grantor, r.schema_oid, 'USAGE')
)
SELECT statement
FROM (
    SELECT DISTINCT 1 AS step, '' AS place, 0::int8 AS n, format('REVOKE ALL ON %s FROM %s', r.spelled, g.spelled) AS statement
    FROM relations r, aclexplode(r.found) AS x JOIN roles g ON g.oid = x.grantee
    WHERE r.wanted::text <> r.found::text
    UNION ALL
    SELECT 2, '', 0, format('GRANT USAGE ON SCHEMA %I TO %s', s.nspname, s.spelled) FROM strangers s
    UNION ALL
    SELECT 3, g.place, g.n,
           CASE WHEN g.grantor = r.relowner THEN g.statement || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                ELSE format('SET ROLE %s; %s%s; RESET ROLE', w.spelled, g.statement,
                            CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END)
           END
    FROM grants g JOIN relations r ON r.from_oid = $1 JOIN roles w ON w.oid = g.grantor
    UNION ALL
    SELECT 4, '', 0, format('REVOKE USAGE ON SCHEMA %I FROM %s', s.nspname, s.spelled) FROM strangers s
) AS statements
ORDER BY step, place, n, statement
