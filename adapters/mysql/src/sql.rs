//! All SQL, whole and readable as SQL. [`quote`] is the one function that quotes identifiers.

use crate::cascades::OwnKey;
use crate::convert;
use crate::key::{KeyColumn, KeyIndex, LOOKUP};
use crate::mapping::Mapping;
use crate::names::{TableName, hash};
use crate::shape::Shape;
use crate::version::{Flavour, Version};
use altergeist_contract::{Chunk, Key, Result, Watermark};
use std::time::Duration;

/// An identifier, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's name, quoted.
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// A text that says itself in every sql_mode.
pub(crate) fn string(text: &str) -> String {
    if text.contains('\\') {
        return format!("CONVERT(x'{}' USING utf8mb4)", crate::key::hex(text.as_bytes()));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// What every statement of ours begins with, so that it can be found and killed.
pub(crate) fn sign(source: &TableName) -> String {
    format!("/* altergeist {} */ ", source.plain().replace("*/", "* /"))
}

/// Whether a statement in the log is one of ours for this table.
pub(crate) fn is_signed(statement: &str, source: &TableName) -> bool {
    statement.starts_with(&sign(source))
}

// --- Sessions ---------------------------------------------------------------------------------

pub(crate) const GLOBAL_MODES: &str = "SELECT @@global.sql_mode LIMIT 1";

/// Whether the session's time zone is equally far from UTC at the middle and the end of every month a TIMESTAMP can hold.
pub(crate) const ZONE_DISTANCES: &str = "WITH RECURSIVE moments (n) AS (SELECT 86400 UNION ALL SELECT n + 2592000 FROM moments WHERE n < 2140000000) \
     SELECT COUNT(DISTINCT TIMESTAMPDIFF(SECOND, '1970-01-01', FROM_UNIXTIME(n)) - n) FROM moments";

/// For keys that are moments, in a zone where hours come twice.
pub(crate) const IN_UTC: &str = "SET SESSION time_zone = '+00:00'";
pub(crate) const IN_SERVERS_ZONE: &str = "SET SESSION time_zone = DEFAULT";

/// How many warnings of a statement the session keeps, which MySQL lets only an administrator set.
pub(crate) const KEEP_WARNINGS: &str = "SET SESSION max_error_count = 65535";
pub(crate) const KEPT_WARNINGS: &str = "SELECT @@session.max_error_count LIMIT 1";

/// Whether the server's own rules refuse zero dates.
pub(crate) const REFUSES_ZERO_DATES: &str = "SELECT FIND_IN_SET('NO_ZERO_DATE', @@global.sql_mode) > 0 \
     OR FIND_IN_SET('NO_ZERO_IN_DATE', @@global.sql_mode) > 0";

pub(crate) fn has_zero_dates(source: &TableName, column: &str) -> String {
    let column = quote(column);
    format!("{}SELECT 1 FROM {} WHERE MONTH({column}) = 0 OR DAY({column}) = 0 LIMIT 1", sign(source), table(source))
}

/// How many partitions a table has; of subpartitions, each counts.
pub(crate) fn count_partitions(name: &TableName) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// Views whose text names a table; both servers write out the schema.
pub(crate) fn views_over(name: &TableName) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE LOCATE({}, VIEW_DEFINITION) > 0 ORDER BY 1, 2",
        string(&table(name))
    )
}

/// The names of all CHECK constraints of a schema.
pub(crate) fn check_names(schema: &str) -> String {
    format!(
        "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {}",
        string(schema)
    )
}

/// The servers count lock waits in whole seconds, and take none for no wait at all.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

pub(crate) fn lock_waits(within: Duration) -> String {
    let seconds = whole_seconds(within);
    format!("SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
}

/// A session that holds a lock and is not heard of any more, its client's machine or the network being gone, is ended by
/// the server this soon.
pub(crate) fn idle_limit(within: Duration) -> String {
    format!("SET SESSION wait_timeout = {}", within.as_secs() + 10)
}

/// The server ends a session that has done nothing for so long.
pub(crate) fn idle_sessions_end(limit: Duration) -> String {
    format!("SET SESSION wait_timeout = {}", limit.as_secs())
}

pub(crate) fn kill(id: u64) -> String {
    format!("KILL {id}")
}

pub(crate) fn kill_query(id: u64) -> String {
    format!("KILL QUERY {id}")
}

pub(crate) fn who_is(id: u64) -> String {
    format!("SELECT USER, HOST, TIME FROM information_schema.PROCESSLIST WHERE ID = {id}")
}

// --- Named locks ------------------------------------------------------------------------------

pub(crate) fn get_lock(name: &str, seconds: u64) -> String {
    format!("SELECT GET_LOCK('{name}', {seconds})")
}

pub(crate) fn lock_holder(name: &str) -> String {
    format!("SELECT IS_USED_LOCK('{name}')")
}

/// The holders of many locks, in one row.
pub(crate) fn lock_holders(names: &[String]) -> String {
    let asked: Vec<String> = names.iter().map(|name| format!("IS_USED_LOCK('{name}')")).collect();
    format!("SELECT {}", asked.join(", "))
}

// --- The server and the catalogue -------------------------------------------------------------

pub(crate) const VERSION: &str = "SELECT @@version LIMIT 1";

pub(crate) fn settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql => "SELECT @@server_uuid, @@global.gtid_mode, @@global.sql_mode LIMIT 1",
        Flavour::MariaDb => "SELECT @@server_id, 'MARIADB', @@global.sql_mode LIMIT 1",
    }
}

