-- Names that would stand twice in a schema after the swap. $1 is the source, $2 the clone, $3 the old table's schema; $4 says
-- whether the source takes all its sequences along, because the clone has its own.
WITH family AS (
    SELECT r.table_oid, c.oid, c.relname
    FROM (VALUES ($1::oid), ($2::oid)) AS r(table_oid)
    JOIN pg_class c ON c.oid IN (
        SELECT indexrelid FROM pg_index WHERE indrelid = r.table_oid
        UNION ALL
        SELECT d.objid FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.table_oid
          AND (d.deptype = 'i' OR (d.deptype = 'a' AND (r.table_oid = $2 OR $4))))
)
SELECT 'name ' || quote_ident(n.nspname) || '.' || quote_ident(f.relname)
FROM family f
JOIN pg_class taken ON taken.relname = f.relname
JOIN pg_namespace n ON n.oid = taken.relnamespace
WHERE (f.table_oid = $2 AND n.oid = (SELECT relnamespace FROM pg_class WHERE oid = $1)
       AND taken.oid NOT IN (SELECT oid FROM family WHERE table_oid = $1))
   OR (f.table_oid = $1 AND n.nspname = $3)
ORDER BY 1
