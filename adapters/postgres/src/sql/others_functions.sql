-- Functions of others that writing the rows of table $1 calls: what calls them, the function, its
-- owner. Only a superuser who does not own the table runs what somebody else has written.
SELECT DISTINCT
    CASE d.classid WHEN 'pg_constraint'::regclass THEN 'constraint ' || quote_ident(c.conname)
                   ELSE 'column ' || quote_ident(a.attname) END,
    p.oid::regprocedure::text, quote_ident(o.rolname), quote_ident(current_user)
FROM pg_depend d
JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
JOIN pg_roles o ON o.oid = p.proowner
LEFT JOIN pg_constraint c
    ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.conrelid = $1
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid AND f.adrelid = $1
LEFT JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
WHERE (c.oid IS NOT NULL OR f.oid IS NOT NULL)
  AND NOT o.rolsuper AND o.rolname <> current_user
  AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
ORDER BY 1, 2
