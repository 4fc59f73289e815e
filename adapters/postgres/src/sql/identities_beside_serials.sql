-- Columns of table $1 whose own sequence (of a serial) has the name of the identity's sequence on the clone $2, and the
-- statement that gives that one the first name that is free, as the server counts.
SELECT a.attname::text, format('ALTER SEQUENCE %I.%I RENAME TO %I', n.nspname, q.relname, free.name)
FROM pg_depend made
JOIN pg_class q ON q.oid = made.objid AND q.relkind = 'S'
JOIN pg_namespace n ON n.oid = q.relnamespace
JOIN pg_class source ON source.oid = $1
JOIN pg_class serial ON serial.relname = q.relname AND serial.relnamespace = source.relnamespace AND serial.relkind = 'S'
JOIN pg_depend owned ON owned.classid = 'pg_class'::regclass AND owned.objid = serial.oid
                    AND owned.refclassid = 'pg_class'::regclass AND owned.refobjid = $1 AND owned.deptype = 'a'
JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = owned.refobjsubid
CROSS JOIN LATERAL (
    SELECT q.relname || i AS name FROM generate_series(1, 1000) AS i
    WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = q.relname || i AND c.relnamespace IN (source.relnamespace, n.oid))
    ORDER BY i LIMIT 1) AS free
WHERE made.classid = 'pg_class'::regclass AND made.refclassid = 'pg_class'::regclass AND made.refobjid = $2 AND made.deptype = 'i'
ORDER BY 1
