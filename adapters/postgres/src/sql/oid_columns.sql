-- The columns of ordinary tables that may hold an identity which is another one after the swap, of the relations $1: their own, and
-- those of their types, indexes and identity sequences, and of functions that are made anew because of their types. For each
-- column and identity: the table, the column, the condition that a row holds it, the assignment that replaces it by that of its
-- heir in $2 (null if it has none), the bytes of the table, what keeps a row from being changed, if anything does, and whose
-- identity it is. At most 20,000. Run under an empty search path.
WITH RECURSIVE kinds AS (
    SELECT t.oid, t.typname::text AS base, false AS is_array
    FROM pg_type t
    WHERE t.oid IN ('regclass'::regtype, 'oid'::regtype, 'regtype'::regtype, 'regproc'::regtype, 'regprocedure'::regtype)
    UNION ALL
    SELECT t.oid, k.base, k.is_array OR t.typelem = k.oid
    FROM kinds k JOIN pg_type t ON (t.typtype = 'd' AND t.typbasetype = k.oid) OR (t.typelem = k.oid AND t.typcategory = 'A' AND NOT k.is_array)
), replaced AS (
    SELECT r.old, r.new, o.relname, n.relnamespace, o.reltype, n.reltype AS new_type
    FROM unnest($1::oid[], $2::oid[]) AS r(old, new) JOIN pg_class o ON o.oid = r.old LEFT JOIN pg_class n ON n.oid = r.new
), parts AS (
    SELECT r.new, r.relnamespace, i.indexrelid AS oid FROM replaced r JOIN pg_index i ON i.indrelid = r.old
    UNION ALL
    SELECT r.new, r.relnamespace, s.seqrelid
    FROM replaced r JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.old AND d.deptype = 'i'
    JOIN pg_sequence s ON d.classid = 'pg_class'::regclass AND s.seqrelid = d.objid
), things AS (
    SELECT 'regclass' AS base, r.old, r.new, 'relation ' || r.old::regclass AS thing FROM replaced r
    UNION ALL
    SELECT 'regclass', p.oid, (SELECT h.oid FROM pg_class h WHERE h.relnamespace = p.relnamespace AND h.relname = c.relname),
           CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'index ' END || p.oid::regclass
    FROM parts p JOIN pg_class c ON c.oid = p.oid
    UNION ALL
    SELECT 'regtype', r.reltype, r.new_type, 'type ' || r.reltype::regtype FROM replaced r WHERE r.reltype <> 0
    UNION ALL
    SELECT 'regtype', y.typarray, (SELECT h.typarray FROM pg_type h WHERE h.oid = r.new_type), 'type ' || y.typarray::regtype
    FROM replaced r JOIN pg_type y ON y.oid = r.reltype WHERE y.typarray <> 0
    UNION ALL
    SELECT DISTINCT b.base, f.oid, NULL::oid, 'function ' || f.oid::regprocedure
    FROM replaced r JOIN pg_type y ON y.oid = r.reltype OR y.typelem = r.reltype
    JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = y.oid AND d.classid = 'pg_proc'::regclass
    JOIN pg_proc f ON f.oid = d.objid
    CROSS JOIN (VALUES ('regproc'), ('regprocedure')) AS b(base)
    WHERE r.reltype <> 0
), identities AS (
    SELECT base, old, new, thing FROM things
    UNION
    SELECT 'oid', old, new, thing FROM things
), places AS (
    -- A column, or a part of a column of a row type; how it is read, and how it is assigned.
    SELECT a.attrelid, a.attnum, a.attgenerated, a.atttypid AS kind, quote_ident(a.attname) AS name, quote_ident(a.attname) AS target,
           a.atttypid = 'oidvector'::regtype AS is_fixed
    FROM pg_attribute a
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT a.attrelid, a.attnum, a.attgenerated, p.atttypid, format('(%I).%I', a.attname, p.attname), format('%I.%I', a.attname, p.attname),
           p.atttypid = 'oidvector'::regtype
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid AND t.typtype = 'c' JOIN pg_attribute p ON p.attrelid = t.typrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND p.attnum > 0 AND NOT p.attisdropped
    UNION ALL
    -- Of an array of rows no part can be assigned by itself.
    SELECT a.attrelid, a.attnum, a.attgenerated, r.oid,
           format('ARRAY(SELECT (e).%I FROM unnest(%I) AS e)', p.attname, a.attname), quote_ident(a.attname), true
    FROM pg_attribute a JOIN pg_type s ON s.oid = a.atttypid AND s.typcategory = 'A' JOIN pg_type t ON t.oid = s.typelem AND t.typtype = 'c'
    JOIN pg_attribute p ON p.attrelid = t.typrelid JOIN pg_type q ON q.oid = p.atttypid JOIN pg_type r ON r.oid = q.typarray
    WHERE a.attnum > 0 AND NOT a.attisdropped AND p.attnum > 0 AND NOT p.attisdropped
), columns AS (
    SELECT c.oid AS relation, c.oid::regclass::text AS spelled, a.name, a.target, a.is_fixed, a.attnum, a.attgenerated, k.base, k.is_array,
           i.old, i.new, i.thing, c.relhassubclass,
           pg_relation_size(c.oid) AS bytes, c.relowner, c.relreplident, c.relrowsecurity
    FROM places a
    JOIN kinds k ON k.oid = a.kind
    JOIN identities i ON i.base = k.base
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relpersistence <> 't'
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^(pg_|ag_shadow_|ag_old_|ag_plan_)' AND n.nspname NOT IN ('information_schema', 'altergeist')
)
SELECT k.spelled, k.target,
       CASE WHEN k.is_array THEN format('%s::%s = ANY (%s)', k.old, k.base, k.name) ELSE format('%s = %s::%s', k.name, k.old, k.base) END,
       CASE WHEN k.new IS NULL THEN NULL
            WHEN k.is_array
            THEN format('%5$s = array_replace(%1$s, %2$s::%4$s, %3$s::%4$s)', k.name, k.old, k.new, k.base, k.target)
            ELSE format('%s = %s::%s', k.target, k.new, k.base) END,
       k.bytes,
       CASE WHEN k.is_fixed THEN 'a value of its type is only replaced as a whole'
            WHEN k.attgenerated <> '' THEN 'the column is generated'
            WHEN k.relrowsecurity AND NOT pg_has_role(k.relowner, 'USAGE') THEN 'row security is enabled on that table'
            WHEN EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = k.relation AND d.deptype = 'e')
            THEN 'that table belongs to an extension'
            WHEN NOT has_table_privilege(k.relation, 'SELECT, UPDATE')
                 AND NOT has_column_privilege(k.relation, k.attnum, 'UPDATE') THEN 'this role may not UPDATE that table'
            WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = k.relation AND NOT g.tgisinternal AND g.tgenabled <> 'D'
                                                    AND g.tgtype & 16 <> 0 AND k.relation <> ALL ($1))
            THEN 'a trigger would fire on an UPDATE of that table'
            WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = k.relation AND r.ev_type = '2') THEN 'that table has a rule ON UPDATE'
            WHEN EXISTS (SELECT FROM pg_constraint o WHERE o.contype = 'f' AND (o.conrelid = k.relation AND k.attnum = ANY (o.conkey)
                                                              OR o.confrelid = k.relation AND k.attnum = ANY (o.confkey)))
            THEN 'the column is part of a foreign key'
            WHEN EXISTS (SELECT FROM pg_constraint o
                         WHERE o.conrelid = k.relation AND o.contype = 'c' AND k.attnum = ANY (o.conkey))
            THEN 'a CHECK speaks of the column'
            WHEN (k.relreplident = 'n' OR k.relreplident = 'd' AND NOT EXISTS (
                      SELECT FROM pg_index i WHERE i.indrelid = k.relation AND i.indisprimary))
                 AND EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = k.relation)
            THEN 'that table is published and has no replica identity'
       END,
       k.thing
FROM columns k
ORDER BY k.spelled, k.target
LIMIT 20000
