-- The relations the swap of table $1 and the materialized views $2 changes beside the table itself, and $3: which, whether a view of either kind, its owner,
-- whether this role may lock it by LOCK TABLE, and whether without its partitions. Views come first: who writes through one
-- must not get past it any more. So do those a partition belongs to, in the order in which queries come down from them.
WITH ancestors AS (
    SELECT a.relid AS oid, a.n FROM pg_partition_ancestors($1::oid::regclass) WITH ORDINALITY AS a(relid, n) WHERE a.relid <> $1
), replaced AS (
    -- A materialized view is replaced as the table is.
    SELECT $1::oid AS oid UNION ALL SELECT m FROM unnest($2::oid[]) AS m
), parts AS (
    SELECT 'pg_class'::regclass AS class, r.oid FROM replaced r
    UNION ALL
    SELECT 'pg_type'::regclass, y.oid
    FROM replaced r JOIN pg_class c ON c.oid = r.oid JOIN pg_type y ON y.oid = c.reltype OR y.typelem = c.reltype
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
    SELECT k.conrelid FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.confrelid = $1 OR k.confrelid IN (SELECT a.oid FROM ancestors a))
    UNION
    SELECT a.oid FROM ancestors a
    UNION
    -- A foreign key to itself is one of all its partitions.
    SELECT p.relid FROM pg_constraint k, pg_partition_tree(k.conrelid) AS p
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid IN (SELECT a.oid FROM ancestors a)
      AND k.confrelid IN (SELECT a.oid FROM ancestors a)
    UNION
    SELECT p.partdefid FROM pg_partitioned_table p
    WHERE p.partdefid <> 0 AND p.partrelid = (SELECT h.inhparent FROM pg_inherits h JOIN ancestors a ON a.oid = h.inhparent
                                              WHERE h.inhrelid = $1)
    UNION
    SELECT k.confrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = $1
    UNION
    SELECT g.tgrelid FROM pg_trigger g WHERE g.tgconstrrelid = $1 AND NOT g.tgisinternal AND g.tgparentid = 0
    UNION
    SELECT o FROM unnest($3::oid[]) AS o
)
SELECT c.oid, c.oid::regclass::text, c.relkind IN ('v', 'm'), pg_get_userbyid(c.relowner)::text,
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), a.oid IS NOT NULL
FROM relations r JOIN pg_class c ON c.oid = r.oid
LEFT JOIN ancestors a ON a.oid = c.oid
WHERE c.oid <> $1 AND NOT pg_is_other_temp_schema(c.relnamespace)
-- A view on a view is locked before it, as by those who read it: it was made later.
ORDER BY c.relkind IN ('v', 'm') DESC, a.n DESC NULLS LAST, CASE WHEN c.relkind IN ('v', 'm') THEN c.oid END DESC, c.oid
