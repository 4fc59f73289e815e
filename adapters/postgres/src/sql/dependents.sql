-- What hangs on table (or materialized view) $1 and is made again in the swap, in order: the object, the statements that take it away from the
-- old table, those that make it on the new one, the one that checks the rows of old afterwards, the columns with which it
-- goes, whether it is a foreign key, and the statement that takes it away from an old table that is kept current. Run under an empty search path: the statements then mean whatever table has the
-- name when they are run. Read of the new table in its place it must give the same.
WITH t AS (
    SELECT c.oid, c.reltype, c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity,
           pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_class c WHERE c.oid = $1
), row_types AS (
    SELECT y.oid FROM t JOIN pg_type y ON y.oid = t.reltype OR y.typelem = t.reltype
), ancestors AS (
    SELECT a.relid AS oid FROM pg_partition_ancestors($1::oid::regclass) AS a WHERE a.relid <> $1
), parts AS (
    SELECT 'pg_class'::regclass AS class, t.oid FROM t
    UNION ALL
    SELECT 'pg_type'::regclass, r.oid FROM row_types r
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = $1
), users AS (
    SELECT DISTINCT d.classid, d.objid
    FROM parts p JOIN pg_depend d ON d.refclassid = p.class AND d.refobjid = p.oid
    WHERE d.deptype = 'n'
), rules AS (
    SELECT r.*, v.relkind, v.reloptions, v.oid::regclass::text AS on_table
    FROM users u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class AND NOT pg_is_other_temp_schema(v.relnamespace)
    WHERE r.ev_class <> $1
), policies AS (
    SELECT p.*, p.polrelid::regclass::text AS on_table,
           pg_get_expr(p.polqual, p.polrelid) AS using_text, pg_get_expr(p.polwithcheck, p.polrelid) AS check_text
    FROM pg_policy p
    WHERE p.polrelid = $1 OR p.oid IN (SELECT objid FROM users WHERE classid = 'pg_policy'::regclass)
), keys AS (
    SELECT k.*, k.conrelid::regclass::text AS on_table, d.text,
           coalesce((to_jsonb(k) ->> 'conenforced')::bool, true) AS enforced,
           regexp_replace(d.text, ' NOT VALID$', '') AS body,
           (SELECT c.relkind FROM pg_class c WHERE c.oid = k.conrelid) AS on_table_kind,
           (SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, k.conrelid::regclass, d)
            FROM obj_description(k.oid, 'pg_constraint') AS d WHERE d IS NOT NULL) AS comment
    FROM pg_constraint k, LATERAL (SELECT pg_get_constraintdef(k.oid) AS text) AS d
    WHERE k.contype = 'f' AND k.conparentid = 0
      AND ($1 IN (k.conrelid, k.confrelid) OR k.confrelid IN (SELECT a.oid FROM ancestors a))
), leaf_keys AS (
    -- Before version 18 the foreign key of a partitioned table cannot be added without a look at all rows. Its partitions'
    -- can, and when they have been proven the partitioned table gets its own by joining them: for that writers are kept out for an instant.
    WITH RECURSIVE below AS (
        SELECT k.oid AS top, k.oid, k.confrelid
        FROM keys k JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'p'
        WHERE current_setting('server_version_num')::int < 180000
        UNION ALL
        SELECT b.top, k.oid, k.confrelid FROM below b JOIN pg_constraint k ON k.conparentid = b.oid AND k.confrelid = b.confrelid
    )
    SELECT b.top, k.oid, k.conname, k.conrelid::regclass::text AS on_table, pg_get_constraintdef(k.oid) AS body,
           row_number() OVER (PARTITION BY b.top ORDER BY k.oid) = 1 AS is_first,
           row_number() OVER (PARTITION BY b.top ORDER BY k.oid DESC) = 1 AS is_last
    FROM below b JOIN pg_constraint k ON k.oid = b.oid JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'r'
), functions AS (
    SELECT p.*, p.oid::regprocedure::text AS spelled,
           EXISTS (SELECT FROM pg_depend d JOIN row_types r ON d.refclassid = 'pg_type'::regclass AND d.refobjid = r.oid
                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid) AS has_row_type
    FROM users u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND u.objid = p.oid
    WHERE p.prokind IN ('f', 'p')
), roles AS (
    SELECT 0::oid AS oid, 'PUBLIC' AS spelled UNION ALL SELECT r.oid, quote_ident(r.rolname) FROM pg_roles r
), grants AS (
    -- Whom new routines are open to by default is shut out first, so that every grant stands in its old place.
    SELECT f.oid, format('REVOKE ALL ON ROUTINE %s FROM %s', f.spelled,
                         (SELECT string_agg(r.spelled, ', ' ORDER BY r.oid) FROM roles r
                          WHERE r.oid IN (0, f.proowner)
                             OR r.oid IN (SELECT x.grantee FROM pg_default_acl a, aclexplode(a.defaclacl) AS x
                                          WHERE a.defaclobjtype = 'f')))
           || (SELECT string_agg(format(E';\n%sGRANT %s ON ROUTINE %s TO %s%s%s',
                                        CASE WHEN x.grantor <> f.proowner THEN format('SET ROLE %I; ', pg_get_userbyid(x.grantor)) END,
                                        x.privilege_type, f.spelled, r.spelled,
                                        CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END,
                                        CASE WHEN x.grantor <> f.proowner THEN '; RESET ROLE' END), '' ORDER BY x.n)
               FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner)))
                    WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, n)
               JOIN roles r ON r.oid = x.grantee) AS statements
    FROM functions f WHERE f.has_row_type
), operators AS (
    -- An operator goes with its function, and must be dropped before it. Their types are part of what it is called.
    SELECT o.oprcode::oid AS function, string_agg('DROP OPERATOR ' || o.spelled, E';\n' ORDER BY o.spelled) AS drops,
           string_agg(concat_ws(E';\n', format('CREATE OPERATOR %I.%s (%s)', o.nspname, o.oprname, concat_ws(', ',
                   format('FUNCTION = %I.%I', o.pronspname, o.proname),
                   'LEFTARG = ' || nullif(o.oprleft, 0)::regtype, 'RIGHTARG = ' || nullif(o.oprright, 0)::regtype,
                   (SELECT format('COMMUTATOR = OPERATOR(%I.%s)', n.nspname, c.oprname)
                    FROM pg_operator c JOIN pg_namespace n ON n.oid = c.oprnamespace WHERE c.oid = o.oprcom),
                   (SELECT format('NEGATOR = OPERATOR(%I.%s)', n.nspname, c.oprname)
                    FROM pg_operator c JOIN pg_namespace n ON n.oid = c.oprnamespace WHERE c.oid = o.oprnegate),
                   'RESTRICT = ' || nullif(o.oprrest::oid, 0)::regproc, 'JOIN = ' || nullif(o.oprjoin::oid, 0)::regproc,
                   CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END)),
               CASE WHEN pg_get_userbyid(o.oprowner) <> current_user
                    THEN format('ALTER OPERATOR %s OWNER TO %I', o.spelled, pg_get_userbyid(o.oprowner)) END,
               (SELECT format('COMMENT ON OPERATOR %s IS %L', o.spelled, d) FROM obj_description(o.oid, 'pg_operator') AS d
                WHERE d IS NOT NULL)), E';\n' ORDER BY o.spelled) AS statements
    FROM (SELECT o.*, n.nspname, f.proname, fn.nspname AS pronspname,
                 format('%I.%s (%s, %s)', n.nspname, o.oprname, coalesce(nullif(o.oprleft, 0)::regtype::text, 'NONE'),
                        coalesce(nullif(o.oprright, 0)::regtype::text, 'NONE')) AS spelled
          FROM functions f JOIN pg_operator o ON o.oprcode::oid = f.oid JOIN pg_namespace n ON n.oid = o.oprnamespace
          JOIN pg_namespace fn ON fn.oid = f.pronamespace
          WHERE f.has_row_type) AS o
    GROUP BY o.oprcode::oid
)
SELECT object, before, after, finish, columns, is_key,
       CASE step WHEN 10 THEN format('DROP RULE %s ON %s', substr(object, 6), t.name)
                 WHEN 20 THEN format('DROP TRIGGER %s ON %s', substr(object, 9), t.name)
                 WHEN 30 THEN format('DROP POLICY %s ON %s', substr(object, 8), t.name)
                 WHEN 31 THEN format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', t.name)
                 WHEN 55 THEN format('ALTER TABLE %s ADD CONSTRAINT altergeist_bound CHECK (%s) NOT VALID', t.name,
                                     pg_get_partition_constraintdef($1))
       END