pub(crate) fn find_table(name: &TableName) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// Type, engine, rows, bytes, the counter's next value, comment and creation options of a table.
pub(crate) fn table_facts(name: &TableName) -> String {
    format!(
        "SELECT TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH, AUTO_INCREMENT, TABLE_COMMENT, CREATE_OPTIONS \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

pub(crate) fn columns(name: &TableName) -> String {
    format!(
        "SELECT COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, \
         COLUMN_DEFAULT, GENERATION_EXPRESSION, EXTRA FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        string(&name.schema),
        string(&name.name)
    )
}

pub(crate) fn index_parts(version: Version, name: &TableName) -> String {
    let visible = match version.flavour {
        Flavour::MySql => "IS_VISIBLE",
        Flavour::MariaDb => "IF(IGNORED = 'NO', 'YES', 'NO')",
    };
    format!(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE, {visible} FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        string(&name.schema),
        string(&name.name)
    )
}

/// Bytes of literals in other character sets are shown only so; see `literals`.
pub(crate) const RESULTS_AS_THEY_ARE: &str = "SET SESSION character_set_results = NULL";
pub(crate) const RESULTS_IN_UTF8: &str = "SET SESSION character_set_results = utf8mb4";

pub(crate) fn show_create(name: &TableName) -> String {
    format!("SHOW CREATE TABLE {}", table(name))
}

/// Foreign keys that leave from the table or point at it, column by column: child, name, column, parent and its column,
/// and what happens when the parent's row goes or changes.
pub(crate) fn foreign_key_columns(name: &TableName) -> String {
    let (schema, table) = (string(&name.schema), string(&name.name));
    format!(
        "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, \
         k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE \
         FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
         ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
         WHERE k.REFERENCED_TABLE_NAME IS NOT NULL AND ((k.TABLE_SCHEMA = {schema} AND k.TABLE_NAME = {table}) \
         OR (k.REFERENCED_TABLE_SCHEMA = {schema} AND k.REFERENCED_TABLE_NAME = {table})) \
         ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
    )
}

/// How many foreign keys point at a table, whoever may see their tables.
pub(crate) fn count_keys_to(version: Version, name: &TableName) -> String {
    let view = match version.flavour {
        Flavour::MySql => "INNODB_FOREIGN",
        Flavour::MariaDb => "INNODB_SYS_FOREIGN",
    };
    let path = as_bytes(&format!("{}/{}", name.schema, name.name));
    format!("SELECT COUNT(*) FROM information_schema.{view} WHERE CAST(REF_NAME AS BINARY) = {path}")
}

/// For a shadow that has foreign keys: a row's parent is there and stays locked until the row is. Who does not wait for a row
/// cannot bring the application into a deadlock.
pub(crate) const CHECK_PARENTS: &str = "SET SESSION foreign_key_checks = 1, innodb_lock_wait_timeout = 0";

/// Whether this session checks foreign keys, and refuses to drop the index that one of them needs.
pub(crate) fn check_foreign_keys(checks: bool) -> String {
    format!("SET SESSION foreign_key_checks = {}", u8::from(checks))
}

/// Whether a table holds a row that refers to no row of another.
pub(crate) fn has_orphans(
    source: &TableName,
    child: &TableName,
    columns: &[String],
    parent: &TableName,
    parent_columns: &[String],
) -> String {
    let pairs = || columns.iter().zip(parent_columns).map(|(column, key)| (quote(column), quote(key)));
    let joined: Vec<String> = pairs().map(|(column, key)| format!("p.{key} = c.{column}")).collect();
    let present: Vec<String> = pairs().map(|(column, _)| format!("c.{column} IS NOT NULL")).collect();
    format!(
        "{}SELECT 1 FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}) LIMIT 1",
        sign(source),
        table(child),
        present.join(" AND "),
        table(parent),
        joined.join(" AND ")
    )
}

/// What of a row that changes is in the log.
pub(crate) const ROW_IMAGE: &str = "SELECT @@global.binlog_row_image";

/// Whether the storage engine carries out foreign keys' actions by itself, unlogged; MySQL 9.6 and later.
pub(crate) const NATIVE_FOREIGN_KEYS: &str = "SELECT @@global.innodb_native_foreign_keys";

/// Name, event, timing, body, definer, database's collation, and whatever else tells one from another, in the order in
/// which they fire.
pub(crate) fn trigger_facts(table: &TableName) -> String {
    format!(
        "SELECT TRIGGER_NAME, EVENT_MANIPULATION, ACTION_TIMING, ACTION_STATEMENT, DEFINER, DATABASE_COLLATION, SQL_MODE, \
         CHARACTER_SET_CLIENT, COLLATION_CONNECTION, ACTION_ORDER, CREATED FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {} ORDER BY EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",
        string(&table.schema),
        string(&table.name)
    )
}

/// What tells servers apart, and the session's number. No proxy knows this query for one that it answers itself.
pub(crate) const IDENTITY: &str = "SELECT CONCAT_WS(':', @@hostname, @@port, @@server_id), CONNECTION_ID() + 0";

/// When a table was changed last, in seconds of the server's clock and as seconds ago, for a session in UTC.
pub(crate) fn last_change(table: &TableName) -> String {
    format!(
        "{}SELECT UNIX_TIMESTAMP(UPDATE_TIME), UNIX_TIMESTAMP(NOW(6)) - UNIX_TIMESTAMP(UPDATE_TIME) \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        sign(table),
        string(&table.schema),
        string(&table.name)
    )
}

/// How many rows of a table anybody has changed, or tried to, and how many statements have set `sql_log_bin` (MySQL).
pub(crate) fn rows_changed(table: &TableName) -> String {
    format!(
        "{}SELECT (SELECT COUNT_INSERT + COUNT_UPDATE + COUNT_DELETE FROM performance_schema.table_io_waits_summary_by_table \
         WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = {} AND OBJECT_NAME = {}), \
         (SELECT COALESCE(SUM(COUNT_STAR), 0) FROM performance_schema.events_statements_summary_by_digest \
         WHERE DIGEST_TEXT LIKE '%sql_log_bin%')",
        sign(table),
        string(&table.schema),
        string(&table.name)
    )
}

/// Whether a user's session has switched the log off for itself (MySQL).
pub(crate) const IS_LOG_OFF: &str = "SELECT 1 FROM performance_schema.variables_by_thread v \
     JOIN performance_schema.threads t USING (THREAD_ID) \
     WHERE v.VARIABLE_NAME = 'sql_log_bin' AND v.VARIABLE_VALUE = 'OFF' AND t.TYPE = 'FOREGROUND' LIMIT 1";

/// Reads as SHOW REPLICA STATUS does in its first columns.
pub(crate) const REPLICATION_SOURCES: &str =
    "SELECT CHANNEL_NAME, HOST, USER, PORT FROM performance_schema.replication_connection_configuration";

/// What this server is in its replication group, and how many primaries the group has; no row outside of groups.
pub(crate) const GROUP_ROLE: &str = "SELECT MEMBER_ROLE, (SELECT COUNT(*) FROM performance_schema.replication_group_members p \
     WHERE p.MEMBER_ROLE = 'PRIMARY') FROM performance_schema.replication_group_members \
     WHERE MEMBER_ID = @@server_uuid AND MEMBER_STATE <> 'OFFLINE'";

/// The table a trigger stands on.
pub(crate) fn find_trigger(name: &TableName) -> String {
    format!(
        "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} AND TRIGGER_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// How many constraints but its primary key a table has, and how many foreign keys refer to it.
pub(crate) fn count_constraints(table: &TableName) -> String {
    let (schema, name) = (string(&table.schema), string(&table.name));
    format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = {schema} \
         AND TABLE_NAME = {name} AND CONSTRAINT_TYPE <> 'PRIMARY KEY') \
         + (SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE UNIQUE_CONSTRAINT_SCHEMA = {schema} AND REFERENCED_TABLE_NAME = {name})"
    )
}

/// How many triggers a table has.
pub(crate) fn count_triggers(table: &TableName) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {}",
        string(&table.schema),
        string(&table.name)
    )
}

/// Children and parents of all foreign keys that change the child's rows when the parent's change.
pub(crate) const ACTING_KEYS: &str = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME \
     FROM information_schema.REFERENTIAL_CONSTRAINTS \
     WHERE DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION')";

pub(crate) fn show_create_trigger(name: &TableName) -> String {
    format!("SHOW CREATE TRIGGER {}", table(name))
}

pub(crate) fn drop_trigger(source: &TableName, name: &TableName) -> String {
    format!("{}DROP TRIGGER IF EXISTS {}", sign(source), table(name))
}

/// What a guard does.
const GUARD: &str = "IF @altergeist IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = \
     'altergeist was interrupted while it moved the triggers: run it again'; END IF";

/// How many triggers a table has that are not ours. Ours are guards, and what `plan` tries on its empty clone under the
/// clone's name. MariaDB tells a trigger's text without our sign.
pub(crate) fn count_others_triggers(source: &TableName, clone: &TableName, table: &TableName) -> String {
    let guards = [GUARD.to_owned(), format!("{}{GUARD}", sign(source))].map(|text| string(&text));
    let mut count = format!("{} AND ACTION_STATEMENT NOT IN ({})", count_triggers(table), guards.join(", "));
    if table == clone {
        count += &format!(" AND TRIGGER_NAME <> {}", string(&clone.name));
    }
    count
}

/// Refuses every write but this tool's. Its own text is signed, because the log holds no comment before the statement.
pub(crate) fn create_guard(source: &TableName, on: &TableName, guard: &TableName, event: &str) -> String {
    format!(
        "{sign}CREATE TRIGGER {} BEFORE {event} ON {} FOR EACH ROW {sign}{GUARD}",
        table(guard),
        table(on),
        sign = sign(source)
    )
}

