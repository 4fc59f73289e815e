//! Every statement on rows, sessions, locks and the journal, whole. Statements that read or rebuild a table's
//! definition are in `sql/`, one file each. No values: they travel as parameters.

use crate::layout::{Column, Layout, Sameness};
use crate::names::{literal, quoted};
use crate::version::Version;
use altergeist_contract::Watermark;
use std::time::Duration;

/// What CASCADE takes away with columns $2 and constraints $3 of table $1.
pub(crate) const CASCADE: &str = include_str!("sql/cascade.sql");

/// Reads a definition line by line; equal lines mean an equal table.
pub(crate) const DESCRIBE: &str = include_str!("sql/describe.sql");
/// Gives the statement that makes a bare table of the same columns.
pub(crate) const CREATE_TABLE: &str = include_str!("sql/create_table.sql");
/// Gives the statements that make a bare table the same as another.
pub(crate) const DRESS: &str = include_str!("sql/dress.sql");
/// Gives the statements that undo what event triggers did to a new table.
pub(crate) const EVENT_TRIGGERS_UNDONE: &str = include_str!("sql/event_triggers_undone.sql");
/// Lists the columns that may hold a table's identity.
pub(crate) const OID_COLUMNS: &str = include_str!("sql/oid_columns.sql");
/// Temporary objects of other sessions that read a table: in a sentence, and the session's process where the server tells it.
pub(crate) const TEMPORARY: &str = "
    SELECT DISTINCT format('%s %s of %s', CASE v.relkind WHEN 'v' THEN 'temporary view' ELSE 'a rule on the temporary table' END,
                           v.oid::regclass, coalesce('server process ' || a.pid || ' (' || concat_ws(', ', a.usename, a.application_name, a.state)
                           || ')', 'another session, which that schema belongs to')), a.pid
    FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class
    JOIN pg_namespace n ON n.oid = v.relnamespace AND pg_is_other_temp_schema(n.oid)
    LEFT JOIN pg_stat_activity a
      ON current_setting('server_version_num')::int >= 160000 AND a.pid = pg_stat_get_backend_pid(substr(n.nspname, 9)::int)
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'n'
    ORDER BY 1";
/// Gives the statements that carry privileges from one table to another.
pub(crate) const PRIVILEGES: &str = include_str!("sql/privileges.sql");
/// Lists a table's columns.
pub(crate) const COLUMNS: &str = include_str!("sql/columns.sql");
/// Lists the indexes by which rows could be followed, or laid down in order.
pub(crate) const KEYS: &str = include_str!("sql/keys.sql");
/// Lists the indexes that can wait until the rows are copied.
pub(crate) const DEFERRABLE_INDEXES: &str = include_str!("sql/deferrable_indexes.sql");
/// Whether an index, by its schema and name, is one of a constraint.
pub(crate) const IS_CONSTRAINT: &str = "
    SELECT EXISTS (SELECT FROM pg_constraint k JOIN pg_class x ON x.oid = k.conindid JOIN pg_namespace n ON n.oid = x.relnamespace
                   WHERE n.nspname = $1 AND x.relname = $2 AND k.conrelid <> 0 AND k.contype IN ('p', 'u', 'x'))";
/// How many of a table's indexes with these names are built, counting what is there of those that are being built. Reading the
/// rows and sorting them is taken to be as long as writing the index.
pub(crate) const BUILT: &str = "
    SELECT (SELECT count(*) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND x.relname = ANY ($2))
           + coalesce((SELECT sum(CASE WHEN p.tuples_total > 0 THEN 0.5 + 0.5 * least(1.0, p.tuples_done::float8 / p.tuples_total)
                                       WHEN p.blocks_total > 0 THEN 0.5 * least(1.0, p.blocks_done::float8 / p.blocks_total)
                                       ELSE 0 END)
                       FROM pg_stat_progress_create_index p WHERE p.relid = $1), 0)";
/// The size of a table's rows in bytes, without what is out of line.
pub(crate) const HEAP_SIZE: &str = "SELECT pg_relation_size($1::oid)";
/// Lists the constraints that hold for new rows only.
pub(crate) const LATE_CONSTRAINTS: &str = include_str!("sql/late_constraints.sql");
/// Lists the objects that stand in the way of a copy.
pub(crate) const OBSTACLES: &str = include_str!("sql/obstacles.sql");
/// Lists unique indexes with what is needed to count duplicates.
pub(crate) const UNIQUE_INDEXES: &str = include_str!("sql/unique_indexes.sql");
/// Lists sessions and prepared transactions that hold a lock on a table.
pub(crate) const BLOCKERS: &str = include_str!("sql/blockers.sql");
/// Lists names that the swap would bring twice into a schema.
pub(crate) const NAME_CLASHES: &str = include_str!("sql/name_clashes.sql");
/// Lists the sequences of a table's columns, and what they have counted.
pub(crate) const SEQUENCES: &str = include_str!("sql/sequences.sql");
/// Lists what hangs on a table and is made again in the swap, as statements.
pub(crate) const CARRIED: &str = include_str!("sql/carried.sql");
/// Lists the other relations the swap changes.
pub(crate) const NEIGHBOURS: &str = include_str!("sql/neighbours.sql");
/// Lists the materialized views that read a table.
pub(crate) const MATERIALIZED: &str = include_str!("sql/materialized.sql");
/// The query of a view.
pub(crate) const VIEW_QUERY: &str = "SELECT pg_get_viewdef($1::oid)";
/// The views that read a table: their names, for people, and their queries.
pub(crate) const VIEWS_ON: &str = "
    SELECT 'view ' || v.oid::regclass, pg_get_viewdef(v.oid)
    FROM pg_class v
    WHERE v.relkind = 'v' AND EXISTS (
        SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = v.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'n')
    ORDER BY 1";
/// Whether a relation, by its name, is a view.
pub(crate) const IS_VIEW: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'v')";
/// The query of a view, by its name.
pub(crate) const QUERY_OF: &str = "SELECT pg_get_viewdef($1::text::regclass)";
/// Whether a view reads any of these relations.
pub(crate) const READS_ANY: &str = "
    SELECT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                   WHERE r.ev_class = $1 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($2))";
/// What a partition may hold, as its parent has it; NULL for any other table.
pub(crate) const PARTITION_BOUND: &str = "SELECT pg_get_partition_constraintdef($1)";
/// Lists a table's extended statistics.
pub(crate) const STATISTICS: &str = "
    SELECT s.stxname::text, n.nspname::text
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1 ORDER BY 1";
/// Lists what in the journal's schema is not as this tool makes it.
pub(crate) const STRANGERS: &str = include_str!("sql/strangers.sql");
/// Makes the journal's tables.
pub(crate) const JOURNAL_TABLES: &str = include_str!("sql/journal.sql");

// Whether what bears our names is ours

/// The code with which [`no_code`] fails.
pub(crate) const NO_CODE_FAILED: &str = "22P02";

