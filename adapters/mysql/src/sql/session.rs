//! Settings of our sessions, named locks, and what other sessions do.

use crate::server::names::TableName;
use crate::server::version::{Flavour, Version};
use crate::sql::quote::{quote, string};
use std::time::Duration;

/// What this user may do, with its active roles.
pub(crate) const GRANTS: &str = "SHOW GRANTS";

/// What every user may do (MariaDB 10.11 and later).
pub(crate) const GRANTS_OF_ALL: &str = "SHOW GRANTS FOR PUBLIC";

pub(crate) const GLOBAL_MODES: &str = "SELECT @@global.sql_mode LIMIT 1";

/// Whether the session's time zone has the same distance from UTC at the middle and the end of
/// every month that a TIMESTAMP can hold.
pub(crate) const ZONE_DISTANCES: &str = "WITH RECURSIVE moments (n) AS (SELECT 86400 UNION ALL \
                                         SELECT n + 2592000 FROM moments WHERE n < 2140000000) \
                                         SELECT COUNT(DISTINCT TIMESTAMPDIFF(SECOND, '1970-01-01', \
                                         FROM_UNIXTIME(n)) - n) FROM moments";

/// For keys that are moments, in a zone where hours come twice.
pub(crate) const IN_UTC: &str = "SET SESSION time_zone = '+00:00'";

/// For a session that asks the operator's questions.
pub(crate) const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// Each statement reads anew, whatever the server's default is.
pub(crate) const AUTOCOMMIT: &str = "SET SESSION autocommit = 1, completion_type = 'NO_CHAIN'";

/// Enough to see that an answer has more than one row.
pub(crate) const TWO_ROWS: &str = "SET SESSION sql_select_limit = 2";

/// The schema that the operator's unqualified names mean.
pub(crate) fn use_schema(schema: &str) -> String {
    format!("USE {}", quote(schema))
}

pub(crate) const IN_SERVERS_ZONE: &str = "SET SESSION time_zone = DEFAULT";

/// Makes the session keep many warnings of a statement. MySQL lets only an administrator set it.
pub(crate) const KEEP_WARNINGS: &str = "SET SESSION max_error_count = 65535";

pub(crate) const KEPT_WARNINGS: &str = "SELECT @@session.max_error_count LIMIT 1";

/// The servers count lock waits in whole seconds, and 0 means something else.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

pub(crate) fn lock_waits(within: Duration) -> String {
    let seconds = whole_seconds(within);
    format!("SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
}

/// The server ends a lock's holder after this time without statements: its client or the network
/// may be gone.
pub(crate) fn idle_limit(within: Duration) -> String {
    format!("SET SESSION wait_timeout = {}", within.as_secs() + 10)
}

/// Starts transactions under LOCK TABLES. BEGIN would release the tables.
pub(crate) const WITHOUT_AUTOCOMMIT: &str = "SET SESSION autocommit = 0";

/// The server ends a session after this time without statements.
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

pub(crate) fn get_lock(name: &str, seconds: u64) -> String {
    format!("SELECT GET_LOCK('{name}', {seconds})")
}

pub(crate) fn release_lock(name: &str) -> String {
    format!("DO RELEASE_LOCK('{name}')")
}

pub(crate) fn lock_holder(name: &str) -> String {
    format!("SELECT IS_USED_LOCK('{name}')")
}

/// The holders of many locks, in one row.
pub(crate) fn lock_holders(names: &[String]) -> String {
    let asked: Vec<String> = names.iter().map(|name| format!("IS_USED_LOCK('{name}')")).collect();
    format!("SELECT {}", asked.join(", "))
}

pub(crate) const VERSION: &str = "SELECT @@version LIMIT 1";

pub(crate) fn settings(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql => "SELECT @@server_uuid, @@global.gtid_mode, @@global.sql_mode LIMIT 1",
        Flavour::MariaDb => "SELECT @@server_id, 'MARIADB', @@global.sql_mode LIMIT 1",
    }
}

