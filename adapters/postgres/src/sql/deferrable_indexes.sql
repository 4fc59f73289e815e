-- The indexes of table $1, and which of them nothing depends on while rows are copied: the name, the columns it begins with if
-- it could serve to find rows by key, whether it may wait, the statement that makes it, its tablespace, the statements that
-- finish it, whether it keeps out a second row at once, and the statement that drops it if it may be left out for a while
-- even so, and the one that makes its constraint of it.
SELECT x.relname::text,
       CASE WHEN am.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL THEN
           (SELECT array_agg(a.attname::text ORDER BY n) FROM generate_series(0, i.indnkeyatts - 1) AS n
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n])
       END,
       NOT i.indisunique AND k.oid IS NULL AND NOT i.indisreplident,
       pg_get_indexdef(i.indexrelid),
       coalesce(s.spcname::text, ''),
       ARRAY(SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, $1::oid::regclass, d)
             FROM obj_description(k.oid, 'pg_constraint') AS d WHERE d IS NOT NULL
             UNION ALL
             SELECT format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', m.nspname, x.relname, a.attnum, a.attstattarget)
             FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0
             UNION ALL
             SELECT format('ALTER TABLE %s CLUSTER ON %I', $1::oid::regclass, x.relname) WHERE i.indisclustered
             UNION ALL
             SELECT format('ALTER INDEX %I.%I DEPENDS ON EXTENSION %I', m.nspname, x.relname, e.extname)
             FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype = 'x'
               AND d.refclassid = 'pg_extension'::regclass
             UNION ALL
             SELECT format('COMMENT ON INDEX %I.%I IS %L', m.nspname, x.relname, d)
             FROM obj_description(x.oid, 'pg_class') AS d WHERE d IS NOT NULL),
       i.indisunique AND i.indimmediate,
       CASE WHEN i.indisreplident OR EXISTS (
                     SELECT FROM pg_depend d
                     WHERE d.deptype = 'n' AND ((d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid)
                                                OR (d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid))) THEN NULL
            WHEN k.oid IS NULL THEN format('DROP INDEX %I.%I', m.nspname, x.relname)
            WHEN k.contype IN ('p', 'u') THEN format('ALTER TABLE %s DROP CONSTRAINT %I', $1::oid::regclass, k.conname)
       END,
       CASE k.contype
            WHEN 'p' THEN format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', $1::oid::regclass, k.conname, x.relname)
            WHEN 'u' THEN format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE USING INDEX %I', $1::oid::regclass, k.conname, x.relname)
       END
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_namespace m ON m.oid = x.relnamespace
JOIN pg_am am ON am.oid = x.relam
LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = $1 AND i.indisvalid
ORDER BY x.relname