/// The head of a trigger of [`trigger_facts`] under another name on the table of that name, in the current schema.
pub(crate) fn trial_trigger(name: &TableName, facts: &crate::session::Cells) -> String {
    let [event, timing, definer] = [1, 2, 4].map(|place| crate::session::text(&facts[place]));
    let (user, host) = definer.rsplit_once('@').unwrap_or((&definer, ""));
    let definer = if host.is_empty() { quote(user) } else { format!("{}@{}", quote(user), quote(host)) };
    let name = quote(&name.name);
    format!("CREATE DEFINER = {definer} TRIGGER {name} {timing} {event} ON {name} FOR EACH ROW")
}

pub(crate) fn use_schema(schema: &str) -> String {
    format!("USE {}", quote(schema))
}

pub(crate) fn schema_collation(schema: &str) -> String {
    format!("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", string(schema))
}

/// The InnoDB numbers of a table, or of its partitions. Names with other than plain letters are spelled otherwise there,
/// and are compared as bytes, because the view's own collation knows no case.
pub(crate) fn innodb_ids(version: Version, name: &TableName) -> String {
    let path = format!("{}/{}", name.schema, name.name);
    let view = match version.flavour {
        Flavour::MySql => "INNODB_TABLES",
        Flavour::MariaDb => "INNODB_SYS_TABLES",
    };
    let [whole, part, old_part] =
        [path.clone(), format!("{path}#p#"), format!("{path}#P#")].map(|path| as_bytes(&path));
    format!(
        "SELECT TABLE_ID FROM information_schema.{view} WHERE CAST(NAME AS BINARY) = {whole} \
         OR LEFT(CAST(NAME AS BINARY), {length}) IN ({part}, {old_part}) ORDER BY TABLE_ID",
        length = path.len() + 3
    )
}

/// The InnoDB numbers of a table, or of its partitions, each with those of its indexes; MySQL does not tell those of
/// partitions.
pub(crate) fn innodb_parts(version: Version, name: &TableName) -> String {
    let (tables, indexes) = match version.flavour {
        Flavour::MySql => ("INNODB_TABLES", "INNODB_INDEXES"),
        Flavour::MariaDb => ("INNODB_SYS_TABLES", "INNODB_SYS_INDEXES"),
    };
    let path = format!("{}/{}", name.schema, name.name);
    let [whole, part, old_part] =
        [path.clone(), format!("{path}#p#"), format!("{path}#P#")].map(|path| as_bytes(&path));
    format!(
        "SELECT t.TABLE_ID, i.INDEX_ID FROM information_schema.{tables} t LEFT JOIN information_schema.{indexes} i ON i.TABLE_ID = t.TABLE_ID \
         WHERE CAST(t.NAME AS BINARY) = {whole} OR LEFT(CAST(t.NAME AS BINARY), {length}) IN ({part}, {old_part})",
        length = path.len() + 3
    )
}

fn as_bytes(text: &str) -> String {
    format!("x'{}'", crate::key::hex(text.as_bytes()))
}

/// How often the table was changed instantly since it was last rebuilt: the server allows only so many.
pub(crate) fn row_versions(name: &TableName) -> String {
    let path = as_bytes(&format!("{}/{}", name.schema, name.name));
    format!("SELECT TOTAL_ROW_VERSIONS FROM information_schema.INNODB_TABLES WHERE CAST(NAME AS BINARY) = {path}")
}

pub(crate) fn log_settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql => {
            "SELECT @@log_bin, @@session.binlog_format, @@global.binlog_format, @@binlog_order_commits, @@read_only, 0"
        }
        Flavour::MariaDb => {
            "SELECT @@log_bin, @@session.binlog_format, @@global.binlog_format, 1, @@read_only, \
             (SELECT VARIABLE_VALUE = 'ON' FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'WSREP_ON')"
        }
    }
}

pub(crate) fn log_status(version: Version) -> &'static str {
    if version.is_mysql_since((8, 2, 0)) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
}

/// Of a replica: whether it has a log, whether it logs what it applies, and whether it keeps the order of commits.
pub(crate) fn replica_settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 26)) => {
            "SELECT @@log_bin, @@log_replica_updates, @@replica_preserve_commit_order OR @@replica_parallel_workers <= 1"
        }
        Flavour::MySql => {
            "SELECT @@log_bin, @@log_slave_updates, @@slave_preserve_commit_order OR @@slave_parallel_workers <= 1"
        }
        Flavour::MariaDb => "SELECT @@log_bin, @@log_slave_updates, @@slave_parallel_threads = 0",
    }
}

/// Of a replica: what is set that makes it leave out transactions, or rows that do not fit, one a row.
pub(crate) fn replica_filters(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 26)) => {
            "SELECT FILTER_NAME FROM performance_schema.replication_applier_filters \
             UNION SELECT FILTER_NAME FROM performance_schema.replication_applier_global_filters \
             UNION SELECT VARIABLE_NAME FROM performance_schema.global_variables \
             WHERE (VARIABLE_NAME = 'replica_skip_errors' AND VARIABLE_VALUE <> 'OFF') \
             OR (VARIABLE_NAME = 'replica_exec_mode' AND VARIABLE_VALUE <> 'STRICT') \
             OR (VARIABLE_NAME = 'sql_replica_skip_counter' AND VARIABLE_VALUE <> '0')"
        }
        Flavour::MySql => {
            "SELECT FILTER_NAME FROM performance_schema.replication_applier_filters \
             UNION SELECT FILTER_NAME FROM performance_schema.replication_applier_global_filters \
             UNION SELECT VARIABLE_NAME FROM performance_schema.global_variables \
             WHERE (VARIABLE_NAME = 'slave_skip_errors' AND VARIABLE_VALUE <> 'OFF') \
             OR (VARIABLE_NAME = 'slave_exec_mode' AND VARIABLE_VALUE <> 'STRICT') \
             OR (VARIABLE_NAME = 'sql_slave_skip_counter' AND VARIABLE_VALUE <> '0')"
        }
        Flavour::MariaDb => {
            "SELECT VARIABLE_NAME FROM information_schema.GLOBAL_VARIABLES \
             WHERE (VARIABLE_NAME RLIKE '^REPLICATE_.*(DO|IGNORE|REWRITE)_(DB|TABLE)$' AND VARIABLE_VALUE <> '') \
             OR (VARIABLE_NAME = 'REPLICATE_EVENTS_MARKED_FOR_SKIP' AND VARIABLE_VALUE <> 'REPLICATE') \
             OR (VARIABLE_NAME = 'SLAVE_SKIP_ERRORS' AND VARIABLE_VALUE <> 'OFF') \
             OR (VARIABLE_NAME = 'SLAVE_EXEC_MODE' AND VARIABLE_VALUE <> 'STRICT') \
             OR (VARIABLE_NAME = 'SQL_SLAVE_SKIP_COUNTER' AND VARIABLE_VALUE <> '0')"
        }
    }
}

/// One row for each server that is replicated from.
pub(crate) fn replication_status(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 22)) => "SHOW REPLICA STATUS",
        Flavour::MySql => "SHOW SLAVE STATUS",
        Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
    }
}

/// Who reads the log: a number, a host, perhaps a name and a password, a port, and more.
pub(crate) fn log_readers(version: Version) -> &'static str {
    if version.is_mysql_since((8, 0, 22)) { "SHOW REPLICAS" } else { "SHOW SLAVE HOSTS" }
}

pub(crate) const HOSTS_OF_LOG_READERS: &str = "SELECT DISTINCT LEFT(HOST, CHAR_LENGTH(HOST) - LOCATE(':', REVERSE(HOST))) \
     FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
