-- The indexes of table $1, only the unique ones if $2, the primary key first: name, whether it is the primary key, whether it is the replica
-- identity, why it cannot serve as a key (NULL if it can), its columns, the base types of these, the types' names, their
-- collations as SQL spells them (empty for the type's own), whether arrays of the type exist, and whether the log sends
-- only one spelling of equal values; whether the index is deferrable; and whether each column's operators are the server's own. An
-- expression is no column.
SELECT x.relname::text, i.indisprimary, i.indisreplident,
       CASE
           WHEN NOT i.indisvalid THEN 'it is not valid'
           WHEN i.indpred IS NOT NULL THEN 'it covers only part of the rows'
           WHEN i.indexprs IS NOT NULL THEN 'it is over an expression'
           WHEN am.amname <> 'btree' THEN 'it is not a btree'
           WHEN k.generated THEN 'one of its columns is generated'
           WHEN k.nullable THEN 'one of its columns may be NULL'
           WHEN k.unusual THEN 'it sorts otherwise than its columns do'
           WHEN k.unsendable THEN 'one of its columns is of a type without a binary form'
       END,
       coalesce(k.names, '{}'), coalesce(k.types, '{}'), coalesce(k.type_names, '{}'), coalesce(k.collations, '{}'),
       coalesce(k.has_arrays, '{}'), coalesce(k.spelled_once, '{}'), NOT i.indimmediate,
       coalesce(k.own_operators, '{}')
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am am ON am.oid = x.relam
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY n) AS names,
           array_agg(t.oid ORDER BY n) AS types,
           array_agg(format_type(t.oid, -1) ORDER BY n) AS type_names,
           array_agg(CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text ELSE '' END
                     ORDER BY n) AS collations,
           array_agg(t.typarray <> 0 ORDER BY n) AS has_arrays,
           array_agg(coalesce(l.collisdeterministic, true)
                     AND t.oid IN ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype,
                                   'varchar'::regtype, 'bytea'::regtype, 'uuid'::regtype, 'date'::regtype,
                                   'time'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                     ORDER BY n) AS spelled_once,
           array_agg(o.opcnamespace = 'pg_catalog'::regnamespace ORDER BY n) AS own_operators,
           bool_or(a.attgenerated <> '') AS generated,
           bool_or(NOT a.attnotnull OR EXISTS (
               SELECT FROM pg_constraint c
               WHERE c.conrelid = $1 AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated)) AS nullable,
           bool_or(i.indoption[n] <> 0 OR NOT o.opcdefault OR i.indcollation[n] <> a.attcollation) AS unusual,
           bool_or(t.typsend = 0 OR t.typreceive = 0) AS unsendable
    FROM generate_series(0, i.indnkeyatts - 1) AS n
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
    JOIN pg_type t ON t.oid = (
        WITH RECURSIVE base AS (
            SELECT d.oid, d.typbasetype FROM pg_type d WHERE d.oid = a.atttypid
            UNION ALL
            SELECT d.oid, d.typbasetype FROM base JOIN pg_type d ON d.oid = base.typbasetype)
        SELECT base.oid FROM base WHERE base.typbasetype = 0)
    JOIN pg_opclass o ON o.oid = i.indclass[n]
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
) AS k
WHERE i.indrelid = $1 AND (i.indisunique OR NOT $2)
ORDER BY i.indisprimary DESC, i.indnkeyatts, x.relname
