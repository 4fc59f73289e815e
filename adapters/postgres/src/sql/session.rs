//! The settings of our sessions.

use crate::sql::quote::literal;
use std::time::Duration;

/// The server process of this session.
pub(crate) const OWN_PID: &str = "SELECT pg_backend_pid()";

/// Settings of every session of ours. A role's own limits on time would end a copy half-way. What
/// we have left behind must not go on for long: the server looks after us while it works (where it
/// can tell on this system), and while it waits.
///
/// The search path comes first: until it is empty, somebody else's function could answer to a name.
/// In a database without an encoding text is bytes, and may be no UTF-8.
const COMMON: &str = "
    SET search_path = '';
    SET altergeist.own = 'on';
    SET statement_timeout = 0;
    SET idle_session_timeout = 0;
    SET idle_in_transaction_session_timeout = '60s';
    SET client_min_messages = warning;
    SET row_security = off;
    SET jit = off;
    SET standard_conforming_strings = on;
    SET escape_string_warning = off;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET default_transaction_deferrable = off;
    SET tcp_keepalives_idle = 20;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '30s';
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
    SELECT set_config(name, '2s', false) FROM pg_settings
    WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%';
    SELECT set_config('client_encoding', 'SQL_ASCII', false) WHERE current_setting('server_encoding') = 'SQL_ASCII';
    SELECT set_config(name, 'origin', false) FROM pg_settings
    WHERE name = 'session_replication_role' AND setting <> 'origin' AND current_setting('is_superuser') = 'on';";

/// How the server reads and prints definitions in sessions of ours, whatever the database, the role
/// or the environment sets. What the user wrote is read as they have it set: see
/// [`use_search_path`].
const OWN_LANGUAGE: &[(&str, &str)] = &[
    ("search_path", ""),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("backslash_quote", "safe_encoding"),
    ("bytea_output", "hex"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("xmloption", "content"),
    ("extra_float_digits", "1"),
    ("check_function_bodies", "off"),
    ("default_tablespace", ""),
];

/// Which of them the user's own clauses and expressions are read by.
const USERS_LANGUAGE: &str = "'array_nulls', 'transform_null_equals', 'backslash_quote', \
                              'DateStyle', 'IntervalStyle', 'xmloption', 'default_tablespace'";

fn own_language(scope: &str) -> String {
    OWN_LANGUAGE.iter().map(|(name, value)| format!("SET {scope} {name} = '{value}';\n")).collect()
}

/// The same until the transaction ends.
pub(crate) fn use_own_language() -> String {
    own_language("LOCAL")
}

/// Gives a session the search path of the user's own, but for one thing: the server's own names
/// come first, so that no function or operator of somebody else answers to one of them.
const USERS_PATH: &str = "
    SELECT set_config('search_path', CASE WHEN reset_val ~* 'pg_catalog' THEN 'pg_catalog, ' ELSE '' END || reset_val, false)
    FROM pg_settings WHERE name = 'search_path';";

/// A session that looks around before anything is known.
pub(crate) fn probe_settings() -> String {
    COMMON.to_owned()
}

/// The session of the run lock; it waits only for what it ends itself.
pub(crate) fn holder_settings(wait: Duration) -> String {
    format!("{COMMON} SET lock_timeout = {};", wait.as_millis())
}

/// Sessions that read and change definitions. The empty search path makes the server spell names in
/// full. A commit does not wait for a standby: one that is missing must not hold a lock.
pub(crate) fn control_settings(lock_timeout: Duration) -> String {
    format!(
        "{COMMON}
        {}
        SET synchronous_commit = local;
        SET lock_timeout = {};",
        own_language(""),
        lock_timeout.as_millis().max(1)
    )
}

/// Sessions that move rows, in the user's own settings, as a native ALTER would. What they commit
/// is made durable by the journal's commit, which comes later in the same log. No plan is kept
/// while the shadow grows. A chunk that is compared should not go over a file, and no more
/// processors are used than there are workers.
pub(crate) fn worker_settings() -> String {
    format!(
        "{COMMON}
        SET synchronous_commit = off;
        SET plan_cache_mode = force_custom_plan;
        SELECT set_config('work_mem', '16MB', false) WHERE pg_size_bytes(current_setting('work_mem')) < 16 << 20;
        SET max_parallel_workers_per_gather = 0;
        SET lock_timeout = '10s';
        {USERS_PATH}"
    )
}

/// The session that vacuums the shadow: as a worker, but gently it rests for longer than it works,
/// as the server's own does.
pub(crate) fn vacuum_settings(gently: bool) -> String {
    let rest =
        if gently { "SET vacuum_cost_delay = '2ms'; SET vacuum_cost_limit = 1000;" } else { "" };
    format!("{}{rest}", worker_settings())
}

/// The session that locks both tables: as a worker, but the server ends it if we leave it alone.
/// Reading a big catalogue for the first time may take longer than the lock may be held, which
/// [`under_lock`] bounds.
pub(crate) fn cutover_settings(within: Duration) -> String {
    let idle = within + Duration::from_secs(10);
    format!(
        "{COMMON}
        SET synchronous_commit = local;
        SET plan_cache_mode = force_custom_plan;
        SET lock_timeout = {};
        SET statement_timeout = '60s';
        SET idle_in_transaction_session_timeout = {};
        {USERS_PATH}",
        within.as_millis().max(1),
        idle.as_millis()
    )
}

/// Sessions for marks, snapshots and heartbeats: short statements only.
pub(crate) fn mark_settings() -> String {
    format!(
        "{COMMON}
        {}
        SET synchronous_commit = local;
        SET lock_timeout = '5s';
        SET statement_timeout = '20s';",
        own_language("")
    )
}

/// The session that looks at a slot; a look at a big transaction may take its time.
pub(crate) fn poll_settings() -> String {
    format!("{COMMON} {}", own_language(""))
}

/// The session that asks what is visible. It also looks at the source's definition, and must not
/// wait while the cut-over has it locked.
pub(crate) fn gate_settings() -> String {
    format!("{} SET lock_timeout = '20ms';", mark_settings())
}

/// What connecting needs to know of the server.
pub(crate) const SERVER: &str = "
    SELECT current_setting('server_version_num')::int, current_database()::text,
           (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), pg_is_in_recovery()";

/// Gives the session a search path, as it was set: a list of names, not one name.
pub(crate) const USE_PATH: &str = "SELECT set_config('search_path', $1, false)";

/// A table's number by the name the user gave, in the search path of the session. Everything it
/// calls is named in full.
pub(crate) const NUMBER_OF: &str = "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid";

/// A table by its number.
pub(crate) const FIND_TABLE: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1";

/// A table's identity by its exact name.
pub(crate) const TABLE_ID: &str = "
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2";

/// The settings of the user's own session, for clauses and expressions of theirs: a search path,
/// and how what is written is read.
pub(crate) fn use_search_path(path: &str) -> String {
    format!(
        "SELECT set_config(name, value, true) FROM (
            SELECT name, reset_val FROM pg_settings WHERE name IN ({USERS_LANGUAGE})
            UNION ALL SELECT 'search_path', {}) AS users (name, value)",
        literal(path)
    )
}