/// Fails if something in the journal's schema bears code: its name is no number.
pub(crate) fn no_code() -> String {
    format!(
        "SELECT CASE WHEN bears_code THEN object::int END FROM ({STRANGERS}) AS found (object, why, remedy, bears_code)"
    )
}

/// Keeps the journal from being changed by others, as writing a row does.
pub(crate) const LOCK_JOURNAL: &str = "LOCK TABLE ONLY altergeist.journal IN ROW EXCLUSIVE MODE";

/// Why a schema for shadows or old tables is not to be used, and what mends it.
pub(crate) const STRANGER_SCHEMA: &str = "
    SELECT 'it belongs to role ' || quote_ident(pg_get_userbyid(n.nspowner)),
           format('run as that role; or drop the schema if nobody needs what is in it; or, if you trust what is in it, \
                   ALTER SCHEMA %I OWNER TO %I', n.nspname, current_user)
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = $1 AND r.rolname <> current_user AND NOT r.rolsuper AND NOT pg_has_role(r.oid, current_user, 'MEMBER')
    UNION ALL
    SELECT 'everybody may put objects into it', format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', n.nspname)
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = $1 AND a.privilege_type = 'CREATE' AND a.grantee = 0";

/// Triggers, rules and policies on a table but for the guard of ours: which, and what takes each away.
pub(crate) const CODE_ON: &str = "
    SELECT format('trigger %I', tgname), format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
    FROM pg_trigger t
    WHERE tgrelid = $1 AND NOT tgisinternal
      AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_class c ON c.relnamespace = p.pronamespace
                      WHERE c.oid = $1 AND p.oid = t.tgfoid AND t.tgname = 'altergeist_touched' AND pg_has_role(p.proowner, 'USAGE'))
    UNION ALL
    SELECT format('rule %I', rulename), format('DROP RULE %I ON %s', rulename, ev_class::regclass) FROM pg_rewrite WHERE ev_class = $1
    UNION ALL
    SELECT format('policy %I', polname), format('DROP POLICY %I ON %s', polname, polrelid::regclass) FROM pg_policy WHERE polrelid = $1
    ORDER BY 1";

/// Makes those who make or drop schemas of ours in this database wait for each other until the transaction ends. Nobody holds it
/// for long, so it may be waited for longer than a lock on the user's tables.
pub(crate) const SERIALISE: &str = "
    WITH patience AS MATERIALIZED (
        SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', '10s', true) AS now),
    taken AS MATERIALIZED (SELECT before, pg_advisory_xact_lock(4279108216735011943) IS NULL AS done FROM patience)
    SELECT set_config('lock_timeout', before, true), done FROM taken";

/// Keeps the schemas of ours in this database from being made or dropped until the transaction ends.
pub(crate) const KEEP_SCHEMAS: &str = "SELECT pg_advisory_xact_lock_shared(4279108216735011943)";

/// The tables of the journal's schema that bear the names of ours, by their names in full.
pub(crate) const JOURNAL_TABLES_THERE: &str = "
    SELECT c.oid, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'altergeist' AND c.relname IN ('journal', 'heartbeat', 'whole')";

/// Takes from everybody but its owner what default privileges have given on an object of ours: statements.
pub(crate) const STRIP_PRIVILEGES: &str = "
    SELECT format('REVOKE ALL ON SCHEMA %I FROM %s', n.nspname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = 'altergeist' AND n.nspowner = to_regrole(quote_ident(current_user)) AND a.grantee <> n.nspowner AND a.privilege_type = 'CREATE'
    UNION
    SELECT format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', c.oid::regclass,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE n.nspname = 'altergeist' AND c.relkind = 'r' AND c.relowner = to_regrole(quote_ident(current_user))
      AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'";

// Sessions

/// The server process of this session.
pub(crate) const OWN_PID: &str = "SELECT pg_backend_pid()";

/// Settings of every session of ours. A role's own limits on time would end a copy half-way. What we have left behind must
/// not go on for long: the server looks after us while it works (where it can tell on this system), and while it waits.
///
/// The search path comes first: until it is empty, somebody else's function could answer to a name. In a database without an
/// encoding text is bytes, and may be no UTF-8.
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

/// How the server reads and prints definitions in sessions of ours, whatever the database, the role or the environment sets.
/// What the user wrote is read as they have it set: see [`use_search_path`].
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
const USERS_LANGUAGE: &str = "'array_nulls', 'transform_null_equals', 'backslash_quote', 'DateStyle', 'IntervalStyle', 'xmloption', 'default_tablespace'";

fn own_language(scope: &str) -> String {
    OWN_LANGUAGE.iter().map(|(name, value)| format!("SET {scope} {name} = '{value}';\n")).collect()
}

/// The same until the transaction ends.
pub(crate) fn use_own_language() -> String {
    own_language("LOCAL")
}

/// Gives a session the search path of the user's own, but for one thing: the server's own names come first, so that no function
/// or operator of somebody else answers to one of them.
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

/// Sessions that read and change definitions. The empty search path makes the server spell names in full. A commit
/// does not wait for a standby: one that is missing must not hold a lock.
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

/// Sessions that move rows, in the user's own settings, as a native ALTER would. What they commit is made durable by
/// the journal's commit, which comes later in the same log. A plan must never outlive the shadow's growth, a chunk that is
/// compared should not go over a file, and no more processors are used than there are workers.
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

/// The session that vacuums the shadow: as a worker, but gently it rests for longer than it works, as the server's own does.
pub(crate) fn vacuum_settings(gently: bool) -> String {
    let rest = if gently { "SET vacuum_cost_delay = '2ms'; SET vacuum_cost_limit = 1000;" } else { "" };
    format!("{}{rest}", worker_settings())
}

/// The session that locks both tables: as a worker, but the server ends it if we leave it alone. Reading a big catalogue for the
/// first time may take longer than the lock may be held, which [`under_lock`] bounds.
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

/// The session that asks what is visible. It also looks at the source's definition, and must not wait while the
/// cut-over has it locked.
pub(crate) fn gate_settings() -> String {
    format!("{} SET lock_timeout = '20ms';", mark_settings())
}

/// What connecting needs to know of the server.
pub(crate) const SERVER: &str = "
    SELECT current_setting('server_version_num')::int, current_database()::text,
           (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), pg_is_in_recovery()";

/// Gives the session a search path, as it was set: a list of names, not one name.
pub(crate) const USE_PATH: &str = "SELECT set_config('search_path', $1, false)";

/// A table's number by the name the user gave, in the search path of the session. Everything it calls is named in full.
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

/// The settings of the user's own session, for clauses and expressions of theirs: a search path, and how what is written is read.
pub(crate) fn use_search_path(path: &str) -> String {
    format!(
        "SELECT set_config(name, value, true) FROM (
            SELECT name, reset_val FROM pg_settings WHERE name IN ({USERS_LANGUAGE})
            UNION ALL SELECT 'search_path', {}) AS users (name, value)",
        literal(path)
    )
}

// Locks of the run

/// Takes an advisory lock or says that it is taken.
pub(crate) const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";
/// Lets go of an advisory lock.
pub(crate) const UNLOCK: &str = "SELECT pg_advisory_unlock($1)";
/// Waits for a share of an advisory lock.
pub(crate) const SHARE_LOCK: &str = "SELECT pg_advisory_lock_shared($1)";

/// Who holds an advisory lock, in a sentence, and how it is ended where it is nobody's any more: a pooler may keep a session
/// whose client has gone, and with it our lock.
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

/// Ends every other session that is behind the fence, and names it. What ends a session stands where only rows that
/// passed every condition come; a condition may be computed in any order.
pub(crate) const END_ALL_FENCED: &str = "
    SELECT format('server process %s', l.pid), pg_terminate_backend(l.pid)
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::int8 = ($1::int8 >> 32) & 4294967295 AND l.objid::int8 = $1::int8 & 4294967295";

// Preflight

/// Rights and settings a copy needs.
pub(crate) const ABILITIES: &str = "
    SELECT current_setting('wal_level'),
           current_setting('max_replication_slots')::int8,
           (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $2),
           has_database_privilege(current_database(), 'CREATE'),
           (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = $1),
           (SELECT has_schema_privilege(c.relnamespace, 'CREATE') FROM pg_class c WHERE c.oid = $1)";

/// The role that logs in, quoted, where the one that is set for the session may not end that one's sessions.
pub(crate) const ROLE_IN_THE_WAY: &str = "
    SELECT quote_ident(session_user)
    WHERE current_user <> session_user AND NOT pg_has_role(current_user, session_user, 'USAGE')
      AND NOT pg_has_role(current_user, 'pg_signal_backend', 'USAGE')";

/// Whether the log may be read, and by which role it may not: the one that logs in opens the stream, and the one that is set for
/// the session makes the slot.
pub(crate) const MAY_READ_LOG: &str = "
    SELECT count(*) = 0, coalesce(min(quote_ident(r.rolname)), '')
    FROM pg_roles r
    WHERE r.rolname IN (current_user, session_user) AND NOT r.rolsuper AND NOT r.rolreplication
      AND NOT coalesce((SELECT pg_has_role(r.oid, g.oid, 'USAGE') FROM pg_roles g WHERE g.rolname = 'rds_replication'), false)";

/// Settings of a connection that streams the log; no limit on time may end it.
pub(crate) const STREAM_SETTINGS: &str = "
    SET search_path = ''; SET statement_timeout = 0; SET idle_session_timeout = 0; SET lock_timeout = 0;
    SET client_min_messages = warning;
    SELECT set_config('client_encoding', 'SQL_ASCII', false) WHERE current_setting('server_encoding') = 'SQL_ASCII';
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// The standbys that must have a piece of the log before it is sent to us.
pub(crate) const AWAITED_STANDBYS: &str = "SELECT current_setting('synchronized_standby_slots', true)";

/// How big a table is, by the server's estimate.
pub(crate) const SIZE: &str = "
    SELECT CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 ELSE c.reltuples::int8 END, pg_total_relation_size(c.oid)::int8 FROM pg_class c WHERE c.oid = $1";

/// Event triggers that would see our statements.
pub(crate) const EVENT_TRIGGERS: &str = "
    SELECT evtname::text FROM pg_event_trigger WHERE evtenabled <> 'D' ORDER BY evtname";

/// What of a row's old self the log carries.
pub(crate) const REPLICA_IDENTITY: &str = "SELECT relreplident::text FROM pg_class WHERE oid = $1";

/// Indexes of the source that are not valid and will not be carried.
pub(crate) const INVALID_INDEXES: &str = "
    SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = $1 AND NOT i.indisvalid ORDER BY 1";

/// The files a table and its indexes are stored in, and how often the table was read in this transaction.
pub(crate) const STORAGE: &str = "
    SELECT c.oid, pg_relation_filenode(c.oid), CASE WHEN c.oid = $1 THEN pg_stat_get_xact_numscans(c.oid) ELSE 0 END
    FROM pg_class c
    WHERE c.oid = $1 OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1)";

