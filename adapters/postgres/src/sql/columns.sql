-- The columns of table $1: number, name, type, its identity, collation, whether NULL is kept out, how the value comes
-- about, and whether its default calls a volatile function and so differs from row to row.
SELECT a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attcollation,
       a.attnotnull, a.attgenerated <> '', a.attidentity <> '', pg_get_expr(d.adbin, d.adrelid),
       EXISTS (SELECT
               FROM regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) (\d+)', 'g') AS called(function)
               JOIN pg_proc p ON p.oid = called.function[1]::oid
               WHERE p.provolatile = 'v'),
       t.typbasetype, t.typnotnull
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
