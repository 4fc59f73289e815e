-- The constraints of table $1 that rows of old need not satisfy, as statements: to drop each, and to add it again.
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', $1::oid::regclass, k.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', $1::oid::regclass, k.conname, pg_get_constraintdef(k.oid)),
       (SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, $1::oid::regclass, d)
        FROM obj_description(k.oid, 'pg_constraint') AS d WHERE d IS NOT NULL)
FROM pg_constraint k
WHERE k.conrelid = $1 AND k.contype IN ('c', 'n') AND NOT k.convalidated
ORDER BY k.conname