/// For a shadow with foreign keys: a row's parent exists, and stays locked until the row is
/// written. A session that does not wait for row locks causes no deadlock for the application.
pub(crate) const CHECK_PARENTS: &str =
    "SET SESSION foreign_key_checks = 1, innodb_lock_wait_timeout = 0";

/// Switches foreign key checks on or off. With checks, the server refuses to drop an index that a
/// foreign key needs.
pub(crate) fn check_foreign_keys(checks: bool) -> String {
    format!("SET SESSION foreign_key_checks = {}", u8::from(checks))
}

/// What distinguishes servers, and the session's number. No proxy answers this query itself.
pub(crate) const IDENTITY: &str =
    "SELECT CONCAT_WS(':', @@hostname, @@port, @@server_id), CONNECTION_ID() + 0";

/// Open transactions, oldest first: any of them may be in the way of a lock.
pub(crate) const OPEN_TRANSACTIONS: &str = "SELECT t.trx_mysql_thread_id, COALESCE(p.USER, '?'), \
                                            COALESCE(p.HOST, '?'), TIMESTAMPDIFF(SECOND, \
                                            t.trx_started, NOW()) FROM \
                                            information_schema.INNODB_TRX t LEFT JOIN \
                                            information_schema.PROCESSLIST p ON p.ID = \
                                            t.trx_mysql_thread_id WHERE t.trx_mysql_thread_id <> \
                                            CONNECTION_ID() ORDER BY t.trx_started LIMIT 5";

/// The holders of locks on a table, if the server shows them: MySQL always, MariaDB with the plugin
/// `metadata_lock_info`.
pub(crate) fn metadata_locks(version: Version, name: &TableName) -> String {
    if version.flavour == Flavour::MariaDb {
        return format!(
            "SELECT DISTINCT p.ID, p.USER, p.HOST, p.TIME FROM \
             information_schema.METADATA_LOCK_INFO l JOIN information_schema.PROCESSLIST p ON p.ID \
             = l.THREAD_ID WHERE l.LOCK_TYPE = 'Table metadata lock' AND l.TABLE_SCHEMA = {} AND \
             l.TABLE_NAME = {} AND p.ID <> CONNECTION_ID() LIMIT 50",
            string(&name.schema),
            string(&name.name)
        );
    }
    format!(
        "SELECT DISTINCT t.PROCESSLIST_ID, COALESCE(t.PROCESSLIST_USER, '?'), \
         COALESCE(t.PROCESSLIST_HOST, '?'), t.PROCESSLIST_TIME FROM \
         performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = \
         l.OWNER_THREAD_ID WHERE l.OBJECT_TYPE = 'TABLE' AND l.OBJECT_SCHEMA = {} AND \
         l.OBJECT_NAME = {} AND l.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID <> CONNECTION_ID() \
         LIMIT 50",
        string(&name.schema),
        string(&name.name)
    )
}

/// Transactions of some age that use a table, if the server shows it. The columns are those of
/// [`metadata_locks`].
pub(crate) fn old_users_of(version: Version, name: &TableName, seconds: u64) -> String {
    let (schema, name) = (string(&name.schema), string(&name.name));
    if version.flavour == Flavour::MariaDb {
        return format!(
            "SELECT DISTINCT p.ID, p.USER, p.HOST, TIMESTAMPDIFF(SECOND, x.trx_started, NOW()) \
             FROM information_schema.METADATA_LOCK_INFO l JOIN information_schema.PROCESSLIST p ON \
             p.ID = l.THREAD_ID JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = \
             p.ID WHERE l.LOCK_TYPE = 'Table metadata lock' AND l.TABLE_SCHEMA = {schema} AND \
             l.TABLE_NAME = {name} AND p.ID <> CONNECTION_ID() AND x.trx_started < NOW() - \
             INTERVAL {seconds} SECOND LIMIT 50"
        );
    }
    format!(
        "SELECT DISTINCT t.PROCESSLIST_ID, COALESCE(t.PROCESSLIST_USER, '?'), \
         COALESCE(t.PROCESSLIST_HOST, '?'), TIMESTAMPDIFF(SECOND, x.trx_started, NOW()) FROM \
         performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = \
         l.OWNER_THREAD_ID JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = \
         t.PROCESSLIST_ID WHERE l.OBJECT_TYPE = 'TABLE' AND l.OBJECT_SCHEMA = {schema} AND \
         l.OBJECT_NAME = {name} AND l.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID <> \
         CONNECTION_ID() AND x.trx_started < NOW() - INTERVAL {seconds} SECOND LIMIT 50"
    )
}

