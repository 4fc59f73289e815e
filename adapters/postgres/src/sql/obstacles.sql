-- What stands in the way of replacing table $1: the object, and the word for why. $2 is our own publication, $3 whether
-- foreign keys are in the way. Run under an empty search path, so that names come out in full.
WITH row_types AS (
    SELECT t.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype
    WHERE c.oid = $1 AND c.reltype <> 0
), own_sequences AS (
    SELECT objid AS oid FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 AND deptype = 'i'
      AND objid IN (SELECT seqrelid FROM pg_sequence)
), own_constraints AS (
    SELECT oid FROM pg_constraint WHERE conrelid = $1
), links AS (
    SELECT d.*, 't' AS via FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    UNION ALL
    SELECT d.*, 'r' FROM row_types r JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = r.oid
    UNION ALL
    SELECT d.*, 'c' FROM own_constraints c JOIN pg_depend d ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = c.oid
    UNION ALL
    SELECT d.*, 's' FROM own_sequences s JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
), users AS (
    SELECT DISTINCT d.classid, d.objid FROM links d WHERE d.deptype = 'n' AND d.via <> 's'
), keys AS (
    SELECT k.*, 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass AS object
    FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND $1 IN (k.conrelid, k.confrelid)
), changed AS (
    -- What the swap must change, and whose it is.
    SELECT CASE v.relkind WHEN 'm' THEN 'materialized view ' WHEN 'v' THEN 'view ' ELSE 'table ' END || v.oid::regclass AS object,
           v.relowner AS owner
    FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner
    FROM users u JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND u.objid = p.oid JOIN pg_class v ON v.oid = p.polrelid
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner FROM keys k JOIN pg_class v ON v.oid = k.conrelid
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure, p.proowner
    FROM users u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND u.objid = p.oid
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname), p.pubowner
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 AND p.pubname <> $2
    UNION ALL
    SELECT 'statistics ' || quote_ident(s.stxname), s.stxowner FROM pg_statistic_ext s WHERE s.stxrelid = $1
)
SELECT 'table ' || $1::oid::regclass AS object,
       CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'kind' END AS why
FROM pg_class c WHERE c.oid = $1 AND c.relkind <> 'r'
UNION ALL
SELECT 'table ' || $1::oid::regclass, 'persistence' FROM pg_class c WHERE c.oid = $1 AND c.relpersistence <> 'p'
UNION ALL
SELECT 'type ' || format_type(c.reloftype, NULL), 'typed' FROM pg_class c WHERE c.oid = $1 AND c.reloftype <> 0
UNION ALL
SELECT 'table ' || $1::oid::regclass, 'forced-row-security'
FROM pg_class c WHERE c.oid = $1 AND c.relrowsecurity AND c.relforcerowsecurity
  AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_user)
UNION ALL
SELECT k.object, 'foreign-key' FROM keys k WHERE $3::bool
UNION ALL
SELECT k.object, 'partitioned-child'
FROM keys k JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'p' AND k.conrelid <> $1
WHERE current_setting('server_version_num')::int < 180000
UNION ALL
SELECT k.object, 'references' FROM keys k
WHERE NOT has_table_privilege(k.confrelid, 'REFERENCES')
  AND EXISTS (SELECT FROM unnest(k.confkey) AS n WHERE NOT has_column_privilege(k.confrelid, n, 'REFERENCES'))
UNION ALL
SELECT DISTINCT k.object, 'key-switched-off'
FROM keys k JOIN pg_trigger g ON g.tgconstraint = k.oid WHERE g.tgenabled <> 'O'
UNION ALL
SELECT DISTINCT c.object || ', which belongs to ' || quote_ident(pg_get_userbyid(c.owner)), 'owner'
FROM changed c WHERE NOT pg_has_role(c.owner, 'USAGE')
UNION ALL
SELECT DISTINCT 'materialized view ' || v.oid::regclass, 'materialized'
FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
JOIN pg_class v ON v.oid = r.ev_class WHERE v.relkind = 'm'
UNION ALL
SELECT 'trigger ' || quote_ident(g.tgname) || ' on ' || g.tgrelid::regclass, 'trigger-elsewhere'
FROM pg_trigger g WHERE g.tgconstrrelid = $1 AND g.tgrelid <> $1 AND NOT g.tgisinternal
UNION ALL
SELECT CASE WHEN h.inhrelid = $1 THEN 'parent ' || h.inhparent::regclass ELSE 'child ' || h.inhrelid::regclass END,
       CASE WHEN c.relispartition THEN 'partition' ELSE 'inheritance' END
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE $1 IN (h.inhrelid, h.inhparent)
UNION ALL
SELECT 'publication ' || quote_ident(p.pubname), 'all-tables' FROM pg_publication p WHERE p.puballtables
UNION ALL
SELECT 'subscription', 'subscription' FROM pg_subscription_rel s WHERE s.srrelid = $1
UNION ALL
SELECT 'extension ' || quote_ident(e.extname), 'extension'
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.classid = 'pg_class'::regclass AND d.objid = $1
UNION ALL
SELECT 'privileges granted by ' || quote_ident(pg_get_userbyid(x.grantor)), 'grantor'
FROM pg_class c,
     LATERAL (SELECT * FROM aclexplode(c.relacl)
              UNION ALL
              SELECT y.* FROM pg_attribute a, aclexplode(a.attacl) AS y WHERE a.attrelid = c.oid) AS x
WHERE c.oid = $1 AND x.grantor <> c.relowner AND NOT pg_has_role(x.grantor, 'MEMBER')
UNION ALL
SELECT 'constraint ' || quote_ident(k.conname), 'overlaps'
FROM pg_constraint k
WHERE k.conrelid = $1 AND k.contype IN ('p', 'u') AND pg_get_constraintdef(k.oid) LIKE '%WITHOUT OVERLAPS%'
UNION ALL
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), 'dependent'
FROM links d
WHERE d.deptype IN ('n', 'a', 'x')
  AND CASE d.via
          WHEN 't' THEN d.classid NOT IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                                          'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass,
                                          'pg_proc'::regclass)
          WHEN 'r' THEN d.classid NOT IN ('pg_rewrite'::regclass, 'pg_policy'::regclass)
          ELSE d.via = 's'
      END
  AND NOT (d.classid = 'pg_constraint'::regclass
           AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = $1 OR contype = 'f'))
  AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.objid IN (SELECT seqrelid FROM pg_sequence))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid = $1)
ORDER BY 1
