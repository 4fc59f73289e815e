-- How the server reads an expression over a table's columns: $1 is a view of it, $2 the table.
-- Whether it aggregates, looks at other rows through a window, gives several rows, or reads a system
-- column; the other tables that it reads; the table's columns that it reads.
WITH rule AS (
    SELECT r.oid, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = $1::text::regclass
), read AS (
    SELECT m[1]::oid AS oid
    FROM rule, regexp_matches(tree, ':rtekind 0 :relid (\d+)', 'g') m
    WHERE m[1]::oid <> $1::text::regclass
)
SELECT substring(tree FROM ':hasAggs (true|false)') = 'true',
       substring(tree FROM ':hasWindowFuncs (true|false)') = 'true',
       substring(tree FROM ':hasTargetSRFs (true|false)') = 'true',
       tree ~ ':varattno -\d',
       ARRAY(SELECT DISTINCT oid::regclass::text FROM read
             GROUP BY oid HAVING oid <> $2 OR count(*) > 1 ORDER BY 1),
       ARRAY(SELECT a.attname::text FROM pg_depend d
             JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = rule.oid AND d.refobjid = $2
             ORDER BY a.attnum)
FROM rule