/// All transactions of some age, in the same form.
pub(crate) fn old_transactions(seconds: u64) -> String {
    format!(
        "SELECT t.trx_mysql_thread_id, COALESCE(p.USER, '?'), COALESCE(p.HOST, '?'), \
         TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) FROM information_schema.INNODB_TRX t LEFT \
         JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE \
         t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_started < NOW() - INTERVAL {seconds} \
         SECOND ORDER BY t.trx_started LIMIT 50"
    )
}

/// The progress of an ALTER, in the server's own units: done, and estimated in all. MySQL shows it
/// if it was told to record stages. MariaDB has such counters and leaves them at zero.
pub(crate) fn work_of(connection: u64) -> String {
    format!(
        "SELECT s.WORK_COMPLETED, s.WORK_ESTIMATED FROM performance_schema.events_stages_current s \
         JOIN performance_schema.threads t ON t.THREAD_ID = s.THREAD_ID WHERE t.PROCESSLIST_ID = \
         {connection} AND s.WORK_ESTIMATED > 0"
    )
}

/// A global status variable by its name. Its value is in the last column.
pub(crate) fn status_variable(name: &str) -> String {
    format!("SHOW GLOBAL STATUS WHERE Variable_name = {}", string(name))
}

/// How many row versions MySQL keeps for readers.
pub(crate) const HISTORY: &str = "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME \
                                  = 'trx_rseg_history_len' AND STATUS = 'enabled'";

/// How many sessions wait for a row, or for the lock of a table, a definition or a backup. A
/// session that waits for its turn with GET_LOCK disturbs nobody.
pub(crate) const LOCK_WAITERS: &str = "SELECT (SELECT COUNT(*) FROM information_schema.INNODB_TRX \
                                       WHERE trx_state = 'LOCK WAIT') + (SELECT COUNT(*) FROM \
                                       information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting \
                                       for % lock')";

pub(crate) const BEGIN: &str = "START TRANSACTION";

pub(crate) const COMMIT: &str = "COMMIT";

pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// Ends a transaction: commits it if the outcome is good.
pub(crate) fn end<T, E>(outcome: &std::result::Result<T, E>) -> &'static str {
    if outcome.is_ok() { COMMIT } else { ROLLBACK }
}

/// The warnings of the last statement: level, code and text.
pub(crate) const WARNINGS: &str = "SHOW WARNINGS";

/// Sets the session's own character set again.
pub(crate) const NAMES: &str = "SET NAMES utf8mb4";

/// Privileges whose names are two words.
pub(crate) const LOCK_TABLES: &str = "LOCK TABLES";

pub(crate) const CREATE_VIEW: &str = "CREATE VIEW";

pub(crate) const SHOW_VIEW: &str = "SHOW VIEW";

/// Ends the operator's question after a minute.
pub(crate) fn question_limit(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql => "SET SESSION max_execution_time = 60000",
        Flavour::MariaDb => "SET SESSION max_statement_time = 60",
    }
}

/// Lets later questions take no longer than this; zero: as long as they need.
pub(crate) fn statement_limit(version: Version, most: Duration) -> String {
    let ms = most.as_millis();
    match version.flavour {
        Flavour::MySql => format!("SET SESSION max_execution_time = {ms}"),
        Flavour::MariaDb => format!("SET SESSION max_statement_time = {ms} / 1000"),
    }
}

/// Prepares the operator's question. What is prepared is one statement, whatever it holds.
pub(crate) fn prepare_question(question: &str) -> [String; 2] {
    let question = crate::sql::quote::string(question);
    [format!("SET @question = {question}"), "PREPARE question FROM @question".to_owned()]
}

/// Asks the prepared question.
pub(crate) const ASK: &str = "EXECUTE question";
