-- What event triggers did to table $2 when it was made like table $1, undone: statements on the table, which is called $3.
SELECT statement
FROM (
    SELECT 1 AS step, format('ALTER TABLE %s OWNER TO %I', $3::text, pg_get_userbyid(s.relowner)) AS statement
    FROM pg_class s, pg_class c WHERE s.oid = $1 AND c.oid = $2 AND s.relowner <> c.relowner
    UNION ALL
    SELECT 2, format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', $3::text)
    FROM pg_class c WHERE c.oid = $2 AND c.relrowsecurity
    UNION ALL
    SELECT 3, format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', $3::text)
    FROM pg_class c WHERE c.oid = $2 AND c.relforcerowsecurity
    UNION ALL
    SELECT 4, format('DROP TRIGGER %I ON %s', g.tgname, $3::text)
    FROM pg_trigger g WHERE g.tgrelid = $2 AND NOT g.tgisinternal
    UNION ALL
    SELECT 5, format('DROP POLICY %I ON %s', p.polname, $3::text) FROM pg_policy p WHERE p.polrelid = $2
    UNION ALL
    SELECT 6, format('DROP RULE %I ON %s', r.rulename, $3::text) FROM pg_rewrite r WHERE r.ev_class = $2
    UNION ALL
    SELECT 7, format('ALTER PUBLICATION %I DROP TABLE %s', p.pubname, $3::text)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $2
) AS statements
ORDER BY step, statement