pub(crate) const SERVER_ID: &str = "SELECT @@server_id";

pub(crate) const MYSQL_GTIDS: &str = "SELECT @@global.gtid_executed";
pub(crate) const MARIADB_GTIDS: &str = "SELECT @@global.gtid_binlog_pos";
pub(crate) const PREPARED: &str = "XA RECOVER";

pub(crate) fn are_gtids_executed(set: &str) -> String {
    format!("SELECT GTID_SUBSET({}, @@global.gtid_executed)", string(set))
}

/// Who may be in the way of a lock: transactions that are open, oldest first.
pub(crate) const OPEN_TRANSACTIONS: &str = "SELECT t.trx_mysql_thread_id, COALESCE(p.USER, '?'), COALESCE(p.HOST, '?'), \
     TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) \
     FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
     WHERE t.trx_mysql_thread_id <> CONNECTION_ID() ORDER BY t.trx_started LIMIT 5";

/// Who holds locks on a table, where the server keeps count: MySQL always, MariaDB with the plugin `metadata_lock_info`.
pub(crate) fn metadata_locks(version: Version, name: &TableName) -> String {
    if version.flavour == Flavour::MariaDb {
        return format!(
            "SELECT DISTINCT p.ID, p.USER, p.HOST, p.TIME FROM information_schema.METADATA_LOCK_INFO l \
             JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID \
             WHERE l.LOCK_TYPE = 'Table metadata lock' AND l.TABLE_SCHEMA = {} AND l.TABLE_NAME = {} \
             AND p.ID <> CONNECTION_ID() LIMIT 50",
            string(&name.schema),
            string(&name.name)
        );
    }
    format!(
        "SELECT DISTINCT t.PROCESSLIST_ID, COALESCE(t.PROCESSLIST_USER, '?'), COALESCE(t.PROCESSLIST_HOST, '?'), t.PROCESSLIST_TIME \
         FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
         WHERE l.OBJECT_TYPE = 'TABLE' AND l.OBJECT_SCHEMA = {} AND l.OBJECT_NAME = {} AND l.LOCK_STATUS = 'GRANTED' \
         AND t.PROCESSLIST_ID <> CONNECTION_ID() LIMIT 50",
        string(&name.schema),
        string(&name.name)
    )
}

// --- The journal and the heartbeats -----------------------------------------------------------

pub(crate) fn create_journal(journal: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            source VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
            alter_clauses LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
            stage VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
            updated_at DATETIME NOT NULL,
            holder VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,
            message TEXT CHARACTER SET utf8mb4 NOT NULL,
            record LONGTEXT CHARACTER SET utf8mb4 NULL,
            facts LONGTEXT CHARACTER SET utf8mb4 NOT NULL
        ) ENGINE = InnoDB COMMENT = 'altergeist: schema changes under way and done'",
        table(journal)
    )
}

pub(crate) fn create_beat(beat: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            source VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
            beat BIGINT UNSIGNED NOT NULL
        ) ENGINE = InnoDB COMMENT = 'altergeist: heartbeats of schema changes under way'",
        table(beat)
    )
}

pub(crate) fn load_entry(journal: &TableName, source: &str) -> String {
    format!("SELECT record, facts FROM {} WHERE source = {}", table(journal), string(source))
}

/// What the journal's columns say beside the record itself.
pub(crate) struct Entry<'a> {
    pub alter: &'a str,
    pub stage: &'a str,
    pub holder: &'a str,
    pub message: &'a str,
    pub record: &'a str,
}

pub(crate) fn save_entry(journal: &TableName, source: &str, entry: &Entry) -> String {
    let [alter, stage, message, record] = [entry.alter, entry.stage, entry.message, entry.record].map(string);
    let holder = string(&entry.holder.chars().take(255).collect::<String>());
    format!(
        "INSERT INTO {} (source, alter_clauses, stage, updated_at, holder, message, record, facts) \
         VALUES ({}, {alter}, {stage}, NOW(), {holder}, {message}, {record}, '{{}}') \
         ON DUPLICATE KEY UPDATE alter_clauses = {alter}, stage = {stage}, updated_at = NOW(), holder = {holder}, message = {message}, \
         record = {record}",
        table(journal),
        string(source)
    )
}

pub(crate) fn save_facts(journal: &TableName, source: &str, facts: &str) -> String {
    let facts = string(facts);
    format!(
        "INSERT INTO {} (source, alter_clauses, stage, updated_at, holder, message, record, facts) \
         VALUES ({}, '', '', NOW(), '', '', NULL, {facts}) ON DUPLICATE KEY UPDATE facts = {facts}",
        table(journal),
        string(source)
    )
}

pub(crate) fn delete_entry(of: &TableName, source: &str) -> String {
    format!("DELETE FROM {} WHERE source = {}", table(of), string(source))
}

pub(crate) fn first_beat(beat: &TableName, source: &str, number: u64) -> String {
    format!("INSERT INTO {} (source, beat) VALUES ({}, {number})", table(beat), string(source))
}

/// How much of an ALTER is done, in units of the server's own, and of how many as far as it knows by now: MySQL, if it was told to
/// keep account of stages. MariaDB has such counters too and leaves them at zero.
pub(crate) fn work_of(connection: u64) -> String {
    format!(
        "SELECT s.WORK_COMPLETED, s.WORK_ESTIMATED FROM performance_schema.events_stages_current s \
         JOIN performance_schema.threads t ON t.THREAD_ID = s.THREAD_ID \
         WHERE t.PROCESSLIST_ID = {connection} AND s.WORK_ESTIMATED > 0"
    )
}

/// A global status variable, by its name: its value is the last cell.
pub(crate) fn status_variable(name: &str) -> String {
    format!("SHOW GLOBAL STATUS WHERE Variable_name = {}", string(name))
}

/// How many row versions MySQL keeps for readers.
pub(crate) const HISTORY: &str =
    "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'trx_rseg_history_len'";

pub(crate) fn last_beat(beat: &TableName, source: &str) -> String {
    format!("SELECT beat FROM {} WHERE source = {}", table(beat), string(source))
}

/// The beat after another: touches no row if somebody else has beaten meanwhile.
pub(crate) fn next_beat(beat: &TableName, source: &TableName, number: u64) -> String {
    format!(
        "{}UPDATE {} SET beat = {number} WHERE source = {} AND beat = {}",
        sign(source),
        table(beat),
        string(&source.name),
        number - 1
    )
}

// --- The shadow's making ----------------------------------------------------------------------

pub(crate) fn create_like(source: &TableName, copy: &TableName) -> String {
    format!("{}CREATE TABLE {} LIKE {}", sign(source), table(copy), table(source))
}

/// The user's clauses go in as they are.
pub(crate) fn alter(source: &TableName, altered: &TableName, clauses: &str) -> String {
    format!("{}ALTER TABLE {} {clauses}", sign(source), table(altered))
}

/// What the server does by itself. The means come first, because a clause on partitions has nothing behind it.
pub(crate) fn alter_by(means: &str, altered: &TableName, clauses: &str) -> String {
    format!("ALTER TABLE {} {means}{clauses}", table(altered))
}

pub(crate) fn drop_indexes(source: &TableName, altered: &TableName, names: &[&str]) -> String {
    let drops: Vec<String> = names.iter().map(|name| format!("DROP KEY {}", quote(name))).collect();
    format!("{}ALTER TABLE {} {}", sign(source), table(altered), drops.join(", "))
}

