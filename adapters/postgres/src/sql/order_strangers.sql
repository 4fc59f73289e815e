-- What of the tables of orders and history is not as this tool makes it, the object, why, and
-- whether it could run code in the name of whoever uses the table.
WITH trusted AS MATERIALIZED (
    SELECT r.oid FROM pg_roles r
    WHERE r.rolname = current_user OR r.rolsuper OR pg_has_role(r.oid, current_user, 'MEMBER')
), ours AS MATERIALIZED (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'altergeist' AND c.relname IN ('orders', 'history')
)
SELECT 'altergeist.' || c.relname, 'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner)), false
FROM ours c WHERE c.relowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT 'altergeist.' || c.relname, 'it is not an ordinary table', true
FROM ours c WHERE c.relkind <> 'r' OR c.reloftype <> 0
UNION ALL
SELECT format('trigger %I on altergeist.%s', t.tgname, c.relname), 'this tool makes none there', true
FROM ours c JOIN pg_trigger t ON t.tgrelid = c.oid
UNION ALL
SELECT format('rule %I on altergeist.%s', r.rulename, c.relname), 'this tool makes none there', true
FROM ours c JOIN pg_rewrite r ON r.ev_class = c.oid
UNION ALL
SELECT format('policy %I on altergeist.%s', p.polname, c.relname), 'this tool makes none there', true
FROM ours c JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT format('column %I of altergeist.%s', t.attname, c.relname), 'this tool gives it no such default or type', true
FROM ours c JOIN pg_attribute t ON t.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
WHERE t.attnum > 0 AND NOT t.attisdropped
  AND (t.attgenerated <> ''
       OR t.atttypid NOT IN ('text'::regtype, 'bigint'::regtype, 'timestamptz'::regtype, 'double precision'::regtype)
       OR EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_attrdef'::regclass AND o.objid = d.oid AND o.refclassid = 'pg_proc'::regclass))
UNION ALL
SELECT format('constraint %I on altergeist.%s', k.conname, c.relname), 'this tool makes none there but the primary key', true
FROM ours c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype NOT IN ('p', 'n')
UNION ALL
SELECT format('index %s', i.indexrelid::regclass), 'it computes an expression', true
FROM ours c JOIN pg_index i ON i.indrelid = c.oid WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
UNION ALL
SELECT 'altergeist.' || c.relname, 'it inherits from a table, or a table inherits from it', true
FROM ours c WHERE EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent))