/// Settings of a session that asks the operator's questions: it cannot change anything, it reads
/// names as the user's own session does, and a question ends in time.
pub(crate) fn inquiry_settings(path: &str) -> String {
    format!(
        "SET default_transaction_read_only = on; SET statement_timeout = '60s';
        SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '1min';
        SELECT set_config('search_path', {}, false)",
        literal(path)
    )
}

/// The first values of a question's first column, as text: enough to see that there are more.
pub(crate) fn first_values(question: &str) -> String {
    format!("SELECT answer::text FROM ({question}\n) AS asked (answer) LIMIT 2")
}

/// Empties the session's search path.
pub(crate) const CLEAR_PATH: &str = "SET search_path = ''";

/// Sets how long the session waits for a lock, in milliseconds; 0 is no limit.
pub(crate) fn set_lock_timeout(ms: u128) -> String {
    format!("SET lock_timeout = {ms}")
}

/// Sets how long a statement may run, in milliseconds; 0 is no limit.
pub(crate) fn set_statement_timeout(ms: u128) -> String {
    format!("SET statement_timeout = {ms}")
}

/// Sets both.
pub(crate) fn set_timeouts(lock_ms: u128, statement_ms: u128) -> String {
    format!("{}; {}", set_lock_timeout(lock_ms), set_statement_timeout(statement_ms))
}

/// Runs a statement that may wait 60 s for a lock, then sets the usual limit again.
pub(crate) fn with_long_lock_timeout(statement: &str, usual_ms: u128) -> String {
    format!("SET lock_timeout = '60s'; {statement}; {}", set_lock_timeout(usual_ms))
}
