//! The locks of the run.

/// Takes an advisory lock or says that it is taken.
pub(crate) const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";

/// Lets go of an advisory lock.
pub(crate) const UNLOCK: &str = "SELECT pg_advisory_unlock($1)";

/// Waits for a share of an advisory lock.
pub(crate) const SHARE_LOCK: &str = "SELECT pg_advisory_lock_shared($1)";

/// Who holds an advisory lock, in a sentence, and how it is ended where it is nobody's any more: a
/// pooler may keep a session whose client has gone, and with it our lock.
pub(crate) const WHO_HOLDS: &str = "
    SELECT format('%s@%s, server process %s, since %s', a.usename,
                  coalesce(a.client_hostname, host(a.client_addr), 'local socket'), a.pid,
                  to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'))
           || CASE WHEN a.application_name LIKE 'altergeist%' THEN ''
                   ELSE format('; that session is not of this tool any more (it says %L, and is %s): a pooler has kept it with the lock. \
                                SELECT pg_terminate_backend(%s) ends it',
                               coalesce(nullif(a.application_name, ''), 'nothing'), a.state, a.pid) END
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::int8 = ($1::int8 >> 32) & 4294967295 AND l.objid::int8 = $1::int8 & 4294967295";

/// Ends the given sessions that are behind the fence, and counts those that still are.
pub(crate) const END_FENCED: &str = "
    SELECT count(pg_terminate_backend(l.pid))
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid = ANY ($2)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::int8 = ($1::int8 >> 32) & 4294967295 AND l.objid::int8 = $1::int8 & 4294967295";

/// Ends every other session that is behind the fence, and names it. What ends a session stands
/// where only rows that passed every condition come; a condition may be computed in any order.
pub(crate) const END_ALL_FENCED: &str = "
    SELECT format('server process %s', l.pid), pg_terminate_backend(l.pid)
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::int8 = ($1::int8 >> 32) & 4294967295 AND l.objid::int8 = $1::int8 & 4294967295";