/// The index of ours that finds rows of the shadow by the key; `kind` is how unique it is.
pub(crate) fn add_lookup(shape: &Shape, altered: &TableName, kind: &str) -> String {
    let part = |(name, prefix): (&str, Option<u64>)| match prefix {
        None => quote(name),
        Some(length) => format!("{}({length})", quote(name)),
    };
    let columns: Vec<String> = shape.key.shadow_parts().into_iter().map(part).collect();
    format!(
        "{}ALTER TABLE {} ADD {kind} {} ({})",
        sign(&shape.source),
        table(altered),
        quote(LOOKUP),
        columns.join(", ")
    )
}

/// Columns of ours for the former key's values, see `kept`.
pub(crate) fn add_kept(shape: &Shape, altered: &TableName) -> String {
    let added = shape.kept.iter().map(|pair| {
        let column = &pair.shadow;
        let charset = match column.charset.is_empty() {
            true => String::new(),
            false => format!(" CHARACTER SET {} COLLATE {}", column.charset, column.collation),
        };
        format!("ADD COLUMN {} {}{charset} NULL DEFAULT NULL INVISIBLE", quote(&column.name), column.column_type)
    });
    format!("{}ALTER TABLE {} {}", sign(&shape.source), table(altered), added.collect::<Vec<_>>().join(", "))
}

/// Drops such columns at once, or not at all.
pub(crate) fn drop_kept(source: &TableName, altered: &TableName, names: &[&str]) -> String {
    let drops: Vec<String> = names.iter().map(|name| format!("DROP COLUMN {}", quote(name))).collect();
    format!("{}ALTER TABLE {} {}, ALGORITHM=INSTANT", sign(source), table(altered), drops.join(", "))
}

/// Builds an index in the place of another, while everybody reads and writes.
pub(crate) fn exchange_index(source: &TableName, altered: &TableName, gone: &str, definition: &str) -> String {
    format!(
        "{}ALTER TABLE {} DROP KEY {}, ADD {definition}, ALGORITHM=INPLACE, LOCK=NONE",
        sign(source),
        table(altered),
        quote(gone)
    )
}

/// Definitions as the server tells them; refused if it would copy the table for them.
pub(crate) fn add_indexes(source: &TableName, altered: &TableName, definitions: &[String]) -> String {
    let adds: Vec<String> = definitions.iter().map(|definition| format!("ADD {definition}")).collect();
    format!("{}ALTER TABLE {} {}, ALGORITHM=INPLACE", sign(source), table(altered), adds.join(", "))
}

pub(crate) fn add_index_anyhow(source: &TableName, altered: &TableName, definition: &str) -> String {
    format!("{}ALTER TABLE {} ADD {definition}", sign(source), table(altered))
}

/// Room for sorting while indexes are built: an eighth of the buffer pool, up to 256 MiB; and one thread if it shall be gently.
/// MariaDB has none of that for a session, and builds with one thread anyway.
pub(crate) fn build_settings(version: Version, gently: bool) -> Vec<&'static str> {
    let mut settings = Vec::new();
    if version.is_mysql_since((8, 0, 27)) {
        settings.push("SET SESSION innodb_ddl_buffer_size = LEAST(268435456, @@innodb_buffer_pool_size DIV 8)");
        if gently {
            settings.push("SET SESSION innodb_ddl_threads = 1, innodb_parallel_read_threads = 1");
        }
    }
    settings
}

pub(crate) fn drop_table(source: &TableName, dropped: &TableName) -> String {
    format!("{}DROP TABLE IF EXISTS {}", sign(source), table(dropped))
}

pub(crate) fn truncate(source: &TableName, emptied: &TableName) -> String {
    format!("{}TRUNCATE TABLE {}", sign(source), table(emptied))
}

pub(crate) fn analyze(source: &TableName, analyzed: &TableName) -> String {
    format!("{}ANALYZE TABLE {}", sign(source), table(analyzed))
}

/// MySQL's histograms of a table: the column, how many buckets were asked for, and whether ANALYZE TABLE renews it.
pub(crate) fn histograms(name: &TableName) -> String {
    format!(
        "SELECT COLUMN_NAME, HISTOGRAM->>'$.\"number-of-buckets-specified\"', HISTOGRAM->>'$.\"auto-update\"' \
         FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = {} AND TABLE_NAME = {} ORDER BY COLUMN_NAME",
        string(&name.schema),
        string(&name.name)
    )
}

/// What MariaDB keeps persistent statistics of: columns, or indexes.
pub(crate) fn persistent_statistics(name: &TableName, of: &str) -> String {
    format!(
        "SELECT DISTINCT {of}_name FROM mysql.{of}_stats WHERE db_name = {} AND table_name = {} ORDER BY 1",
        string(&name.schema),
        string(&name.name)
    )
}

pub(crate) fn has_rows(name: &TableName) -> String {
    format!("SELECT 1 FROM {} LIMIT 1", table(name))
}

pub(crate) fn has_nulls(source: &TableName, column: &str) -> String {
    format!("{}SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1", sign(source), table(source), quote(column))
}

/// How many of the source's rows meet a condition.
pub(crate) fn count_where(source: &TableName, condition: &str) -> String {
    format!("{}SELECT COUNT(*) FROM {} WHERE {condition}", sign(source), table(source))
}

// --- Ranges and sets of keys ------------------------------------------------------------------

/// The key's columns in one of the tables; in the shadow said in the source's terms.
fn columns_of(key: &KeyIndex, in_shadow: bool, of: &str) -> Vec<String> {
    let name = |column: &KeyColumn| match in_shadow {
        true => column.mapping.back(&format!("{of}{}", quote(&column.shadow_name))),
        false => format!("{of}{}", quote(&column.name)),
    };
    key.columns.iter().map(name).collect()
}

/// ` ORDER BY` the key. Nothing for an index of prefixes: the server would sort all rows each time. It gives them in the
/// index's order by itself, and nothing but the size of chunks rests on that.
fn in_order(key: &KeyIndex, columns: &[String]) -> String {
    if key.has_prefix() { String::new() } else { format!(" ORDER BY {}", order_of(key, columns)) }
}

fn order_of(key: &KeyIndex, columns: &[String]) -> String {
    let ordered = key.columns.iter().zip(columns);
    let ordered = ordered.map(|(column, name)| if column.descending { format!("{name} DESC") } else { name.clone() });
    ordered.collect::<Vec<_>>().join(", ")
}

/// `(a, b) > (1, 2)` in the form both servers' range optimisers understand:
/// `(a > 1) OR (a = 1 AND b > 2)`. A descending column runs the other way.
fn beyond(key: &KeyIndex, columns: &[String], mark: &Key, is_after: bool) -> Result<String> {
    let literals = key.literals(mark)?;
    let alternatives: Vec<String> = (0..columns.len())
        .map(|place| {
            let column = &key.columns[place];
            let operator = match (is_after != column.descending, is_after || place + 1 < columns.len()) {
                (true, true) => ">",
                (true, false) => ">=",
                (false, true) => "<",
                (false, false) => "<=",
            };
            let mut terms: Vec<String> =
                (0..place).map(|before| format!("{} = {}", columns[before], literals[before])).collect();
            terms.push(column.spelling.bounded(&columns[place], operator, &literals[place]));
            format!("({})", terms.join(" AND "))
        })
        .collect();
    Ok(format!("({})", alternatives.join(" OR ")))
}

fn range(key: &KeyIndex, columns: &[String], chunk: &Chunk) -> Result<String> {
    let mut bounds = Vec::new();
    match &chunk.after {
        Watermark::Start => {}
        Watermark::At(mark) => bounds.push(beyond(key, columns, mark, true)?),
        Watermark::End => bounds.push("FALSE".to_owned()),
    }
    match &chunk.through {
        Watermark::Start => bounds.push("FALSE".to_owned()),
        Watermark::At(mark) => bounds.push(beyond(key, columns, mark, false)?),
        Watermark::End => {}
    }
    Ok(if bounds.is_empty() { "TRUE".to_owned() } else { bounds.join(" AND ") })
}

