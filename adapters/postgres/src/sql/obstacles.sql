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
), own_indexes AS (
    SELECT indexrelid AS oid FROM pg_index WHERE indrelid = $1
), links AS (
    SELECT d.*, 't' AS via FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
    UNION ALL
    SELECT d.*, 'r' FROM row_types r JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = r.oid
    UNION ALL
    SELECT d.*, 'c' FROM own_constraints c JOIN pg_depend d ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = c.oid
    UNION ALL
    SELECT d.*, 's' FROM own_sequences s JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
    UNION ALL
    SELECT d.*, 'i' FROM own_indexes i JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = i.oid
    WHERE d.deptype = 'n'
), users AS (
    SELECT DISTINCT d.classid, d.objid FROM links d WHERE d.deptype = 'n' AND d.via NOT IN ('s', 'i')
), ancestors AS (
    SELECT a.relid AS oid FROM pg_partition_ancestors($1::oid::regclass) AS a WHERE a.relid <> $1
), parent AS (
    SELECT h.inhparent AS oid, p.partdefid
    FROM pg_class c JOIN pg_inherits h ON h.inhrelid = c.oid JOIN pg_partitioned_table p ON p.partrelid = h.inhparent
    WHERE c.oid = $1 AND c.relispartition
), keys AS (
    SELECT k.*, 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass AS object
    FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0
      AND ($1 IN (k.conrelid, k.confrelid) OR k.confrelid IN (SELECT a.oid FROM ancestors a))
), row_functions AS (
    SELECT DISTINCT p.oid, p.prokind, p.oid::regprocedure::text AS spelled
    FROM row_types r JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = r.oid
    JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
), row_operators AS (
    -- Those with a function: each is made again with it.
    SELECT DISTINCT o.oid, o.oprowner FROM row_functions f JOIN pg_operator o ON o.oprcode::oid = f.oid
), changed AS (
    -- What the swap must change, and whose it is.
    SELECT CASE v.relkind WHEN 'm' THEN 'materialized view ' WHEN 'v' THEN 'view ' ELSE 'table ' END || v.oid::regclass AS object,
           v.relowner AS owner
    FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class AND NOT pg_is_other_temp_schema(v.relnamespace)
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner
    FROM users u JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND u.objid = p.oid JOIN pg_class v ON v.oid = p.polrelid
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner FROM keys k JOIN pg_class v ON v.oid = k.conrelid
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner FROM pg_trigger g JOIN pg_class v ON v.oid = g.tgrelid
    WHERE g.tgconstrrelid = $1 AND NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT 'table ' || v.oid::regclass, v.relowner FROM parent p JOIN pg_class v ON v.oid = p.oid
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure, p.proowner
    FROM users u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND u.objid = p.oid
    UNION ALL
    SELECT pg_describe_object('pg_operator'::regclass, o.oid, 0), o.oprowner FROM row_operators o
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname), p.pubowner
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 AND p.pubname <> $2
    UNION ALL
    SELECT 'statistics ' || quote_ident(s.stxname), s.stxowner FROM pg_statistic_ext s WHERE s.stxrelid = $1
)
SELECT 'table ' || $1::oid::regclass AS object,
       CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'kind' END AS why
FROM pg_class c WHERE c.oid = $1 AND c.relkind NOT IN ('r', 'm')
UNION ALL
SELECT 'table ' || $1::oid::regclass, 'system'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1 AND n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast')
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
SELECT k.object, 'references' FROM keys k
WHERE NOT has_table_privilege(k.confrelid, 'REFERENCES')
  AND EXISTS (SELECT FROM unnest(k.confkey) AS n WHERE NOT has_column_privilege(k.confrelid, n, 'REFERENCES'))
UNION ALL
SELECT DISTINCT k.object, 'key-switched-off'
FROM keys k JOIN pg_trigger g ON g.tgconstraint = k.oid WHERE g.tgenabled <> 'O'
UNION ALL
SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) || CASE WHEN d.classid = 'pg_attrdef'::regclass THEN '' ELSE ' on the table' END, 'own-oid'
FROM pg_depend d
WHERE d.deptype = 'n' AND d.refobjsubid = 0
  AND (d.refclassid = 'pg_class'::regclass AND (d.refobjid = $1 OR d.refobjid IN (SELECT i.oid FROM own_indexes i))
       OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT r.oid FROM row_types r))
  AND (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = $1)
       OR d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = $1 AND contype = 'c'))
