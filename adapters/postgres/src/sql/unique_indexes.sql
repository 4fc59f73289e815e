-- The unique indexes of table $1: name, definition without the table's name, its key expressions with their collations,
-- its predicate, and whether two NULLs are the same to it.
SELECT x.relname::text,
       replace(pg_get_indexdef(i.indexrelid), ' ON ' || $1::oid::regclass || ' ', ' ON '),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, n + 1, false)
                    || CASE WHEN i.indcollation[n] <> 0 THEN ' COLLATE ' || i.indcollation[n]::regcollation ELSE '' END
             FROM generate_series(0, i.indnkeyatts - 1) AS n),
       pg_get_expr(i.indpred, i.indrelid),
       pg_get_indexdef(i.indexrelid) LIKE '% NULLS NOT DISTINCT%',
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = $1 AND a.attnum > 0
               AND (a.attnum = ANY (i.indkey) OR EXISTS (
                    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                       AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = a.attnum)))
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisvalid
  -- An exclusion constraint that only asks for equality is one, too.
  AND (i.indisunique
       OR i.indisexclusion AND NOT EXISTS (SELECT FROM pg_constraint k, unnest(k.conexclop) AS o JOIN pg_operator p ON p.oid = o
                                           WHERE k.conindid = i.indexrelid AND k.contype = 'x' AND p.oprname <> '='))
ORDER BY x.relname
