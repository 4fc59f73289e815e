-- The statements, in order, that give a bare table of the same columns ($2, in schema $3) what else table $1 has:
-- constraints, identities, storage, statistics targets, indexes, comments, extended statistics, owner. Run under an empty search path.
WITH columns AS (
    SELECT a.*, t.typstorage
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
), constraints AS (
    -- A key WITHOUT OVERLAPS is made as what it is underneath, an exclusion.
    SELECT k.*, CASE WHEN (to_jsonb(k) ->> 'conperiod')::bool AND k.contype <> 'f' THEN 'x' ELSE k.contype::text END AS kind
    FROM pg_constraint k WHERE k.conrelid = $1
), indexes AS (
    SELECT i.*, x.relname, k.oid AS constraint_oid, k.conname, k.kind AS contype, k.condeferrable, k.condeferred,
           coalesce(s.spcname, '') AS tablespace,
           format('CREATE %sINDEX %I ON ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname) AS head,
           pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
    LEFT JOIN constraints k ON k.conindid = i.indexrelid AND k.kind IN ('p', 'u', 'x')
    WHERE i.indrelid = $1 AND i.indisvalid
)
SELECT statement, step
FROM (
    SELECT 0 AS step, k.oid::int8 AS n,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, k.conname, pg_get_constraintdef(k.oid)) AS statement
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'n'
    UNION ALL
    SELECT 1, c.attnum,
           format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %I.%I START WITH %s '
                  'INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %s)',
                  $2, c.attname, CASE c.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, $3::text, q.relname,
                  s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                  CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
    FROM columns c
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = c.attnum
                    AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
    JOIN pg_sequence s ON s.seqrelid = d.objid
    JOIN pg_class q ON q.oid = d.objid
    WHERE c.attidentity <> ''
    UNION ALL
    SELECT 2, 0, format('ALTER SEQUENCE %I.%I SET UNLOGGED', $3, q.relname)
    FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S' JOIN pg_class c ON c.oid = $1
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
      AND q.relpersistence = 'u' AND c.relpersistence = 'p'
    UNION ALL
    SELECT 2, c.attnum,
           format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', $2, c.attname,
                  CASE c.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
    FROM columns c WHERE c.attstorage <> c.typstorage
    UNION ALL
    -- A table's columns are made with it; those of a materialized view are not.
    SELECT 2, c.attnum,
           format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', $2, c.attname,
                  CASE c.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END)
    FROM columns c JOIN pg_class m ON m.oid = c.attrelid AND m.relkind = 'm' WHERE c.attcompression <> ''
    UNION ALL
    SELECT 3, c.attnum, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', $2, c.attname, c.attstattarget)
    FROM columns c WHERE c.attstattarget >= 0
    UNION ALL
    SELECT 4, c.attnum, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', $2, c.attname, string_agg(o, ', '))
    FROM columns c, unnest(c.attoptions) o WHERE NOT starts_with(o, 'pg_') GROUP BY c.attnum, c.attname
    UNION ALL
    SELECT 5, i.indexrelid::int8,
           format('SET LOCAL default_tablespace = %L; %s%s%s', i.tablespace, i.head, $2,
                  substr(i.definition, length(i.head || i.indrelid::regclass) + 1))
    FROM indexes i WHERE i.contype IS DISTINCT FROM 'x'
    UNION ALL
    SELECT 6, i.constraint_oid::int8,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s%s', $2, i.conname,
                  CASE i.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, i.relname,
                  CASE WHEN i.condeferrable THEN ' DEFERRABLE' END,
                  CASE WHEN i.condeferred THEN ' INITIALLY DEFERRED' END)
    FROM indexes i WHERE i.contype IN ('p', 'u')
    UNION ALL
    SELECT 7, k.oid::int8, format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2, k.conname, pg_get_constraintdef(k.oid))
    FROM constraints k WHERE k.kind IN ('c', 'x')
    UNION ALL
    SELECT 8, a.attrelid::int8 * 2000 + a.attnum,
           format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', $3, i.relname, a.attnum, a.attstattarget)
    FROM indexes i JOIN pg_attribute a ON a.attrelid = i.indexrelid WHERE a.attstattarget >= 0
    UNION ALL
    SELECT 9, i.indexrelid::int8, format('ALTER TABLE %s CLUSTER ON %I', $2, i.relname)
    FROM indexes i WHERE i.indisclustered
    UNION ALL
    SELECT 10, 0, CASE c.relreplident
                      WHEN 'f' THEN format('ALTER TABLE %s REPLICA IDENTITY FULL', $2)
                      WHEN 'n' THEN format('ALTER TABLE %s REPLICA IDENTITY NOTHING', $2)
                      ELSE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', $2,
                                  (SELECT i.relname FROM indexes i WHERE i.indisreplident))
                  END
    FROM pg_class c WHERE c.oid = $1 AND c.relreplident <> 'd'
    UNION ALL
    SELECT 11, 0, format('COMMENT ON %s %s IS %L', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, $2, d)
    FROM pg_class c, obj_description(c.oid, 'pg_class') AS d WHERE c.oid = $1 AND d IS NOT NULL
    UNION ALL
    SELECT 12, c.attnum, format('COMMENT ON COLUMN %s.%I IS %L', $2, c.attname, d)
    FROM columns c, col_description($1, c.attnum) AS d WHERE d IS NOT NULL
    UNION ALL
    SELECT 13, k.oid::int8, format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, $2, d)
    FROM pg_constraint k, obj_description(k.oid, 'pg_constraint') AS d
    WHERE k.conrelid = $1 AND k.contype NOT IN ('f', 't') AND d IS NOT NULL
    UNION ALL
    SELECT 14, i.indexrelid::int8, format('COMMENT ON INDEX %I.%I IS %L', $3, i.relname, d)
    FROM indexes i, obj_description(i.indexrelid, 'pg_class') AS d WHERE d IS NOT NULL
    UNION ALL
    SELECT 14, d.objid::int8, format('COMMENT ON SEQUENCE %I.%I IS %L', $3, q.relname, obj_description(q.oid, 'pg_class'))
    FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
      AND obj_description(q.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 15, i.indexrelid::int8, format('ALTER INDEX %I.%I DEPENDS ON EXTENSION %I', $3, i.relname, e.extname)
    FROM indexes i
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.deptype = 'x'
                    AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_extension e ON e.oid = d.refobjid
    UNION ALL
    SELECT 16, s.oid::int8,
           concat_ws(E';\n',
                     format('CREATE STATISTICS %I.%I%s FROM %s', $3, s.stxname,
                            substr(d.text, length(d.head) + 1, length(d.text) - length(d.head) - length(d.tail)), $2),
                     CASE WHEN s.stxstattarget >= 0
                          THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s', $3, s.stxname, s.stxstattarget) END,
                     (SELECT format('COMMENT ON STATISTICS %I.%I IS %L', $3, s.stxname, c)
                      FROM obj_description(s.oid, 'pg_statistic_ext') AS c WHERE c IS NOT NULL),
                     CASE WHEN pg_get_userbyid(s.stxowner) <> current_user
                          THEN format('ALTER STATISTICS %I.%I OWNER TO %I', $3, s.stxname, pg_get_userbyid(s.stxowner)) END)
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace,
         LATERAL (SELECT pg_get_statisticsobjdef(s.oid) AS text,
                         format('CREATE STATISTICS %I.%I', n.nspname, s.stxname) AS head,
                         ' FROM ' || $1::oid::regclass AS tail) AS d
    WHERE s.stxrelid = $1
    UNION ALL
    SELECT 17, 0, format('ALTER TABLE %s OWNER TO %I', $2, pg_get_userbyid(c.relowner))
    FROM pg_class c WHERE c.oid = $1 AND c.relowner <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
) AS statements
ORDER BY step, n