UNION ALL
SELECT DISTINCT c.object || ', which belongs to ' || quote_ident(pg_get_userbyid(c.owner)), 'owner'
FROM changed c WHERE NOT pg_has_role(c.owner, 'USAGE')
UNION ALL
SELECT CASE WHEN h.inhrelid = $1 THEN 'parent ' || h.inhparent::regclass ELSE 'child ' || h.inhrelid::regclass END,
       'inheritance'
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
WHERE $1 IN (h.inhrelid, h.inhparent) AND NOT c.relispartition
UNION ALL
SELECT 'partition ' || p.partdefid::regclass, 'default-partition'
FROM parent p
WHERE p.partdefid NOT IN (0, $1)
  -- It is not read where a constraint of its own says that it holds no row of this table.
  AND NOT EXISTS (SELECT FROM pg_constraint k
                  WHERE k.conrelid = p.partdefid AND k.contype = 'c' AND k.convalidated
                    AND pg_get_expr(k.conbin, k.conrelid) = format('(NOT %s)', pg_get_partition_constraintdef($1)))
  AND (SELECT sum(pg_relation_size(l.relid)) FROM pg_partition_tree(p.partdefid) AS l WHERE l.isleaf) > 16777216
UNION ALL
SELECT DISTINCT 'foreign key ' || quote_ident(k.conname) || ' of ' || o.conrelid::regclass, 'partition-key'
FROM pg_constraint k JOIN pg_constraint o ON o.oid = k.conparentid JOIN pg_class c ON c.oid = k.conrelid
WHERE k.conrelid = $1 AND k.contype = 'f' AND o.conrelid <> $1 AND c.reltuples > 200000
UNION ALL
SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass, 'partition-self-key'
FROM pg_constraint k
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid IN (SELECT a.oid FROM ancestors a)
  AND k.confrelid IN (SELECT a.oid FROM ancestors a) AND current_setting('server_version_num')::int < 180000
UNION ALL
SELECT 'function ' || f.spelled, 'dependent' FROM row_functions f WHERE f.prokind NOT IN ('f', 'p')
UNION ALL
SELECT 'function ' || f.spelled || ', on which depends ' || pg_describe_object(d.classid, d.objid, d.objsubid),
       CASE WHEN d.classid = 'pg_class'::regclass AND d.objid IN (SELECT i.oid FROM own_indexes i)
              OR d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT c.oid FROM own_constraints c)
              OR d.classid = 'pg_statistic_ext'::regclass AND d.objid IN (SELECT s.oid FROM pg_statistic_ext s WHERE s.stxrelid = $1)
            THEN 'own-row-function' ELSE 'row-function' END
FROM row_functions f
JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = f.oid AND d.deptype IN ('n', 'a')
WHERE NOT (d.classid = 'pg_operator'::regclass AND d.objid IN (SELECT o.oid FROM row_operators o))
UNION ALL
SELECT DISTINCT pg_describe_object('pg_operator'::regclass, o.oid, 0) || ', on which depends '
       || pg_describe_object(d.classid, d.objid, d.objsubid), 'row-function'
FROM row_operators o
JOIN pg_depend d ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid AND d.deptype IN ('n', 'a', 'i')
UNION ALL
SELECT 'function ' || f.spelled || ', which belongs to extension ' || quote_ident(e.extname), 'extension'
FROM row_functions f
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
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
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), 'dependent'
FROM links d
WHERE d.deptype IN ('n', 'a', 'x')
  AND CASE d.via
          WHEN 't' THEN d.classid NOT IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                                          'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass,
                                          'pg_proc'::regclass)
          WHEN 'r' THEN d.classid NOT IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
          ELSE d.via IN ('s', 'i')
      END
  AND NOT (d.classid = 'pg_constraint'::regclass
           AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = $1 OR contype = 'f'))
  AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.objid IN (SELECT seqrelid FROM pg_sequence))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid = $1)
  AND NOT (d.classid = 'pg_operator'::regclass AND d.objid IN (SELECT o.oid FROM row_operators o))
  -- Those of other sessions go away with them: the lock waits for that.
  AND NOT (d.classid = 'pg_class'::regclass
           AND d.objid IN (SELECT c.oid FROM pg_class c WHERE c.relpersistence = 't' AND pg_is_other_temp_schema(c.relnamespace)))
ORDER BY 1