/// What must be as it was after the clauses: name, place and kind of the table, what it may not have got, and the columns if
/// the source ($4) is a partition.
pub(crate) const STILL_PLAIN: &str = "
    SELECT n.nspname = $2 AND c.relname = $3,
           c.relpersistence IN ('p', 'u') AND c.relkind = 'r' AND c.reloftype = 0
             AND NOT EXISTS (SELECT FROM pg_inherits WHERE $1 IN (inhrelid, inhparent)),
           NOT (SELECT s.relispartition FROM pg_class s WHERE s.oid = $4) OR NOT EXISTS (
               SELECT FROM (SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated
                            FROM pg_attribute a
                            WHERE a.attrelid IN ($1, $4) AND a.attnum > 0 AND NOT a.attisdropped) AS a
               GROUP BY a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated HAVING count(*) = 1)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1";

/// Whether a table is kept out of the log.
pub(crate) const IS_UNLOGGED: &str = "SELECT c.relpersistence = 'u' FROM pg_class c WHERE c.oid = $1";

/// Which of columns $2 of table $1 have a collation that sorts otherwise now than when it was made, as far as the catalogue tells: the
/// column, and the statement that says its indexes are built anew.
pub(crate) fn changed_collations(version: Version) -> String {
    let of_database = match version.records_collation_of_database() {
        true => {
            "(SELECT d.datcollversion <> pg_database_collation_actual_version(d.oid)
              FROM pg_database d WHERE d.datname = current_database())"
        }
        false => "false",
    };
    format!(
        "SELECT a.attname::text,
                CASE WHEN l.collprovider = 'd' THEN format('ALTER DATABASE %I REFRESH COLLATION VERSION', current_database())
                     ELSE format('ALTER COLLATION %s REFRESH VERSION', l.oid::regcollation) END
         FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
         WHERE a.attrelid = $1 AND a.attname::text = ANY($2)
           AND CASE WHEN l.collprovider = 'd' THEN {of_database}
                    ELSE l.collversion <> pg_collation_actual_version(l.oid) END
         ORDER BY 1"
    )
}

/// What only goes with table $1 as long as it is logged; $2 is our own publication.
pub(crate) const BOUND_TO_LOGGED: &str = "
    SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 AND c.relpersistence = 'p'
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 AND p.pubname <> $2
    ORDER BY 1";

/// Whether functions in the language of the guard can be made.
pub(crate) const HAS_PLPGSQL: &str = "
    SELECT EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))";

/// Whether the guard is on the shadow $1, as trigger $2.
pub(crate) const IS_GUARDED: &str = "
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2 AND tgenabled = 'A')";

