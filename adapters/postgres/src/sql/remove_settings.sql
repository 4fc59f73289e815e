-- The statements that take from table $1, spelled $2, what others may give it and take again: settings and comments of the
-- table, of its columns and of its indexes, and privileges on columns. Run under an empty search path.
SELECT format('ALTER TABLE %s SET WITHOUT CLUSTER', $2::text)
UNION ALL
SELECT format('COMMENT ON TABLE %s IS NULL', $2)
UNION ALL
SELECT format('ALTER TABLE %s RESET (%s)', $2, string_agg(split_part(o, '=', 1), ', '))
FROM pg_class c, unnest(c.reloptions) o WHERE c.oid = $1 HAVING count(*) > 0
UNION ALL
SELECT format('ALTER TABLE %s RESET (%s)', $2, string_agg('toast.' || split_part(o, '=', 1), ', '))
FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid, unnest(t.reloptions) o WHERE c.oid = $1 HAVING count(*) > 0
UNION ALL
SELECT format('COMMENT ON COLUMN %s.%I IS NULL', $2, a.attname)
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND col_description($1, a.attnum) IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', $2, a.attname)
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
UNION ALL
SELECT format('ALTER TABLE %s ALTER COLUMN %I RESET (n_distinct, n_distinct_inherited)', $2, a.attname)
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL
UNION ALL
SELECT DISTINCT format('REVOKE ALL (%I) ON %s FROM %s', a.attname, $2,
                       CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)
FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('COMMENT ON INDEX %s IS NULL', i.indexrelid::regclass)
FROM pg_index i WHERE i.indrelid = $1 AND obj_description(i.indexrelid, 'pg_class') IS NOT NULL
