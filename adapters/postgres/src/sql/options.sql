-- The statements that give a table, spelled $2, the storage parameters of table $1 and its owner.
SELECT format('ALTER TABLE %s SET (%s)', $2::text, string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', '))
FROM pg_class c, unnest(c.reloptions) o WHERE c.oid = $1 HAVING count(*) > 0
UNION ALL
SELECT format('ALTER TABLE %s SET (%s)', $2, string_agg(format('toast.%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', '))
FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid, unnest(t.reloptions) o WHERE c.oid = $1 HAVING count(*) > 0
UNION ALL
SELECT format('ALTER TABLE %s OWNER TO %I', $2, pg_get_userbyid(c.relowner)) FROM pg_class c WHERE c.oid = $1
