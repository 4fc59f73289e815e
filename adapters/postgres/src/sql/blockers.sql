-- Who holds a lock on one of the relations $1 and is not expected to let go within $2 milliseconds: transactions that are
-- older than that, and prepared ones. An autovacuum gives way by itself, unless it prevents wraparound. The sentence, and
-- the process if it may be ended.
SELECT DISTINCT format('server process %s (%s, %s, %s, transaction since %s)', a.pid, coalesce(a.usename, a.backend_type),
                       coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(a.state, a.backend_type),
                       to_char(a.xact_start, 'HH24:MI:SS')),
       CASE WHEN a.backend_type = 'client backend' THEN a.pid END
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = ANY ($1) AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.xact_start < clock_timestamp() - $2::int8 * interval '1 millisecond'
  AND (a.backend_type <> 'autovacuum worker' OR a.query LIKE '%to prevent wraparound%')
UNION
SELECT format('prepared transaction %L (%s, since %s)', p.gid, p.owner, to_char(p.prepared, 'HH24:MI:SS')), NULL
FROM pg_locks l
JOIN pg_locks own ON own.virtualtransaction = l.virtualtransaction AND own.locktype = 'transactionid' AND own.pid IS NULL
JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
WHERE l.relation = ANY ($1) AND l.granted AND l.pid IS NULL