/// Whether a row has one of these keys. The same form for composite keys as for ranges, because MariaDB looks up no row constructors.
fn among(key: &KeyIndex, columns: &[String], keys: &[Key]) -> Result<String> {
    let values = keys.iter().map(|one| key.literals(one)).collect::<Result<Vec<_>>>()?;
    if !key.has_prefix() {
        return Ok(one_of(columns, &values));
    }
    // Some collations call texts equal whose prefixes differ. The rows are told apart by prefixes.
    let one = |value: &Vec<String>| {
        let terms = key.columns.iter().zip(columns).zip(value).map(|((part, column), literal)| {
            let whole = format!("{column} = {literal}");
            part.prefix.map_or(whole.clone(), |length| {
                format!("{whole} AND LEFT({column}, {length}) = LEFT({literal}, {length})")
            })
        });
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    };
    Ok(format!("({})", values.iter().map(one).collect::<Vec<_>>().join(" OR ")))
}

/// Whether columns hold one of these lists of values, given as literals.
fn one_of(columns: &[String], values: &[Vec<String>]) -> String {
    if let [column] = columns {
        return format!("{column} IN ({})", values.iter().flatten().cloned().collect::<Vec<_>>().join(", "));
    }
    let one = |value: &Vec<String>| {
        let terms = columns.iter().zip(value).map(|(column, literal)| format!("{column} = {literal}"));
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    };
    format!("({})", values.iter().map(one).collect::<Vec<_>>().join(" OR "))
}

/// One of these keys, in the shadow. Where its values are mapped, the index finds them by its own terms, and
/// the source's terms decide.
fn among_shadows(key: &KeyIndex, of: &str, keys: &[Key]) -> Result<String> {
    let columns = columns_of(key, true, of);
    if !key.is_mapped() {
        return among(key, &columns, keys);
    }
    let alternatives: Vec<String> = keys
        .iter()
        .map(|one| {
            let literals = key.literals(one)?;
            let term = |((column, back), literal): ((&KeyColumn, &String), &String)| match &column.mapping {
                Mapping::Same => format!("{back} = {literal}"),
                mapping => {
                    let found = format!("{of}{} = {}", quote(&column.shadow_name), mapping.to_shadow(literal));
                    format!("{found} AND {back} = {literal}")
                }
            };
            let terms: Vec<String> = key.columns.iter().zip(&columns).zip(&literals).map(term).collect();
            Ok(format!("({})", terms.join(" AND ")))
        })
        .collect::<Result<_>>()?;
    Ok(format!("({})", alternatives.join(" OR ")))
}

/// The key columns in the forms that [`Spelling::of_query`](crate::key::Spelling::of_query) reads.
fn spelled(key: &KeyIndex, columns: &[String]) -> String {
    let spelled = key.columns.iter().zip(columns).map(|(column, name)| column.spelling.asked(name));
    spelled.collect::<Vec<_>>().join(", ")
}

/// The same of the shadow's columns.
fn spelled_of_shadow(key: &KeyIndex, of: &str) -> String {
    let columns = columns_of(key, true, of);
    let spelled = key.columns.iter().zip(&columns).map(|(column, name)| column.spelling.asked_of_shadow(name));
    spelled.collect::<Vec<_>>().join(", ")
}

// --- Copying ----------------------------------------------------------------------------------

pub(crate) fn range_end(shape: &Shape, mark: &Watermark, rows: u64) -> Result<String> {
    let columns = columns_of(&shape.key, false, "");
    let chunk = Chunk { after: mark.clone(), through: Watermark::End };
    Ok(format!(
        "{}SELECT {} FROM {} FORCE INDEX ({}) WHERE {}{} LIMIT 1 OFFSET {}",
        sign(&shape.source),
        spelled(&shape.key, &columns),
        table(&shape.source),
        quote(&shape.key.index),
        range(&shape.key, &columns, &chunk)?,
        in_order(&shape.key, &columns),
        rows.max(1) - 1
    ))
}

/// Some of the source's keys.
pub(crate) fn first_keys(shape: &Shape) -> String {
    const SAMPLE: u64 = 100;
    format!("{}{} LIMIT {SAMPLE}", keys_of(shape), in_order(&shape.key, &columns_of(&shape.key, false, "")))
}

/// Those of these keys that the source holds.
pub(crate) fn keys_among(shape: &Shape, keys: &[Key]) -> Result<String> {
    Ok(format!("{} WHERE {}", keys_of(shape), among(&shape.key, &columns_of(&shape.key, false, ""), keys)?))
}

fn keys_of(shape: &Shape) -> String {
    format!(
        "{}SELECT {} FROM {} FORCE INDEX ({})",
        sign(&shape.source),
        spelled(&shape.key, &columns_of(&shape.key, false, "")),
        table(&shape.source),
        quote(&shape.key.index)
    )
}

fn insert_select(shape: &Shape, condition: &str) -> String {
    let list = |name: fn(&crate::shape::Pair) -> String, given: fn(&crate::shape::Given) -> String| {
        let columns = shape.columns.iter().chain(&shape.kept).map(name);
        columns.chain(shape.given.iter().map(given)).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {} FORCE INDEX ({}) WHERE {condition}",
        sign(&shape.source),
        table(&shape.shadow),
        list(|pair| quote(&pair.shadow.name), |given| quote(&given.column.name)),
        list(convert::copied, |given| given.value.to_owned()),
        table(&shape.source),
        quote(&shape.key.index)
    )
}

pub(crate) fn copy(shape: &Shape, chunk: &Chunk) -> Result<String> {
    Ok(insert_select(shape, &range(&shape.key, &columns_of(&shape.key, false, ""), chunk)?))
}

pub(crate) fn delete_keys(shape: &Shape, keys: &[Key]) -> Result<String> {
    let shadow = table(&shape.shadow);
    Ok(format!(
        "{}DELETE FROM {shadow} USING {shadow} FORCE INDEX ({}) WHERE {}",
        sign(&shape.source),
        quote(&shape.key.shadow_index),
        among_shadows(&shape.key, "", keys)?
    ))
}

pub(crate) fn insert_keys(shape: &Shape, keys: &[Key], through: &Watermark) -> Result<String> {
    let columns = columns_of(&shape.key, false, "");
    let chunk = Chunk { after: Watermark::Start, through: through.clone() };
    let condition = format!("{} AND {}", among(&shape.key, &columns, keys)?, range(&shape.key, &columns, &chunk)?);
    Ok(insert_select(shape, &condition))
}

pub(crate) fn delete_beyond(shape: &Shape, mark: &Watermark, rows: u64) -> Result<String> {
    let chunk = Chunk { after: mark.clone(), through: Watermark::End };
    let columns = columns_of(&shape.key, true, "");
    Ok(format!(
        "{}DELETE FROM {} WHERE {}{} LIMIT {rows}",
        sign(&shape.source),
        table(&shape.shadow),
        range(&shape.key, &columns, &chunk)?,
        in_order(&shape.key, &columns)
    ))
}

// --- Comparing --------------------------------------------------------------------------------

/// One snapshot for several queries, which READ COMMITTED does not give.
pub(crate) const OPEN_SNAPSHOT: [&str; 2] =
    ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"];

