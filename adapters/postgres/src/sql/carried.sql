-- What hangs on table $1 and is made again in the swap, in order: the object, the statements that take it away from the
-- old table, those that make it on the new one, the one that checks the rows of old afterwards, the columns with which it
-- goes, and whether it is a foreign key. Run under an empty search path: the statements then mean whatever table has the
-- name when they are run. Read of the new table in its place it must give the same.
WITH t AS (
    SELECT c.oid, c.reltype, c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c WHERE c.oid = $1
), parts AS (
    SELECT 'pg_class'::regclass AS class, t.oid FROM t
    UNION ALL
    SELECT 'pg_type'::regclass, y.oid FROM t JOIN pg_type y ON y.oid = t.reltype OR y.typelem = t.reltype
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = $1
), users AS (
    SELECT DISTINCT d.classid, d.objid
    FROM parts p JOIN pg_depend d ON d.refclassid = p.class AND d.refobjid = p.oid
    WHERE d.deptype = 'n'
), rules AS (
    SELECT r.*, v.relkind, v.reloptions, v.oid::regclass::text AS on_table
    FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class
    WHERE r.ev_class <> $1
), policies AS (
    SELECT p.*, p.polrelid::regclass::text AS on_table,
           pg_get_expr(p.polqual, p.polrelid) AS using_text, pg_get_expr(p.polwithcheck, p.polrelid) AS check_text
    FROM pg_policy p
    WHERE p.polrelid = $1 OR p.oid IN (SELECT objid FROM users WHERE classid = 'pg_policy'::regclass)
), keys AS (
    SELECT k.*, k.conrelid::regclass::text AS on_table, d.text,
           coalesce((to_jsonb(k) ->> 'conenforced')::bool, true) AS enforced,
           regexp_replace(d.text, ' NOT VALID$', '') AS body
    FROM pg_constraint k, LATERAL (SELECT pg_get_constraintdef(k.oid) AS text) AS d
    WHERE k.contype = 'f' AND k.conparentid = 0 AND $1 IN (k.conrelid, k.confrelid)
)
SELECT object, before, after, finish, columns, is_key
FROM (
    SELECT 10 AS step, r.rulename::text AS name, 'rule ' || quote_ident(r.rulename) AS object, NULL AS before,
           concat_ws(E';\n', rtrim(pg_get_ruledef(r.oid), ';'),
                     CASE r.ev_enabled WHEN 'D' THEN format('ALTER TABLE %s DISABLE RULE %I', t.name, r.rulename)
                                       WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS RULE %I', t.name, r.rulename)
                                       WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA RULE %I', t.name, r.rulename)
                     END,
                     (SELECT format('COMMENT ON RULE %I ON %s IS %L', r.rulename, t.name, d)
                      FROM obj_description(r.oid, 'pg_rewrite') AS d WHERE d IS NOT NULL)) AS after,
           NULL AS finish, NULL::text[] AS columns, false AS is_key
    FROM t JOIN pg_rewrite r ON r.ev_class = t.oid
    UNION ALL
    SELECT 20, g.tgname::text, 'trigger ' || quote_ident(g.tgname), NULL,
           concat_ws(E';\n', pg_get_triggerdef(g.oid),
                     CASE g.tgenabled WHEN 'D' THEN format('ALTER TABLE %s DISABLE TRIGGER %I', t.name, g.tgname)
                                      WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.name, g.tgname)
                                      WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', t.name, g.tgname)
                     END,
                     (SELECT format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, t.name, d)
                      FROM obj_description(g.oid, 'pg_trigger') AS d WHERE d IS NOT NULL),
                     (SELECT string_agg(format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION %I', g.tgname, t.name, e.extname),
                                        E';\n' ORDER BY e.extname)
                      FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.deptype = 'x'
                        AND d.refclassid = 'pg_extension'::regclass)),
           NULL, NULL, false
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT 30, p.polname::text, 'policy ' || quote_ident(p.polname), NULL,
           concat_ws(E';\n',
                     format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, p.on_table,
                            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                            CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                          WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                            (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', '
                                               ORDER BY n)
                             FROM unnest(p.polroles) WITH ORDINALITY AS roles(o, n)),
                            ' USING (' || p.using_text || ')', ' WITH CHECK (' || p.check_text || ')'),
                     (SELECT format('COMMENT ON POLICY %I ON %s IS %L', p.polname, p.on_table, d)
                      FROM obj_description(p.oid, 'pg_policy') AS d WHERE d IS NOT NULL)),
           NULL, NULL, false
    FROM policies p WHERE p.polrelid = $1
    UNION ALL
    SELECT 31, '', 'row security', NULL,
           concat_ws(E';\n', CASE WHEN t.relrowsecurity THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name) END,
                     CASE WHEN t.relforcerowsecurity THEN format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name) END),
           NULL, NULL, false
    FROM t WHERE t.relrowsecurity OR t.relforcerowsecurity
    UNION ALL
    SELECT 40, r.on_table, 'view ' || r.on_table, NULL,
           format('CREATE OR REPLACE VIEW %s%s AS %s', r.on_table,
                  (SELECT ' WITH (' || string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)),
                                                  ', ' ORDER BY n) || ')'
                   FROM unnest(r.reloptions) WITH ORDINALITY AS options(o, n)),
                  rtrim(pg_get_viewdef(r.ev_class), ';')),
           NULL, NULL, false
    FROM rules r WHERE r.relkind = 'v' AND r.rulename = '_RETURN'
    UNION ALL
    SELECT 41, r.on_table || ' ' || r.rulename, 'rule ' || quote_ident(r.rulename) || ' on ' || r.on_table, NULL,
           regexp_replace(rtrim(pg_get_ruledef(r.oid), ';'), '^CREATE RULE', 'CREATE OR REPLACE RULE'),
           NULL, NULL, false
    FROM rules r WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 42, p.on_table || ' ' || p.polname, 'policy ' || quote_ident(p.polname) || ' on ' || p.on_table, NULL,
           format('ALTER POLICY %I ON %s%s%s', p.polname, p.on_table, ' USING (' || p.using_text || ')',
                  ' WITH CHECK (' || p.check_text || ')'),
           NULL, NULL, false
    FROM policies p WHERE p.polrelid <> $1
    UNION ALL
    SELECT 43, p.oid::regprocedure::text, 'function ' || p.oid::regprocedure, NULL, pg_get_functiondef(p.oid), NULL, NULL, false
    FROM users u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND u.objid = p.oid
    WHERE p.prokind IN ('f', 'p')
    UNION ALL
    SELECT CASE WHEN k.conrelid = $1 THEN 50 ELSE 51 END, k.on_table || ' ' || k.conname,
           'foreign key ' || quote_ident(k.conname) || ' on ' || k.on_table,
           format('ALTER TABLE %s DROP CONSTRAINT %I', k.on_table, k.conname),
           concat_ws(E';\n', format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', k.on_table, k.conname, k.body,
                                    CASE WHEN k.enforced THEN ' NOT VALID' END),
                     (SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, k.on_table, d)
                      FROM obj_description(k.oid, 'pg_constraint') AS d WHERE d IS NOT NULL)),
           CASE WHEN k.convalidated THEN format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.on_table, k.conname) END,
           CASE WHEN k.conrelid = $1
                THEN ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum = ANY (k.conkey)) END,
           true
    FROM keys k
    UNION ALL
    SELECT 60, p.pubname::text, 'publication ' || quote_ident(p.pubname),
           format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, t.name),
           format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s', p.pubname, t.name,
                  CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL
                       THEN (SELECT ' (' || string_agg(quote_ident(column_name), ', ' ORDER BY n) || ')'
                             FROM jsonb_array_elements_text(to_jsonb(v) -> 'attnames') WITH ORDINALITY AS names(column_name, n))
                  END,
                  ' WHERE (' || (to_jsonb(v) ->> 'rowfilter') || ')'),
           NULL, NULL, false
    FROM t JOIN pg_publication_rel r ON r.prrelid = t.oid
    JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = t.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_publication_tables v ON v.pubname = p.pubname AND v.schemaname = n.nspname AND v.tablename = c.relname
    WHERE p.pubname <> $2
    UNION ALL
    SELECT 70, l.provider, 'security label of ' || l.provider, NULL,
           format('SECURITY LABEL FOR %I ON TABLE %s IS %L', l.provider, t.name, l.label), NULL, NULL, false
    FROM t JOIN pg_seclabel l ON l.classoid = 'pg_class'::regclass AND l.objoid = t.oid AND l.objsubid = 0
    UNION ALL
    SELECT 71, l.provider || ' ' || a.attname, 'security label of ' || l.provider || ' on column ' || quote_ident(a.attname), NULL,
           format('SECURITY LABEL FOR %I ON COLUMN %s.%I IS %L', l.provider, t.name, a.attname, l.label), NULL,
           ARRAY[a.attname::text], false
    FROM t JOIN pg_seclabel l ON l.classoid = 'pg_class'::regclass AND l.objoid = t.oid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = l.objsubid
) AS objects
ORDER BY step, name