/// The function of the guard, and the table it writes to; both have the name, and belong to the shadow's owner. Nobody but a
/// trigger may call it.
pub(crate) fn guard(name: &str, owner: &str) -> String {
    format!(
        "CREATE TABLE {name} (at timestamptz);
        ALTER TABLE {name} OWNER TO {owner};
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'BEGIN INSERT INTO {} VALUES (now()); RETURN NULL; END';
        REVOKE ALL ON FUNCTION {name}() FROM PUBLIC;
        ALTER FUNCTION {name}() OWNER TO {owner}",
        name.replace('\'', "''")
    )
}

/// Puts the guard on a table. Sessions of ours have a setting of their own, by which they do not fire it.
pub(crate) fn guard_table(trigger: &str, table: &str, function: &str) -> String {
    format!(
        "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            WHEN (pg_catalog.current_setting('altergeist.own', true) IS DISTINCT FROM 'on')
            EXECUTE FUNCTION {function}();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"
    )
}

/// Says of an unlogged shadow that it is whole, in a table that a crash of the server empties with it.
pub(crate) const NOTE_WHOLE: &str = "CREATE UNLOGGED TABLE IF NOT EXISTS altergeist.whole (shadow oid PRIMARY KEY)";
/// The row that says so.
pub(crate) const ADD_WHOLE: &str = "INSERT INTO altergeist.whole VALUES ($1) ON CONFLICT DO NOTHING";
/// Whether no crash has emptied an unlogged shadow.
pub(crate) const IS_WHOLE: &str = "SELECT EXISTS (SELECT FROM altergeist.whole WHERE shadow = $1)";

/// Whether a table has a trigger of this name.
pub(crate) const HAS_TRIGGER: &str = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2)";

/// Whether a table has a rule of this name.
pub(crate) const HAS_RULE: &str = "SELECT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = $1 AND rulename = $2)";

/// Whether a name, as it was given, is that of a table.
pub(crate) const IS_TABLE: &str = "SELECT coalesce(to_regclass($1) = $2::oid, false)";

/// How the foreign keys of a table and to it are tried on its clone.
pub(crate) const KEYS_THAT_STAY: &str = include_str!("sql/keys_that_stay.sql");

/// The foreign key a table got last: name, parent, its columns and the parent's, and whether the parent is the table itself.
/// Under an empty search path.
pub(crate) const NEWEST_FOREIGN_KEY: &str = "
    SELECT k.conname::text, k.confrelid::regclass::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
           k.confrelid = k.conrelid
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' ORDER BY k.oid DESC LIMIT 1";

/// The names of a table's own foreign keys; not those it has of a partitioned table it belongs to.
pub(crate) const FOREIGN_KEYS: &str = "
    SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0";

/// A foreign key of a table: what it and what proves it is called among the carried, what makes it, whether it was proven,
/// and then the same as of the newest.
pub(crate) const FOREIGN_KEY: &str = "
    SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass,
           format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname),
           regexp_replace(pg_get_constraintdef(k.oid), '( NOT VALID)?( NOT ENFORCED)?$', '') || ' NOT VALID', k.convalidated,
           k.conname::text, k.confrelid::regclass::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
           k.confrelid = k.conrelid
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.conname = $2 AND k.contype = 'f'";

/// The constraints of a table that look at rows: name, kind, definition, its index's, whether it may be checked late, the
/// first column, the index's tablespace, its expression, whether it holds for every row, and its columns.
pub(crate) const CONSTRAINTS: &str = "
    SELECT k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), pg_get_indexdef(nullif(k.conindid, 0)),
           k.condeferrable, k.condeferred,
           (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]),
           coalesce(s.spcname::text, ''), pg_get_expr(k.conbin, k.conrelid), k.convalidated,
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))
    FROM pg_constraint k
    LEFT JOIN pg_class x ON x.oid = k.conindid
    LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
    WHERE k.conrelid = $1 AND k.contype IN ('c', 'n', 'u', 'p', 'x')
    ORDER BY k.conname";

/// Whether an index is there, and whether it is whole.
pub(crate) const INDEX_STATE: &str = "
    SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";

/// What depends on columns of a table in a way that keeps the server from dropping them or changing their type.
pub(crate) const COLUMN_DEPENDENTS: &str = "
    SELECT DISTINCT a.attname::text, pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM pg_depend d
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND a.attname = ANY ($2)
      AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass,
                        'pg_publication_rel'::regclass)
      AND NOT (d.classid = 'pg_rewrite'::regclass
               AND EXISTS (SELECT FROM pg_rewrite r WHERE r.oid = d.objid AND r.ev_class = ANY ($3)))
      AND d.objid <> ALL ($3)
    ORDER BY 1, 2";

/// The relations of a schema.
pub(crate) const RELATIONS_IN: &str = "
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1";

/// The relations of schema $1 that are neither among $2 nor part of table $3: its partitions, indexes and sequences.
pub(crate) const STRAYS: &str = "
    WITH family AS (SELECT relid FROM pg_partition_tree($3::oid) UNION SELECT $3::oid)
    SELECT c.oid::regclass::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.oid <> ALL ($2) AND c.oid NOT IN (SELECT relid FROM family)
      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid IN (SELECT relid FROM family))
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT relid FROM family)
                      AND d.deptype IN ('a', 'i'))
    ORDER BY 1";

/// What kind of table a file has made: whether it is one for good, whether it is partitioned, and whether it stands alone.
pub(crate) const MADE: &str = "
    SELECT c.relpersistence = 'p' AND c.reloftype = 0 AND c.relkind IN ('r', 'p'), c.relkind = 'p',
           NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $1 OR (inhparent = $1 AND c.relkind = 'r'))
    FROM pg_class c WHERE c.oid = $1";

/// The partitions of a table, at every level: name and schema.
pub(crate) const PARTITIONS: &str = "
    SELECT c.relname::text, n.nspname::text
    FROM pg_partition_tree($1::oid) p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE p.relid <> $1::oid ORDER BY p.level, 1";

/// Names of partitions of table $2, and of their indexes, that something else than table $1 has in the schema of that.
pub(crate) const PARTITION_CLASHES: &str = "
    SELECT 'name ' || taken.oid::regclass
    FROM pg_partition_tree($2::oid) p
    JOIN pg_class part ON part.oid = p.relid OR part.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = p.relid)
    JOIN pg_class taken ON taken.relname = part.relname
    JOIN pg_class source ON source.oid = $1::oid AND source.relnamespace = taken.relnamespace
    WHERE p.relid <> $2::oid
      AND taken.oid NOT IN (SELECT $1::oid UNION SELECT indexrelid FROM pg_index WHERE indrelid = $1::oid)
    ORDER BY 1";

/// Whether a table has any row.
pub(crate) fn any_row(table: &str) -> String {
    format!("SELECT EXISTS (SELECT FROM ONLY {table})")
}

/// Whether a table has a row that holds NULL in one of its columns.
pub(crate) fn any_null(table: &str, alias: &str, value: &str) -> String {
    format!("SELECT EXISTS (SELECT FROM ONLY {table} AS {alias} WHERE ({value}\n) IS NULL)")
}