/// Which rows are compared.
pub(crate) enum Compared<'a> {
    Range(&'a Chunk),
    Keys(&'a [Key]),
}

fn condition(key: &KeyIndex, columns: &[String], compared: &Compared) -> Result<String> {
    match compared {
        Compared::Range(chunk) if is_last_of_prefixes(key, chunk) => Ok("TRUE".into()),
        Compared::Range(chunk) => range(key, columns, chunk),
        Compared::Keys(keys) => among(key, columns, keys),
    }
}

/// Whether the whole table is compared with this chunk. An index of prefixes may pass over rows of a range, where a collation
/// sorts texts otherwise than their prefixes. Everything before rests on such ranges, so the last look uses none.
fn is_last_of_prefixes(key: &KeyIndex, chunk: &Chunk) -> bool {
    key.has_prefix() && chunk.through == Watermark::End
}

/// The shadow's part of what is compared. No index of the shadow knows the source's order where values are mapped, so
/// there the whole shadow is looked through once, with the last chunk.
fn condition_on_shadow(key: &KeyIndex, of: &str, compared: &Compared) -> Result<String> {
    match compared {
        Compared::Keys(keys) => among_shadows(key, of, keys),
        Compared::Range(chunk) if is_last_of_prefixes(key, chunk) => Ok("TRUE".into()),
        Compared::Range(chunk) if !key.is_mapped() => range(key, &columns_of(key, true, of), chunk),
        Compared::Range(chunk) if chunk.through == Watermark::End => Ok("TRUE".into()),
        Compared::Range(_) => Ok("FALSE".into()),
    }
}

/// Whether a row of the source and one of the shadow have one key, the tables' names being given.
fn matched(shape: &Shape, (s, d): (&str, &str)) -> String {
    let source = columns_of(&shape.key, false, &format!("{s}."));
    let shadow = columns_of(&shape.key, true, &format!("{d}."));
    let term = |((column, s), back): ((&KeyColumn, &String), &String)| match &column.mapping {
        Mapping::Same => match column.prefix {
            None => format!("{back} = {s}"),
            Some(length) => format!("{back} = {s} AND LEFT({back}, {length}) = LEFT({s}, {length})"),
        },
        mapping => format!("{d}.{} = {} AND {back} = {s}", quote(&column.shadow_name), mapping.to_shadow(s)),
    };
    shape.key.columns.iter().zip(&source).zip(&shadow).map(term).collect::<Vec<_>>().join(" AND ")
}

pub(crate) fn count_rows(shape: &Shape, chunk: &Chunk) -> Result<String> {
    Ok(format!(
        "{}SELECT COUNT(*) FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&shape.source),
        table(&shape.source),
        quote(&shape.key.index),
        range(&shape.key, &columns_of(&shape.key, false, ""), chunk)?
    ))
}

/// How many rows of the shadow are compared with this range: a number only where its order is the source's.
pub(crate) fn count_in_shadow(shape: &Shape, chunk: &Chunk) -> Result<String> {
    if shape.key.is_mapped() || is_last_of_prefixes(&shape.key, chunk) {
        return Ok("SELECT NULL".to_owned());
    }
    Ok(format!(
        "{}SELECT COUNT(*) FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&shape.source),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        range(&shape.key, &columns_of(&shape.key, true, ""), chunk)?
    ))
}

/// Keys of the source's rows that the shadow lacks, or has with another value in any column.
pub(crate) fn missing_or_different(shape: &Shape, compared: &Compared, limit: u64) -> Result<String> {
    let columns = columns_of(&shape.key, false, "s.");
    let first = &columns_of(&shape.key, true, "d.")[0];
    Ok(format!(
        "{}SELECT {} FROM {} s FORCE INDEX ({}) LEFT JOIN {} d FORCE INDEX ({}) ON {} \
         WHERE {} AND ({first} IS NULL OR NOT ({})) LIMIT {limit}",
        sign(&shape.source),
        spelled(&shape.key, &columns),
        table(&shape.source),
        quote(&shape.key.index),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        matched(shape, ("s", "d")),
        condition(&shape.key, &columns, compared)?,
        shape.equality()?
    ))
}

/// Keys of the shadow's rows that the source lacks.
pub(crate) fn surplus(shape: &Shape, compared: &Compared, limit: u64) -> Result<String> {
    Ok(format!(
        "{}SELECT {} FROM {} d FORCE INDEX ({}) WHERE {} \
         AND NOT EXISTS (SELECT 1 FROM {} s FORCE INDEX ({}) WHERE {}) LIMIT {limit}",
        sign(&shape.source),
        spelled_of_shadow(&shape.key, "d."),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        condition_on_shadow(&shape.key, "d.", compared)?,
        table(&shape.source),
        quote(&shape.key.index),
        matched(shape, ("s", "d"))
    ))
}

/// Keys of rows that hold one of these values in some columns, which are given with the names they have in the source.
pub(crate) fn rows_that_hold(shape: &Shape, in_shadow: bool, columns: &[String], values: &[Vec<String>]) -> String {
    let asked = match in_shadow {
        true => spelled_of_shadow(&shape.key, ""),
        false => spelled(&shape.key, &columns_of(&shape.key, false, "")),
    };
    let names: Vec<String> = columns
        .iter()
        .map(|column| quote(&if in_shadow { shape.name_after(column) } else { column.clone() }))
        .collect();
    let condition = one_of(&names, values);
    let of = table(if in_shadow { &shape.shadow } else { &shape.source });
    format!("{}SELECT {asked} FROM {of} WHERE {condition}", sign(&shape.source))
}

/// Keys of the shadow's rows that refer by this foreign key to one of these rows, or to any from this range of rows, while
/// the source has no such row that refers to the same. Each table is named once, as who has locked them must.
pub(crate) fn stale_children(shape: &Shape, own: &OwnKey, of: &Compared) -> Result<String> {
    let (source, shadow) = (table(&shape.source), table(&shape.shadow));
    let columns: Vec<String> =
        own.columns.iter().map(|column| format!("{shadow}.{}", quote(&shape.name_after(column)))).collect();
    let condition = match of {
        Compared::Keys(keys) => among(&shape.key, &columns, keys)?,
        Compared::Range(_) => {
            let present = columns.iter().map(|column| format!("{column} IS NOT NULL"));
            let present = present.collect::<Vec<_>>().join(" AND ");
            format!("{} AND {present}", condition_on_shadow(&shape.key, &format!("{shadow}."), of)?)
        }
    };
    let same = own.columns.iter().zip(&columns).map(|(column, held)| format!("{source}.{} = {held}", quote(column)));
    Ok(format!(
        "{}SELECT {} FROM {shadow} WHERE {condition} \
         AND NOT EXISTS (SELECT 1 FROM {source} FORCE INDEX ({}) WHERE {} AND {})",
        sign(&shape.source),
        spelled_of_shadow(&shape.key, &format!("{shadow}.")),
        quote(&shape.key.index),
        matched(shape, (&source, &shadow)),
        same.collect::<Vec<_>>().join(" AND ")
    ))
}

/// Keys of the rows that these rows of the shadow refer to by this foreign key.
pub(crate) fn parents(shape: &Shape, own: &OwnKey, of: &[Key]) -> Result<String> {
    let names: Vec<String> = own.columns.iter().map(|column| quote(&shape.name_after(column))).collect();
    let asked = shape.key.columns.iter().zip(&names).map(|(column, name)| column.spelling.asked_of_shadow(name));
    let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    Ok(format!(
        "{}SELECT {} FROM {} WHERE {} AND {}",
        sign(&shape.source),
        asked.collect::<Vec<_>>().join(", "),
        table(&shape.shadow),
        among_shadows(&shape.key, "", of)?,
        present.join(" AND ")
    ))
}

/// How many values the source holds more than once over these expressions, none of them NULL.
pub(crate) fn duplicates(source: &TableName, expressions: &[String]) -> String {
    let present: Vec<String> = expressions.iter().map(|expression| format!("{expression} IS NOT NULL")).collect();
    format!(
        "{}SELECT COUNT(*) FROM (SELECT 1 FROM {} s WHERE {} GROUP BY {} HAVING COUNT(*) > 1) held",
        sign(source),
        table(source),
        present.join(" AND "),
        expressions.join(", ")
    )
}

// --- Cut-over ---------------------------------------------------------------------------------

/// Nobody but this session reads or writes either table.
pub(crate) fn lock_both(source: &TableName, shadow: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE, {} WRITE", sign(source), table(source), table(shadow))
}

/// Nobody but this session reads or writes the source.
pub(crate) fn lock_against_all(source: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE", sign(source), table(source))
}

/// A table that foreign keys bind to the source: a parent is not written to, a child not touched at all.
pub(crate) fn lock_neighbour(source: &TableName, neighbour: &TableName, is_child: bool) -> String {
    let against = if is_child { "WRITE" } else { "READ" };
    format!("{}LOCK TABLES {} {against}", sign(source), table(neighbour))
}

/// The source against all, if it can be had without waiting (MariaDB).
pub(crate) fn lock_at_once(source: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE NOWAIT", sign(source), table(source))
}

/// A transaction that has read the source and not written it (MySQL).
pub(crate) fn find_reader(source: &TableName) -> String {
    let held = |alias: &str, kind: &str| {
        format!(
            "{alias}.OBJECT_TYPE = 'TABLE' AND {alias}.OBJECT_SCHEMA = {} AND {alias}.OBJECT_NAME = {} \
             AND {alias}.LOCK_TYPE = '{kind}' AND {alias}.LOCK_STATUS = 'GRANTED'",
            string(&source.schema),
            string(&source.name)
        )
    };
    format!(
        "{}SELECT 1 FROM performance_schema.metadata_locks r WHERE {} AND NOT EXISTS \
         (SELECT 1 FROM performance_schema.metadata_locks w WHERE w.OWNER_THREAD_ID = r.OWNER_THREAD_ID AND {}) LIMIT 1",
        sign(source),
        held("r", "SHARED_READ"),
        held("w", "SHARED_WRITE")
    )
}

/// Nobody writes the source; everybody may read it.
pub(crate) fn lock_against_writes(source: &TableName) -> String {
    format!("{}LOCK TABLES {} READ", sign(source), table(source))
}

pub(crate) fn rename(source: &TableName, from: &TableName, to: &TableName) -> String {
    format!("{}RENAME TABLE {} TO {}", sign(source), table(from), table(to))
}

pub(crate) fn rename_both(source: &TableName, old: &TableName, shadow: &TableName) -> String {
    let source_quoted = table(source);
    format!("{}RENAME TABLE {source_quoted} TO {}, {} TO {source_quoted}", sign(source), table(old), table(shadow))
}

/// The same, but only if the go-ahead exists: its rename comes first, and without it nothing happens.
pub(crate) fn rename_both_on(
    source: &TableName,
    old: &TableName,
    shadow: &TableName,
    go: &TableName,
    went: &TableName,
) -> String {
    let source_quoted = table(source);
    format!(
        "{}RENAME TABLE {} TO {}, {source_quoted} TO {}, {} TO {source_quoted}",
        sign(source),
        table(go),
        table(went),
        table(old),
        table(shadow)
    )
}

/// Where tables come from that only say something by being there.
pub(crate) const GO_AHEAD: &str = "altergeist: go-ahead of a cut-over";

pub(crate) fn create_go_ahead(source: &TableName, go: &TableName) -> String {
    format!("{}CREATE TABLE {} (go TINYINT) ENGINE = MEMORY COMMENT = '{GO_AHEAD}'", sign(source), table(go))
}

/// What a session is doing: its state and its statement.
pub(crate) fn doing(id: u64) -> String {
    format!("SELECT STATE, INFO FROM information_schema.PROCESSLIST WHERE ID = {id}")
}

/// Waits only behind a lock that is held exclusively, not behind one that is waited for.
pub(crate) fn look_at(name: &TableName) -> String {
    format!("SHOW CREATE TABLE {}", table(name))
}

pub(crate) fn next_row_number(source: &TableName, of: &TableName) -> String {
    format!(
        "{}SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        sign(source),
        string(&of.schema),
        string(&of.name)
    )
}

pub(crate) fn set_next_row_number(source: &TableName, of: &TableName, number: u64) -> String {
    format!("{}ALTER TABLE {} AUTO_INCREMENT = {number}", sign(source), table(of))
}

/// A number for this run on the server's list of log readers.
pub(crate) fn reader_id(source: &TableName) -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    // High, so that it does not meet the numbers people give their servers.
    0x8000_0000 | (random ^ hash(&source.plain())) as u32 >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_texts_are_quoted() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(string("it's"), "'it''s'");
        assert_eq!(string("a\\b"), "CONVERT(x'615c62' USING utf8mb4)");
        assert_eq!(sign(&TableName::new("s", "a*/b")), "/* altergeist s.a* /b */ ");
    }

    fn key(descending: [bool; 2], mapping: Mapping) -> KeyIndex {
        let column = |(name, descending): (&str, bool)| KeyColumn {
            name: name.into(),
            shadow_name: name.into(),
            ordinal: 0,
            spelling: crate::key::Spelling::Integer { bytes: 4, unsigned: false },
            descending,
            prefix: None,
            mapping: mapping.clone(),
        };
        let columns = ["a", "b"].into_iter().zip(descending).map(column).collect();
        KeyIndex { index: "PRIMARY".into(), shadow_index: "PRIMARY".into(), columns }
    }

    #[test]
    fn a_composite_range_is_a_choice_of_prefixes() {
        let mark = Key::compose([&b"1"[..], b"2"]);
        let range = |key: &KeyIndex, is_after| beyond(key, &columns_of(key, false, ""), &mark, is_after).unwrap();
        let plain = key([false; 2], Mapping::Same);
        assert_eq!(range(&plain, true), "((`a` > 1) OR (`a` = 1 AND `b` > 2))");
        assert_eq!(range(&plain, false), "((`a` < 1) OR (`a` = 1 AND `b` <= 2))");
        let mixed = key([false, true], Mapping::Same);
        assert_eq!(range(&mixed, true), "((`a` > 1) OR (`a` = 1 AND `b` < 2))");
        assert_eq!(range(&mixed, false), "((`a` < 1) OR (`a` = 1 AND `b` >= 2))");
        assert_eq!(order_of(&mixed, &columns_of(&mixed, false, "")), "`a`, `b` DESC");
    }

    #[test]
    fn mapped_keys_are_found_by_the_shadows_terms_and_told_apart_by_the_sources() {
        let mark = Key::compose([&b"1"[..], b"2"]);
        let mapped = key(
            [false; 2],
            Mapping::Digits { charset: "latin1".into(), collation: "latin1_bin".into(), unsigned: true },
        );
        assert_eq!(
            among_shadows(&mapped, "d.", &[mark]).unwrap(),
            "((d.`a` = CONVERT(CAST(1 AS CHAR) USING latin1) COLLATE latin1_bin AND CAST(d.`a` AS UNSIGNED) = 1 \
             AND d.`b` = CONVERT(CAST(2 AS CHAR) USING latin1) COLLATE latin1_bin AND CAST(d.`b` AS UNSIGNED) = 2))"
        );
    }

    #[test]
    fn waits_are_whole_seconds_and_never_none() {
        assert_eq!(whole_seconds(Duration::from_millis(300)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
    }
}
