//! Queries about the binary log and its readers.

use crate::server::names::{TableName, hash};
use crate::server::version::{Flavour, Version};
use crate::sql::quote::{sign, string};
use std::time::Duration;

/// Which columns of a changed row are in the log.
pub(crate) const ROW_IMAGE: &str = "SELECT @@global.binlog_row_image";

/// When a table was changed last: in seconds of the server's clock, and as seconds ago. The session
/// must use UTC.
pub(crate) fn last_change(table: &TableName) -> String {
    format!(
        "{}SELECT UNIX_TIMESTAMP(UPDATE_TIME), UNIX_TIMESTAMP(NOW(6)) - \
         UNIX_TIMESTAMP(UPDATE_TIME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
         TABLE_NAME = {}",
        sign(table),
        string(&table.schema),
        string(&table.name)
    )
}

/// Has the same first columns as SHOW REPLICA STATUS.
pub(crate) const REPLICATION_SOURCES: &str = "SELECT CHANNEL_NAME, HOST, USER, PORT FROM \
     performance_schema.replication_connection_configuration";

/// The role of this server in its replication group, and the number of primaries. No row outside of
/// a group.
pub(crate) const GROUP_ROLE: &str = "SELECT MEMBER_ROLE, (SELECT COUNT(*) FROM \
                                     performance_schema.replication_group_members p WHERE \
                                     p.MEMBER_ROLE = 'PRIMARY') FROM \
                                     performance_schema.replication_group_members WHERE MEMBER_ID \
                                     = @@server_uuid AND MEMBER_STATE <> 'OFFLINE'";

pub(crate) fn log_settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql => {
            "SELECT @@log_bin, @@session.binlog_format, @@global.binlog_format, \
             @@binlog_order_commits, @@read_only, 0"
        }
        Flavour::MariaDb => {
            "SELECT @@log_bin, @@session.binlog_format, @@global.binlog_format, 1, @@read_only, \
             (SELECT VARIABLE_VALUE = 'ON' FROM information_schema.GLOBAL_VARIABLES WHERE \
             VARIABLE_NAME = 'WSREP_ON')"
        }
    }
}

pub(crate) fn log_status(version: Version) -> &'static str {
    if version.is_mysql_since((8, 2, 0)) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
}

/// Whether a replica has a log, logs what it applies, and keeps the order of commits.
pub(crate) fn replica_settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 26)) => {
            "SELECT @@log_bin, @@log_replica_updates, @@replica_preserve_commit_order OR \
             @@replica_parallel_workers <= 1"
        }
        Flavour::MySql => {
            "SELECT @@log_bin, @@log_slave_updates, @@slave_preserve_commit_order OR \
             @@slave_parallel_workers <= 1"
        }
        Flavour::MariaDb => "SELECT @@log_bin, @@log_slave_updates, @@slave_parallel_threads = 0",
    }
}

/// The settings of a replica that make it leave out transactions or rows, each in a row.
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
            "SELECT VARIABLE_NAME FROM information_schema.GLOBAL_VARIABLES WHERE (VARIABLE_NAME \
             RLIKE '^REPLICATE_.*(DO|IGNORE|REWRITE)_(DB|TABLE)$' AND VARIABLE_VALUE <> '') OR \
             (VARIABLE_NAME = 'REPLICATE_EVENTS_MARKED_FOR_SKIP' AND VARIABLE_VALUE <> \
             'REPLICATE') OR (VARIABLE_NAME = 'SLAVE_SKIP_ERRORS' AND VARIABLE_VALUE <> 'OFF') OR \
             (VARIABLE_NAME = 'SLAVE_EXEC_MODE' AND VARIABLE_VALUE <> 'STRICT') OR (VARIABLE_NAME \
             = 'SQL_SLAVE_SKIP_COUNTER' AND VARIABLE_VALUE <> '0')"
        }
    }
}

/// One row for each server that this one replicates from.
pub(crate) fn replication_status(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 22)) => "SHOW REPLICA STATUS",
        Flavour::MySql => "SHOW SLAVE STATUS",
        Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
    }
}

/// The readers of the log: a number, a host, perhaps a name and a password, a port, and more.
pub(crate) fn log_readers(version: Version) -> &'static str {
    if version.is_mysql_since((8, 0, 22)) { "SHOW REPLICAS" } else { "SHOW SLAVE HOSTS" }
}

pub(crate) const HOSTS_OF_LOG_READERS: &str = "SELECT DISTINCT LEFT(HOST, CHAR_LENGTH(HOST) - \
                                               LOCATE(':', REVERSE(HOST))) FROM \
                                               information_schema.PROCESSLIST WHERE COMMAND LIKE \
                                               'Binlog Dump%'";

pub(crate) const SERVER_ID: &str = "SELECT @@server_id";

pub(crate) const MYSQL_GTIDS: &str = "SELECT @@global.gtid_executed";

pub(crate) const MARIADB_GTIDS: &str = "SELECT @@global.gtid_binlog_pos";

pub(crate) const PREPARED: &str = "XA RECOVER";

pub(crate) fn are_gtids_executed(set: &str) -> String {
    format!("SELECT GTID_SUBSET({}, @@global.gtid_executed)", string(set))
}

/// What a session says of itself before it reads the log. `position` is MariaDB's, if it has one.
pub(crate) fn reader_settings(heartbeat: Duration, position: Option<&str>) -> Vec<String> {
    let period = heartbeat.as_nanos();
    let mut statements = vec![
        format!("SET @source_heartbeat_period = {period}, @master_heartbeat_period = {period}"),
        // The server ends readers that do not keep up. Ours stops reading while keys pile up.
        "SET SESSION net_write_timeout = 86400".to_owned(),
        // MariaDB sends its own events only to readers that say they know them.
        "SET @mariadb_slave_capability = 4".to_owned(),
    ];
    statements.extend(position.map(|position| {
        format!("SET @slave_connect_state = '{position}', @slave_gtid_strict_mode = 1")
    }));
    statements
}

/// Returns a number for this run in the server's list of log readers.
pub(crate) fn reader_id(source: &TableName) -> u32 {
    use std::hash::BuildHasher;
    use std::hash::Hasher;
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    // The number is high, so that it differs from the numbers that people give their servers.
    0x8000_0000 | (random ^ hash(&source.plain())) as u32 >> 1
}

/// How statements in the log begin and end transactions.
pub(crate) const LOGGED_BEGIN: &str = "BEGIN";

pub(crate) const LOGGED_COMMIT: &str = "COMMIT";

pub(crate) const LOGGED_ROLLBACK: &str = "ROLLBACK";
