-- What the server takes away with columns $2 and constraints $3 of table $1 where CASCADE asks for that, beyond what belongs to the
-- table itself: the object, as the other queries spell it; the statement that drops it before the swap, where the old table
-- cannot simply keep it; whether a copy knows how to do without it; whether it is this role's; the relation it is, or is on;
-- and its identity. Follows the catalogue of dependencies as the server does. Run under an empty search path.
WITH RECURSIVE gone AS (
    SELECT 'pg_class'::regclass::oid AS classid, a.attrelid AS objid, a.attnum::int AS objsubid
    FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped
    UNION
    SELECT 'pg_constraint'::regclass::oid, k.oid, 0 FROM pg_constraint k WHERE k.conrelid = $1 AND k.conname = ANY ($3::text[])
    UNION
    SELECT n.classid, n.objid, n.objsubid
    FROM gone g CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid
        FROM pg_depend d
        WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
          AND d.deptype <> 'e'
        UNION ALL
        -- What is part of another object does not go without it: the query of a view, the index of a constraint.
        SELECT d.refclassid, d.refobjid, d.refobjsubid
        FROM pg_depend d
        WHERE d.classid = g.classid AND d.objid = g.objid AND d.deptype = 'i'
    ) AS n
), relations AS (
    SELECT c.oid, c.relkind, c.relowner, c.oid::regclass::text AS name
    FROM gone g JOIN pg_class c ON g.classid = 'pg_class'::regclass AND c.oid = g.objid
    WHERE g.objsubid = 0
), views AS (
    SELECT r.* FROM relations r WHERE r.relkind IN ('v', 'm')
), own AS (
    -- What belongs to the table goes with it, and the altered clone shows how.
    SELECT 'pg_class'::regclass::oid AS classid, r.oid FROM relations r
    WHERE r.relkind IN ('i', 'I') AND EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = r.oid AND i.indrelid = $1)
       OR r.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d
                                      WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i')
                                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1)
    UNION ALL
    SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a WHERE a.adrelid = $1
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype <> 'f'
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s WHERE s.stxrelid = $1
), known AS (
    SELECT CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.name AS object,
           format('DROP %s IF EXISTS %s CASCADE', CASE v.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END, v.name) AS statement,
           true AS is_known, v.relowner AS owner, v.oid AS relation, 'pg_class'::regclass::oid AS classid, v.oid AS objid
    FROM views v
    UNION ALL
    SELECT 'rule ' || quote_ident(r.rulename) || CASE WHEN r.ev_class <> $1 THEN ' on ' || r.ev_class::regclass ELSE '' END,
           CASE WHEN r.ev_class <> $1 THEN format('DROP RULE IF EXISTS %I ON %s', r.rulename, r.ev_class::regclass) END,
           true, c.relowner, r.ev_class, g.classid, g.objid
    FROM gone g JOIN pg_rewrite r ON g.classid = 'pg_rewrite'::regclass AND r.oid = g.objid JOIN pg_class c ON c.oid = r.ev_class
    WHERE r.rulename <> '_RETURN' AND r.ev_class NOT IN (SELECT v.oid FROM views v)
    UNION ALL
    SELECT 'policy ' || quote_ident(p.polname) || CASE WHEN p.polrelid <> $1 THEN ' on ' || p.polrelid::regclass ELSE '' END,
           CASE WHEN p.polrelid <> $1 THEN format('DROP POLICY IF EXISTS %I ON %s', p.polname, p.polrelid::regclass) END,
           true, c.relowner, p.polrelid, g.classid, g.objid
    FROM gone g JOIN pg_policy p ON g.classid = 'pg_policy'::regclass AND p.oid = g.objid JOIN pg_class c ON c.oid = p.polrelid
    UNION ALL
    SELECT 'trigger ' || quote_ident(t.tgname) || CASE WHEN t.tgrelid <> $1 THEN ' on ' || t.tgrelid::regclass ELSE '' END,
           CASE WHEN t.tgrelid <> $1 AND $1 <> t.tgconstrrelid
                THEN format('DROP TRIGGER IF EXISTS %I ON %s', t.tgname, t.tgrelid::regclass) END,
           true, c.relowner, t.tgrelid, g.classid, g.objid
    FROM gone g JOIN pg_trigger t ON g.classid = 'pg_trigger'::regclass AND t.oid = g.objid JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgrelid NOT IN (SELECT v.oid FROM views v)
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure),
           p.prokind IN ('f', 'p'), p.proowner, NULL, g.classid, g.objid
    FROM gone g JOIN pg_proc p ON g.classid = 'pg_proc'::regclass AND p.oid = g.objid
    UNION ALL
    SELECT 'default of column ' || quote_ident(a.attname) || ' of ' || d.adrelid::regclass,
           format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', d.adrelid::regclass, a.attname),
           a.attgenerated = '', c.relowner, d.adrelid, g.classid, g.objid
    FROM gone g JOIN pg_attrdef d ON g.classid = 'pg_attrdef'::regclass AND d.oid = g.objid
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN pg_class c ON c.oid = d.adrelid
    WHERE d.adrelid <> $1 AND d.adrelid NOT IN (SELECT v.oid FROM views v)
    UNION ALL
    -- A foreign key of the table or to it is dropped with the others, and not made again.
    SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass, NULL,
           k.confrelid = $1 AND (c.relkind <> 'p' OR current_setting('server_version_num')::int >= 180000), c.relowner,
           k.conrelid, g.classid, g.objid
    FROM gone g JOIN pg_constraint k ON g.classid = 'pg_constraint'::regclass AND k.oid = g.objid
    JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid <> $1 OR k.confrelid = $1)
    UNION ALL
    SELECT 'constraint ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass,
           format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', k.conrelid::regclass, k.conname),
           k.contype = 'c', c.relowner, k.conrelid, g.classid, g.objid
    FROM gone g JOIN pg_constraint k ON g.classid = 'pg_constraint'::regclass AND k.oid = g.objid
    JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype <> 'f' AND k.conrelid <> $1
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname), NULL, true, p.pubowner, NULL, g.classid, g.objid
    FROM gone g JOIN pg_publication_rel r ON g.classid = 'pg_publication_rel'::regclass AND r.oid = g.objid
    JOIN pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = $1
), others AS (
    SELECT DISTINCT g.classid, g.objid, g.objsubid
    FROM gone g
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.classid = g.classid AND k.objid = g.objid AND g.objsubid = 0)
      AND NOT EXISTS (SELECT FROM own o WHERE o.classid = g.classid AND o.oid = g.objid)
      -- The table's own columns.
      AND NOT (g.classid = 'pg_class'::regclass AND g.objid = $1 AND g.objsubid > 0)
      -- Parts of what is known: queries of views, row types, triggers of foreign keys, whatever is inside a view.
      AND NOT (g.classid = 'pg_rewrite'::regclass
               AND EXISTS (SELECT FROM pg_rewrite r WHERE r.oid = g.objid AND r.ev_class IN (SELECT v.oid FROM views v)))
      AND NOT (g.classid = 'pg_type'::regclass
               AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
                           WHERE t.oid = g.objid AND (t.typrelid IN (SELECT v.oid FROM views v) OR e.typrelid IN (SELECT v.oid FROM views v))))
      AND NOT (g.classid = 'pg_trigger'::regclass
               AND EXISTS (SELECT FROM pg_trigger t WHERE t.oid = g.objid
                           AND (t.tgisinternal OR t.tgparentid <> 0 OR t.tgrelid IN (SELECT v.oid FROM views v))))
      AND NOT (g.classid = 'pg_constraint'::regclass
               AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = g.objid AND k.contype = 'f'
                           AND (k.conparentid <> 0 OR k.conrelid = $1)))
      AND NOT (g.classid = 'pg_attrdef'::regclass
               AND EXISTS (SELECT FROM pg_attrdef d WHERE d.oid = g.objid AND d.adrelid IN (SELECT v.oid FROM views v)))
      AND NOT (g.classid = 'pg_class'::regclass
               AND EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = g.objid AND i.indrelid IN (SELECT v.oid FROM views v)))
      AND NOT (g.classid = 'pg_class'::regclass
               AND EXISTS (SELECT FROM pg_class c WHERE c.oid = g.objid AND c.relnamespace = 'pg_toast'::regnamespace))
), through_others AS (
    -- A part of the table that goes because of a function or a type, which the clone does not show.
    SELECT DISTINCT d.classid, d.objid, d.objsubid
    FROM gone g JOIN pg_depend d ON d.classid = g.classid AND d.objid = g.objid AND d.deptype = 'n'
    JOIN own o ON o.classid = g.classid AND o.oid = g.objid
    JOIN gone u ON u.classid = d.refclassid AND u.objid = d.refobjid
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass)
)
SELECT k.object, k.statement,
       k.is_known AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = k.classid AND d.objid = k.objid AND d.deptype = 'e') AS is_known,
       pg_has_role(k.owner, 'USAGE') AS is_ours, k.relation, k.objid
FROM known k
UNION ALL
SELECT pg_describe_object(o.classid, o.objid, o.objsubid), NULL, false, true, NULL, o.objid FROM others o
UNION ALL
SELECT pg_describe_object(o.classid, o.objid, o.objsubid), NULL, false, true, NULL, o.objid FROM through_others o
ORDER BY 1