/// Tells how the server reads an expression over a table's columns; no row is read for that.
pub(crate) fn explain_value(table: &str, alias: &str, value: &str) -> String {
    format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT ({value}\n) FROM ONLY {table} AS {alias}")
}

// Rows

/// Copies the rows of a range. `OVERRIDING SYSTEM VALUE` keeps the numbers of identity columns.
pub(crate) fn copy(layout: &Layout, after: &Watermark, through: &Watermark) -> String {
    let bounds = bounds(&alias_walk(layout), layout, after, through, 1);
    format!("{} WHERE {bounds}", insert_select(layout))
}

/// Copies those of the given keys that exist, up to a watermark.
pub(crate) fn insert_keys(layout: &Layout, through: &Watermark, places: usize) -> String {
    let first = if layout.has_arrays() { layout.keys.len() } else { layout.keys.len() * places } + 1;
    let bounds = bounds(&alias_walk(layout), layout, &Watermark::Start, through, first);
    format!("{} WHERE {} AND {bounds}", insert_select(layout), among(&alias_keys(layout), layout, places))
}

/// Begins a refresh. One snapshot for all its statements: a unique value that moves from one of the rows to another
/// meanwhile is then seen with both or with neither.
pub(crate) const BEGIN_REFRESH: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// Deletes the shadow's rows of the given keys.
pub(crate) fn delete_keys(layout: &Layout, places: usize) -> String {
    format!("DELETE FROM {} AS t WHERE {}", layout.shadow_rows(), among(&shadow_keys(layout), layout, places))
}

/// Deletes the shadow's rows beyond a watermark.
pub(crate) fn delete_beyond(layout: &Layout, after: &Watermark) -> String {
    let bounds = bounds(&shadow_walk(layout), layout, after, &Watermark::End, 1);
    format!("DELETE FROM {} AS t WHERE {bounds}", layout.shadow_rows())
}

/// Empties the shadow.
pub(crate) fn empty(layout: &Layout) -> String {
    format!("TRUNCATE {}", layout.shadow_rows())
}

/// The last key of the next so many rows of the source.
pub(crate) fn chunk_end(layout: &Layout, after: &Watermark) -> String {
    let keys = alias_walk(layout);
    let list = keys.join(", ");
    let bounds = bounds(&keys, layout, after, &Watermark::End, 2);
    format!(
        "SELECT {list} FROM ONLY {} AS {} WHERE {bounds} ORDER BY {list} OFFSET $1 LIMIT 1",
        layout.source, layout.alias
    )
}

/// Compares the rows of a range in one snapshot.
pub(crate) fn compare_range(layout: &Layout, after: &Watermark, through: &Watermark) -> String {
    compare(
        layout,
        &bounds(&alias_walk(layout), layout, after, through, 1),
        &bounds(&shadow_walk(layout), layout, after, through, 1),
    )
}

/// Compares the rows of the given keys in one snapshot.
pub(crate) fn compare_keys(layout: &Layout, places: usize) -> String {
    compare(layout, &among(&alias_keys(layout), layout, places), &among(&shadow_keys(layout), layout, places))
}

/// The most differing keys one comparison names.
pub(crate) const DIFFERENCES: usize = 5000;

/// Joins both tables both ways, and compares the stored bytes of every column, NULLs included, whatever its type's own idea of
/// equality: by that where it comes to the same, which is quicker, and else by `*<>`. The source's value is first made what the
/// shadow stores. Gives the key of each row that differs, and NULL for all the others together, each with the number of the
/// source's rows it stands for.
fn compare(layout: &Layout, source_rows: &str, shadow_rows: &str) -> String {
    let numbered = |letter: char, columns: Vec<String>| {
        let named = columns.iter().enumerate().map(|(number, column)| format!("{column} AS {letter}{number}"));
        named.collect::<Vec<_>>().join(", ")
    };
    let in_source = numbered('k', alias_keys(layout));
    let in_shadow = numbered('k', shadow_keys(layout));
    let converted = compared(layout, |column| format!("CAST(({}\n) AS {})", column.value, column.type_name));
    let stored = compared(layout, |column| format!("t.{}", quoted(&column.name)));
    let equal = if layout.keeps_key() { layout.operator("=") } else { "=".to_owned() };
    let same_key: Vec<String> =
        (0..layout.keys.len()).map(|number| format!("s.k{number} {equal} t.k{number}")).collect();
    let same_key = same_key.join(" AND ");
    let key = list(layout.keys.iter().enumerate().map(|(number, key)| {
        format!("CASE WHEN s.here THEN s.k{number} ELSE CAST(t.k{number} AS {}) END AS k{number}", key.type_name)
    }));
    let differing = list((0..layout.keys.len()).map(|number| format!("CASE WHEN differs THEN k{number} END")));
    let places = list((0..layout.keys.len()).map(|number| (number + 2).to_string()));
    // Without the OFFSET the server would compare the rows anew for each column of the key.
    format!(
        "SELECT count(*) FILTER (WHERE in_source), {differing}
        FROM (SELECT {key}, coalesce(s.here, false) AS in_source,
                     s.here IS NULL OR t.here IS NULL OR {unequal} AS differs
              FROM (SELECT true AS here, {in_source}, {converted}
                    FROM ONLY {source} AS {alias} WHERE {source_rows}) AS s
              FULL JOIN (SELECT true AS here, {in_shadow}, {stored}
                         FROM {shadow} AS t WHERE {shadow_rows}) AS t
              ON {same_key}
              OFFSET 0) AS pairs
        GROUP BY {places} ORDER BY 2 NULLS FIRST LIMIT {limit}",
        unequal = unequal(layout),
        source = layout.source,
        alias = layout.alias,
        shadow = layout.shadow_rows(),
        limit = DIFFERENCES + 2,
    )
}

/// The columns of one side, `c0`, `c1`…, and those that must be compared as they are stored together as `image`: a comparison of
/// rows that are spelled out would be taken apart.
fn compared(layout: &Layout, value: impl Fn(&Column) -> String) -> String {
    let plain = plain(layout).map(|(number, column)| format!("{} AS c{number}", value(column)));
    let images = layout.columns.iter().filter(|column| column.sameness == Sameness::Image).map(&value);
    list(plain.chain([format!("ROW({}) AS image", list(images))]))
}

/// The columns that are the same bytes when they are equal.
fn plain(layout: &Layout) -> impl Iterator<Item = (usize, &Column)> {
    layout.columns.iter().enumerate().filter(|(_, column)| column.sameness != Sameness::Image)
}

/// Whether what [`compared`] gives of `s` and `t` differs, by the server's own operators: the search path is the user's.
fn unequal(layout: &Layout) -> String {
    let mut terms: Vec<String> = plain(layout)
        .map(|(number, column)| {
            let collation = if column.sameness == Sameness::EqualText { " COLLATE \"C\"" } else { "" };
            let (s, t) = (format!("s.c{number}"), format!("t.c{number}"));
            format!("NOT coalesce({s}{collation} OPERATOR(pg_catalog.=) {t}, {s} IS NULL AND {t} IS NULL)")
        })
        .collect();
    if terms.len() < layout.columns.len() {
        terms.push("s.image OPERATOR(pg_catalog.*<>) t.image".to_owned());
    }
    terms.join(" OR ")
}

