-- The statement that makes a bare table of the columns of table $1 in schema $2. Before names were given to NOT NULL
-- constraints ($3 is false) NOT NULL belongs to the column.
SELECT format(
    'CREATE %sTABLE %I.%I (%s) USING %I%s%s',
    CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED ' END,
    $2::text,
    c.relname,
    (SELECT string_agg(
                format(
                    '%I %s%s%s%s%s',
                    a.attname,
                    format_type(a.atttypid, a.atttypmod),
                    CASE a.attcompression WHEN 'p' THEN ' COMPRESSION pglz' WHEN 'l' THEN ' COMPRESSION lz4' END,
                    CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END,
                    CASE
                        WHEN a.attgenerated = 's'
                            THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
                        WHEN a.attgenerated = 'v'
                            THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
                        ELSE ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
                    END,
                    CASE WHEN a.attnotnull AND NOT $3::bool THEN ' NOT NULL' END
                ),
                ', ' ORDER BY a.attnum)
     FROM pg_attribute a
     JOIN pg_type t ON t.oid = a.atttypid
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    am.amname,
    (SELECT ' WITH (' || string_agg(option, ', ') || ')'
     FROM (SELECT format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) AS option
           FROM unnest(c.reloptions) AS o
           UNION ALL
           SELECT format('toast.%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1))
           FROM unnest(toast.reloptions) AS o) AS options),
    ' TABLESPACE ' || quote_ident(s.spcname)
)
FROM pg_class c
JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
WHERE c.oid = $1
