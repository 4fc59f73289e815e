//! The modes that our sessions run under, and all that they set ([`crate::sql::settings`]). Pure.
//!
//! A statement of ours must mean the same everywhere, and the server must print definitions in one
//! form. So the modes that change how SQL is read or printed count for the user's own clauses
//! alone.

use crate::server::version::Version;
use crate::sql;
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

/// The statements that set the state that all others rely on.
pub(crate) fn session(version: Version, global_modes: &str, lock_timeout: Duration) -> Vec<String> {
    let mut statements = sql::settings::session(version, lock_timeout);
    statements.push(our_modes(global_modes));
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
    sql::settings::modes(&modes)
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
