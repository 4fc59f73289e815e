-- A table's definition, line by line: the object, and what it is. Two tables of which all lines are equal are the same
-- but for their rows and the schema they live in. Nothing that VACUUM, ANALYZE or statistics change is in it, nor what
-- `carried.sql` and `obstacles.sql` find, nor what a partition has of its parent: the identity of a column, and what stands
-- for its bound until it is one. The third column says whether the line is structure, as opposed to rights, comments and storage. Run under an empty search path.
WITH t AS (
    SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
)
SELECT 'table' AS object,
       concat_ws(' ', 'kind', t.relkind, t.relpersistence, 'owner', pg_get_userbyid(t.relowner), 'method', am.amname,
                 'tablespace', t.reltablespace, 'identity', t.relreplident, 'of', t.reloftype, 'options', t.reloptions, 'toast', toast.reloptions,
                 'comment', obj_description(t.oid, 'pg_class')) AS definition,
       false AS structure
FROM t JOIN pg_am am ON am.oid = t.relam LEFT JOIN pg_class toast ON toast.oid = t.reltoastrelid
UNION ALL
SELECT 'privileges', string_agg(concat_ws(' ', pg_get_userbyid(x.grantee), x.grantee = 0, x.privilege_type,
                                          x.is_grantable, pg_get_userbyid(x.grantor)), ', ' ORDER BY x.n), false
FROM t, aclexplode(coalesce(t.relacl, acldefault('r', t.relowner)))
        WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n)
UNION ALL
SELECT 'column ' || quote_ident(a.attname),
       concat_ws(' ', row_number() OVER (ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
                 'collate', a.attcollation::regcollation, 'not null', a.attnotnull, 'identity',
                 CASE WHEN t.relispartition THEN ''::"char" ELSE a.attidentity END, 'generated', a.attgenerated, 'default', pg_get_expr(d.adbin, d.adrelid)),
       true
FROM t JOIN pg_attribute a ON a.attrelid = t.oid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
-- Of a column's options, those that begin with pg_ are the server's own notes (17.12 notes where in the log it was last changed).
SELECT 'settings of column ' || quote_ident(a.attname),
       concat_ws(' ', 'storage', a.attstorage, 'compression', a.attcompression, 'statistics',
                 coalesce(a.attstattarget::int, -1), 'options',
                 (SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE NOT starts_with(o, 'pg_')), 'comment', col_description($1, a.attnum),
                 'privileges', (SELECT string_agg(concat_ws(' ', pg_get_userbyid(x.grantee), x.grantee = 0,
                                                            x.privilege_type, x.is_grantable,
                                                            pg_get_userbyid(x.grantor)), ', ' ORDER BY x.n)
                                FROM aclexplode(a.attacl)
                                     WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n))),
       false
FROM pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'sequence ' || quote_ident(q.relname),
       concat_ws(' ', 'of', a.attname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
                 s.seqcache, s.seqcycle, CASE WHEN q.relpersistence <> t.relpersistence THEN 'unlogged' END, 'comment', obj_description(q.oid, 'pg_class'), 'privileges',
                 (SELECT string_agg(concat_ws(' ', pg_get_userbyid(x.grantee), x.grantee = 0, x.privilege_type,
                                              x.is_grantable, pg_get_userbyid(x.grantor)), ', ' ORDER BY x.n)
                  FROM aclexplode(coalesce(q.relacl, acldefault('s', q.relowner)))
                       WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n))),
       true
FROM t JOIN pg_depend d ON d.refobjid = t.oid
JOIN pg_sequence s ON s.seqrelid = d.objid
JOIN pg_class q ON q.oid = d.objid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
UNION ALL
SELECT 'constraint ' || quote_ident(k.conname),
       concat_ws(' ', k.contype, pg_get_constraintdef(k.oid), 'comment', obj_description(k.oid, 'pg_constraint')),
       true
FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype NOT IN ('f', 't') AND k.conname <> 'altergeist_bound'
UNION ALL
SELECT 'index ' || quote_ident(x.relname),
       concat_ws(' ', replace(pg_get_indexdef(i.indexrelid), ' ON ' || $1::oid::regclass || ' ', ' ON '),
                 'immediate', i.indimmediate, 'clustered', i.indisclustered, 'identity', i.indisreplident,
                 'tablespace', x.reltablespace, 'comment', obj_description(x.oid, 'pg_class'), 'statistics',
                 (SELECT string_agg(a.attnum || ':' || a.attstattarget, ' ' ORDER BY a.attnum)
                  FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0), 'extensions',
                 (SELECT string_agg(e.extname, ' ' ORDER BY e.extname)
                  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype = 'x'
                    AND d.refclassid = 'pg_extension'::regclass)),
       true
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisvalid
UNION ALL
SELECT 'statistics ' || quote_ident(s.stxname),
       concat_ws(' ', replace(replace(pg_get_statisticsobjdef(s.oid), format('%I.%I', n.nspname, s.stxname), ''),
                              ' FROM ' || $1::oid::regclass, ''),
                 'target', nullif(s.stxstattarget, -1), 'owner', pg_get_userbyid(s.stxowner),
                 'comment', obj_description(s.oid, 'pg_statistic_ext')),
       false
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1
ORDER BY 1, 2