fn insert_select(layout: &Layout) -> String {
    let names = list(layout.columns.iter().map(|column| quoted(&column.name)));
    let values = list(layout.columns.iter().map(|column| format!("{}\n", column.value)));
    format!(
        "INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM ONLY {} AS {}",
        layout.shadow, layout.source, layout.alias
    )
}

/// A condition on a range of keys, its parameters numbered from `first`: those of the lower bound, then the upper's. Said so that
/// the server can guess how few rows lie in it, or it would rather read the whole table for every chunk: of several columns it
/// looks at the first alone. So columns in which both ends agree are equal, and the first in which they do not is bounded by itself.
fn bounds(keys: &[String], layout: &Layout, after: &Watermark, through: &Watermark, first: usize) -> String {
    let (walk, columns) = (layout.walk(), keys.len());
    let place = |at: usize| format!("${}::{}", first + at, walk[at % columns].type_name);
    let agreed = agreed(after, through).min(columns - 1);
    let equal = layout.operator("=");
    let mut conditions: Vec<String> = (0..agreed)
        .map(|at| format!("{0} {equal} {1} AND {0} {equal} {2}", keys[at], place(at), place(columns + at)))
        .collect();
    let mut of_bound = 0;
    for (mark, comparison, alone) in [(after, ">", ">="), (through, "<=", "<=")] {
        if matches!(mark, Watermark::At(_)) {
            let (comparison, alone) = (layout.operator(comparison), layout.operator(alone));
            let values: Vec<String> = (agreed..columns).map(|at| place(of_bound + at)).collect();
            conditions.push(format!("({}) {comparison} ({})", keys[agreed..].join(", "), values.join(", ")));
            if values.len() > 1 {
                conditions.push(format!("{} {alone} {}", keys[agreed], values[0]));
            }
            of_bound += columns;
        }
    }
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
}

/// In how many of their first columns two marks are the same.
fn agreed(after: &Watermark, through: &Watermark) -> usize {
    match (after, through) {
        (Watermark::At(after), Watermark::At(through)) => {
            after.columns().iter().zip(through.columns()).take_while(|(one, other)| **one == *other).count()
        }
        _ => 0,
    }
}

/// A condition on a set of keys, given as one array for each column, or as so many rows where there are no arrays.
fn among(keys: &[String], layout: &Layout, places: usize) -> String {
    if !layout.has_arrays() {
        let row = |place: usize| {
            let columns = layout.keys.iter().enumerate();
            list(columns.map(|(at, key)| format!("${}::{}", place * layout.keys.len() + at + 1, key.type_name)))
        };
        let rows = list((0..places).map(|place| format!("({})", row(place))));
        return match layout.operator("=").as_str() {
            "=" => format!("({}) IN (VALUES {rows})", keys.join(", ")),
            equal => format!("({}) {equal} ANY (VALUES {rows})", keys.join(", ")),
        };
    }
    if let ([column], [key]) = (keys, &layout.keys[..]) {
        return format!("{column} {} ANY ($1::{}[])", layout.operator("="), key.type_name);
    }
    let arrays = list(layout.keys.iter().enumerate().map(|(at, key)| format!("${}::{}[]", at + 1, key.type_name)));
    // Of several arrays it is the server's own `unnest` in any case.
    let equal = match layout.operator("=").as_str() {
        "=" => "IN".to_owned(),
        equal => format!("{equal} ANY"),
    };
    format!("({}) {equal} (SELECT * FROM unnest({arrays}))", keys.join(", "))
}

fn alias_keys(layout: &Layout) -> Vec<String> {
    layout.keys.iter().map(|key| format!("{}.{}", layout.alias, quoted(&key.source))).collect()
}

fn alias_walk(layout: &Layout) -> Vec<String> {
    layout.walk().iter().map(|key| format!("{}.{}", layout.alias, quoted(&key.source))).collect()
}

fn shadow_walk(layout: &Layout) -> Vec<String> {
    layout.walk().iter().map(|key| format!("t.{}", quoted(&key.shadow))).collect()
}

fn shadow_keys(layout: &Layout) -> Vec<String> {
    layout.keys.iter().map(|key| format!("t.{}", quoted(&key.shadow))).collect()
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

// The log

/// Makes the publication; without columns it publishes whole rows.
pub(crate) fn create_publication(name: &str, table: &str, columns: Option<&[String]>) -> String {
    let columns = columns.map(|columns| format!(" ({})", list(columns.iter().map(|column| quoted(column)))));
    format!("CREATE PUBLICATION {} FOR TABLE ONLY {table}{}", quoted(name), columns.unwrap_or_default())
}

/// Makes a key the replica identity of a table.
pub(crate) fn use_identity(table: &str, index: &str) -> String {
    format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {}", quoted(index))
}

/// Gives a table the replica identity that the catalogue spells so, which is no index.
pub(crate) fn own_identity(table: &str, spelled: &str) -> String {
    let identity = if spelled == "n" { "NOTHING" } else { "DEFAULT" };
    format!("ALTER TABLE {table} REPLICA IDENTITY {identity}")
}

/// What the change stream depends on, and where source and shadow are.
pub(crate) const WITNESS: &str = include_str!("sql/witness.sql");

/// What takes from a table what others may give it and take again.
pub(crate) const UNDRESS: &str = include_str!("sql/undress.sql");

/// What gives a table another's storage parameters and owner.
pub(crate) const OPTIONS: &str = include_str!("sql/options.sql");

/// Whether a table's replica identity was changed.
pub(crate) const IDENTITY_CHANGED: &str = include_str!("sql/identity_changed.sql");

/// Says again that a publication tells of every change.
pub(crate) fn publish_all(name: &str) -> String {
    format!("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')", quoted(name))
}

/// Drops the publication if it is there.
pub(crate) fn drop_publication(name: &str) -> String {
    format!("DROP PUBLICATION IF EXISTS {}", quoted(name))
}

/// Whether a publication is there.
pub(crate) const PUBLICATION: &str = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";

/// Makes the slot, to be copied to standbys that copy slots, so that a run survives a failover.
pub(crate) const CREATE_FAILOVER_SLOT: &str =
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)";

/// Makes the slot; waits for every transaction that is writing anywhere on the server.
pub(crate) const CREATE_SLOT: &str =
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', false, false)";

/// A slot's state.
pub(crate) const SLOT: &str = "
    SELECT active_pid, confirmed_flush_lsn::text, coalesce(wal_status, 'reserved'),
           coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed'), current_setting('max_slot_wal_keep_size')
    FROM pg_replication_slots s
    WHERE slot_name = $1";

