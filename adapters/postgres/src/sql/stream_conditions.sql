-- What the change stream of table $1 depends on, with publication $2; then the table's schema and name, who answers to
-- $3.$4, and the schema and name of table $5. A change that was put back shows too: each row of the publication has the
-- number of the transaction that wrote it last. Locks nothing.
SELECT (SELECT concat_ws(' ', p.oid, p.xmin, r.oid, r.xmin)
        FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
        WHERE p.pubname = $2 AND r.prrelid = $1),
       (SELECT concat_ws(' ', c.relreplident, i.indkey)
        FROM pg_class c
        LEFT JOIN pg_index i ON i.indrelid = c.oid
             AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary END
        WHERE c.oid = $1),
       (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1),
       (SELECT c.relname::text FROM pg_class c WHERE c.oid = $1),
       (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $3 AND c.relname = $4),
       (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $5),
       (SELECT c.relname::text FROM pg_class c WHERE c.oid = $5)
