//! What every session of ours sets. It overrides the server, the account and `init_connect`. Pure.
//!
//! A statement of ours must mean the same everywhere, and the server must print definitions in one
//! form. So the modes that change how SQL is read or printed count for the user's own clauses
//! alone.

use crate::server::version::{Flavour, Version};
use crate::sql::session::whole_seconds;
use std::time::Duration;

/// Modes of the server that decide which values it accepts, and how it rounds them. Rows are copied
/// under them.
const OF_VALUES: [&str; 7] = [
    "ALLOW_INVALID_DATES",
    "TIME_ROUND_FRACTIONAL",
    "TIME_TRUNCATE_FRACTIONAL",
    "NO_UNSIGNED_SUBTRACTION",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",
    "NO_DIR_IN_CREATE",
];
/// Every value that does not fit is an error, and 0 is an id like any other.
const OURS: [&str; 2] = ["STRICT_ALL_TABLES", "NO_AUTO_VALUE_ON_ZERO"];
/// CHAR columns must come without their padding, as keys are spelled. Zero dates pass in columns
/// that do not change. `plan` asks about those that do.
const NEVER: [&str; 2] = ["PAD_CHAR_TO_FULL_LENGTH", "TRADITIONAL"];
const ZERO_DATES: [&str; 2] = ["NO_ZERO_DATE", "NO_ZERO_IN_DATE"];

/// The statements that set the state that all others rely on. With READ COMMITTED, INSERT … SELECT
/// reads without locks. A native ALTER would use the server's own time zone, so we do.
pub(crate) fn session(version: Version, global_modes: &str, lock_timeout: Duration) -> Vec<String> {
    let seconds = whole_seconds(lock_timeout);
    let mut statements = vec![
        "SET NAMES utf8mb4".to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE".to_owned(),
        our_modes(global_modes),
        "SET SESSION time_zone = @@global.time_zone, foreign_key_checks = 0, unique_checks = 1, \
         autocommit = 1, completion_type = 'NO_CHAIN'"
            .to_owned(),
        // Every row is found and every warning is told.
        "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1, \
         sql_safe_updates = 0, sql_auto_is_null = 0, sql_notes = 1"
            .to_owned(),
        // Definitions and messages come in one form.
        "SET SESSION sql_quote_show_create = 1, lc_messages = 'en_US'".to_owned(),
        format!("SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"),
        // What tells our writes from others' where a table is guarded.
        "SET @altergeist = 1".to_owned(),
        "SET SESSION wait_timeout = 604800, net_read_timeout = 600, net_write_timeout = 600"
            .to_owned(),
    ];
    match version.flavour {
        Flavour::MySql => {
            statements.push(
                "SET SESSION max_execution_time = 0, information_schema_stats_expiry = 0, \
                 range_optimizer_max_mem_size = 0"
                    .to_owned(),
            );
            if version.is_mysql_since((8, 0, 30)) {
                statements.push(
                    "SET SESSION show_gipk_in_create_table_and_information_schema = \
                                 ON"
                    .to_owned(),
                );
            }
        }
        Flavour::MariaDb => statements.push(
            "SET SESSION max_statement_time = 0, idle_transaction_timeout = 0, \
             idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0, \
             check_constraint_checks = 1"
                .to_owned(),
        ),
    }
    statements
}

/// The modes of our own statements.
pub(crate) fn our_modes(global: &str) -> String {
    set(global.split(',').filter(|mode| OF_VALUES.contains(mode)))
}

/// The modes of the user's clauses: the server's own, made strict; its rules for zero dates count
/// unless they are allowed.
pub(crate) fn modes_of_clauses(global: &str, allow_zero_dates: bool) -> String {
    let is_lifted =
        |mode: &str| NEVER.contains(&mode) || allow_zero_dates && ZERO_DATES.contains(&mode);
    set(global.split(',').filter(|mode| !mode.is_empty() && !is_lifted(mode)))
}

fn set<'a>(kept: impl Iterator<Item = &'a str>) -> String {
    let modes: Vec<&str> = kept.filter(|mode| !OURS.contains(mode)).chain(OURS).collect();
    format!("SET SESSION sql_mode = '{}'", modes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,ALLOW_INVALID_DATES,STRICT_ALL_TABLES";

    #[test]
    fn our_statements_do_not_depend_on_how_the_server_reads_sql() {
        assert_eq!(
            our_modes(HOSTILE),
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'"
        );
        assert_eq!(
            our_modes(""),
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'"
        );
    }

    #[test]
    fn clauses_are_read_as_the_server_reads_them() {
        assert_eq!(
            modes_of_clauses(HOSTILE, false),
            "SET SESSION sql_mode = \
             'ANSI_QUOTES,NO_ZERO_DATE,ALLOW_INVALID_DATES,STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'"
        );
        assert!(!modes_of_clauses(HOSTILE, true).contains("NO_ZERO_DATE"));
    }
}