/// What the log keeps for a slot, in bytes, and the most the server lets any slot keep, in megabytes, -1 for all.
pub(crate) const LOG_KEPT: &str = "
    SELECT greatest(0, pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn))::int8,
           (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
    FROM pg_replication_slots s WHERE s.slot_name = $1 AND s.restart_lsn IS NOT NULL";

/// Looks at what a slot has without taking it: the messages of whole transactions, about so many.
pub(crate) const PEEK: &str = "
    SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2,
        'proto_version', '1', 'publication_names', $3, 'binary', 'true', 'messages', 'true')";

/// Reads everything a slot has by now, and takes nothing.
pub(crate) const READ_SLOT: &str = "
    SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)";

/// Up to where the server has been told to forget a slot's log.
pub(crate) const CONFIRMED: &str = "
    SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";

/// Moves a slot on to a position that is saved.
pub(crate) const MOVE_SLOT: &str = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)";

/// What a server that shall be read from is: version, whether it is a standby, identity, whether it tells the primary what it
/// still reads.
pub(crate) const STANDBY: &str = "
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
           (SELECT system_identifier::text FROM pg_control_system()), current_setting('hot_standby_feedback') = 'on'";

/// How far the log is written.
pub(crate) const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn()::text";

/// Whether a standby has replayed the log up to a place.
pub(crate) const HAS_REPLAYED: &str = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";

/// Has the primary write down which transactions run, from where a standby can begin to decode.
pub(crate) const OFFER_A_START: &str = "SELECT pg_log_standby_snapshot()";

/// The slots and publications in this database that have names of ours, but for slots somebody reads.
pub(crate) const OUR_LOGS: &str = "
    SELECT slot_name::text, true FROM pg_replication_slots
    WHERE slot_name ~ '^altergeist_[0-9a-f]{16}$' AND plugin = 'pgoutput' AND database = current_database()
      AND active_pid IS NULL AND NOT coalesce((to_jsonb(pg_replication_slots) ->> 'synced')::boolean, false)
    UNION ALL
    SELECT pubname::text, false FROM pg_publication WHERE pubname ~ '^altergeist_[0-9a-f]{16}$'
    ORDER BY 1, 2";

