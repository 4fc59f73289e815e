//! What every session of ours sets. It overrides the server, the account and `init_connect`.

use crate::server::version::{Flavour, Version};
use crate::sql::session::lock_waits;
use std::time::Duration;

/// For every server. With READ COMMITTED, INSERT … SELECT reads without locks. A native ALTER would
/// use the server's own time zone, so we do.
const EVERYWHERE: [&str; 8] = [
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
    "SET SESSION time_zone = @@global.time_zone, foreign_key_checks = 0, unique_checks = 1, \
     autocommit = 1, completion_type = 'NO_CHAIN'",
    // The server returns every row and every warning.
    "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = \
     0, sql_auto_is_null = 0, sql_notes = 1",
    // Definitions and messages come in one form.
    "SET SESSION sql_quote_show_create = 1, lc_messages = 'en_US'",
    // Guards of tables tell our writes from others' by it.
    "SET @altergeist = 1",
    "SET SESSION wait_timeout = 604800",
    "SET SESSION net_read_timeout = 600, net_write_timeout = 600",
];

const ON_MYSQL: &str = "SET SESSION max_execution_time = 0, information_schema_stats_expiry = 0, \
                        range_optimizer_max_mem_size = 0";

/// Since MySQL 8.0.30.
const SHOW_HIDDEN_KEYS: &str = "SET SESSION show_gipk_in_create_table_and_information_schema = ON";

const ON_MARIADB: &str = "SET SESSION max_statement_time = 0, idle_transaction_timeout = 0, \
                          idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = \
                          0, check_constraint_checks = 1";

/// The statements that set the state that all others rely on, but for the modes.
pub(crate) fn session(version: Version, lock_timeout: Duration) -> Vec<String> {
    let of_flavour: &[&str] = match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 30)) => &[ON_MYSQL, SHOW_HIDDEN_KEYS],
        Flavour::MySql => &[ON_MYSQL],
        Flavour::MariaDb => &[ON_MARIADB],
    };
    let mut statements: Vec<String> =
        EVERYWHERE.iter().chain(of_flavour).map(|it| (*it).to_owned()).collect();
    statements.push(lock_waits(lock_timeout));
    statements
}

pub(crate) fn modes(modes: &[&str]) -> String {
    format!("SET SESSION sql_mode = '{}'", modes.join(","))
}
