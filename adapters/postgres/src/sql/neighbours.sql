-- The relations the swap of table $1 changes beside the table itself: which, whether a view of either kind, and whether
-- this role may lock it by LOCK TABLE. Views come first: who writes through one must not get past it any more.
WITH parts AS (
    SELECT 'pg_class'::regclass AS class, $1::oid AS oid
    UNION ALL
    SELECT 'pg_type'::regclass, y.oid
    FROM pg_class c JOIN pg_type y ON y.oid = c.reltype OR y.typelem = c.reltype WHERE c.oid = $1
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = $1
), users AS (
    SELECT DISTINCT d.classid, d.objid
    FROM parts p JOIN pg_depend d ON d.refclassid = p.class AND d.refobjid = p.oid
    WHERE d.deptype = 'n'
), relations AS (
    SELECT r.ev_class AS oid FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    UNION
    SELECT p.polrelid FROM users u JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND u.objid = p.oid
    UNION
    SELECT k.conrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = $1
    UNION
    SELECT k.confrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = $1
)
SELECT c.oid, c.oid::regclass::text, c.relkind IN ('v', 'm'), pg_get_userbyid(c.relowner)::text,
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE')
FROM relations r JOIN pg_class c ON c.oid = r.oid
WHERE c.oid <> $1
ORDER BY c.relkind IN ('v', 'm') DESC, c.oid
