//! The cut-over: locks, blockers and sessions.

use crate::sql::session::use_own_language;
use std::time::Duration;

/// Whether this role may shorten the server's own wait before it looks for a deadlock or ends an
/// autovacuum that is in the way, and how long others wait, in milliseconds.
pub(crate) const DEADLOCKS: &str = "
    SELECT current_setting('is_superuser') = 'on',
           (SELECT setting::int8 FROM pg_settings WHERE name = 'deadlock_timeout')";

/// The settings of the rest of the cut-over's transaction. What could not be locked ahead is hardly
/// waited for.
pub(crate) fn under_lock(within: Duration) -> String {
    format!(
        "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = {}",
        (within + Duration::from_millis(250)).as_millis()
    )
}

/// Who stands before a session in a queue for a lock: the sentence, and the process if it may be
/// ended.
pub(crate) const WHO_BLOCKS: &str = "
    SELECT format('server process %s (%s, %s, %s, %s)', a.pid, coalesce(a.usename, a.backend_type),
                  coalesce(nullif(a.application_name, ''), 'no application name'), a.state,
                  coalesce('transaction since ' || to_char(a.xact_start, 'HH24:MI:SS'), 'no transaction')),
           CASE WHEN a.backend_type = 'client backend' THEN a.pid END
    FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))
    UNION ALL
    SELECT 'a prepared transaction', NULL WHERE 0 = ANY (pg_blocking_pids($1))";

/// Ends a session of an application.
pub(crate) const END_BLOCKER: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                      WHERE pid = $1 AND backend_type = 'client backend'";

/// The server's own time.
pub(crate) const NOW: &str = "SELECT clock_timestamp()::text";

/// Transactions of this database that began before a time and still look at what was then.
pub(crate) const OLD_SNAPSHOTS: &str = "
    SELECT format('server process %s (%s, transaction since %s)', pid, usename, to_char(xact_start, 'HH24:MI:SS'))
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND backend_xmin IS NOT NULL AND xact_start < $1::text::timestamptz";

/// The physical standbys the server feeds: name, and how long it takes until they have replayed;
/// NULL if that cannot be told.
pub(crate) const STANDBYS: &str = "
    SELECT coalesce(nullif(r.application_name, ''), 'standby') || coalesce('@' || host(r.client_addr), ''),
           CASE WHEN r.state <> 'streaming' THEN NULL
                WHEN r.replay_lag IS NOT NULL THEN extract(epoch FROM r.replay_lag)::float8
                WHEN r.replay_lsn >= r.sent_lsn THEN 0::float8
           END
    FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
    WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL
    ORDER BY 1";

/// How heavily the server is used: sessions at work, connections, sessions that wait for a lock,
/// and how long the oldest transaction has been open; ours (`$1` is their name) are not counted.
/// Null for what it tells only those of their own role.
pub(crate) const LOADS: &str = "
    WITH others AS (
        SELECT state, xact_start FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name IS DISTINCT FROM $1)
    SELECT CASE WHEN told THEN (SELECT count(*) FROM others WHERE state = 'active') END::float8,
        (SELECT sum(numbackends) FROM pg_stat_database)::float8,
        (SELECT count(DISTINCT l.pid) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.application_name IS DISTINCT FROM $1)::float8,
        CASE WHEN told THEN (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0) FROM others) END::float8
    FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS told) role";

/// How many sessions wait for a lock; ours (`$1` is their name) are not counted.
pub(crate) const LOCK_WAITERS: &str = "
    SELECT count(DISTINCT l.pid) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE NOT l.granted AND a.application_name IS DISTINCT FROM $1";

/// How many transactions have begun since the oldest one whose rows must be kept: for a session, a
/// prepared transaction, a standby or a slot; ours (`$1` is their name) are not counted.
pub(crate) const OLDEST_SNAPSHOT: &str = "
    SELECT coalesce(max(age(oldest)), 0)::int8 FROM (
        SELECT backend_xmin FROM pg_stat_activity WHERE application_name IS DISTINCT FROM $1
        UNION ALL SELECT backend_xid FROM pg_stat_activity WHERE application_name IS DISTINCT FROM $1
        UNION ALL SELECT transaction FROM pg_prepared_xacts
        UNION ALL SELECT backend_xmin FROM pg_stat_replication
        UNION ALL SELECT xmin FROM pg_replication_slots) held (oldest)
    WHERE oldest IS NOT NULL";

/// Whether a session still exists.
pub(crate) const IS_ALIVE: &str =
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND application_name = $2)";

/// Ends a session of ours by its process and name.
pub(crate) const END_SESSION: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                      WHERE pid = $1 AND application_name = $2";

/// Ends the long statements of a change that the server makes in steps.
pub(crate) const CANCEL_STEPS: &str = "
    SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE application_name = $1 AND pid <> pg_backend_pid() AND state = 'active'
      AND (query LIKE 'CREATE %INDEX CONCURRENTLY %' OR query LIKE 'ALTER TABLE % VALIDATE CONSTRAINT %')";

/// The settings of the swap. The server checks bodies of functions where they are written, by the
/// search path of that time, so it does not check them again here. The rehearsal plans what reads
/// the catalogue: to plan it again under the lock would take longer than all the rest.
pub(crate) fn swap_settings() -> String {
    format!("{} SET LOCAL plan_cache_mode = force_generic_plan", use_own_language())
}

/// Begins the cut-over's transaction. The server cancels an autovacuum that holds the lock, but
/// only after `deadlock_timeout`: with `is_hurried` that is short.
pub(crate) fn begin_cutover(is_hurried: bool) -> String {
    let hurry = if is_hurried { "SET LOCAL deadlock_timeout = '20ms'" } else { "" };
    format!("BEGIN; {hurry}")
}

/// A statement of the cut-over that may wait for a lock, and its limit in milliseconds.
pub(crate) fn within_budget(ms: u128, statement: &str) -> String {
    format!("SET LOCAL lock_timeout = {ms}; SET LOCAL statement_timeout = {ms}; {statement}")
}

/// Locks tables against writers.
pub(crate) fn lock_writers_out(tables: &str) -> String {
    format!("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
}

/// Locks tables against readers and writers.
pub(crate) fn lock_all_out(tables: &str) -> String {
    format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
}
