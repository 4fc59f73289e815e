-- Transactions of others that have been open for more than $2 milliseconds: who, how many seconds, whether it holds a lock
-- on one of the relations $1, whether it has written, whether it reads this database as it was when it began, and the
-- statement that ends it. An autovacuum gives way by itself, unless it prevents wraparound. $3 is the name of our sessions.
SELECT format('server process %s (%s, %s, %s)', a.pid, coalesce(a.usename, a.backend_type),
              coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(a.state, a.backend_type)),
       extract(epoch FROM clock_timestamp() - a.xact_start)::int8 AS seconds,
       EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.relation = ANY ($1) AND l.granted
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS holds,
       a.backend_xid IS NOT NULL, a.backend_xmin IS NOT NULL AND a.datname = current_database(),
       format('SELECT pg_terminate_backend(%s)', a.pid)
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.application_name IS DISTINCT FROM $3 AND a.backend_type <> 'walsender'
  AND a.xact_start < clock_timestamp() - $2::int8 * interval '1 millisecond'
  AND (a.backend_type <> 'autovacuum worker' OR a.query LIKE '%to prevent wraparound%')
UNION ALL
SELECT format('prepared transaction %L (%s)', p.gid, p.owner), extract(epoch FROM clock_timestamp() - p.prepared)::int8,
       EXISTS (SELECT FROM pg_locks own JOIN pg_locks l ON l.virtualtransaction = own.virtualtransaction
               WHERE own.locktype = 'transactionid' AND own.transactionid = p.transaction AND own.pid IS NULL
                 AND l.relation = ANY ($1) AND l.granted AND l.pid IS NULL),
       true, false, format('COMMIT PREPARED %L or ROLLBACK PREPARED %L', p.gid, p.gid)
FROM pg_prepared_xacts p
ORDER BY holds DESC, seconds DESC LIMIT 20
