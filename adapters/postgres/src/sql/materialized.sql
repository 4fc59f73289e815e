-- The materialized views that read table $1, or one another: identity, schema, name, whether it holds rows, whether it can be
-- refreshed while it is read, what stands between its name and its query, and which relations it reads. Each is found once,
-- by however many ways it can be reached.
WITH RECURSIVE readers AS (
    SELECT $1::oid AS oid
    UNION
    SELECT v.oid
    FROM readers s
    CROSS JOIN LATERAL (
        SELECT 'pg_class'::regclass AS class, s.oid
        UNION ALL
        SELECT 'pg_type'::regclass, y.oid FROM pg_class c JOIN pg_type y ON y.oid = c.reltype OR y.typelem = c.reltype
        WHERE c.oid = s.oid
        UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = s.oid
    ) AS part
    JOIN pg_depend d ON d.refclassid = part.class AND d.refobjid = part.oid AND d.deptype = 'n'
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm' AND v.oid <> s.oid
)
SELECT c.oid, n.nspname::text, c.relname::text, c.relispopulated,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                                        AND i.indpred IS NULL AND i.indexprs IS NULL),
       format(' USING %I%s%s', m.amname,
              (SELECT ' WITH (' || string_agg(option, ', ') || ')'
               FROM (SELECT format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) AS option
                     FROM unnest(c.reloptions) AS o
                     UNION ALL
                     SELECT format('toast.%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1))
                     FROM unnest(toast.reloptions) AS o) AS options),
              ' TABLESPACE ' || quote_ident(s.spcname)),
       ARRAY(SELECT DISTINCT d.refobjid
             FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
             WHERE w.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid)
FROM readers r
JOIN pg_class c ON c.oid = r.oid AND c.oid <> $1
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_am m ON m.oid = c.relam
LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
ORDER BY c.oid