FROM t CROSS JOIN (
    SELECT 10 AS step, r.rulename::text AS name, 'rule ' || quote_ident(r.rulename) AS object, NULL AS before,
           concat_ws(E';\n', rtrim(pg_get_ruledef(r.oid), ';'),
                     CASE r.ev_enabled WHEN 'D' THEN format('ALTER TABLE %s DISABLE RULE %I', t.name, r.rulename)
                                       WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS RULE %I', t.name, r.rulename)
                                       WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA RULE %I', t.name, r.rulename)
                     END,
                     (SELECT format('COMMENT ON RULE %I ON %s IS %L', r.rulename, t.name, d)
                      FROM obj_description(r.oid, 'pg_rewrite') AS d WHERE d IS NOT NULL)) AS after,
           NULL AS finish, NULL::text[] AS columns, false AS is_key
    FROM t JOIN pg_rewrite r ON r.ev_class = t.oid AND r.rulename <> '_RETURN'
    UNION ALL
    -- Its own, and those of other tables that name it as the one they are FROM.
    SELECT CASE WHEN g.tgrelid = $1 THEN 20 ELSE 21 END, g.on_table || ' ' || g.tgname,
           'trigger ' || quote_ident(g.tgname) || CASE WHEN g.tgrelid <> $1 THEN ' on ' || g.on_table ELSE '' END,
           CASE WHEN g.tgrelid <> $1 THEN format('DROP TRIGGER %I ON %s', g.tgname, g.on_table) END,
           concat_ws(E';\n', pg_get_triggerdef(g.oid),
                     CASE g.tgenabled WHEN 'D' THEN format('ALTER TABLE %s DISABLE TRIGGER %I', g.on_table, g.tgname)
                                      WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', g.on_table, g.tgname)
                                      WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', g.on_table, g.tgname)
                     END,
                     (SELECT format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, g.on_table, d)
                      FROM obj_description(g.oid, 'pg_trigger') AS d WHERE d IS NOT NULL),
                     (SELECT string_agg(format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION %I', g.tgname, g.on_table, e.extname),
                                        E';\n' ORDER BY e.extname)
                      FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.deptype = 'x'
                        AND d.refclassid = 'pg_extension'::regclass)),
           NULL, NULL, false
    FROM (SELECT g.*, g.tgrelid::regclass::text AS on_table FROM pg_trigger g WHERE $1 IN (g.tgrelid, g.tgconstrrelid)) AS g
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
    SELECT 43, f.spelled, 'function ' || f.spelled, NULL, pg_get_functiondef(f.oid), NULL, NULL, false
    FROM functions f WHERE NOT f.has_row_type
    UNION ALL
    -- The row type is part of what such a function is called, so it cannot be replaced.
    SELECT 44, f.spelled, 'function ' || f.spelled,
           concat_ws(E';\n', o.drops, 'DROP ROUTINE ' || f.spelled),
           concat_ws(E';\n', pg_get_functiondef(f.oid),
                     CASE WHEN pg_get_userbyid(f.proowner) <> current_user
                          THEN format('ALTER ROUTINE %s OWNER TO %I', f.spelled, pg_get_userbyid(f.proowner)) END,
                     g.statements,
                     (SELECT format('COMMENT ON ROUTINE %s IS %L', f.spelled, d)
                      FROM obj_description(f.oid, 'pg_proc') AS d WHERE d IS NOT NULL),
                     (SELECT string_agg(format('ALTER ROUTINE %s DEPENDS ON EXTENSION %I', f.spelled, e.extname), E';\n'
                                        ORDER BY e.extname)
                      FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'x'
                        AND d.refclassid = 'pg_extension'::regclass),
                     (SELECT string_agg(format('SECURITY LABEL FOR %I ON ROUTINE %s IS %L', l.provider, f.spelled, l.label),
                                        E';\n' ORDER BY l.provider)
                      FROM pg_seclabel l WHERE l.classoid = 'pg_proc'::regclass AND l.objoid = f.oid),
                     o.statements),
           NULL, NULL, false
    FROM functions f JOIN grants g ON g.oid = f.oid LEFT JOIN operators o ON o.function = f.oid
    UNION ALL
    SELECT CASE WHEN k.conrelid = $1 THEN 50 ELSE 51 END, k.on_table || ' ' || k.conname,
           'foreign key ' || quote_ident(k.conname) || ' on ' || k.on_table,
           format('ALTER TABLE %s DROP CONSTRAINT %I', k.on_table, k.conname),
           concat_ws(E';\n', format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', k.on_table, k.conname, k.body,
                                    CASE WHEN k.enforced AND (current_setting('server_version_num')::int >= 180000
                                                              OR k.on_table_kind <> 'p') THEN ' NOT VALID' END),
                     k.comment),
           CASE WHEN k.convalidated THEN format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.on_table, k.conname) END,
           CASE WHEN k.conrelid = $1
                THEN ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum = ANY (k.conkey)) END,
           true
    FROM keys k WHERE k.oid NOT IN (SELECT l.top FROM leaf_keys l)
    UNION ALL
    SELECT 52, l.on_table || ' ' || l.conname, 'foreign key ' || quote_ident(l.conname) || ' on ' || l.on_table,
           CASE WHEN l.is_first THEN format('ALTER TABLE %s DROP CONSTRAINT %I', k.on_table, k.conname) END,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', l.on_table, l.conname, l.body),
           concat_ws(E';\n', format('ALTER TABLE %s VALIDATE CONSTRAINT %I', l.on_table, l.conname),
                     CASE WHEN l.is_last THEN format('SET lock_timeout = ''1s''; ALTER TABLE %s ADD CONSTRAINT %I %s', k.on_table, k.conname, k.body) END,
                     CASE WHEN l.is_last THEN k.comment END),
           NULL, true
    FROM leaf_keys l JOIN keys k ON k.oid = l.top
    UNION ALL
    -- What the parent gave the old partition goes with it, but for the foreign keys, which would stay. The constraint that
    -- says the same as the bound spares the server the reading of all rows. A foreign key of the parent to itself is gone by then.
    SELECT 55, '', 'partition of ' || h.inhparent::regclass,
           concat_ws(E';\n', format('ALTER TABLE %s DETACH PARTITION %s', h.inhparent::regclass, t.name),
                     (SELECT string_agg(format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', t.name, k.conname), E';\n' ORDER BY k.conname)
                      FROM pg_constraint k JOIN pg_constraint p ON p.oid = k.conparentid
                      WHERE k.conrelid = $1 AND k.contype = 'f' AND p.conrelid <> $1)),
           concat_ws(E';\n', format('ALTER TABLE %s ATTACH PARTITION %s %s', h.inhparent::regclass, t.name, t.bound),
                     format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS altergeist_bound', t.name),
                     (SELECT string_agg(format('ALTER TABLE %s %s TRIGGER %I', t.name,
                                               CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS'
                                                                WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, g.tgname),
                                        E';\n' ORDER BY g.tgname)
                      FROM pg_trigger g JOIN pg_trigger p ON p.oid = g.tgparentid
                      WHERE g.tgrelid = $1 AND NOT g.tgisinternal AND g.tgenabled <> p.tgenabled)),
           NULL, NULL, false
    FROM t JOIN pg_inherits h ON h.inhrelid = t.oid
    WHERE t.bound IS NOT NULL
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
ORDER BY step, objects.name