/// The tables the journal knows: schema and name.
pub(crate) const KNOWN_TABLES: &str = "
    SELECT (parse_ident(\"table\"))[1], (parse_ident(\"table\"))[2] FROM ONLY altergeist.journal";

/// A table the journal knows by the name the user gave, though it is not there any more.
pub(crate) fn find_in_journal(given: &str) -> String {
    format!(
        "SELECT (parse_ident(\"table\"))[1], (parse_ident(\"table\"))[2], coalesce(stage, '') FROM ONLY altergeist.journal
        WHERE parse_ident(\"table\") = parse_ident({given})
           OR (cardinality(parse_ident({given})) = 1 AND (parse_ident(\"table\"))[2] = (parse_ident({given}))[1])
        ORDER BY \"table\"",
        given = literal(given)
    )
}

/// Ends whoever reads a slot.
pub(crate) const END_READER: &str = "
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL";

/// Drops a slot if it is there and nobody reads it.
pub(crate) const DROP_SLOT: &str = "
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NULL";

/// Which transactions are finished, to any read begun later.
pub(crate) const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text";

/// A transaction number greater than any given out before, of a transaction that has ended when this returns.
pub(crate) const NEXT_TRANSACTION: &str = "SELECT pg_current_xact_id()::text";

/// Makes the server note which transactions are running, so that the log can be read from there on: making a slot does, and has no
/// other use here.
pub(crate) const NOTE_RUNNING: &str = "
    SELECT pg_drop_replication_slot(slot_name)
    FROM pg_create_logical_replication_slot($1 || '_now', 'pgoutput', true)";

/// Where the next record of the log will be.
pub(crate) const LOG_END: &str = "SELECT pg_current_wal_insert_lsn()::text";

/// Rows of a table inserted, changed and deleted, as the server counts them: a session tells within a second of its commit while it
/// works on, within ten if it rests.
pub(crate) const WRITES: &str = "
    SELECT pg_stat_get_tuples_inserted($1) + pg_stat_get_tuples_updated($1) + pg_stat_get_tuples_deleted($1)";

/// Who is writing, anywhere on the server, prepared transactions included.
pub(crate) const WRITERS: &str = "
    SELECT format('server process %s (%s, %s, %s, since %s)', pid, usename,
                  coalesce(nullif(application_name, ''), 'no application name'), state, to_char(xact_start, 'HH24:MI:SS'))
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT format('prepared transaction %L (%s, since %s)', gid, owner, to_char(prepared, 'HH24:MI:SS'))
    FROM pg_prepared_xacts
    LIMIT 10";

/// Puts a mark into the log. In a transaction, so that it is written and sent at once.
pub(crate) const MARK: &str = "SELECT pg_logical_emit_message(true, 'altergeist', $1)";

/// The server's own identity, which a promoted replica shares and another server does not.
pub(crate) const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";

// The journal

/// Whether the journal is there.
pub(crate) const JOURNAL_EXISTS: &str = "SELECT to_regclass('altergeist.journal') IS NOT NULL";

/// A table's entry.
pub(crate) fn load(table: &str) -> String {
    format!("SELECT record, facts FROM ONLY altergeist.journal WHERE \"table\" = {}", literal(table))
}

/// Writes the record, whose columns are literals, and leaves the facts alone.
pub(crate) fn save(columns: &[String; 7]) -> String {
    format!(
        "INSERT INTO altergeist.journal (\"table\", run, alter, stage, holder, message, record, updated_at)
        VALUES ({}, now())
        ON CONFLICT (\"table\") DO UPDATE
        SET run = excluded.run, alter = excluded.alter, stage = excluded.stage, holder = excluded.holder,
            message = excluded.message, record = excluded.record, updated_at = excluded.updated_at",
        columns.join(", ")
    )
}

/// Writes the facts and leaves the record alone.
pub(crate) fn save_facts(table: &str, facts: &str) -> String {
    format!(
        "INSERT INTO altergeist.journal (\"table\", facts, updated_at) VALUES ({}, {}, now())
        ON CONFLICT (\"table\") DO UPDATE SET facts = excluded.facts, updated_at = excluded.updated_at",
        literal(table),
        literal(facts)
    )
}

/// The name table $1 has in schema $2, if it is there.
pub(crate) const NAME_IN: &str = "
    SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1 AND n.nspname = $2";

/// The schema and the name of a table.
pub(crate) const PLACE: &str = "
    SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1";

/// Forgets a table.
pub(crate) fn forget(table: &str) -> String {
    let table = literal(table);
    format!(
        "LOCK TABLE ONLY altergeist.heartbeat IN ROW EXCLUSIVE MODE;
        {};
        DELETE FROM ONLY altergeist.heartbeat WHERE \"table\" = {table};
        DELETE FROM ONLY altergeist.journal WHERE \"table\" = {table}",
        no_code()
    )
}

/// The heartbeat's table, if it is there.
pub(crate) const HEARTBEAT: &str = "SELECT to_regclass('altergeist.heartbeat')::oid";

/// Says that this run is alive; replicas are asked what they know of it. Fails unless the table is the one that was looked at.
pub(crate) fn beat(heartbeat: u32, table: &str, incarnation: &str, beat: i64) -> String {
    format!(
        "LOCK TABLE ONLY altergeist.heartbeat IN ROW EXCLUSIVE MODE;
        SELECT (oid || ' is another table')::int FROM pg_class
        WHERE oid = 'altergeist.heartbeat'::regclass AND oid <> {heartbeat};
        INSERT INTO altergeist.heartbeat (\"table\", incarnation, beat, at) VALUES ({}, {}, {beat}, now())
        ON CONFLICT (\"table\") DO UPDATE SET incarnation = excluded.incarnation, beat = excluded.beat, at = excluded.at",
        literal(table),
        literal(incarnation)
    )
}

/// The last heartbeat of this run a server has.
pub(crate) const LAST_BEAT: &str = "SELECT beat FROM altergeist.heartbeat WHERE \"table\" = $1 AND incarnation = $2";

/// Makes a schema, marked as ours, unless somebody has made it. An event trigger may give it to somebody else at once.
pub(crate) fn create_schema(schema: &str, marker: &str) -> String {
    format!(
        "CREATE SCHEMA {name}; ALTER SCHEMA {name} OWNER TO CURRENT_USER; COMMENT ON SCHEMA {name} IS {marker};",
        name = quoted(schema),
        marker = literal(marker)
    )
}

/// A schema's comment, if there is such a schema.
pub(crate) const SCHEMA_COMMENT: &str = "
    SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";

/// Whether nothing lives in a schema any more.
pub(crate) const SCHEMA_IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid)
    FROM pg_namespace n WHERE n.nspname = $1";

/// Lets the owner of a table keep it in a schema of ours.
pub(crate) fn open_schema(schema: &str, owner: &str) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {}", quoted(schema), quoted(owner))
}

/// A table's owner, and whether that is us.
pub(crate) const OWNER: &str = "
    SELECT pg_get_userbyid(relowner)::text, pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = $1";

// The cut-over

/// Whether this role may shorten the server's own wait before it looks for a deadlock or ends an autovacuum that is in the
/// way, and how long others wait, in milliseconds.
pub(crate) const DEADLOCKS: &str = "
    SELECT current_setting('is_superuser') = 'on',
           (SELECT setting::int8 FROM pg_settings WHERE name = 'deadlock_timeout')";

/// The settings of the rest of the cut-over's transaction. What could not be locked ahead is hardly waited for.
pub(crate) fn under_lock(within: Duration) -> String {
    format!(
        "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = {}",
        (within + Duration::from_millis(250)).as_millis()
    )
}

/// Who stands before a session in a queue for a lock: the sentence, and the process if it may be ended.
pub(crate) const WHO_BLOCKS: &str = "
    SELECT format('server process %s (%s, %s, %s, %s)', a.pid, coalesce(a.usename, a.backend_type),
                  coalesce(nullif(a.application_name, ''), 'no application name'), a.state,
                  coalesce('transaction since ' || to_char(a.xact_start, 'HH24:MI:SS'), 'no transaction')),
           CASE WHEN a.backend_type = 'client backend' THEN a.pid END
    FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))
    UNION ALL
    SELECT 'a prepared transaction', NULL WHERE 0 = ANY (pg_blocking_pids($1))";

/// Ends a session of an application.
pub(crate) const END_BLOCKER: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_type = 'client backend'";

/// The server's own time.
pub(crate) const NOW: &str = "SELECT clock_timestamp()::text";

/// Transactions of this database that began before a time and still look at what was then.
pub(crate) const OLD_SNAPSHOTS: &str = "
    SELECT format('server process %s (%s, transaction since %s)', pid, usename, to_char(xact_start, 'HH24:MI:SS'))
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND backend_xmin IS NOT NULL AND xact_start < $1::text::timestamptz";

/// The physical standbys the server feeds: name, and how long it takes until they have replayed; NULL if that cannot be told.
pub(crate) const STANDBYS: &str = "
    SELECT coalesce(nullif(r.application_name, ''), 'standby') || coalesce('@' || host(r.client_addr), ''),
           CASE WHEN r.state <> 'streaming' THEN NULL
                WHEN r.replay_lag IS NOT NULL THEN extract(epoch FROM r.replay_lag)::float8
                WHEN r.replay_lsn >= r.sent_lsn THEN 0::float8
           END
    FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
    WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL
    ORDER BY 1";

/// How heavily the server is used: sessions at work, connections, sessions that wait for a lock, and how long the oldest transaction
/// has been open; ours (`$1` is their name) are not counted. Null for what it tells only those of their own role.
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

/// Whether a session still exists.
pub(crate) const IS_ALIVE: &str =
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND application_name = $2)";

/// Ends a session of ours by its process and name.
pub(crate) const END_SESSION: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::KeyColumn;
    use altergeist_contract::Key;

    fn bounded(after: &[&[u8]], through: &[&[u8]]) -> String {
        let column = |name: &str| KeyColumn {
            source: name.into(),
            shadow: name.into(),
            type_name: "int".into(),
            type_oid: 23,
            collation: String::new(),
            has_arrays: true,
            spelled_once: true,
            own_operators: false,
        };
        let names = &["a", "b", "c"][..after.len()];
        let layout = Layout {
            source: String::new(),
            shadow: String::new(),
            shadow_schema: String::new(),
            alias: String::new(),
            key_index: String::new(),
            keys: names.iter().map(|name| column(name)).collect(),
            order: Vec::new(),
            is_partitioned: false,
            columns: Vec::new(),
            helper_index: None,
        };
        let keys: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mark = |columns: &[&[u8]]| Watermark::At(Key::compose(columns.iter().copied()));
        bounds(&keys, &layout, &mark(after), &mark(through), 1)
    }

    #[test]
    fn a_range_says_where_its_ends_agree_and_bounds_the_first_column_in_which_they_do_not() {
        assert_eq!(bounded(&[b"1"], &[b"2"]), "(a) > ($1::int) AND (a) <= ($2::int)");
        assert_eq!(
            bounded(&[b"1", b"1"], &[b"2", b"1"]),
            "(a, b) > ($1::int, $2::int) AND a >= $1::int AND (a, b) <= ($3::int, $4::int) AND a <= $3::int"
        );
        assert_eq!(
            bounded(&[b"1", b"1"], &[b"1", b"2"]),
            "a = $1::int AND a = $3::int AND (b) > ($2::int) AND (b) <= ($4::int)"
        );
        assert_eq!(
            bounded(&[b"1", b"1", b"1"], &[b"1", b"2", b"1"]),
            "a = $1::int AND a = $4::int AND (b, c) > ($2::int, $3::int) AND b >= $2::int \
             AND (b, c) <= ($5::int, $6::int) AND b <= $5::int"
        );
    }
}
