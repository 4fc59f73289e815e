-- The unique indexes of table $1, the primary key first: name, whether it is the primary key, whether it is the replica
-- identity, why it cannot serve as a key (NULL if it can), its columns, the base types of these, and the types' names.
SELECT x.relname::text, i.indisprimary, i.indisreplident,
       CASE
           WHEN NOT i.indisvalid THEN 'it is not valid'
           WHEN NOT i.indimmediate THEN 'it is deferrable'
           WHEN i.indpred IS NOT NULL THEN 'it covers only part of the rows'
           WHEN i.indexprs IS NOT NULL THEN 'it is over an expression'
           WHEN am.amname <> 'btree' THEN 'it is not a btree'
           WHEN k.generated THEN 'one of its columns is generated'
           WHEN k.nullable THEN 'one of its columns may be NULL'
           WHEN k.unusual THEN 'it sorts otherwise than its columns do'
           WHEN k.undetermined THEN 'its collation holds different texts for equal'
       END,
       k.names, k.types, k.type_names
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am am ON am.oid = x.relam
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY n) AS names,
           array_agg(coalesce(nullif(t.typbasetype, 0), t.oid) ORDER BY n) AS types,
           array_agg(format_type(coalesce(nullif(t.typbasetype, 0), t.oid), -1) ORDER BY n) AS type_names,
           bool_or(a.attgenerated <> '') AS generated,
           bool_or(NOT a.attnotnull OR EXISTS (
               SELECT FROM pg_constraint c
               WHERE c.conrelid = $1 AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated)) AS nullable,
           bool_or(i.indoption[n] <> 0 OR NOT o.opcdefault OR i.indcollation[n] <> a.attcollation) AS unusual,
           bool_or(NOT coalesce(l.collisdeterministic, true)) AS undetermined
    FROM generate_series(0, i.indnkeyatts - 1) AS n
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_opclass o ON o.oid = i.indclass[n]
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
) AS k
WHERE i.indrelid = $1 AND i.indisunique
ORDER BY i.indisprimary DESC, i.indnkeyatts, x.relname
