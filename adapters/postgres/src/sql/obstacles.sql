-- What stands in the way of replacing table $1: the object, and the word for why. $2 is our own publication.
-- Run under an empty search path, so that names come out in full.
WITH row_types AS (
    SELECT t.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype
    WHERE c.oid = $1 AND c.reltype <> 0
), own_sequences AS (
    SELECT objid AS oid FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 AND deptype = 'i'
      AND objid IN (SELECT seqrelid FROM pg_sequence)
)
SELECT 'table ' || $1::oid::regclass AS object,
       CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'kind' END AS why
FROM pg_class c WHERE c.oid = $1 AND c.relkind <> 'r'
UNION ALL
SELECT 'table ' || $1::oid::regclass, 'persistence' FROM pg_class c WHERE c.oid = $1 AND c.relpersistence <> 'p'
UNION ALL
SELECT 'type ' || format_type(c.reloftype, NULL), 'typed' FROM pg_class c WHERE c.oid = $1 AND c.reloftype <> 0
UNION ALL
SELECT 'table ' || $1::oid::regclass, 'row-security'
FROM pg_class c WHERE c.oid = $1 AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT 'policy ' || quote_ident(p.polname), 'row-security' FROM pg_policy p WHERE p.polrelid = $1
UNION ALL
SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass,
       CASE WHEN k.conrelid = $1 THEN 'foreign-key-out' ELSE 'foreign-key-in' END
FROM pg_constraint k WHERE k.contype = 'f' AND $1 IN (k.conrelid, k.confrelid)
UNION ALL
SELECT 'trigger ' || quote_ident(t.tgname), 'trigger'
FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal
UNION ALL
SELECT 'rule ' || quote_ident(r.rulename), 'rule' FROM pg_rewrite r WHERE r.ev_class = $1 AND r.rulename <> '_RETURN'
UNION ALL
SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view ' WHEN 'v' THEN 'view ' ELSE 'rule on ' END || v.oid::regclass, 'view'
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
JOIN pg_class v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND v.oid <> $1
UNION ALL
SELECT CASE WHEN h.inhrelid = $1 THEN 'parent ' || h.inhparent::regclass ELSE 'child ' || h.inhrelid::regclass END,
       CASE WHEN c.relispartition THEN 'partition' ELSE 'inheritance' END
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE $1 IN (h.inhrelid, h.inhparent)
UNION ALL
SELECT DISTINCT 'publication ' || quote_ident(p.pubname), 'publication'
FROM pg_publication_tables p
JOIN pg_class c ON c.relname = p.tablename
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = p.schemaname
WHERE c.oid = $1 AND p.pubname <> $2
UNION ALL
SELECT 'subscription', 'subscription' FROM pg_subscription_rel s WHERE s.srrelid = $1
UNION ALL
SELECT 'extension ' || quote_ident(e.extname), 'extension'
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.classid = 'pg_class'::regclass AND d.objid = $1
UNION ALL
SELECT 'statistics ' || quote_ident(s.stxname), 'statistics' FROM pg_statistic_ext s WHERE s.stxrelid = $1
UNION ALL
SELECT 'security label of ' || l.provider, 'label'
FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass AND l.objoid = $1
UNION ALL
SELECT 'privileges granted by ' || quote_ident(pg_get_userbyid(x.grantor)), 'grantor'
FROM pg_class c,
     LATERAL (SELECT * FROM aclexplode(c.relacl)
              UNION ALL
              SELECT y.* FROM pg_attribute a, aclexplode(a.attacl) AS y WHERE a.attrelid = c.oid) AS x
WHERE c.oid = $1 AND x.grantor <> c.relowner
UNION ALL
SELECT 'constraint ' || quote_ident(k.conname), 'overlaps'
FROM pg_constraint k
WHERE k.conrelid = $1 AND k.contype IN ('p', 'u') AND pg_get_constraintdef(k.oid) LIKE '%WITHOUT OVERLAPS%'
UNION ALL
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), 'dependent'
FROM pg_depend d
WHERE d.deptype IN ('n', 'a', 'x')
  AND ((d.refclassid = 'pg_class'::regclass AND d.refobjid = $1)
       OR (d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM own_sequences))
       OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT oid FROM row_types)))
  AND d.classid NOT IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                        'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass)
  AND NOT (d.classid = 'pg_constraint'::regclass
           AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = $1 OR contype = 'f'))
  AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.objid IN (SELECT seqrelid FROM pg_sequence))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid = $1)
ORDER BY 1
