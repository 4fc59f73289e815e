-- What in the journal's schema is not as this tool makes it, by whom this role could be harmed: the object, why, what mends it,
-- and whether it may bear code of somebody else. A role that owns an object, or may write it, is trusted if it could become
-- this role anyway.
WITH trusted AS MATERIALIZED (
    SELECT r.oid FROM pg_roles r
    WHERE r.rolname = current_user OR r.rolsuper OR pg_has_role(r.oid, current_user, 'MEMBER')
), ours AS MATERIALIZED (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'altergeist' AND c.relname IN ('journal', 'heartbeat', 'whole')
)
SELECT 'schema altergeist', 'it belongs to role ' || quote_ident(pg_get_userbyid(n.nspowner)),
       format('run as that role; or drop the schema if no change is under way; or, if you trust what is in it, ALTER SCHEMA altergeist OWNER TO %I',
              current_user), false
FROM pg_namespace n WHERE n.nspname = 'altergeist' AND n.nspowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT 'schema altergeist', w.grantee || ' may put objects into it', format('REVOKE CREATE ON SCHEMA altergeist FROM %s', w.grantee), false
FROM pg_namespace n CROSS JOIN LATERAL (
    SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM aclexplode(n.nspacl) a
    WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND a.grantee NOT IN (SELECT oid FROM trusted)) AS w
WHERE n.nspname = 'altergeist'
UNION ALL
SELECT 'altergeist.' || c.relname, 'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner)),
       format('run as that role; or drop it if no change is under way; or, if you trust what is in it, ALTER TABLE altergeist.%s OWNER TO %I',
              c.relname, current_user), false
FROM ours c WHERE c.relowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT DISTINCT 'altergeist.' || c.relname, w.grantee || ' may write it', format('REVOKE ALL ON altergeist.%s FROM %s', c.relname, w.grantee), false
FROM ours c CROSS JOIN LATERAL (
    SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM (SELECT c.relacl AS acl UNION ALL SELECT t.attacl FROM pg_attribute t WHERE t.attrelid = c.oid) AS acls
    CROSS JOIN LATERAL aclexplode(acls.acl) a
    WHERE a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES')
      AND a.grantee <> c.relowner AND a.grantee NOT IN (SELECT oid FROM trusted)) AS w
UNION ALL
SELECT 'altergeist.' || c.relname, 'it is not an ordinary table', 'drop it', true
FROM ours c WHERE c.relkind <> 'r' OR c.reloftype <> 0
UNION ALL
SELECT format('trigger %I on altergeist.%s', t.tgname, c.relname), 'this tool makes none there',
       CASE WHEN t.tgisinternal THEN 'drop the foreign key it belongs to' ELSE format('DROP TRIGGER %I ON altergeist.%s', t.tgname, c.relname) END, true
FROM ours c JOIN pg_trigger t ON t.tgrelid = c.oid
UNION ALL
SELECT format('rule %I on altergeist.%s', r.rulename, c.relname), 'this tool makes none there',
       format('DROP RULE %I ON altergeist.%s', r.rulename, c.relname), true
FROM ours c JOIN pg_rewrite r ON r.ev_class = c.oid
UNION ALL
SELECT format('policy %I on altergeist.%s', p.polname, c.relname), 'this tool makes none there',
       format('DROP POLICY %I ON altergeist.%s', p.polname, c.relname), true
FROM ours c JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT format('column %I of altergeist.%s', t.attname, c.relname), 'this tool gives it no default and another type',
       format('ALTER TABLE altergeist.%s DROP COLUMN %I, if it is not one of this tool''s', c.relname, t.attname), true
FROM ours c JOIN pg_attribute t ON t.attrelid = c.oid
WHERE t.attnum > 0 AND NOT t.attisdropped
  AND (t.atthasdef OR t.attidentity <> '' OR t.attgenerated <> ''
       OR t.atttypid NOT IN ('text'::regtype, 'bigint'::regtype, 'timestamptz'::regtype, 'oid'::regtype))
UNION ALL
SELECT format('constraint %I on altergeist.%s', k.conname, c.relname), 'this tool makes none there but the primary key',
       format('ALTER TABLE altergeist.%s DROP CONSTRAINT %I', c.relname, k.conname), true
FROM ours c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype NOT IN ('p', 'n')
UNION ALL
SELECT format('index %s', i.indexrelid::regclass), 'it computes an expression, and this tool makes no such index there',
       format('DROP INDEX %s', i.indexrelid::regclass), true
FROM ours c JOIN pg_index i ON i.indrelid = c.oid WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
UNION ALL
SELECT 'altergeist.' || c.relname, 'it inherits from a table, or a table inherits from it', 'end the inheritance', true
FROM ours c WHERE EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent))
ORDER BY 4 DESC, 1, 2
