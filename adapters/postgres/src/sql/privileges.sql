-- The statements that give table $2, spelled $3, the privileges table $1 has, columns and identity sequences included.
-- What default privileges gave the new table is taken away first. Only what differs is touched.
WITH relations AS (
    SELECT s.oid AS from_oid, n.oid AS to_oid, s.relkind,
           format('%s %I.%I', CASE s.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, m.nspname, n.relname) AS spelled,
           coalesce(s.relacl, acldefault(CASE s.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", s.relowner)) AS wanted,
           coalesce(n.relacl, acldefault(CASE n.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", n.relowner)) AS found
    FROM pg_class s, pg_class n JOIN pg_namespace m ON m.oid = n.relnamespace
    WHERE (s.oid = $1 AND n.oid = $2)
       OR (s.relkind = 'S' AND n.relkind = 'S' AND s.relname = n.relname
           AND EXISTS (SELECT FROM pg_depend WHERE deptype = 'i' AND classid = 'pg_class'::regclass AND objid = s.oid AND refobjid = $1)
           AND EXISTS (SELECT FROM pg_depend WHERE deptype = 'i' AND classid = 'pg_class'::regclass AND objid = n.oid AND refobjid = $2))
), different AS (
    SELECT * FROM relations r
    WHERE EXISTS ((SELECT * FROM aclexplode(r.wanted) EXCEPT SELECT * FROM aclexplode(r.found))
                  UNION ALL
                  (SELECT * FROM aclexplode(r.found) EXCEPT SELECT * FROM aclexplode(r.wanted)))
), roles AS (
    SELECT 0::oid AS oid, 'PUBLIC' AS spelled UNION ALL SELECT r.oid, quote_ident(r.rolname) FROM pg_roles r
)
SELECT statement
FROM (
    SELECT DISTINCT 1 AS step, format('REVOKE ALL ON %s FROM %s', d.spelled, g.spelled) AS statement
    FROM different d, aclexplode(d.found) AS x JOIN roles g ON g.oid = x.grantee
    UNION ALL
    SELECT 2, format('GRANT %s ON %s TO %s%s', x.privilege_type, d.spelled, g.spelled,
                     CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM different d, aclexplode(d.wanted) AS x JOIN roles g ON g.oid = x.grantee
    UNION ALL
    SELECT 3, format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type, a.attname, $3::text, g.spelled,
                     CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM pg_attribute a, aclexplode(a.attacl) AS x JOIN roles g ON g.oid = x.grantee
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
) AS statements
ORDER BY step, statement
