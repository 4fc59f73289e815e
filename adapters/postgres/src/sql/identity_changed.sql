-- Whether table $1 has another replica identity than $2, spelled as in stream_conditions.sql. The old table, in schema $3, has its
-- own identity again.
SELECT concat_ws(' ', c.relreplident, i.indkey) <> $2
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid
     AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary END
WHERE c.oid = $1 AND n.nspname <> $3
